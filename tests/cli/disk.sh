#!/bin/bash
# disk, share, clone: drives and their places, images made, resized, compacted, checked and converted, clones that
# stand on others, and what is refused so that no disk is lost. No VM runs.
# limit: 300
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
own_home
nothing_left() { [ -z "$(find "$NESTBOX_HOME/vms" "$NESTBOX_HOME/intents" -mindepth 1)" ]; }
of() { # VM KEYS: from JSON
    nb show "$1" --json | sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" | head -1
}

# drives
run 'a VM' 0 '' create a --disk 64M
says 'a second disk' '^disk1$' disk add a 32M --bus scsi
says 'a CD drive' '^cd0$' disk add a --kind cd
says 'places' 'a/disk1 .*scsi 0:0 .*32.0 MiB' disk list a
says 'the CD drive beside the disk' 'a/cd0 .*scsi 0:1 .*empty' disk list
run 'a place that is taken' 4 'disk0 is at place 0:0' disk add a 32M --controller 0 --location 0
run 'a place that is none' 2 'no location 63 at bus virtio' disk add a 32M --location 63
run 'a bus that is not there' 2 'generation 2 has no bus ide' disk add a 32M --bus ide
run 'a disk without an image' 2 'needs a size or an image' disk add a
run 'a file that is not there' 4 'No such file' disk add a /no/such
check 'they left nothing' [ "$(find "$NESTBOX_HOME/vms/a/disks" -type f | wc -l)" = 2 ]
run 'one of several' 2 'several disks; name one of them' disk set a --iops-maximum 100
run 'limits' 0 '' disk set a/disk0 --iops-maximum 100 --bytes-maximum 10M
run 'another bus' 0 '' disk set a/disk0 --bus sata
says 'it moved' 'a/disk0 .*sata 0:0' disk list a
echo 'an image' >"$WORK/cd.iso"
run 'a CD' 0 '' disk set a/cd0 --path "$WORK/cd.iso"
says 'is in the drive' "a/cd0 .*$WORK/cd.iso" disk list a
run 'and out' 0 '' disk set a/cd0 --path ''
run 'a disk stays one' 2 'without an image is none' disk set a/disk0 --path ''
run 'a mistyped drive' 4 "no drive dsk0; did you mean 'a/disk0'" disk set a/dsk0 --bus scsi
run 'a drive goes, its image stays' 0 '' disk remove a/disk1
check 'it is there' [ -e "$NESTBOX_HOME/vms/a/disks/disk1.qcow2" ]
run 'back again' 0 '' disk add a "$NESTBOX_HOME/vms/a/disks/disk1.qcow2"
run 'with its image' 0 '' disk remove a/disk1 --delete
check 'it is gone' [ ! -e "$NESTBOX_HOME/vms/a/disks/disk1.qcow2" ]
run 'a floppy drive' 2 'only a VM of generation 1' disk add a --kind floppy

# images
size() { qemu-img info --output=json "$1" | tr -d '\n' | sed 's/.*"virtual-size": *\([0-9]*\).*/\1/'; }
image=$NESTBOX_HOME/vms/a/disks/disk0.qcow2
run 'larger' 0 '' disk resize a 128M
check 'it is' [ "$(size "$image")" = 134217728 ]
nb disk create "$WORK/fixed.vhdx" 8M
run 'a format that keeps its size' 4 'is vhdx, whose size cannot be changed; .nestbox disk convert' \
    disk resize "$WORK/fixed.vhdx" 16M
