#!/bin/bash
# Debian's kernel as L1 comes to user space and powers off, with nothing to complain about in its log. pvh: it starts at
# the PVH entry of the ELF file that is packed inside its bzImage. rt, cloud: Debian's other kernels for amd64, with
# other code at other places.
# cases: cpu1 cpu2 cpu4 nokaslr pti cpu2-nokaslr-pti pvh rt cloud
set -u
. "$(dirname "$0")/guest.sh"
. "$(dirname "$0")/package.sh"
which=${1:-cpu1} cpus=1 extra=
case $which in cpu[0-9]*) cpus=${which%%-*} cpus=${cpus#cpu} ;; esac
case $which in *nokaslr*) extra=nokaslr ;; esac
case $which in *pti*) extra="$extra pti=on" ;; esac
case $which in
rt | cloud)
    cpus=2
    package=$(kernel_package "$which-amd64" amd64) || { echo "apt knows no kernel $which-amd64"; exit 77; }
    unpack "$package" amd64
    kernel=$(echo "$packages/$package"/boot/vmlinuz-*)
    ;;
esac
if [ "$which" = pvh ]; then
    number() { od -An -t"$2" -j"$1" -N"${2#u}" $kernel | tr -d ' '; }
    start=$(((1 + $(number 0x1f1 u1)) * 512 + $(number 0x248 u4))) # setup_sects, payload_offset
    command -v xz >/dev/null || { echo 'xz is missing'; exit 77; }
    tail -c +$((start + 1)) $kernel | xz -dc --single-stream >"$work/vmlinux" 2>/dev/null
    [ -s "$work/vmlinux" ] || { echo 'the kernel is not packed with xz'; exit 77; }
    kernel=$work/vmlinux
fi
boot_l1 off "$cpus" "nb.mode=boot $extra" || fail "exit status $?"
expect 'NB L1 up'
expect "NB L1 cpus $cpus"
expect 'NB L1 done'
quiet_dmesg
! grep -q 'TSC warp' "$log" || fail "the CPUs' time stamps differ"
case $which in *pti*) expect 'Kernel/User page tables isolation: enabled' ;; esac
