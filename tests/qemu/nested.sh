#!/bin/bash
# An installed Debian as L1 runs QEMU with its own KVM and in that an installed Debian as L2, whose disk keeps every
# block of random writes. Or L1 is moved, over a socket, by a file, or by savevm and loadvm, while L2 writes checksummed
# pages: ten times. Or, deep, L2 is installed from the same image as L1, and its QEMU with its KVM runs Debian's kernel
# and initial RAM disk as L3.
# usage: nested.sh VENDOR-CONTROLLER-CPUS [SECONDS] | nested.sh VENDOR-WAY-CPUS [TIMES] | nested.sh VENDOR-deep-CPUS
# more cases: intel-virtio-blk-1 intel-virtio-scsi-2 intel-lsi53c895a-1 amd-virtio-blk-2 amd-virtio-scsi-1
# more cases: amd-lsi53c895a-2 intel-socket-1 intel-socket-2 amd-socket-1 amd-socket-2 intel-file-2 amd-file-1
# more cases: intel-snapshot-1 amd-snapshot-2 intel-deep-1 amd-deep-1
set -u
VENDOR=${1%%-*} what=${1#*-} cpus=${1##*-}
what=${what%-*}
. "$(dirname "$0")/lib.sh"
[ -e build/disk/l1.qcow2 ] || skip 'no build/disk/l1.qcow2: tools/test-disks.sh nested'
controller=virtio-blk l1_memory=1280M l2_memory=512M l2_base=/l2.raw
case $what in
socket | file | snapshot) ;;
deep) l1_memory=1792M l2_memory=1024M l2_base=/dev/vdb ;;
*) controller=$what ;;
esac

overlay d0 build/disk/l1.qcow2
start() { # NAME ARGUMENT...
    # shellcheck disable=SC2046
    qemu "$1" $(accelerator) -machine q35 -smp "$cpus" -m $l1_memory -no-reboot \
        $(disk virtio-blk "$work/d0.qcow2") -device pcie-root-port,id=port0,chassis=1 "${@:2}"
}
start vm0
logged_in vm0 300
guest vm0 'udevadm settle -t 300; ls -l /dev/kvm' 310 || fail 'L1 has no KVM'
say 'L1: logged in'
if [ $l2_base = /dev/vdb ]; then # this disk comes only now, because L1 would have found its root twice
    node="{\"driver\": \"file\", \"filename\": \"$PWD/build/disk/l1.qcow2\"}"
    { qmp vm0 blockdev-add "{\"driver\": \"qcow2\", \"node-name\": \"base\", \"read-only\": true, \"file\": $node}" &&
        qmp vm0 device_add '{"driver": "virtio-blk-pci", "drive": "base", "bus": "port0"}'; } >/dev/null ||
        fail 'no second disk'
    guest vm0 'for i in {1..60}; do [ -b /dev/vdb ] && break; sleep 1; done; [ -b /dev/vdb ]' 90 || fail 'no /dev/vdb'
fi
guest vm0 "qemu-img create -q -f qcow2 -F raw -b $l2_base /var/tmp/l2.qcow2" || fail 'no disk for L2'
types vm0 "qemu-system-x86_64 -accel kvm -cpu host -smp $cpus -m $l2_memory -nodefaults -display none -serial stdio \
-no-reboot $(disk "$controller" /var/tmp/l2.qcow2 | tr '\n' ' '); echo 'NB'-back"
logged_in vm0 500
say "L2: logged in"
guest vm0 'grep -m 1 -o hypervisor /proc/cpuinfo; hostname; nproc; findmnt -no SOURCE /'
vm=vm0

# For a move QEMU stops L1 and reads its TSC at once, but KVM's clock only when it saves that, so the clock goes on for
# almost all of the time in which L1 stands still. L1 learns of it (KVM_KVMCLOCK_CTRL). L2 does not, and has the clock
# from L1's KVM: its watchdog finds that the TSC has fallen behind, as it does on hardware. Prints what L2 may say then,
# if the two are apart by no more than L1 was stopped.
moved_clock() {
    local said clock tsc
    said=$(guest "$vm" 'dmesg | grep -A 2 "Marking clocksource .tsc. as unstable because the skew is too large"')
    clock=$(sed -n "s/.*'kvm-clock' wd_nsec: \([0-9]*\) .*/\1/p" <<<"$said")
    tsc=$(sed -n "s/.*'tsc' cs_nsec: \([0-9]*\) .*/\1/p" <<<"$said")
    [ -n "$clock" ] && [ -n "$tsc" ] || return
    say "L2: $(((clock - tsc) / 1000000)) ms between clock and TSC, after $stopped ms in which L1 was stopped" >&2
    ((clock - tsc <= stopped * 1000000 && tsc - clock <= stopped * 1000000)) &&
        echo 'clocksource .tsc. as unstable because the skew|Marking TSC unstable due to clocksource watchdog'
}

if [ "$what" = deep ]; then
    guest vm0 'udevadm settle -t 300; ls -l /dev/kvm' 310 || fail 'L2 has no KVM'
    types vm0 'qemu-system-x86_64 -accel kvm -cpu host -m 384M -nodefaults -display none -serial stdio -no-reboot \
-kernel /vmlinuz -initrd /initrd.img -append "console=ttyS0 break=top"; echo "NB"-back'
    sees vm0 '\(initramfs\)' 900
    types vm0 'cat /proc/version; echo L$((1 + 2)) runs'
    sees vm0 'L3 runs' 60
    say 'L3: runs'
    types vm0 'poweroff -f'
    sees vm0 'reboot: Power down' 60
    sees vm0 'NB-back' 60
    guest vm0 'hostname; echo "L2 goes on"' || fail 'L2 does not go on'
elif [ "$controller" != "$what" ]; then
    pages_start $vm "$cpus" 32
    for ((n = 1; n <= ${2:-10}; n++)); do
        if [ "$what" = snapshot ]; then
            begin=${EPOCHREALTIME//[^0-9]/}
            hmp $vm 'savevm one' || fail savevm
            stopped=$((stopped + (${EPOCHREALTIME//[^0-9]/} - begin) / 1000))
            guest $vm 'sleep 2; ! grep WRONG /tmp/pages*' || fail 'pages'
            begin=${EPOCHREALTIME//[^0-9]/}
            hmp $vm 'loadvm one' || fail loadvm
            stopped=$((stopped + (${EPOCHREALTIME//[^0-9]/} - begin) / 1000))
            types $vm ''
            hmp $vm 'delvm one' || fail delvm
        else
            carried "$what" $vm vm$n start
            vm=vm$n
        fi
        pages_right $vm
        say "$what $n: L2's pages are right"
    done
    pages_end $vm "$cpus"
else
    seconds=${2:-60}
    verified_writes vm0 /var/tmp/v 32M "--time_based --runtime=$seconds" $((seconds * 4 + 200)) ||
        fail 'fio found a wrong block in L2'
    say "L2: $seconds s of random writes are right"
fi
complaints $vm "$(moved_clock)" && fail "L2's kernel complains"
types $vm poweroff
sees $vm 'reboot: Power down' 120
sees $vm 'NB-back' 60
guest $vm 'hostname' | grep -q l1 || fail 'L1 does not go on'
say 'L2: powered off'
complaints $vm && fail "L1's kernel complains"
types $vm poweroff
ends $vm 0
