#!/bin/bash
# Checkpoints of a guest that counts, and writes its number to its disk: memory and disk are those of one instant,
# however often they are applied; the tree, deletion with merging; the same of a VM that is off, saved or paused.
# cases: standard off tree merge
set -u
. "$(dirname "$0")/lib.sh"

counter_vm lab

chain() { # VM: how many images its disk is
    qemu-img info -U --backing-chain --output=json "$NESTBOX_HOME/vms/$1/$(jq -r '.disks[0].settings.path' \
        "$NESTBOX_HOME/vms/$1/vm.json")" | jq length
}
names() { "$NB" checkpoint list "$1" --json | jq -r '.[].name' | paste -sd' '; } # VM

case ${1:-standard} in
standard)
    nb start lab
    within 20 counts lab 10 || fail 'it does not count'
    first=$(written lab)
    [ -n "$first" ] || fail "nothing is on the disk: $(printed lab | tail -n 5)"
    nb checkpoint create lab --name one --kind standard >/dev/null
    at=$(count lab)
    must_be lab Running
    within 5 counts lab "$at" || fail 'it does not go on'
    [ "$(written lab)" -gt "$first" ] || fail 'it does not write after the checkpoint'
    say "a checkpoint at about $at, disk $first"
    for i in 1 2 3; do
        nb checkpoint apply lab one --force
        must_be lab Saved
        started=$SECONDS
        nb start lab
        within 5 counts lab 10 || fail 'it does not go on'
        now=$(count lab)
        # It counts 18 in a second, and has done so since the checkpoint was made.
        [ "$now" -lt $((at + 60 + 19 * (SECONDS - started))) ] || fail "it goes on at $now, not at $at"
        within 10 disk_is lab "$first" || fail "its disk has $(disk lab), not $first"
        [ "$(written lab)" != "$first" ] || fail 'it does not write'
    done
    [ "$(chain lab)" = 2 ] || fail "$(chain lab) images"
    say 'applied three times'
    nb pause lab
    nb checkpoint create lab --name two --kind standard >/dev/null
    must_be lab Paused
    [ "$(names lab)" = 'one two' ] || fail "checkpoints: $(names lab)"
    nb resume lab
    nb checkpoint delete lab two
    nb checkpoint delete lab one
    [ -z "$(names lab)" ] || fail "checkpoints: $(names lab)"
    last=$(written lab)
    nb stop lab --turn-off
    nb start lab
    within 20 counts lab 3 || fail 'it does not start'
    within 10 disk_is lab "$last" || fail "its disk has $(disk lab), not $last"
    say 'deleted'
    ;;
off)
    nb checkpoint create lab --name empty >/dev/null
    nb start lab
    within 20 counts lab 5 || fail 'it does not count'
    full=$(written lab)
    nb save lab
    nb checkpoint create lab --name saved >/dev/null
    must_be lab Saved
    nb checkpoint apply lab empty --force
    must_be lab Off
    nb start lab
    within 20 counts lab 3 || fail 'it does not start'
    [ -z "$(disk lab)" ] || fail "its disk has $(disk lab)"
    nb checkpoint apply lab saved --force
    must_be lab Saved
    nb start lab
    within 5 counts lab "$full" || fail "it goes on at $(count lab)"
    within 10 disk_is lab "$full" || fail "its disk has $(disk lab), not $full"
    nb stop lab --turn-off
    nb rename lab attic
    nb start attic
    within 20 counts attic 3 || fail 'it does not start under another name'
    within 10 disk_is attic "$full" || fail "its disk has $(disk attic), not $full"
    # Cards are those of the checkpoint, also where it has memory.
    nb stop attic --turn-off
    nb switch create lan --type private
    nb nic add attic --switch lan >/dev/null
    cards() { "$NB" nic list attic --json 2>/dev/null | jq -c 'map([.name, .mac, .switch])'; }
    was=$(cards)
    nb start attic
    within 20 counts attic 3 || fail 'it does not start with a card'
    nb checkpoint create attic --name card --kind standard >/dev/null
    nb stop attic --turn-off
    nb nic remove attic/nic0
    nb nic add attic --switch lan --name other >/dev/null
    nb checkpoint apply attic card --force
    [ "$(cards)" = "$was" ] || fail "its cards are $(cards), not $was"
    nb start attic
    within 10 counts attic 3 || fail 'it does not go on with its card'
    nb checkpoint apply attic empty --force
    [ -z "$(cards)" ] || fail "it has cards: $(cards)"
    nb switch stop lan
    say 'off and saved; cards'
    ;;
