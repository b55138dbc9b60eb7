#!/bin/bash
# create, list, show, set, rename, delete: what is there afterwards, what is refused and how, JSON, patterns, UUIDs. No
# VM runs.
# limit: 300
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
own_home
nothing_left() { [ -z "$(find "$NESTBOX_HOME/vms" "$NESTBOX_HOME/intents" -mindepth 1)" ]; }
of() { # VM KEYS: from JSON
    nb show "$1" --json | sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" | head -1
}

# none
run 'no VM at all' 4 'there is no VM x; there is none yet; .nestbox create. makes one' show x
run 'nor a switch' 4 'there is no switch x; there is none yet; .nestbox switch create. makes one' switch show x
run 'nor a NAT network' 4 'there is none yet; .nestbox nat create. makes one' nat show x
run 'nor a card' 4 'there is none yet; .nestbox nic add. makes one' nic set x --spoofing
run 'check of no VM' 4 'there is no VM x; there is none yet; .nestbox create. makes one' check x

# create
run 'create' 0 '' create Lab --cpus 2 --memory 2G --notes 'for me'
says 'it is listed' '^Lab +Off +2 +2G +off' list
says 'and shown' 'generation 2, cpus 2, memory 2G' show lab
run 'a name that is taken' 4 'there is already a VM Lab' create LAB
run 'a name that is none' 2 'is no name for a VM' create 'a/b'
run 'a value out of range' 2 'not a number from 1 to' create x --cpus 0
run 'values that do not go together' 2 'needs UEFI' create x --generation 1 --secure-boot
run 'a size without an image' 2 'is of the disk that stands on an --image; --disk makes a new disk' create x --size 1G
run 'a switch that is not there' 4 'no switch nosuch' create x --switch nosuch
run 'an image that is not there' 4 'No such file' create x --disk 1G --disk /no/such
run 'a base without a name' 2 '^nestbox: --base without the name of an image' create x --base ''
run 'they left nothing' 4 'there is no VM x' show x
check 'not on the disk either' [ "$(ls -A "$NESTBOX_HOME/vms")" = lab ]
run 'a mistyped name' 4 "no VM lba; did you mean 'Lab'" show lba

# show and set
check 'JSON has the settings' [ "$(of lab cpus)" = 2 ]
id=$(of lab id)
says 'by UUID' '^Lab: Off' show "$id"
run 'set' 0 '' set lab --cpus 3 --nested on
check 'it is set, the rest stays' [ "$(of lab cpus) $(of lab nested) $(of lab notes)" = '3 on for me' ]
run 'set without an option' 2 'nothing would change' set lab
run 'the generation stays' 2 'generation 2 for good' set lab --generation 1
run 'a refused change changes nothing' 2 'multiple of 2 MiB' set lab --cpus 4 --memory 1025M
check 'so it is' [ "$(of lab cpus)" = 3 ]
run 'a text ends' 0 '' set lab --notes ''
check 'it is gone' [ "$(of lab notes)" = null ]
run 'set by UUID' 0 '' set "$id" --cpus 1

MANY_LINES=0 run 'ssh to a VM that is off' 125 '^nestbox: VM Lab does not run' ssh lab
run 'a share of all' 2 'the folder / has no name for a share; --tag gives it one' share add lab /

# patterns
run 'more VMs' 0 '' create lab2
run 'and another' 0 '' create other
run 'a pattern' 0 '' set 'l*' --cpus 4
check 'of those that match' [ "$(of lab cpus) $(of lab2 cpus) $(of other cpus)" = '4 4 1' ]
check 'a list of some' [ "$(nb list 'lab*' | tail -n +2 | wc -l)" = 2 ]
run 'a pattern that nothing matches' 4 'no VM whose name is like x' delete 'x*' --force

# rename
run 'rename' 0 '' rename lab New.Name
says 'under the new name' '^New.Name: Off' show new.name
run 'not under the old one' 4 'there is no VM lab' show lab
run 'a name that is taken' 4 'already a VM lab2' rename new.name LAB2
run 'another case' 0 '' rename new.name NEW.name
check 'it is spelt so' [ "$(of new.name name)" = NEW.name ]
check 'with the same UUID' [ "$(of new.name id)" = "$id" ]

