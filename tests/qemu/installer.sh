#!/bin/bash
# Debian's installer, started from the network (SeaBIOS, iPXE, pxelinux) or from a CD (GRUB), installs Debian onto a
# virtio disk without a question, packages from a mirror on loopback (mirror.sh), and what it installed starts up to a
# login. With -debootstrap the installer's components stay out, because not every mirror carries them: as soon as the
# network is there, a script of this test (preseed/early_command) partitions the disk and calls debootstrap and GRUB.
# usage: installer.sh netboot|cd|netboot-debootstrap|cd-debootstrap
# more cases: netboot cd netboot-debootstrap cd-debootstrap
# limit: 3600
set -u
IFS=- read -r way by <<<"${1:-netboot}"
case $way in cd) VENDOR=${VENDOR:-amd} ;; esac
. "$(dirname "$0")/lib.sh"
installer=/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64
[ -e $installer/linux ] || skip 'debian-installer-12-netboot-amd64 is missing'

# The mirror: lists of packages are new for each run, packages are kept.
uri=$(apt-get indextargets --format '$(CREATED_BY)|$(ORIGIN)|$(RELEASE)|$(COMPONENT)|$(SITE)' |
    sed -n 's/^Packages|Debian|bookworm|main|//p' | head -n 1)
[ -n "$uri" ] || skip "apt knows no source of Debian's packages"
www=$work/www
mkdir -p "$www/debian" build/disk/mirror
echo "$uri" >"$www/uri"
ln -s "$PWD/build/disk/mirror" "$www/debian/pool"
fetch() { # PATH: prints the name of the mirror's file; false if it has none
    printf 'HEAD /debian/%s HTTP/1.1\r\n\r\n' "$1" | bash tests/qemu/mirror.sh "$www" 2>>"$work/mirror" >"$work/head"
    grep -q ' 200 ' "$work/head" && echo "$www/debian/$1"
}
components=$(xz -dc "$(fetch dists/bookworm/main/debian-installer/binary-amd64/Packages.xz)") || skip 'no components'
component() { # NAME: as fetch
    fetch "$(sed -n "/^Package: $1\$/,/^\$/s/^Filename: //p" <<<"$components")"
}
socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork,reuseaddr "EXEC:bash tests/qemu/mirror.sh $www" 2>>"$work/mirror" &
process[mirror]=$!
for ((i = 0; i < 100; i++)); do
    port=$(sed -n 's/.*listening on AF=2 127.0.0.1:\([0-9]*\).*/\1/p' "$work/mirror")
    [ -z "$port" ] || break
    sleep 0.1
done
[ -n "$port" ] || fail 'the mirror does not start'
mirror=http://10.0.2.2:$port

