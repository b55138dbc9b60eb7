#!/bin/bash
# Programs of Debian give the same in L1 as natively, byte for byte: the short form of `make bench-real`, without times.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" = 0 ] || { echo "needs root, for a chroot"; exit 77; }
unshare --mount --pid --net --ipc --fork true 2>/dev/null || { echo "needs namespaces"; exit 77; }
[ -e build/real/tree.cpio ] || { echo "no tree: tools/real-tree.sh"; exit 77; }
PROGRAMS='python sqlite git' LEVELS='native l1' RUNS=0 tools/bench-real.sh || exit 1
[ "$(jq -r .same build/real/result.json)" = true ] && [ "$(grep -l '^NB real .* done' build/real/log.d/* | wc -l)" = 2 ]
