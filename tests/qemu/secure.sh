#!/bin/bash
# OVMF with SMM. Secure Boot starts Debian's signed kernel and refuses one that was changed. Where the guest's kernel
# may write to all physical memory, it still cannot write to the flash memory of the firmware's variables: that takes
# SMM.
# usage: secure.sh VENDOR
# more cases: intel
# more cases: amd
set -u
VENDOR=${1:-intel}
. "$(dirname "$0")/lib.sh"

overlay d0
start() { # NAME
    # shellcheck disable=SC2046
    qemu "$1" $(accelerator) -machine q35,smm=on -smp 2 -m 768M -no-reboot $(firmware "$1" secure) \
        $(disk virtio-blk "$work/d0.qcow2")
}
start vm
logged_in vm 300
guest vm 'dmesg | grep "secureboot: Secure boot enabled"' || fail 'Secure Boot is off'
say 'the signed kernel runs'
# One byte of the kernel's text changes. GRUB asks shim, which checks the signature.
guest vm 'cp -L /vmlinuz /boot/changed && printf X | dd of=/boot/changed bs=1 seek=3000000 conv=notrunc status=none &&
    printf "set default=changed\nmenuentry changed --id changed {\n linux /boot/changed\n}\n" >/boot/grub/custom.cfg &&
    sync' || fail 'no changed kernel'
guest vm 'mount -t efivarfs e /sys/firmware/efi/efivars 2>/dev/null
    f=$(echo /sys/firmware/efi/efivars/PK-*); chattr -i $f; printf "\047\0\0\0XXXX" >$f' && fail 'PK was overwritten'
say 'a write to PK without a signature is refused'
types vm poweroff
ends vm 0
cp "$work/vm.vars" "$work/signed.vars"
start signed
sees signed 'bad shim signature' 120
say 'the changed kernel is refused'
qmp signed quit >/dev/null
ends signed 0

# Without keys of its owner the firmware starts everything, and the kernel is not locked down.
overlay d0
cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/open.vars"
start open
logged_in open 300
# The flash chip is below 4 GiB: variables first, then code. The variables' volume has "_FVH" in its head. 0x40 programs
# the byte that is written next, 0xff goes back to reading.
guest open 'python3 -c "
import mmap, os
f = os.open(\"/dev/mem\", os.O_RDWR | os.O_SYNC)
m = mmap.mmap(f, 4096, offset=0xffc00000)
before = m[0x28:0x2c]
for byte in 0x40, 0, 0xff:
    m[0x28] = byte
print(before, m[0x28:0x2c])
"' >"$work/flash" || fail "no flash memory to write to: $(<"$work/flash")"
grep -qxF "b'_FVH' b'_FVH'" "$work/flash" || fail "flash memory before and after a write: $(<"$work/flash")"
qmp open stop >/dev/null
[ "$(dd if="$work/open.vars" bs=1 skip=40 count=4 status=none)" = _FVH ] || fail 'the file of the variables was changed'
say 'the flash memory is closed to the kernel'
qmp open quit >/dev/null
ends open 0
