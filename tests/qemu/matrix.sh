#!/bin/bash
# An installed Debian on the machines of matrix.txt: it starts from the disk by the firmware, has the CPUs, the disk and
# the card that it was given, reads and writes them without a wrong byte, complains of nothing, and powers off.
# usage: matrix.sh ROW
# cases: q35-scsi
# more cases: pc-lsi secure-ahci
# more cases: pc-ide pc-blk pc-split pc-off q35-ahci q35-nvme q35-split q35-off q35-lsi ovmf-blk ovmf-nvme ovmf-pc
# more cases: secure-blk microvm microvm-split
set -u
read -r name machine irqchip cpus firmware disk card vendor \
    <<<"$(grep "^$1 " "$(dirname "$0")/matrix.txt")" || { echo "matrix.txt has no row $1"; exit 1; }
VENDOR=$vendor
. "$(dirname "$0")/lib.sh"

overlay d0
dd if=/dev/urandom of="$work/file" bs=1M count=8 status=none
sum=$(sha256sum <"$work/file")
socat -u -T 60 OPEN:"$work/file" TCP-LISTEN:0,bind=127.0.0.1,reuseaddr 2>/dev/null &
server=$!
for _ in {1..50}; do
    port=$(ss -Hltnp 2>/dev/null | sed -n "s/.*127.0.0.1:\([0-9]*\) .*pid=$server,.*/\1/p") && [ -n "$port" ] && break
    sleep 0.1
done
process[server]=$server
start=()
case $machine in
pc | q35) [ "$firmware" = secure ] && machine=$machine,smm=on || machine=$machine,smm=off ;;
microvm)
    machine=$machine,rtc=on
    # The second I/O APIC is QEMU's own, which learns of ends of interrupts if KVM's controllers are split.
    [ "$irqchip" = split ] || machine=$machine,ioapic2=off
    ;;
esac
[ "$firmware" != kernel ] || start=(-kernel "$image.vmlinuz" -initrd "$image.initrd" -append
    "root=LABEL=root ro console=ttyS0 reboot=t")
# shellcheck disable=SC2046
qemu vm $(accelerator "kernel-irqchip=$irqchip") -machine "$machine" -smp "$cpus" -m 768M -no-reboot \
    $(firmware vm "$firmware") $(disk "$disk" "$work/d0.qcow2") "${start[@]}" \
    -netdev user,id=n0 -device "$card,netdev=n0"
logged_in vm 300
say "logged in"
found=$(guest vm nproc)
[ "$found" = "$cpus" ] || fail "the guest finds $found CPUs"
driver=$(guest vm 'd=$(readlink -f /sys/class/block/$(basename $(findmnt -no SOURCE /))/..)
    while [ "$d" != / ]; do readlink $d/driver $d/device/driver; d=$(dirname $d); done |
        sed "s|.*/||" | grep -vx -e sd -e pcieport')
case $disk in
virtio-*) want=virtio ;;
lsi53c895a) want=sym53c8xx ;;
ide) want=ata_piix ;;
*) want=$disk ;;
esac
grep -q "$want" <<<"$driver" || fail "the root is on a disk of" $driver
clock=$(guest vm 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource')
say "disk: ${driver//$'\n'/ }; clock source: $clock"
guest vm 'for i in {1..60}; do ip -4 route | grep default && break; sleep 1; done; [ $i -lt 60 ]' 90 ||
    fail 'no address by DHCP'
got=$(guest vm "sha256sum </dev/tcp/10.0.2.2/$port" 120)
[ "$got" = "$sum" ] || fail "a file by TCP: $got, not $sum"
say 'a file came by TCP'
verified_writes vm /var/tmp/v 24M || fail 'fio found a wrong block'
say 'the disk kept 24 MiB of random writes'
[ "$firmware" != secure ] || guest vm 'dmesg | grep "secureboot: Secure boot enabled"' || fail 'Secure Boot is off'
complaints vm && fail 'the kernel complains'
types vm poweroff
ends vm 0
say 'powered off'
qemu-img check -q "$work/d0.qcow2" || fail 'qemu-img check'
