#!/bin/bash
# Debian's kernel as L1, to user space and power-off, with nothing to complain about in its log.
# cases: cpu1 cpu2 cpu4 nokaslr pti cpu2-nokaslr-pti
set -u
. "$(dirname "$0")/guest.sh"
which=${1:-cpu1} cpus=1 extra=
case $which in cpu[0-9]*) cpus=${which%%-*} cpus=${cpus#cpu} ;; esac
case $which in *nokaslr*) extra=nokaslr ;; esac
case $which in *pti*) extra="$extra pti=on" ;; esac
boot_l1 off "$cpus" "nb.mode=boot $extra" || fail "exit status $?"
expect 'NB L1 up'
expect "NB L1 cpus $cpus"
expect 'NB L1 done'
quiet_dmesg
case $which in *pti*) expect 'Kernel/User page tables isolation: enabled' ;; esac
