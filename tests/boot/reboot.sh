#!/bin/bash
# Debian's kernel resets the machine in each way that it knows: by the keyboard controller, a triple fault, the BIOS,
# CF9h and ACPI. intel, amd: by the keyboard controller, whose INIT VMX blocks, while KVM runs an L2.
# cases: ways intel amd
set -u
. "$(dirname "$0")/guest.sh"
which=${1:-ways}

# reset_by WAY STATUS
reset_by() {
    boot_l1 off 2 "reboot=$1 quiet"
    local status=$?
    [ "$status" = "$2" ] || fail "reboot=$1: status $status, not $2"
}

mkdir -p "$work/root"
if [ "$which" = ways ]; then
    cat >"$work/root/init" <<'END'
#!/bin/sh
echo NB L1 up
busybox reboot -f
sleep 60
END
    chmod +x "$work/root/init"
    base=$initrd
    pack_root
    deep=$initrd initrd=$base
    for way in k b p a; do reset_by $way 10; done
    expect 'NB L1 up'
    reset_by t 6
    exit 0
fi

cat >"$work/root/init" <<'END'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
cpu=$(sed -n 's/.*nb.cpu=\([^ ]*\).*/\1/p' /proc/cmdline)
while read -r module; do
    case $module in kvm_intel.ko | kvm_amd.ko) [ "$module" = "kvm_$cpu.ko" ] || continue ;; esac
    insmod "/modules/$module" 2>/dev/null
done </modules/order
nestbox run --accel kvm --nested off --kernel /l2/vmlinuz --initrd /l2/initrd --memory 160M \
    --append 'console=ttyS0 nb.mode=hang nb.level=2' </dev/null >/log 2>&1 &
for second in $(seq 100); do
    grep -q 'NB L2 up' /log && break
    sleep 1
done
# This goes to the kernel's log, for what is written to the terminal is lost if it is not out at the reset.
grep 'NB L2 up' /log >/dev/kmsg || sed 's/^/NB L1 saw: /' /log >/dev/kmsg
echo b >/proc/sysrq-trigger
sleep 60
END
chmod +x "$work/root/init"
base=$initrd
pack_root
deep=$initrd initrd=$base
boot_l1 "$which" 2 "reboot=k loglevel=5 nb.cpu=$which"
status=$?
expect 'NB L2 up'
[ $status = 10 ] || fail "status $status, not 10"
