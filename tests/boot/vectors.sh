#!/bin/bash
# SSE registers survive interrupts, system calls, page faults and context switches, with one CPU and with two.
# cases: cpu1 cpu2
set -u
. "$(dirname "$0")/guest.sh"
root=$(mktemp -d)
trap 'rm -rf "$root" "$log"' EXIT
${CC:-gcc} -O1 -static -D_GNU_SOURCE -o "$root/init" "$(dirname "$0")/vectors.c" || fail "cannot build vectors.c"
mkdir "$root/dev"
mknod -m 600 "$root/dev/console" c 5 1 2>/dev/null || { echo "making /dev/console takes root"; exit 77; }
initrd=$root.cpio
(cd "$root" && find . | cpio --quiet -o -H newc) >"$initrd"
trap 'rm -rf "$root" "$log" "$initrd"' EXIT
boot_l1 off "${1#cpu}" quiet || fail "exit status $?"
expect 'vectors: kept'
