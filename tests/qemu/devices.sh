#!/bin/bash
# An installed Debian with the devices that matrix.txt leaves out, all at once: a disk with an I/O thread and -snapshot,
# guest memory that is shared with virtiofsd, USB, a random number generator, a watchdog, a sound card, and a panic that
# QEMU hears of.
# usage: devices.sh VENDOR
# more cases: intel amd
set -u
VENDOR=${1:-intel}
. "$(dirname "$0")/lib.sh"

overlay d0
qemu-img create -q -f qcow2 "$work/usb.qcow2" 64M
mkdir "$work/shared"
head -c 5000000 /dev/urandom >"$work/shared/file"
files=()
virtiofsd=/usr/lib/qemu/virtiofsd
if [ -x $virtiofsd ]; then
    $virtiofsd --socket-path="$work/files" -o source="$work/shared" -o sandbox=chroot -o cache=none \
        >"$work/virtiofsd.err" 2>&1 &
    process[virtiofsd]=$!
    for _ in {1..100}; do
        [ -S "$work/files" ] && break
        sleep 0.1
    done
    files=(-chardev "socket,id=files,path=$work/files" -device "vhost-user-fs-pci,chardev=files,tag=shared")
fi
before=$(sha256sum <"$work/d0.qcow2")
# shellcheck disable=SC2046
qemu vm $(accelerator) -machine q35,memory-backend=m -object memory-backend-memfd,id=m,size=768M,share=on -smp 2 \
    -m 768M -snapshot -no-reboot -action watchdog=none -object iothread,id=io0 \
    -drive "if=none,id=d0,file=$work/d0.qcow2,format=qcow2" -device virtio-blk-pci,drive=d0,iothread=io0 \
    -vga qxl -device qemu-xhci -device usb-tablet -drive "if=none,id=u0,file=$work/usb.qcow2,format=qcow2" \
    -device usb-storage,drive=u0,serial=u0 -device i6300esb -device pvpanic-pci -device virtio-rng-pci \
    -audiodev none,id=a0 -device intel-hda -device hda-duplex,audiodev=a0 "${files[@]}"
logged_in vm 300
say 'logged in'
guest vm 'udevadm settle; bad=; for d in qxl snd_hda_intel xhci_hcd; do
    readlink /sys/bus/pci/devices/*/driver | grep -q $d || bad="$bad $d"; done; echo "$bad"; [ -z "$bad" ]' ||
    fail 'a device has no driver'
guest vm 'grep virtio /sys/class/misc/hw_random/rng_current && [ $(head -c 64 /dev/hwrng | wc -c) = 64 ]' ||
    fail 'no random numbers'
say 'random numbers'
guest vm 'for i in {1..60}; do [ -b /dev/sda ] && break; sleep 1; done; readlink -f /sys/block/sda | grep usb' 90 ||
    fail 'no USB disk'
verified_writes vm /dev/sda 16M || fail 'fio found a wrong block on the USB disk'
say 'the USB disk kept 16 MiB of random writes'
if [ ${#files[@]} != 0 ]; then
    guest vm 'mount -t virtiofs shared /mnt && cp /mnt/file /mnt/copy && sha256sum </mnt/file' >"$work/sum" ||
        fail "virtiofs: $(<"$work/sum")"
    [ "$(tail -n 1 "$work/sum")" = "$(sha256sum <"$work/shared/file")" ] || fail 'virtiofs: the guest read other bytes'
    cmp "$work/shared/file" "$work/shared/copy" || fail 'virtiofs: the guest wrote other bytes'
    guest vm 'umount /mnt' || fail 'virtiofs: umount'
    say 'virtiofs'
fi
guest vm 'rmmod i6300esb; modprobe i6300esb heartbeat=2 && echo 1 >/dev/watchdog' || fail 'no watchdog'
event vm WATCHDOG 60
guest vm 'printf V >/dev/watchdog' || fail 'the guest does not go on'
say 'watchdog'
hmp vm "screendump $work/screen.ppm" || fail 'screendump'
[ "$(head -c 2 "$work/screen.ppm")" = P6 ] || fail 'the picture is no PPM file'
complaints vm && fail 'the kernel complains'
guest vm 'sync; modprobe pvpanic-pci' || fail 'no pvpanic'
types vm 'echo c >/proc/sysrq-trigger'
event vm GUEST_PANICKED 60
ends vm 0
say 'panic'
[ "$(sha256sum <"$work/d0.qcow2")" = "$before" ] || fail 'the disk was written in spite of -snapshot'
