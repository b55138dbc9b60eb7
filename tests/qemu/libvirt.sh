#!/bin/bash
# libvirt with the installed wrapper as emulator. The daemon is the user's own (qemu:///session), beside whatever else
# runs here. run: KVM is among a domain's capabilities, and a domain of virt-install starts with libvirt's seccomp
# filter, runs Linux, and ends. disk: an installed Debian, imported by virt-install, is used by virsh: console, CPUs and
# disks that come and go, snapshots, saved state, and a second daemon that it moves to. install: Debian's installer is
# started by virt-install from a tree and from a CD.
# usage: libvirt.sh VENDOR-run|VENDOR-disk|VENDOR-install
# more cases: intel-run amd-run intel-disk amd-disk intel-install amd-install
set -u
IFS=- read -r VENDOR what <<<"${1:-amd-run}"
. "$(dirname "$0")/lib.sh"
for program in libvirtd virsh virt-install; do
    command -v $program >/dev/null || skip "$program is missing"
done
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups) # root's daemon would be the system's
chmod 755 "$work"
daemons=()
here=1 # the daemon that has the domain
name=nestbox-test

as_user() { # DAEMON COMMAND...: as the user of that daemon, in its folders
    local variables=(-u XDG_CONFIG_HOME -u XDG_CACHE_HOME -u XDG_DATA_HOME)
    variables+=("HOME=$work/home$1" "XDG_RUNTIME_DIR=$work/run$1")
    "${as[@]}" env "${variables[@]}" "${@:2}"
}
domain() { as_user $here timeout $((120 * PATIENCE)) virsh -q -c qemu:///session "$@"; }
virt_install() {
    as_user $here virt-install --connect qemu:///session --name $name --virt-type kvm --graphics none \
        --cpu host-passthrough --noautoconsole "$@" 2>&1 || fail virt-install
}
finish() {
    local pid
    for here in "${daemons[@]}"; do domain destroy $name >/dev/null 2>&1; done
    for pid in "$work"/run*/libvirt/*d.pid; do kill "$(<"$pid")"; done
    wait
    rm -rf "$work"
}
daemon() { # NUMBER COMMAND...: starts it with that before its command line
    local i n=$1
    mkdir "$work/home$n" "$work/run$n"
    chmod 700 "$work/run$n"
    [ ${#as[@]} = 0 ] || chown 65534:65534 "$work/home$n" "$work/run$n"
    echo "host_uuid = \"00000000-0000-4000-8000-00000000000$n\"" >"$work/$n.conf"
    as_user "$n" "${@:2}" libvirtd -f "$work/$n.conf" >"$work/libvirtd$n.err" 2>&1 &
    daemons+=("$n")
    for ((i = 0; i < 300 * PATIENCE; i++)); do
        [ ! -S "$work/run$n/libvirt/libvirt-sock" ] || return 0
        sleep 0.1
    done
    fail 'the daemon does not start'
}
ended() { # waits for the domain's end
    local i
    for ((i = 0; i < 120 * PATIENCE; i++)); do
        [ -n "$(domain list --name)" ] || return 0
        sleep 1
    done
    fail 'the domain goes on'
}
comes() { # COMMAND of the guest, that is true soon
    guest vm "for i in {1..60}; do $1 && break; sleep 1; done; $1" 90
}
# The domain's serial port by `virsh console`, for lib.sh's functions. It ends when QEMU does, and what is typed before
# it has set up its terminal is lost.
connect() {
    local fd=${console[vm]:-} virsh='virsh -c qemu\:///session'
    [ -z "$fd" ] || exec {fd}>&-
    [ -e "$work/vm.place" ] || { echo 0 >"$work/vm.place" && : >"$work/vm.serial.log"; }
    exec {fd}> >(as_user $here socat - "EXEC:$virsh console --force $name,pty,setsid,ctty,raw,echo=0" \
        >>"$work/vm.serial.log" 2>>"$work/console.err")
    console[vm]=$fd
    process[vm]=$(<"$work/run$here/libvirt/qemu/run/$name.pid")
    sees vm 'Escape character is' 60
    sleep 2
}

make -s install PREFIX="$work/prefix" >/dev/null || fail 'make install'
emulator=$work/prefix/bin/nestbox-qemu-$VENDOR
daemon 1 "$work/prefix/bin/nestbox" kvm --accel engine --

case $what in
run)
    [ -e build/debs/vmlinuz ] && [ -e build/guest/l2.cpio ] || skip 'no kernel or image: see tools/test.sh'
    cp build/debs/vmlinuz build/guest/l2.cpio "$work"
    domain domcapabilities --emulatorbin "$emulator" --virttype kvm >"$work/caps.xml" || fail 'no capabilities'
    grep -q '<domain>kvm</domain>' "$work/caps.xml" || fail 'KVM is not among the capabilities'
    grep -q "<mode name='host-passthrough' supported='yes'>" "$work/caps.xml" || fail 'no host-passthrough'
    boot="kernel=$work/vmlinuz,initrd=$work/l2.cpio,emulator=$emulator"
    boot="$boot,kernel_args=console=ttyS0 quiet panic=-1 nb.mode=demo nb.nonce=$$"
    log=$work/home1/vm.serial.log
    virt_install --memory 256 --osinfo generic --import --disk none --network none --serial "file,path=$log" \
        --events on_poweroff=destroy,on_reboot=destroy,on_crash=destroy --transient --boot "$boot"
    domain qemu-monitor-command $name --hmp 'info kvm' | grep -q 'kvm support: enabled' ||
        fail 'QEMU does not use KVM'
    ended
    cat "$log"
    grep -q "NB L2 sha256 $(seq 1 20000 | sed "s/\$/ $$/" | sha256sum | cut -d' ' -f1)" "$log" ||
        fail 'the guest did not do its work'
    grep -q "NB L2 vendor $([ "$VENDOR" = amd ] && echo AuthenticAMD || echo GenuineIntel)" "$log" ||
        fail 'the guest has a CPU of another vendor'
    grep -q 'sandbox on' "$work/home1/.cache/libvirt/qemu/log/$name.log" || fail 'QEMU runs without a seccomp filter'
    ;;
disk)
    qemu-img convert -O qcow2 $image "$work/home1/disk" && truncate -s 64M "$work/home1/more" || fail 'no disks'
    [ ${#as[@]} = 0 ] || chown 65534:65534 "$work/home1/disk" "$work/home1/more"
    virt_install --memory 1024 --vcpus 1,maxvcpus=2 --osinfo debian11 --import --network user \
        --disk "path=$work/home1/disk,format=qcow2,bus=virtio" --boot "emulator=$emulator"
    connect
    logged_in vm 300
    say 'console: logged in'

    # This comes before setvcpus: for a snapshot with a CPU that came later, libvirt 9.0 starts QEMU without that CPU.
    pages_start vm 2 16
    domain snapshot-create-as $name first >/dev/null || fail snapshot-create-as
    guest vm 'touch /tmp/later'
    domain snapshot-revert $name first || fail snapshot-revert
    connect
    pages_right vm
    guest vm '[ ! -e /tmp/later ]' || fail 'the snapshot is not what was'
    domain snapshot-delete $name first >/dev/null || fail snapshot-delete
    say 'snapshot: back to where it was'
    domain setvcpus $name 2 --live && comes '{ echo 1 >/sys/devices/system/cpu/cpu1/online; } 2>/dev/null' &&
        guest vm '[ $(nproc) = 2 ]' || fail setvcpus
    say 'setvcpus: two CPUs'
    domain attach-disk $name "$work/home1/more" vdb --targetbus virtio --subdriver raw --live >/dev/null &&
        comes '[ -b /dev/vdb ]' && guest vm 'seq 1000000 | head -c 4M >/tmp/data
            dd if=/tmp/data of=/dev/vdb bs=1M oflag=direct status=none' || fail attach-disk
    domain detach-disk $name vdb --live >/dev/null && comes '[ ! -b /dev/vdb ]' || fail detach-disk
    cmp <(seq 1000000 | head -c 4M) <(head -c 4M "$work/home1/more") || fail 'other data on the disk'
    say 'attach-disk, detach-disk: the data is there'
    domain save $name "$work/home1/saved" >/dev/null || fail save
    domain restore "$work/home1/saved" >/dev/null || fail restore
    connect
    pages_right vm
    say 'save, restore: pages are right'

    # This daemon gets what systemd's drop-in has: the preloaded library and no other setting.
    daemon 2 env LD_PRELOAD="$work/prefix/lib/nestbox/libnestbox-kvm.so"
    domain migrate $name "qemu+unix:///session?socket=$work/run2/libvirt/libvirt-sock" --live --unsafe \
        --undefinesource --migrateuri "unix://$work/home1/migration" || fail migrate
    [ -z "$(domain list --name)" ] || fail 'the domain is still here'
    here=2
    connect
    pages_right vm
    say 'migrate: pages are right'
    pages_end vm 2
    complaints vm && fail 'the kernel complains'
    domain shutdown $name >/dev/null && ended || fail shutdown
    say 'shutdown: ended'
    unset 'process[vm]'
    ;;
install)
    installer=/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64
    [ -e $installer/linux ] || skip 'debian-installer-12-netboot-amd64 is missing'
    echo 'd-i preseed/early_command string echo NB "the installer runs" >/dev/ttyS0; poweroff -f' >"$work/preseed.cfg"
    words='auto=true priority=critical TERM=dumb DEBIAN_FRONTEND=text console=ttyS0,115200'
    tree=$work/installer-amd64 images=current/images/netboot/debian-installer/amd64
    mkdir -p "$tree/$images" "$work/cd/boot/grub"
    cp $installer/linux $installer/initrd.gz "$tree/$images"
    echo "hash *./netboot/debian-installer/amd64/linux" >"$tree/current/images/MANIFEST"
    cp $installer/linux "$work/cd"
    (cat $installer/initrd.gz && cd "$work" && echo preseed.cfg | cpio -o -H newc --quiet | gzip) >"$work/cd/initrd.gz"
    printf 'serial\nterminal_output serial\nlinux /linux %s\ninitrd /initrd.gz\nboot\n' "$words" \
        >"$work/cd/boot/grub/grub.cfg"
    grub-mkrescue -o "$work/cd.iso" "$work/cd" >"$work/cd.err" 2>&1 || fail 'no CD'
    for way in location cdrom; do
        log=$work/home1/vm.$way.serial.log
        case $way in
        location) from=(--location "$tree" --initrd-inject "$work/preseed.cfg" --extra-args "$words") ;;
        cdrom) from=(--cdrom "$work/cd.iso") ;;
        esac
        virt_install --memory 1024 --osinfo debian11 "${from[@]}" --network user --serial "file,path=$log" \
            --disk "path=$work/home1/$way.qcow2,size=1,format=qcow2,bus=virtio" --boot "emulator=$emulator"
        ended
        grep -a 'NB the installer runs' "$log" || { tail -n 20 "$log" && fail "$way: no installer"; }
        domain undefine $name || fail undefine
        say "$way: the installer runs"
    done
    ;;
*) fail "no case $1" ;;
esac
echo "libvirt: $what on the engine"
