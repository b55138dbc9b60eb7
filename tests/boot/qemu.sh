#!/bin/bash
# Debian's QEMU in L1, on KVM: SeaBIOS and its option ROMs in real mode, then Debian's kernel as L2 with two CPUs.
# cases: intel amd
set -u
. "$(dirname "$0")/guest.sh"
nested=${1:-intel}
qemu=$(command -v qemu-system-x86_64) && [ -e /usr/share/seabios/bios-256k.bin ] ||
    { echo 'qemu-system-x86 and seabios are not installed'; exit 77; }
root=$work/root
mkdir -p "$root/usr/share/qemu"
install_program "$qemu" "$root"
cp -L /usr/share/seabios/bios-256k.bin /usr/share/seabios/vgabios-stdvga.bin /usr/share/qemu/kvmvapic.bin \
    /usr/share/qemu/linuxboot_dma.bin "$root/usr/share/qemu"
cat >"$root/init" <<'EOT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do
    insmod "/modules/$module" 2>/dev/null
done </modules/order
nonce=$(sed -n 's/.*nb\.nonce=\([^ ]*\).*/\1/p' /proc/cmdline)
run() {
    echo "NB L1 qemu $*"
    qemu-system-x86_64 -enable-kvm -display none -nodefaults -serial stdio -no-reboot -m 256 -smp 2 "$@" \
        -kernel /l2/vmlinuz -initrd /l2/initrd \
        -append "console=ttyS0 panic=-1 quiet nb.mode=demo nb.nonce=$nonce" </dev/null
    echo "NB L1 exit $?"
}
run -machine pc -vga std
run -machine q35,kernel-irqchip=split -cpu host
dmesg | grep -E 'WARNING:|BUG:|Oops|stall|soft lockup|Call Trace|unchecked MSR|TSC warp' | sed 's/^/NB L1 dmesg /'
poweroff -f
EOT
chmod 755 "$root/init"
deep=$work/qemu.cpio
(cd "$root" && find . | cpio --quiet -o -H newc) >"$deep"
nonce=qemu$$
boot_l1 "$nested" 2 "quiet nb.nonce=$nonce" || fail "exit status $?"
[ "$(grep -c "NB L2 sha256 $(work_digest $nonce)" "$log")" = 2 ] || fail 'L2 did not do its work on both machines'
[ "$(grep -c 'NB L2 cpus 2' "$log")" = 2 ] || fail 'L2 has not two CPUs'
[ "$(grep -c 'NB L1 exit 0' "$log")" = 2 ] || fail 'QEMU did not end well'
! grep 'NB L1 dmesg' "$log" || fail "complaints in L1's log"