run 'smaller is refused' 2 'less than .*what lies behind is lost.*--shrink' disk resize a 64M
run 'unless asked for' 0 '' disk resize a 64M --shrink
check 'it is smaller' [ "$(size "$image")" = 67108864 ]
qemu-io -f qcow2 -c 'write -P 7 0 16M' -c 'write -z 0 15M' "$image" >/dev/null
before=$(stat -c %b "$image")
run 'compact' 0 '' disk compact a
check 'it takes less' [ "$(stat -c %b "$image")" -lt $((before / 4)) ]
qemu-io -f qcow2 -c 'read -P 7 15M 1M' "$image" >"$WORK/io"
check 'and has the same' grep -q 'read 1048576' "$WORK/io"
says 'check' 'no errors' disk check a/disk0
for format in vhdx vhd raw; do
    run "to $format" 0 '' disk convert a/disk0 "$WORK/copy.$format"
    check "$format has the same" qemu-img compare -q "$image" "$WORK/copy.$format"
done
run 'nothing is overwritten' 4 'is there already' disk convert a/disk0 "$WORK/copy.raw"
run 'an unknown format' 2 'no format ext4' disk convert a/disk0 "$WORK/x" --format ext4
run 'an image of nobody' 0 '' disk create "$WORK/new.qcow2" 1G
run 'on another' 0 '' disk create "$WORK/top.qcow2" --base "$WORK/new.qcow2"
check 'it stands on it' grep -q new.qcow2 <(qemu-img info "$WORK/top.qcow2")
dd if=/dev/zero of="$WORK/new.qcow2" bs=1 seek=70000 count=200 conv=notrunc status=none
qemu-io -f qcow2 -c 'write -P 1 0 1M' "$WORK/new.qcow2" >/dev/null 2>&1
nb disk check "$WORK/new.qcow2" >"$WORK/out"
check 'a check ends with 0 or 14' grep -qE '^(0|14)$' <<<$?

# shares
mkdir "$WORK/folder"
run 'a share' 0 '' share add a "$WORK/folder" --read-only
says 'is listed' "^folder +$WORK/folder +yes" share list a
run 'twice' 4 'has a share folder already' share add a "$WORK/folder"
run 'a folder that is none' 4 'is no folder' share add a "$WORK/cd.iso"
run 'a name that is none' 2 'is no name for a share' share add a "$WORK/folder" --tag 'a,b'
run 'it ends' 0 '' share remove a folder
run 'it is gone' 4 'has no share folder' share remove a folder

# clones
has_it() { # VM: its disk has what was written to that of a
    qemu-io -f qcow2 -c 'read -P 7 15M 1M' "$NESTBOX_HOME/vms/$1/disks/disk0.qcow2" | grep -q 'read 1048576'
}
run 'a switch' 0 '' switch create lan --type private
run 'a card' 0 '' nic add a --switch lan
run 'a clone' 0 '' clone a full
check 'has the data' has_it full
check 'and stands alone' [ "$(nb disk list full --json | grep -c '"base": null')" = 1 ]
check 'with a card of its own' [ "$(nb nic list --json | grep '"mac": "' | sort | uniq -d | wc -l)" = 0 ]
check 'and an id of its own' [ "$(of a id)" != "$(of full id)" ]
run 'a linked clone' 0 '' clone a linked --linked
check 'has the data, too' has_it linked
says 'the original goes on in a new file' 'a/disk0 .*disk0-2.qcow2' disk list a
run 'the original stays' 4 'cannot be deleted: disks of others stand on its images: linked/disk0' delete a --force
run 'under its name' 4 'cannot be renamed' rename a b
run 'its image stays as it is' 4 'stand on it: ' disk resize "$image" 1G
run 'nobody else writes to it' 4 'stand on it: ' disk add full "$image"
run 'a template' 0 '' clone a base --template
run 'that is not started' 4 'is a template' start base
run 'clones of it' 0 '' clone base one --linked
says 'the template stays as it is' 'base/disk0 .*disk0.qcow2' disk list base
run 'a template with clones stays one' 4 'made an ordinary VM' set base --template off
run 'a clone of a clone' 0 '' clone linked deep --linked
check 'has the data of all below' has_it deep
run 'a name that is taken' 4 'already a VM base' clone a BASE
run 'a VM that is not there' 4 'no VM nosuch' clone nosuch x
run 'all go, those on top first' 0 '' delete '*' --force
check 'nothing is left' nothing_left
finish
