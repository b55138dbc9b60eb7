#!/bin/bash
# Builds the image of a disk with an installed Debian: GPT, GRUB for BIOS and UEFI (signed, so that Secure Boot takes
# it), an ext4 root. `nestbox image build` starts it, and so do the scripts of the tests; docs/images.md has its design.
# It needs root or a user namespace; no loop device, no mount of an image. The help below has the rest.
set -eu

say() { printf '%s\n' "image: $*" >&2; }

die() { # a line of its own kind: what starts the builder keeps errors and progress apart
    printf '%s\n' "image-build: $*" >&2
    exit 1
}

# What the builder itself needs, as Debian's packages.
needs='mmdebstrap fdisk mtools dosfstools e2fsprogs grub-pc-bin grub-common grub-efi-amd64-signed shim-signed qemu-utils
debian-archive-keyring zstd'

usage() {
    cat <<END
usage: build.sh [OPTION...] IMAGE
Builds IMAGE, a disk with an installed Debian that boots by BIOS, UEFI and UEFI Secure Boot.

  --size SIZE         size of the disk, 2G by default; the file has holes
  --format FORMAT     raw (default) or qcow2
  --package NAMES     more of Debian's packages, separated by commas or spaces
  --mirror URL        where Debian's packages come from; by default apt's own sources
  --kernel FLAVOUR    amd64 (default), cloud-amd64, rt-amd64
  --copy FILE:PATH    puts a file (or a folder) of this machine at PATH in the image; programs need their libraries
  --agent FOLDER      puts nestbox's agent from there into the image, with its unit and its udev rule
  --run FILE          runs a script, whose only argument is the folder of the image's root, before the image is made
  --hostname NAME     debian by default
  --password TEXT     root's password; by default root has none, and logs in at the first serial port only
  --append TEXT       more words for the kernel's command line
  --export            writes IMAGE.vmlinuz and IMAGE.initrd too, for machines without firmware
  --cache FOLDER      where packages stay for the next time, and where the work is done; ./cache by default
  --keep              keeps the unpacked system there, one for each set of packages, and uses it again
  --fresh             installs the packages again instead of taking what --keep kept
  --needs             prints Debian's packages that the builder itself needs
  --help

In the image: root is logged in on the first serial port without a password; cards get addresses by DHCP; partitions are
1 for GRUB on BIOS machines, 2 the EFI system partition, 3 the root, whose kernel and initial RAM disk GRUB finds as
/vmlinuz and /initrd.img, so that Debian's own updates of the kernel take effect. With the package cloud-init it takes
its name, users and keys from a NoCloud seed.

The same packages and options give the same bytes on the same kind of file system; the time in the image is
SOURCE_DATE_EPOCH, or else that of the newest of the lists of packages.
END
}

size=2G format=raw packages='' mirror='' flavour=amd64 hostname=debian password='' append='' agent='' export='' keep=''
fresh='' cache=cache image='' copies=() scripts=() arguments=("$@")
while [ $# -gt 0 ]; do
    case $1 in
    --size | --format | --package | --mirror | --kernel | --copy | --run | --hostname | --password | --append | \
        --agent | --cache)
        [ $# -gt 1 ] || die "$1 needs a value; see --help"
        ;;
    esac
    case $1 in
    --size) size=$2 && shift ;;
    --format) format=$2 && shift ;;
    --package) packages="$packages $(tr , ' ' <<<"$2")" && shift ;;
    --mirror) mirror=$2 && shift ;;
    --kernel) flavour=$2 && shift ;;
    --copy) copies+=("$2") && shift ;;
    --run) scripts+=("$2") && shift ;;
    --hostname) hostname=$2 && shift ;;
    --password) password=$2 && shift ;;
    --append) append=" $2" && shift ;;
    --agent) agent=$2 && shift ;;
    --export) export=1 ;;
    --cache) cache=$2 && shift ;;
    --keep) keep=1 ;;
    --needs) echo $needs && exit 0 ;;
    --fresh) fresh=1 ;;
    --help | -h) usage && exit 0 ;;
    -*) die "unknown option $1; see --help" ;;
    *)
        [ -z "$image" ] || die "two images: $image and $1"
        image=$1
        ;;
    esac
    shift
done
[ -n "$image" ] || { usage >&2 && exit 1; }
bytes=$(numfmt --from=iec "$size" 2>/dev/null) || die "--size $size: not a size such as 2G or 1500M"
[ $((bytes >> 20)) -ge 512 ] || die "--size $size: at least 512M"
case $format in raw | qcow2) ;; *) die "--format $format: raw or qcow2" ;; esac
for copy in "${copies[@]}"; do
    case $copy in ?*:/?*) ;; *) die "--copy $copy: FILE:/PATH is wanted" ;; esac
    [ -e "${copy%%:*}" ] || die "--copy $copy: there is no ${copy%%:*}"
