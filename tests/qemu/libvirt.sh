#!/bin/bash
# libvirt with the installed wrapper as emulator: KVM is among a domain's capabilities, and a domain of virt-install
# starts with libvirt's seccomp filter, runs Linux, and ends. The daemon is the user's own (qemu:///session), beside
# whatever else runs here.
# more cases: intel amd
set -u
cd "$(dirname "$0")/../.." || exit 1
vendor=${1:-amd}
for program in libvirtd virsh virt-install qemu-system-x86_64; do
    command -v $program >/dev/null || { echo "$program is missing"; exit 77; }
done
[ -e build/debs/vmlinuz ] && [ -e build/guest/l2.cpio ] || { echo 'no kernel or image: see tools/test.sh'; exit 77; }
work=$(mktemp -d)
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups) # root's daemon would be the system's
domain() { "${as[@]}" env "${environment[@]}" timeout 120 virsh -q -c qemu:///session "$@"; }
finish() {
    domain destroy nestbox-test >/dev/null 2>&1
    [ -z "${daemon:-}" ] || kill "$daemon"
    wait
    pids=$("${as[@]}" env "${environment[@]}" cat "$work/run/libvirt/virtlogd.pid" 2>/dev/null)
    [ -z "$pids" ] || kill "$pids"
    rm -rf "$work"
}
fail() {
    echo "FAILED: $*"
    tail -n 30 "$work"/log "$work"/home/.cache/libvirt/qemu/log/*.log 2>/dev/null
    exit 1
}
mkdir "$work/home" "$work/run"
chmod 700 "$work/run"
cp build/debs/vmlinuz build/guest/l2.cpio "$work"
chmod 755 "$work"
[ ${#as[@]} = 0 ] || chown 65534:65534 "$work/home" "$work/run"
environment=(-u XDG_CONFIG_HOME -u XDG_CACHE_HOME -u XDG_DATA_HOME HOME="$work/home" XDG_RUNTIME_DIR="$work/run")
trap finish EXIT
make -s install PREFIX="$work/prefix" >/dev/null || fail 'make install'
emulator=$work/prefix/bin/nestbox-qemu-$vendor

"${as[@]}" env "${environment[@]}" "$work/prefix/bin/nestbox" kvm --accel engine -- libvirtd >"$work/log" 2>&1 &
daemon=$!
for ((i = 0; i < 300; i++)); do
    [ -S "$work/run/libvirt/libvirt-sock" ] && break
    sleep 0.1
done
domain domcapabilities --emulatorbin "$emulator" --virttype kvm >"$work/caps.xml" 2>>"$work/log" ||
    fail 'no capabilities'
grep -q '<domain>kvm</domain>' "$work/caps.xml" || fail 'KVM is not among the capabilities'
grep -q "<mode name='host-passthrough' supported='yes'>" "$work/caps.xml" || fail 'no host-passthrough'

boot="kernel=$work/vmlinuz,initrd=$work/l2.cpio,emulator=$emulator"
boot="$boot,kernel_args=console=ttyS0 quiet panic=-1 nb.mode=demo nb.nonce=$$"
"${as[@]}" env "${environment[@]}" virt-install --connect qemu:///session --print-xml --name nestbox-test --memory 256 \
    --virt-type kvm --osinfo generic --import --disk none --network none --graphics none --cpu host-passthrough \
    --serial file,path="$work/home/serial.log" --events on_poweroff=destroy,on_reboot=destroy,on_crash=destroy \
    --boot "$boot" >"$work/domain.xml" 2>>"$work/log" || fail virt-install
domain create "$work/domain.xml" >>"$work/log" 2>&1 || fail 'the domain does not start'
domain qemu-monitor-command nestbox-test --hmp 'info kvm' | grep -q 'kvm support: enabled' ||
    fail 'QEMU does not use KVM'
for ((i = 0; i < 120; i++)); do
    grep -q 'NB L2 done' "$work/home/serial.log" && break
    sleep 1
done
cat "$work/home/serial.log"
grep -q "NB L2 sha256 $(seq 1 20000 | sed "s/\$/ $$/" | sha256sum | cut -d' ' -f1)" "$work/home/serial.log" ||
    fail 'the guest did not do its work'
grep -q "NB L2 vendor $([ "$vendor" = amd ] && echo AuthenticAMD || echo GenuineIntel)" "$work/home/serial.log" ||
    fail 'the guest has a CPU of another vendor'
for ((i = 0; i < 60; i++)); do
    [ -n "$(domain list --name)" ] || break
    sleep 1
done
[ -z "$(domain list --name)" ] || fail 'the domain goes on'
grep -q 'sandbox on' "$work"/home/.cache/libvirt/qemu/log/nestbox-test.log || fail 'QEMU runs without a seccomp filter'
echo 'libvirt runs a domain on the engine'
