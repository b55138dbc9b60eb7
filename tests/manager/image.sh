#!/bin/bash
# Images: imported from each format, listed, deleted unless a VM uses them; a draft that is left. MORE=1: built, by root
# and without root, twice with the same bytes, and started.
# cases: import
# more cases: build container
# limit: 3000
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
export NESTBOX_HOME=$WORK/home
command -v qemu-img >/dev/null || { echo 'qemu-utils is missing' && exit 77; }

image() { "$NESTBOX" image "$@"; }
refused() { # TEXT, ARGUMENT...: the command fails with a line that has TEXT
    local text=$1
    shift
    ! image "$@" >"$WORK/out" 2>&1 && grep -qF -- "$text" "$WORK/out"
}

fails() { # TEXT, ARGUMENT...: the same of any verb
    local text=$1
    shift
    ! "$NESTBOX" "$@" >"$WORK/out" 2>&1 && grep -qF -- "$text" "$WORK/out"
}
drafts() { find "$NESTBOX_HOME/images" -maxdepth 1 -name '.draft*'; }

import_cases() {
    local disk=$WORK/disk.raw format file folder
    truncate -s 64M "$disk"
    printf 'nestbox' | dd of="$disk" bs=1 seek=1048576 conv=notrunc status=none
    for format in qcow2:qcow2 vhdx:vhdx vpc:vhd raw:raw; do
        file=$WORK/from-${format#*:}.${format#*:}
        qemu-img convert -f raw -O "${format%:*}" "$disk" "$file"
        check "import of ${format#*:}" image import "$file"
        check "its content" qemu-img compare -q -f raw -F qcow2 "$disk" \
            "$NESTBOX_HOME/images/from-${format#*:}/disk.qcow2"
    done
    check 'the copy has holes' [ "$(du -m "$NESTBOX_HOME/images/from-raw/disk.qcow2" | cut -f1)" -lt 4 ]
    check 'the list has them' [ "$(image list --json | jq -r '[.[].source.format] | sort | join(" ")')" = \
        'qcow2 raw vhd vhdx' ]
    check 'sizes' [ "$(image show from-vhdx --json | jq .size)" = 67108864 ]
    check 'a name of its own' image import "$disk" 'Lab 1'
    check 'a name that is taken' refused 'there is already an image' import "$disk" 'lab 1'
    check 'a name that is none' refused 'image' import "$disk" '../x'
    check 'no file' refused 'No such file' import "$WORK/none"
    qemu-img create -q -f qcow2 -F raw -b "$disk" "$WORK/over.qcow2"
    check 'a file over another one' refused 'only what differs' import "$WORK/over.qcow2"
    qemu-img create -q -f vmdk "$WORK/other.vmdk" 1M
    check 'another format' refused 'vhdx' import "$WORK/other.vmdk"
    cp "$WORK/from-qcow2.qcow2" "$WORK/bad.qcow2"
    printf '\377\377\377\377\377\377' | dd of="$WORK/bad.qcow2" bs=1 seek=196610 conv=notrunc status=none
    check 'a damaged file' refused 'damaged' import "$WORK/bad.qcow2"
    check 'nothing is left of those' [ -z "$(drafts)" ]

    printf '#cloud-config\nruncmd: [id]\n' >"$WORK/user-data"
    echo 'ssh-ed25519 AAAAC3Nz me' >"$WORK/key.pub"
    echo '-----BEGIN OPENSSH PRIVATE KEY-----' >"$WORK/key"
    check 'create over it' "$NESTBOX" create 'My VM.1' --image 'LAB 1' --size 100M --ssh-key "$WORK/key.pub" \
        --user-data "$WORK/user-data"
    folder=$NESTBOX_HOME/vms/my\ vm.1/disks
    check 'its disk is larger' [ "$(qemu-img info --output=json "$folder/disk0.qcow2" |
        jq '."virtual-size"')" = 104857600 ]
    check 'the seed is a file system' [ "$(blkid -o value -s LABEL "$folder/seed.iso")" = CIDATA ]
    check 'the seed has the name' grep -aqF '"local-hostname": "my-vm-1"' "$folder/seed.iso"
    check 'and the key' grep -aqF 'ssh-ed25519 AAAAC3Nz me' "$folder/seed.iso"
    check 'and the user data' grep -aqF 'runcmd: [id]' "$folder/seed.iso"
    check 'a clone' "$NESTBOX" clone 'My VM.1' second --linked
    check 'has a seed of its own' grep -aqF '"local-hostname": "second"' "$NESTBOX_HOME/vms/second/disks/seed.iso"
    check 'with its UUID' grep -aqF "$("$NESTBOX" show second --json | jq -r .id)" \
        "$NESTBOX_HOME/vms/second/disks/seed.iso"
    check 'the key' grep -aqF 'ssh-ed25519 AAAAC3Nz me' "$NESTBOX_HOME/vms/second/disks/seed.iso"
    check 'and the user data' grep -aqF 'runcmd: [id]' "$NESTBOX_HOME/vms/second/disks/seed.iso"
    check 'the clone uses the image' [ "$(image show 'LAB 1' --json | jq -r '.vms | sort | join(" ")')" = \
        'My VM.1 second' ]
    check 'the clone goes' "$NESTBOX" delete second --force
    check 'show has its VMs' [ "$(image show 'LAB 1' --json | jq -r '.vms | join(" ")')" = 'My VM.1' ]
    check 'one that is used stays' refused 'is used by VM My VM.1' delete 'lab 1'
    check 'no less than the image' fails 'less is not possible' create x --image 'lab 1' --size 10M
    printf '# mine\n\n%s\nroot:x:0:0: no key\n' "$(<"$WORK/key.pub")" >"$WORK/mixed.pub"
    check 'what is no key' fails 'mixed.pub has something that is no key' create x --image 'lab 1' \
        --ssh-key "$WORK/mixed.pub"
    check 'no private key' fails 'private key' create x --image 'lab 1' --ssh-key "$WORK/key"
    check 'nothing that cloud-init passes over' fails 'cloud-init takes' create x --image 'lab 1' \
        --user-data "$WORK/key.pub"
    check 'no image' fails 'there is no image' create x --image none
    check 'nothing is left of those' [ "$(ls "$NESTBOX_HOME/vms")" = 'my vm.1' ]
    check 'without its VM' "$NESTBOX" delete 'my vm.1' --force
    check 'delete' image delete 'lab 1'
    check 'it is gone' refused 'there is no image' show 'lab 1'

    # Ended in the middle: nothing is left, at once or after the next command.
    truncate -s 20G "$WORK/large.raw"
    for ((i = 0; i < 20; i++)); do
        printf %08d $i | dd of="$WORK/large.raw" bs=1M seek=$((i * 1000)) conv=notrunc status=none
    done
    "$NESTBOX" image import "$WORK/large.raw" 2>/dev/null &
    sleep 0.05
    kill -TERM $! 2>/dev/null
    wait $!
    check 'nothing is left after SIGTERM' [ -z "$(drafts)" ]
    for ((i = 0; i < 10; i++)); do
        "$NESTBOX" image import "$WORK/large.raw" "k$i" >/dev/null 2>&1 &
        sleep "0.0$((RANDOM % 90 + 10))"
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
    done
    sleep 1
    check 'after kill -9 the next command cleans up' image import "$disk" last
    check 'nothing is left' [ -z "$(drafts)" ]
    for file in "$NESTBOX_HOME"/images/*/; do
        check "$(basename "$file") is whole" qemu-img check -q "$file/disk.qcow2"
    done
}

# What builds leave besides the image and the downloaded packages.
left() { find "$NESTBOX_HOME/images" "$NESTBOX_HOME/cache" -maxdepth 2 -name '.draft*' -o -maxdepth 2 -name 'work-*'; }

starts() { # VM OPTION...: it is created over the image, starts, and cloud-init has given it its name
    local vm=$1
    shift
    "$NESTBOX" create "$vm" --image debian --memory 512M --ssh-key "$WORK/key.pub" --user-data "$WORK/user-data" "$@" &&
        "$NESTBOX" start "$vm" --wait --timeout 1500 &&
        "$NESTBOX" exec "$vm" -- cloud-init status --wait &&
        [ "$("$NESTBOX" exec "$vm" -- hostname)" = "$vm" ] &&
        "$NESTBOX" exec "$vm" -- sh -c 'grep -q AAAAC3Nz ~debian/.ssh/authorized_keys && [ -e /ran ]' &&
        "$NESTBOX" stop "$vm" --turn-off
}

build_cases() {
    local id=200000 other=$WORK/nobody
    echo 'ssh-ed25519 AAAAC3Nz me' >"$WORK/key.pub"
    printf '#cloud-config\nruncmd: [touch /ran]\n' >"$WORK/user-data"
    [ "$(id -u)" = 0 ] || { echo 'the test of builds takes root' && exit 77; }
    . tools/need.sh
    # shellcheck disable=SC2046
    need $(src/image/build.sh --needs) uidmap
    mkdir -p "$NESTBOX_HOME/cache/images/archives"
    chmod 700 "$NESTBOX_HOME"
    cp build/disk/archives/*.deb "$NESTBOX_HOME/cache/images/archives/" 2>/dev/null

    "$NESTBOX" image build debian 2>/dev/null &
    sleep 20
    kill -INT $!
    wait $!
    check 'Ctrl-C ends a build' [ $? = 130 ]
    check 'nothing is left of it' [ -z "$(left)" ]
    check 'a build' image build debian --size 2G
    check 'nothing else is left' [ -z "$(left)" ]

    # The same without root: as nobody, who has a range of IDs in files that are seen only here.
    mkdir -p "$other/home/cache/images" "$other/bin"
    cp -r "$NESTBOX_HOME/cache/images/archives" "$other/home/cache/images/"
    cp "$NESTBOX" "$(dirname "$NESTBOX")"/image-build "$(dirname "$NESTBOX")"/nestbox-agent* "$other/bin/"
    chown -R nobody "$other"
    chmod 755 "$WORK"
    chmod 700 "$other/home"
    echo "nobody:$id:65536" >"$WORK/ids"
    check 'a build without root' unshare -m sh -euc 'touch /etc/subuid /etc/subgid
        mount --bind "$1/ids" /etc/subuid && mount --bind "$1/ids" /etc/subgid && cd "$1/nobody"
        exec setpriv --reuid nobody --regid nogroup --clear-groups env HOME="$1/nobody" NESTBOX_HOME="$1/nobody/home" \
            bin/nestbox image build debian --size 2G' sh "$WORK"
    check 'has the same bytes' cmp "$NESTBOX_HOME/images/debian/disk.qcow2" "$other/home/images/debian/disk.qcow2"

    check 'it starts by UEFI' starts uefi --size 3G
    check 'the root grows with the disk' [ "$("$NESTBOX" start uefi --wait >/dev/null 2>&1
        "$NESTBOX" exec uefi -- df --output=size -BM / | tail -n 1 | tr -d ' M')" -gt 2500 ]
    "$NESTBOX" stop uefi --turn-off
    check 'it starts by BIOS' starts bios --generation 1
    check 'it starts by Secure Boot' starts secure --secure-boot on
}

# A guest of the profile container-host runs a container of an image that has one program.
container_cases() {
    [ "$(id -u)" = 0 ] || { echo 'the test of builds takes root' && exit 77; }
    . tools/need.sh
    # shellcheck disable=SC2046
    need $(src/image/build.sh --needs) busybox-static
    trap '"$NESTBOX" stop box --turn-off >/dev/null 2>&1; rm -rf "$WORK"' EXIT
    mkdir -p "$NESTBOX_HOME/cache/images/archives"
    cp build/disk/archives/*.deb "$NESTBOX_HOME/cache/images/archives/" 2>/dev/null
    check 'a build of container-host' image build container-host --size 4G
    check 'it starts' sh -c '"$1" create box --image container-host --memory 1G --cpus 2 &&
        "$1" start box --wait --timeout 1500' sh "$NESTBOX"
    mkdir "$WORK/box" && cp /bin/busybox "$WORK/box/"
    tar -C "$WORK/box" -cf "$WORK/box.tar" busybox
    check 'an image for a container' "$NESTBOX" copy "$WORK/box.tar" box:/root/box.tar
    check 'is imported' "$NESTBOX" exec box -- podman import /root/box.tar box
    "$NESTBOX" exec box -- podman run --rm --network none box /busybox echo hello >"$WORK/out"
    check 'the container runs' grep -qx hello "$WORK/out"
}

case ${1:-import} in
import) import_cases ;;
build) build_cases ;;
container) container_cases ;;
esac
finish
