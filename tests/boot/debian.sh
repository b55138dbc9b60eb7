#!/bin/bash
# Debian's kernel as L1, to user space and power-off, with nothing to complain about in its log.
# cases: cpu1 cpu2 nokaslr pti
set -u
. "$(dirname "$0")/guest.sh"
case ${1:-cpu1} in
cpu1) cpus=1 extra= ;;
cpu2) cpus=2 extra= ;;
nokaslr) cpus=1 extra=nokaslr ;;
pti) cpus=1 extra=pti=on ;;
*) exit 2 ;;
esac
boot_l1 off "$cpus" "nb.mode=boot $extra" || fail "exit status $?"
expect 'NB L1 up'
expect "NB L1 cpus $cpus"
expect 'NB L1 done'
quiet_dmesg
[ "${1:-}" != pti ] || expect 'Kernel/User page tables isolation: enabled'