done
for file in nestbox-agent nestbox-agent.service nestbox-agent.rules; do
    [ -z "$agent" ] || [ -r "$agent/$file" ] || die "--agent $agent: there is no $file"
done
for script in "${scripts[@]}"; do
    [ -r "$script" ] || die "--run $script: there is no such file"
done
case $hostname in *[!A-Za-z0-9.-]* | [.-]* | '') die "--hostname $hostname: letters, digits, dots and dashes" ;; esac
case $mirror in '' | *://* | file:/*) ;; *) die "--mirror $mirror: not a URL" ;; esac
PATH=$PATH:/usr/sbin:/sbin
missing=''
for package in $needs; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
    say "as root: apt-get install --no-install-recommends$missing"
    die 'packages are missing; install them as said above'
fi

# An image's files belong to root and others: whoever is not root does all of this as root of a user namespace.
if [ "$(id -u)" != 0 ]; then
    [ -z "${NESTBOX_IMAGE_INSIDE:-}" ] || die 'the user namespace has no root'
    command -v newuidmap >/dev/null || die 'without root it needs newuidmap; as root: apt-get install uidmap'
    map=(unshare --user --map-auto --map-root-user --mount --pid --mount-proc --fork --kill-child)
    "${map[@]}" true 2>/dev/null || {
        say "as root: usermod --add-subuids 200000-265535 --add-subgids 200000-265535 $(id -un)"
        die 'user namespaces do not work here; build as root, or give yourself more user IDs as said above'
    }
    NESTBOX_IMAGE_INSIDE=1 exec "${map[@]}" "$0" "${arguments[@]}"
fi
# What mmdebstrap mounts is for nobody else to see: a process that looks into it would keep it from being unmounted.
if [ -z "${NESTBOX_IMAGE_INSIDE:-}" ] && unshare --mount true 2>/dev/null; then
    NESTBOX_IMAGE_INSIDE=1 exec unshare --mount "$0" "${arguments[@]}"
fi

umask 022
export LC_ALL=C
mkdir -p "$cache/archives" "$(dirname "$image")"
cache=$(readlink -f "$cache")
exec 9>"$cache/lock"
flock -n 9 || { say 'waiting for another build' && flock 9; }
rm -rf --one-file-system "$cache"/work-* # of a build that was killed
work=$(mktemp -d "$cache/work-XXXXXX")
child=''
leave() { # STATUS
    trap - EXIT
    trap '' INT TERM HUP
    [ -z "$child" ] || { kill -TERM "$child" 2>/dev/null && wait "$child" || :; }
    rm -rf --one-file-system "$work" "$image.new" || :
    exit "$1"
}
trap 'leave $?' EXIT
trap 'leave 130' INT
trap 'leave 143' TERM HUP

# Prints each quarter of the packages that are unpacked and set up, from what apt writes.
percents() {
    awk '/ newly installed/ && total != 2 * $3 {
            total = 2 * $3; done = shown = 0
            print "image: " $3 " packages"; fflush()
        }
        /^(Unpacking|Setting up) / && total {
            now = int(100 * ++done / total / 25) * 25
            if (now > shown && now < 100) { shown = now; print "image: " now " % of them are installed"; fflush() }
        }' >&2
}

# What every image has: systemd with its network and its resolver, a kernel, tools to look around. The initial RAM disk
# has the drivers of every disk that QEMU knows, and nothing else: one with all drivers takes much longer to unpack.
base="systemd-sysv udev dbus systemd-resolved libnss-resolve linux-image-$flavour initramfs-tools zstd kmod
    e2fsprogs iproute2 iputils-ping netbase procps less apt ca-certificates"
drivers="virtio_pci virtio_mmio virtio_blk virtio_scsi virtio_net sym53c8xx mptspi megaraid_sas ahci ata_piix
    ata_generic nvme sd_mod sr_mod ext4 crc32c_generic usb_storage uas xhci_pci vmw_pvscsi"

include=$(echo $base $packages | tr ' ' ,)
sources=$work/sources.list
suite=bookworm
[ "$(. /etc/os-release && echo "$ID")" != debian ] || suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
if [ -n "$mirror" ]; then
    echo "deb $mirror $suite main" >"$sources"
