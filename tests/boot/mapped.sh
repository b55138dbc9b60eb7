#!/bin/bash
# Linux comes up, and programs run, with its kernel's memory at host addresses (docs/mapped.md) and without: by itself
# where that works, not if it is off, nor where the host's address space has no room.
# cases: auto off room
set -u
. "$(dirname "$0")/guest.sh"
options=(--stats)
case ${1:-auto} in
off) options+=(--mapped off) ;;
room) ulimit -v 20000000 ;;
esac
"$NB" run --accel engine --kernel $kernel --initrd $initrd --memory 1G "${options[@]}" --no-reboot --timeout 200 \
    --append 'console=ttyS0 panic=-1 nb.mode=boot' </dev/null >"$log" 2>&1 || fail "exit status $?"
sed -i 's/\r*$//' "$log"
expect 'NB L1 done'
quiet_dmesg
pieces=$(sed -n 's/.* mapped\.pieces \([0-9]*\) .*/\1/p' "$log")
case ${1:-auto} in
auto) [ "$pieces" -gt 100 ] || fail "only $pieces pieces were mapped" ;;
*) [ "$pieces" = 0 ] || fail "$pieces pieces were mapped" ;;
esac