# CPUs
run 'a CPU that nobody knows' 2 "CPU model 'bogus' is not known; there are max," create cpus --cpu bogus
run 'it left nothing' 4 'no VM cpus' show cpus
run 'a VM' 0 '' create cpus --cpu x86-64-v2
run 'a feature that nobody knows' 2 "CPU feature 'sse9' is not known" set cpus --cpu max,-sse9
run 'a model with KVM' 2 \
    '--cpu needs the engine, and --accel is kvm; --accel auto takes the engine' set cpus --accel kvm
check 'all is as it was' [ "$(of cpus cpu) $(of cpus accel)" = 'x86-64-v2 auto' ]
run 'away' 0 '' delete cpus --force

# cards
run 'a switch' 0 '' switch create lan --type private
run 'a card of a VM that is not there' 0 '' nic add later --switch lan
run 'is no VM' 4 'there is no VM later' show later
run 'create takes it over' 0 '' create later --switch lan
check 'and adds one' [ "$(nb nic list later | tail -n +2 | wc -l)" = 2 ]
run 'cards of a stranger' 0 '' nic add stranger --switch lan
run 'a name with cards' 4 'cards of a VM stranger' rename lab2 stranger
run 'cards follow the name' 0 '' rename later sooner
check 'both' [ "$(nb nic list sooner | tail -n +2 | wc -l)" = 2 ]

# disks
run 'a new disk' 0 '' create disky --disk 1G --cd '' --disk 2G
check 'two images' [ "$(cd "$NESTBOX_HOME/vms/disky/disks" && echo *)" = 'disk0.qcow2 disk1.qcow2' ]
says 'their places' 'disk1 .*virtio 0:1' show disky
qemu-img create -q -f qcow2 "$WORK/base.qcow2" 1G
run 'on a base' 0 '' create based --base "$WORK/base.qcow2"
check 'it stands on it' grep -q "$WORK/base.qcow2" <(qemu-img info "$NESTBOX_HOME/vms/based/disks/disk0.qcow2")
run 'nobody writes to a base' 4 'stand on it: based/disk0' create second --disk "$WORK/base.qcow2"
qemu-img create -q -f raw "$WORK/own.img" 1G
run 'an image in place' 0 '' create direct --disk "$WORK/own.img"
run 'for one VM only' 4 'own.img is disk0 of VM direct' create second --disk "$WORK/own.img"

# delete
MANY_LINES=1 run 'delete without a terminal' 4 'was not deleted; --force' delete disky
check 'it says what is lost' grep -q 'disky/disks/disk0.qcow2' "$WORK/err"
run 'with force' 0 '' delete disky --force
check 'the image of its own is gone' [ ! -e "$NESTBOX_HOME/vms/disky" ]
run 'the other stays' 0 '' delete direct --force
check 'it is there' [ -e "$WORK/own.img" ]
run 'all' 0 '' delete '*' --force
check 'cards of others stay' [ "$(nb nic list | tail -n +2 | cut -d' ' -f1)" = stranger/nic0 ]
run 'the last card' 0 '' nic remove stranger
rm -rf "$NESTBOX_HOME/vms/stranger"
check 'nothing is left' nothing_left

# by its id, everywhere
run 'a VM' 0 '' create ided --disk 10M
run 'a switch' 0 '' switch create plain --type private
id=$(nb show ided --json | jq -r .id)
run 'a card by the id' 0 '' nic add "$id" --switch plain
check 'it is the VM of that id' [ "$(nb nic list "$id" --json | jq -r '.[0].vm')" = ided ]
run 'set' 0 '' nic set "$id" --spoofing on
run 'set, by its name' 0 '' nic set "$id/nic0" --spoofing off
run 'removed' 0 '' nic remove "$id/nic0"
run 'a disk' 0 '' disk set "$id/disk0" --iops-maximum 5
run 'a setting' 0 '' set "$id" --cpus 2
NESTBOX_HOME=/proc/nosuch run 'a folder that cannot be' 4 '/proc/nosuch' set ided --cpus 2
run 'gone' 0 '' delete "$id" --force
run 'the switch, too' 0 '' switch delete plain

