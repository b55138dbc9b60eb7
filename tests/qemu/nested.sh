#!/bin/bash
# An installed Debian as L1 runs QEMU with its own KVM and in that an installed Debian as L2, whose disk keeps every
# block of random writes. Or L1 is moved, over a socket, by a file, or by savevm and loadvm, while L2 writes checksummed
# pages: ten times.
# usage: nested.sh VENDOR-CONTROLLER-CPUS [SECONDS] | nested.sh VENDOR-WAY-CPUS [TIMES]
# more cases: intel-virtio-blk-1 intel-virtio-scsi-2 intel-lsi53c895a-1 amd-virtio-blk-2 amd-virtio-scsi-1
# more cases: amd-lsi53c895a-2 intel-socket-1 intel-socket-2 amd-socket-1 amd-socket-2 intel-file-2 amd-file-1
# more cases: intel-snapshot-1 amd-snapshot-2
set -u
VENDOR=${1%%-*} what=${1#*-} cpus=${1##*-}
what=${what%-*}
. "$(dirname "$0")/lib.sh"
[ -e build/disk/l1.qcow2 ] || skip 'no build/disk/l1.qcow2: tools/test-disks.sh nested'
case $what in socket | file | snapshot) controller=virtio-blk ;; *) controller=$what ;; esac

overlay d0 build/disk/l1.qcow2
start() { # NAME ARGUMENT...
    # shellcheck disable=SC2046
    qemu "$1" $(accelerator) -machine q35 -smp "$cpus" -m 1280M -no-reboot \
        $(disk virtio-blk "$work/d0.qcow2") "${@:2}"
}
start vm0
logged_in vm0 300
guest vm0 'ls -l /dev/kvm' || fail 'L1 has no KVM'
say 'L1: logged in'
guest vm0 'qemu-img create -q -f qcow2 -F raw -b /l2.raw /var/tmp/l2.qcow2' || fail 'no disk for L2'
types vm0 "qemu-system-x86_64 -accel kvm -cpu host -smp $cpus -m 512M -nodefaults -display none -serial stdio \
-no-reboot $(disk "$controller" /var/tmp/l2.qcow2 | tr '\n' ' ')"
logged_in vm0 500
say "L2: logged in"
guest vm0 'grep -m 1 -o hypervisor /proc/cpuinfo; hostname; nproc; findmnt -no SOURCE /'
vm=vm0
if [ "$controller" != "$what" ]; then
    pages_start $vm "$cpus" 32
    for ((n = 1; n <= ${2:-10}; n++)); do
        if [ "$what" = snapshot ]; then
            hmp $vm 'savevm one' || fail savevm
            guest $vm 'sleep 2; ! grep WRONG /tmp/pages*' || fail 'pages'
            hmp $vm 'loadvm one' || fail loadvm
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
complaints $vm && fail "L2's kernel complains"
types $vm poweroff
sees $vm 'reboot: Power down' 120
types $vm ''
guest $vm 'hostname' | grep -q l1 || fail 'L1 does not go on'
say 'L2: powered off'
complaints $vm && fail "L1's kernel complains"
types $vm poweroff
ends $vm 0