if [ -z "$by" ]; then
    for name in partman-base partman-ext3 partman-target grub-installer finish-install; do
        component $name >/dev/null || skip "$uri lists the component $name and does not have it"
    done
    steps=('Installing the base system' 'GRUB boot loader' 'Finishing the installation')
    cat >"$www/preseed.cfg" <<-END
	d-i mirror/country string manual
	d-i mirror/http/hostname string ${mirror#http://}
	d-i mirror/http/directory string /debian
	d-i mirror/http/proxy string
	d-i apt-setup/services-select multiselect
	d-i apt-setup/non-free-firmware boolean false
	d-i passwd/make-user boolean false
	d-i passwd/root-password password nestbox
	d-i passwd/root-password-again password nestbox
	d-i clock-setup/utc boolean true
	d-i clock-setup/ntp boolean false
	d-i time/zone string Etc/UTC
	d-i partman-auto/disk string /dev/vda
	d-i partman-auto/method string regular
	d-i partman-auto/choose_recipe select atomic
	d-i partman-partitioning/confirm_write_new_label boolean true
	d-i partman/choose_partition select finish
	d-i partman/confirm boolean true
	d-i partman/confirm_nooverwrite boolean true
	d-i base-installer/install-recommends boolean false
	d-i base-installer/kernel/image string linux-image-amd64
	d-i base-installer/initramfs-tools/driver-policy select dep
	d-i pkgsel/upgrade select none
	d-i pkgsel/update-policy select none
	tasksel tasksel/first multiselect
	popularity-contest popularity-contest/participate boolean false
	d-i grub-installer/only_debian boolean true
	d-i grub-installer/bootdev string /dev/vda
	d-i finish-install/reboot_in_progress note
	d-i debian-installer/exit/poweroff boolean true
	END
else
    # What the script needs and the initial RAM disk has not: drivers, debootstrap, and programs of this machine.
    tools=$work/tools
    mkdir "$tools"
    release=$(strings -n 8 $installer/linux | sed -n 's/^\(6[^ ]*-amd64\) .*/\1/p' | head -n 1)
    for name in ext4-modules-"$release"-di scsi-modules-"$release"-di bootstrap-base; do
        dpkg-deb -x "$(component "$name")" "$tools" || skip "$uri does not have the component $name"
    done
    dpkg-deb -x "$(fetch "$(apt-cache show debootstrap | sed -n 's/^Filename: //p' | head -n 1)")" "$tools" ||
        fail 'no debootstrap'
    mkdir "$tools/tools"
    ldd /usr/sbin/sfdisk /usr/sbin/mke2fs | grep -o '/[^ :]*' | sort -u | xargs cp -Lt "$tools/tools"
    tar -C "$tools" -cf "$www/tools.tar" .
    steps=('the disk has a file system' 'Validating' 'Base system installed' 'the disk starts by itself')
    echo "d-i preseed/early_command string wget -O /tmp/install $mirror/install; sh /tmp/install" >"$www/preseed.cfg"
    cat >"$www/install" <<-END
	exec >/dev/ttyS0 2>&1 </dev/null
	trap 'sync; poweroff -f' EXIT
	set -ex
	wget -qO - $mirror/tools.tar | tar -x -C / -f -
	depmod -a
	modprobe virtio_blk
	modprobe ext4
	unset DEBIAN_HAS_FRONTEND DEBCONF_REDIR DEBCONF_OLD_FD_BASE # packages are not to ask the installer
	export DEBIAN_FRONTEND=noninteractive LC_ALL=C
	ours() { /tools/ld-linux-x86-64.so.2 --library-path /tools "/tools/\$@"; }
	for i in 1 2 3 4 5; do [ -b /dev/vda ] || sleep 1; done
	echo ',,L,*' | ours sfdisk -q /dev/vda
	ours mke2fs -q -t ext4 /dev/vda1
	mkdir /target
	mount -t ext4 /dev/vda1 /target
	: the disk has a file system
	# A small initial RAM disk, and no waiting for the disk: else these two take half of the time.
	mkdir -p /target/etc/initramfs-tools/conf.d /target/etc/dpkg/dpkg.cfg.d
	printf 'MODULES=list\nFSTYPE=ext4\n' >/target/etc/initramfs-tools/conf.d/small
	printf '%s\n' virtio_pci virtio_blk ext4 crc32c_generic >/target/etc/initramfs-tools/modules
	echo force-unsafe-io >/target/etc/dpkg/dpkg.cfg.d/fast
	debootstrap --variant=minbase --include=linux-image-amd64,grub-pc,systemd-sysv,udev bookworm /target $mirror/debian
	for i in dev proc sys; do mount --bind /\$i /target/\$i; done
	inside() { chroot /target env PATH=/usr/sbin:/usr/bin:/sbin:/bin "\$@"; }
	echo installed >/target/etc/hostname
	printf '127.0.0.1 localhost\n127.0.1.1 installed\n' >/target/etc/hosts
	echo '/dev/vda1 / ext4 errors=remount-ro 0 1' >/target/etc/fstab
	printf '[Match]\nType=ether\n[Network]\nDHCP=yes\n' >/target/etc/systemd/network/80-dhcp.network
	inside systemctl enable systemd-networkd
	inside sh -c 'echo root:nestbox | chpasswd'
	sed -i 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX=console=ttyS0,115200/' /target/etc/default/grub
	inside grub-install /dev/vda
	inside update-grub
	for i in sys proc dev; do umount /target/\$i; done
	umount /target
	: the disk starts by itself
	END
fi
words="auto=true priority=critical locale=en_US.UTF-8 keymap=us hostname=installed domain= url=$mirror/preseed.cfg"
words+=' DEBIAN_FRONTEND=text TERM=dumb console=ttyS0,115200 --- console=ttyS0,115200' # no full screen: a log

boot=$work/boot network=user,id=n0,ipv6=off
mkdir "$boot"
cp $installer/linux $installer/initrd.gz "$boot"
case $way in
netboot)
    cp $installer/pxelinux.0 $installer/boot-screens/ldlinux.c32 "$boot"
    mkdir "$boot/pxelinux.cfg"
    printf 'serial 0 115200\ndefault d\nlabel d\nkernel linux\nappend initrd=initrd.gz %s\n' "$words" \
        >"$boot/pxelinux.cfg/default"
    first=(-netdev "$network,tftp=$boot,bootfile=pxelinux.0" -device 'virtio-net-pci,netdev=n0,bootindex=1')
    ;;
cd)
    command -v grub-mkrescue >/dev/null && command -v xorriso >/dev/null || skip 'grub-mkrescue and xorriso are missing'
    mkdir -p "$boot/boot/grub"
    printf 'serial\nterminal_output serial\nlinux /linux %s\ninitrd /initrd.gz\nboot\n' "$words" \
        >"$boot/boot/grub/grub.cfg"
    grub-mkrescue -o "$work/cd.iso" "$boot" >"$work/cd" 2>&1 || { cat "$work/cd" && fail 'no CD'; }
    first=(-drive "if=none,id=cd,media=cdrom,readonly=on,format=raw,file=$work/cd.iso" -device 'ich9-ahci,id=ahci'
        -device 'ide-cd,bus=ahci.0,drive=cd,bootindex=1' -netdev "$network" -device 'virtio-net-pci,netdev=n0')
    ;;
*) fail "no way $way" ;;
esac

qemu-img create -q -f qcow2 "$work/d0.qcow2" 4G || fail 'no disk'
start() { # NAME ARGUMENT...
    # shellcheck disable=SC2046
    qemu "$1" $(accelerator) -machine q35 -smp 2 -m 1G -no-reboot $(disk virtio-blk "$work/d0.qcow2") "${@:2}"
}
start installer "${first[@]}"
sees installer 'Linux version' 600
say "$1: the installer's kernel starts"
for step in "${steps[@]}" 'reboot: Power down'; do
    sees installer "$step" 1800
    say "$step"
done
ends installer 0

# GRUB draws on a screen. Where q35 has none, RAM is in its place, the same that system management mode has.
start installed -device VGA -netdev "$network" -device virtio-net-pci,netdev=n0
sees installed 'installed login: ' 600
types installed root
sees installed 'Password: '
types installed nestbox
logged_in installed
say 'the installed system: logged in'
guest installed 'uname -a; findmnt -no SOURCE /; . /etc/os-release; echo "$PRETTY_NAME"; dpkg-query -W | wc -l'
guest installed 'systemctl is-system-running --wait' 300 || fail "units failed: $(guest installed 'systemctl --failed')"
complaints installed && fail 'the kernel complains'
types installed poweroff
ends installed 0