# damage
run 'a VM' 0 '' create broken
run 'another' 0 '' create whole
echo '{' >"$NESTBOX_HOME/vms/broken/vm.json"
says 'a damaged definition hides no other' '^whole' list
check 'and is named' grep -q 'vms/broken/vm.json: it is damaged.*nestbox delete. removes the VM' "$WORK/err"
run 'it is not overwritten' 4 'damaged' create broken
run 'show names it' 4 'vms/broken/vm.json: it is damaged' show broken
run 'a pattern is for those that are whole, and names it' 4 'broken/vm.json: it is damaged' set '*' --cpus 3
check 'those changed' [ "$(of whole cpus)" = 3 ]
run 'disks of the others' 0 'broken/vm.json: it is damaged' disk list
run 'it is off already' 0 'broken is Off already' stop broken
mkdir "$NESTBOX_HOME/vms/broken/disks"
truncate -s 1M "$NESTBOX_HOME/vms/broken/disks/disk0.qcow2"
MANY_LINES=1 run 'it is not deleted without a word' 4 'broken was not deleted; --force' delete broken
check 'what is lost is named' grep -q 'vms/broken/disks/disk0.qcow2' "$WORK/err"
run 'and can be deleted' 0 '' delete BROKEN --force
check 'it is gone' [ ! -e "$NESTBOX_HOME/vms/broken" ]
run 'the name is free' 0 '' create broken
sed -i 's/"cpus": 1/"cpus": "one"/' "$NESTBOX_HOME/vms/broken/vm.json"
run 'a setting that is none' 4 'broken/vm.json: it is damaged.*nestbox delete. removes the VM' show broken
run 'can be deleted, too' 0 '' delete broken --force

# locks: none is left of what is not there
locks() { (cd "$NESTBOX_HOME/run/vms" && find . -name '.*.lock' | sort | tr -d '\n'); }
for verb in 'start' 'set --cpus 2' 'delete --force' 'disk add --size 1G' 'save'; do nb $verb nosuch; done
run 'a VM that is refused' 4 'no switch nosuch' create refused --switch nosuch
run 'a clone of nothing' 4 'there is no VM nosuch' clone nosuch other
run 'a name that is taken' 4 'there is already a VM whole' create whole
check 'only VMs have locks' [ "$(locks)" = ./.whole.lock ]
run 'a rename' 0 '' rename whole w2
check 'the old name has none' [ "$(locks)" = ./.w2.lock ]
run 'and back' 0 '' rename w2 whole
together() { # many that create and delete one VM at once
    for _ in 1 2 3 4 5 6 7 8; do
        "$NESTBOX" create one --disk 1M 2>/dev/null
        "$NESTBOX" delete one --force 2>/dev/null
    done
}
for _ in 1 2 3 4; do together & done
wait
nb delete one --force
check 'commands that meet leave none, either' [ "$(locks)" = ./.whole.lock ]
left=$(cd "$NESTBOX_HOME" && find vms intents -mindepth 1 -maxdepth 1)
check 'and nothing else' [ "$left" = vms/whole ]

# speed: the promise is 100 ms for a list of 1,000; on a busy host only the CPU's time says something
for i in $(seq 1000); do
    mkdir "$NESTBOX_HOME/vms/v$i"
    sed "s/\"name\": \"whole\"/\"name\": \"v$i\"/" "$NESTBOX_HOME/vms/whole/vm.json" >"$NESTBOX_HOME/vms/v$i/vm.json"
done
best=9999
TIMEFORMAT='%3U %3S'
for _ in 1 2 3 4 5; do
    took=$({ time nb list >"$WORK/out"; } 2>&1)
    took=$(($(sed 's/^/10#/; s/ / + 10#/; s/\.//g' <<<"$took")))
    [ $took -lt $best ] && best=$took
done
echo "# a list of 1,001 VMs takes $best ms of CPU time"
check 'all are listed' [ "$(tail -n +2 "$WORK/out" | wc -l)" = 1001 ]
check 'within 100 ms' [ $best -lt 100 ]
finish