else
    apt-get indextargets --format '$(CREATED_BY)|$(ORIGIN)|$(SITE)|$(RELEASE)|$(COMPONENT)' 2>/dev/null |
        sed -n 's/^Packages|Debian|\([^|]*\)|\([^|]*\)|\([^|]*\)$/deb \1 \2 \3/p' | sort -u >"$sources"
    [ -s "$sources" ] || cat >"$sources" <<END
deb http://deb.debian.org/debian $suite main
deb http://deb.debian.org/debian $suite-updates main
deb http://security.debian.org/debian-security $suite-security main
END
fi
# The time of what the build itself makes: that of the newest list of packages, unless it is given.
newest_list() {
    local site list i=0
    while read -r _ site list _; do
        i=$((i + 1))
        /usr/lib/apt/apt-helper -o Acquire::Retries=2 download-file "$site/dists/$list/InRelease" "$work/list-$i" \
            >/dev/null 2>&1 || continue
        date -u -d "$(sed -n 's/^Date: //p' "$work/list-$i" | head -n 1)" +%s
    done <"$sources" | sort -n | tail -n 1
}
initramfs='MODULES=list\nFSTYPE=ext4\n' # with FSTYPE it has the checker of the root's file system
key=$({ echo "$include" $drivers "$initramfs" ${SOURCE_DATE_EPOCH:-} && cat "$sources"; } | sha256sum | cut -c1-16)
system=$work/system.tar
[ -z "$keep" ] || system=$cache/system-$key.tar
[ -z "$fresh" ] || rm -f "$system"
if [ ! -e "$system" ]; then
    say "installing Debian $suite into a folder (half a minute to some minutes)"
    epoch=${SOURCE_DATE_EPOCH:-$(newest_list)}
    [ -n "$epoch" ] || die "no list of packages comes from $(cut -d ' ' -f 2 "$sources" | sort -u | xargs)"
    # Packages go through a folder of our own, so that what was downloaded once is not downloaded again.
    SOURCE_DATE_EPOCH=$epoch TMPDIR=$work mmdebstrap --variant=minbase --include="$include" --format=tar --verbose \
        --skip=output/dev,cleanup/apt/cache ${NESTBOX_IMAGE_INSIDE:+--mode=root} \
        --setup-hook="mkdir -p \"\$1/etc/initramfs-tools/conf.d\" \"\$1/var/cache/apt/archives\"" \
        --setup-hook="printf '$initramfs' >\"\$1/etc/initramfs-tools/conf.d/nestbox\"" \
        --setup-hook="printf '%s\n' $(echo $drivers) >\"\$1/etc/initramfs-tools/modules\"" \
        --setup-hook="cp -l '$cache/archives'/*.deb \"\$1/var/cache/apt/archives/\" 2>/dev/null || :" \
        --customize-hook="cp -ln \"\$1\"/var/cache/apt/archives/*.deb '$cache/archives/'" \
        --customize-hook="rm -f \"\$1\"/var/cache/apt/archives/*.deb" \
        "$suite" "$work/system.new" - <"$sources" > >(tee "$cache/log" | percents) 2>&1 9>&- &
    child=$!
    wait "$child" || {
        child=''
        tail -n 20 "$cache/log" >&2
        die "mmdebstrap failed; the whole log is $cache/log"
    }
    child=''
    mv "$work/system.new" "$system"
fi

say "setting the system up"
root=$work/root
mkdir "$root"
tar -C "$root" --xattrs --xattrs-include='*' -xpf "$system"
mkdir -p "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/tmp"
id=$(cat "$root/var/lib/dpkg/status" "$0" | sha256sum)
uuid() { # for a purpose; the same for the same system, so that an image can be built again
    printf '%s' "$id$1" | sha256sum | sed 's/^\(.\{8\}\)\(....\).\(...\).\(...\)\(.\{12\}\).*/\1-\2-4\3-8\4-\5/'
}
root_uuid=$(uuid root)
words="root=UUID=$root_uuid ro console=tty0 console=ttyS0,115200$append"

echo "$hostname" >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n' "$hostname" >"$root/etc/hosts"
: >"$root/etc/machine-id"
printf 'UUID=%s / ext4 errors=remount-ro 0 1\n' "$root_uuid" >"$root/etc/fstab"
hash='*'
[ -z "$password" ] ||
    hash=$(PASSWORD=$password perl -e 'print crypt($ENV{PASSWORD}, q($6$) . substr($ARGV[0], 0, 16) . q($))' "$id")
