#!/bin/bash
# Debian's KVM in L1 and Linux in L2 while the vCPUs move all the time: they stop at random moments, and go on from
# their state after a reset or in a new VM (tests/hop/main.c).
# cases: intel amd intel-smp amd-smp
# limit: 1200
set -u
HOP_LOG=$(mktemp) || exit 2
export HOP_LOG HOP_US=20000 HOP_NEW=10 NB=build/release/hop
trap 'rm -f "$HOP_LOG"' EXIT
bash "$(dirname "$0")/nested.sh" "${1:-intel}"
status=$?
[ $status = 0 ] || exit $status
read -r moves new l2 <"$HOP_LOG"
echo "$moves moves, $new to a new VM, $l2 in L2"
[ "$new" -ge 5 ] && [ "$l2" -ge 5 ]