tree)
    nb checkpoint create lab --name a >/dev/null
    nb checkpoint create lab --name b >/dev/null
    nb checkpoint apply lab a --force
    nb checkpoint create lab --name c >/dev/null
    refused 'already a checkpoint' checkpoint create lab --name C
    refused 'has no checkpoint d' checkpoint apply lab d --force
    parent() {
        "$NB" checkpoint list lab --json | jq -r --arg n "$1" '. as $all | .[] | select(.name == $n).parent as $p |
            $all[] | select(.id == $p).name'
    }
    [ "$(parent b)$(parent c)" = aa ] || fail 'the tree is another one'
    nb checkpoint rename lab b B2
    nb checkpoint delete lab a
    [ -z "$(parent B2)$(parent c)" ] || fail 'what stood on it has a parent'
    [ "$(names lab)" = 'B2 c' ] || fail "checkpoints: $(names lab)"
    nb checkpoint delete lab B2
    nb checkpoint delete lab c
    disks=$NESTBOX_HOME/vms/lab/disks
    [ "$(find "$disks" -type f | wc -l)" = 1 ] ||
        fail "left: $(ls "$disks")"
    nb start lab
    within 20 counts lab 3 || fail 'it does not start'
    nb set lab --checkpoints disabled
    refused 'takes no checkpoints' checkpoint create lab
    say 'a tree, deleted and merged'
    ;;
merge)
    # What a deleted checkpoint leaves is merged while the VM runs, whatever is killed meanwhile.
    nb disk add lab 400M >/dev/null
    big=$NESTBOX_HOME/vms/lab/disks/disk1.qcow2
    qemu-io -f qcow2 -c 'write -P 7 0 300M' "$big" >/dev/null || fail 'qemu-io'
    merged() { [ -z "$(left)" ]; }
    left() { ls "$NESTBOX_HOME/vms/lab/merge"; }
    # The second disk's file on top and what is below it have the data.
    content() {
        local top
        top=$NESTBOX_HOME/vms/lab/$(jq -r '.disks[1].settings.path' "$NESTBOX_HOME/vms/lab/vm.json")
        qemu-io -r -U -f qcow2 -c 'read -P 7 0 300M' "$top" | grep -q 'Pattern verification failed' && return 1
        qemu-io -r -U -f qcow2 -c 'read -P 0 300M 100M' "$top" | grep -q 'read 104857600/104857600'
    }
    nb start lab
    within 20 counts lab 5 || fail 'it does not count'
    for name in one two three; do
        nb checkpoint create lab --name $name --kind standard >/dev/null
        number=$(written lab)
    done
    [ "$(chain lab)" = 4 ] || fail "$(chain lab) images"
    nb checkpoint delete lab two
    within 30 merged || fail "not merged: $(left)"
    [ "$(chain lab)" = 3 ] || fail "$(chain lab) images after the deletion of the one in the middle"
    at=$(count lab)
    nb checkpoint delete lab one
    "$NB" checkpoint list lab >"$work/list"
    kill -9 "$(worker lab)"
    within 30 is lab Running || fail 'it does not run'
    within 30 merged || fail "not merged after its worker was killed: $(left)"
    within 5 counts lab "$at" || fail 'it does not go on'
    [ "$(chain lab)" = 3 ] || fail "$(chain lab) images" # the first is not of the VM's folder and stays
    content || fail 'the content of its second disk is another'
    within 10 disk_is lab "$number" || fail "its disk has $(disk lab), not $number"
    say 'merged while it ran'
    for how in save checkpoint off killed merged; do
        number=$(written lab)
        nb checkpoint create lab --name again --kind standard >/dev/null
        nb checkpoint create lab --name more --kind standard >/dev/null
        [ $how = merged ] || number=$(written lab)
        nb checkpoint delete lab again
        nb checkpoint delete lab more
        case $how in
        save) nb save lab ;;
        checkpoint) nb checkpoint create lab --name after --kind standard >/dev/null ;;
        off) nb stop lab --turn-off ;;
        killed | merged) # also just after the images have gone: what they had is on the disk
            [ $how = killed ] || within 30 merged || fail "not merged: $(left)"
            kill -9 "$(qemu_process lab)"
            must_be lab Off
            ;;
        esac
        [ $how = checkpoint ] || nb start lab
        within 30 merged || fail "not merged after $how: $(left)"
        content || fail "the content of its second disk is another after $how"
        within 20 counts lab 3 || fail "it does not count after $how"
        within 10 disk_is lab "$number" || fail "its disk has $(disk lab), not $number, after $how"
    done
    nb checkpoint apply lab three --force
    nb start lab
    within 20 counts lab 3 || fail 'it does not go on'
    content || fail 'the content of its second disk is another'
    say 'merged with all that may come between'
    ;;
*) fail "no case $1" ;;
esac