sed -i "s|^root:[^:]*:|root:$hash:|" "$root/etc/shadow"
rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/cache/apt/*.bin # each VM makes its own
if [ -d "$root/etc/cloud/cloud.cfg.d" ]; then
    # Only a disk with a seed is looked for, cards are systemd's, and the only locale is the one that all have.
    cat >"$root/etc/cloud/cloud.cfg.d/99_nestbox.cfg" <<'END'
datasource_list: [NoCloud, None]
network: {config: disabled}
manage_etc_hosts: true
locale: false
END
    echo 'LANG=C.UTF-8' >"$root/etc/default/locale"
fi
printf '[Match]\nType=ether\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/80-dhcp.network"
ln -sf /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
mkdir -p "$root/etc/systemd/system/serial-getty@ttyS0.service.d" "$root/etc/systemd/system/multi-user.target.wants"
cat >"$root/etc/systemd/system/serial-getty@ttyS0.service.d/login.conf" <<'END'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200,57600,38400,9600 - $TERM
END
# On a machine that has much else to do, the start takes longer than systemd's patience, and it would go on without the
# terminal on the serial port.
mkdir -p "$root/etc/systemd/system.conf.d"
printf '[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n' \
    >"$root/etc/systemd/system.conf.d/patience.conf"
for unit in systemd-networkd systemd-resolved; do
    ln -sf "/lib/systemd/system/$unit.service" "$root/etc/systemd/system/multi-user.target.wants/$unit.service"
done
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer man-db.timer systemd-networkd-wait-online.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
for copy in "${copies[@]}"; do
    mkdir -p "$(dirname "$root${copy#*:}")"
    cp -rL --sparse=always "${copy%%:*}" "$root${copy#*:}"
done
# Without this podman looks for plugins of CNI when it has images already.
if [ -x "$root/usr/bin/podman" ]; then
    mkdir -p "$root/etc/containers"
    printf '[network]\nnetwork_backend = "netavark"\n' >"$root/etc/containers/containers.conf"
fi
if [ -n "$agent" ]; then
    install -D -m 755 "$agent/nestbox-agent" "$root/usr/local/sbin/nestbox-agent"
    install -D -m 644 "$agent/nestbox-agent.service" "$root/etc/systemd/system/nestbox-agent.service"
    install -D -m 644 "$agent/nestbox-agent.rules" "$root/etc/udev/rules.d/60-nestbox-agent.rules"
fi
for script in "${scripts[@]}"; do
    bash "$script" "$root" || die "--run $script: exit status $?"
done

# GRUB's menu is fixed, and the kernel is found by the links that Debian's packages keep. What an administrator wants to
# add goes to custom.cfg, as with Debian's own menu.
mkdir -p "$root/boot/grub/i386-pc" "$root/boot/efi"
cat >"$root/boot/grub/grub.cfg" <<END
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
set default=debian
menuentry 'Debian' --id debian {
    linux /vmlinuz $words
    initrd /initrd.img
}
menuentry 'Debian, to a shell' --id rescue {
    linux /vmlinuz $words init=/bin/sh
    initrd /initrd.img
}
if [ -f /boot/grub/custom.cfg ]; then
    source /boot/grub/custom.cfg
fi
END
cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst "$root/boot/grub/i386-pc/"

# The sectors at which the partitions begin: GRUB, the EFI system partition, the root, which ends a MiB before the disk.
grub_at=34 esp_at=2048 root_at=133120
root_sectors=$(((bytes / 512 - 2048 - root_at) & ~2047))
used=$(du -sm "$root" | cut -f1)
[ $((used + used / 8)) -lt $((root_sectors >> 11)) ] ||
    die "--size $size is too small for $used MiB of files; $((used + used / 4 + 80))M is enough"
say "$used MiB of files into a disk of $((bytes >> 20)) MiB"
disk=$work/disk
truncate -s "$bytes" "$disk"
sfdisk -q --no-reread --no-tell-kernel "$disk" <<END
label: gpt
label-id: $(uuid disk)
unit: sectors
first-lba: 34
start=$grub_at, size=$((esp_at - grub_at)), type=21686148-6449-6E6F-744E-656564454649, uuid=$(uuid grub), name=grub
start=$esp_at, size=$((root_at - esp_at)), type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=$(uuid efi), name=efi
start=$root_at, size=$root_sectors, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=$(uuid part), name=root
END

# The file systems. No time in them is later than that of the packages' installation, which mmdebstrap limits.
SOURCE_DATE_EPOCH=$(stat -c %Y "$root/var/lib/dpkg/status")
export SOURCE_DATE_EPOCH E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH MTOOLS_SKIP_CHECK=1 TZ=UTC
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mke2fs -q -F -t ext4 -L root -U "$root_uuid" -m 1 -d "$root" \
    -E "offset=$((root_at * 512)),hash_seed=$(uuid hash),lazy_itable_init=1,root_owner=0:0" \
    "$disk" $((root_sectors / 2))k >"$work/mke2fs" 2>&1 || { cat "$work/mke2fs" >&2 && die "mke2fs failed"; }
# mke2fs copies when files were last read and changed here, in this build.
last=$(dumpe2fs -h "$disk?offset=$((root_at * 512))" 2>/dev/null |
    awk -F: '/^Inode count/ { all = $2 } /^Free inodes/ { print all - $2 }') # they are given out in a row
{
    echo 2
    seq 11 "$last"
} | awk -v "t=@$SOURCE_DATE_EPOCH" '{
    print "sif <" $1 "> atime " t; print "sif <" $1 "> ctime " t; print "sif <" $1 "> crtime " t
    print "sif <" $1 "> atime_extra 0"; print "sif <" $1 "> ctime_extra 0"; print "sif <" $1 "> crtime_extra 0"
}' >"$work/times"
debugfs -w -f "$work/times" "$disk?offset=$((root_at * 512))" >"$work/debugfs" 2>&1 || die "debugfs failed"
esp=$work/esp
truncate -s $(((root_at - esp_at) * 512)) "$esp"
mkfs.vfat --invariant -F 32 -n EFI -i "$(uuid esp | cut -c1-8)" "$esp" >/dev/null
cat >"$work/grub.cfg" <<END
search.fs_uuid $root_uuid root
set prefix=(\$root)/boot/grub
configfile \$prefix/grub.cfg
END
mmd -i "$esp" ::/EFI ::/EFI/BOOT ::/EFI/debian
mcopy -i "$esp" /usr/lib/shim/shimx64.efi.signed ::/EFI/BOOT/BOOTX64.EFI
mcopy -i "$esp" /usr/lib/shim/mmx64.efi.signed ::/EFI/BOOT/mmx64.efi
mcopy -i "$esp" /usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed ::/EFI/BOOT/grubx64.efi
mcopy -i "$esp" "$work/grub.cfg" ::/EFI/debian/grub.cfg
put() { # FILE, SECTOR of the disk
    dd if="$1" of="$disk" bs=512 seek="$2" conv=notrunc,sparse status=none
}
put "$esp" $esp_at

# GRUB for BIOS machines. grub-bios-setup wants a block device; all it does on a disk like this one is to write
# boot.img's code to sector 0 (with the sector of core.img at 0x5c and, since some BIOSes give a wrong drive number in
# DL, two NOPs at 0x66 where boot.img would believe it is a floppy), and core.img to its partition (with the sector of
# its own second sector at 0x1f4 of the first).
core=$work/core.img
cat >"$work/embedded.cfg" <<END
search.fs_uuid $root_uuid root
set prefix=(\$root)/boot/grub
END
grub-mkimage -O i386-pc -o "$core" -c "$work/embedded.cfg" -p /boot/grub biosdisk part_gpt ext2 search_fs_uuid normal \
    configfile linux serial terminal test echo
[ "$(stat -c %s "$core")" -le $(((esp_at - grub_at) * 512)) ] || die "GRUB's core.img is larger than its partition"
le64() { # NUMBER as eight bytes
    local i
    for i in 0 8 16 24 32 40 48 56; do printf '%b' "\\x$(printf %02x $(($1 >> i & 255)))"; done
}
patch() { # FILE, OFFSET: the bytes of standard input
    dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
cp /usr/lib/grub/i386-pc/boot.img "$work/boot.img"
le64 $grub_at | patch "$work/boot.img" $((0x5c))
printf '\220\220' | patch "$work/boot.img" $((0x66))
le64 $((grub_at + 1)) | patch "$core" $((0x1f4))
head -c 440 "$work/boot.img" | patch "$disk" 0
put "$core" $grub_at

say "checking"
sfdisk -q -V "$disk" >"$work/check" 2>&1 || { cat "$work/check" >&2 && die "sfdisk -V finds faults"; }
e2fsck -fn "$disk?offset=$((root_at * 512))" >"$work/check" 2>&1 ||
    { cat "$work/check" >&2 && die "e2fsck finds faults"; }
if [ -n "$export" ]; then
    cp -L "$root"/boot/vmlinuz-* "$image.vmlinuz"
    cp -L "$root"/boot/initrd.img-* "$image.initrd"
fi
if [ "$format" = qcow2 ]; then
    qemu-img convert -q -O qcow2 "$disk" "$image.new"
    qemu-img check -q "$image.new" || die "qemu-img check finds faults"
else
    mv "$disk" "$image.new"
fi
sync "$image.new"
mv "$image.new" "$image"
say "$image, $(du -m "$image" | cut -f1) MiB on this file system"
