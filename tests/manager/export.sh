#!/bin/bash
# Exports and imports: a VM that is off, saved or runs, with checkpoints and linked disks, as a folder, an archive or in
# place; what is in the way is named; a command that is killed or cancelled leaves nothing; an export that means harm
# is refused.
# cases: off running place strange
set -u
. "$(dirname "$0")/lib.sh"

out=$work/out
mkdir "$out"
counter_vm lab

nothing_left() { [ -z "$(find "$out" -name '.*' ! -path "$out")" ]; }
id() { "$NB" show "$1" --json | jq -r .id; }

case ${1:-off} in
off)
    # A disk that stands on files elsewhere, one of them raw.
    nb disk create "$work/top.qcow2" --base "$work/counter.raw" >/dev/null
    nb create linked --generation 1 --memory 64M --accel engine --base "$work/top.qcow2" --notes 'a lab'
    nb checkpoint create linked --name one >/dev/null
    nb export linked "$out" >"$work/path"
    [ "$(<"$work/path")" = "$out/linked" ] || fail "it is at $(<"$work/path")"
    nothing_left || fail "left: $(ls -A "$out")"
    refused 'is there already' export linked "$out"
    refused 'already a VM linked' import "$out/linked"
    refused 'UUID' import "$out/linked" other
    nb export linked "$out/packed.tar.gz" >/dev/null
    tar -tf "$out/packed.tar.gz" | head -n 1 | grep -qx linked/export.json || fail 'the archive begins otherwise'
    was=$(id linked)
    nb delete linked --force
    rm "$work/top.qcow2"
    nb import "$out/packed.tar.gz" >/dev/null
    [ "$(id linked)" = "$was" ] || fail 'it has another UUID'
    nb import "$out/linked" copy --new-id >/dev/null
    [ "$(id copy)" != "$was" ] || fail 'it has the same UUID'
    for vm in linked copy; do
        nb start $vm
        within 20 counts $vm 3 || fail "$vm does not start"
        nb stop $vm --turn-off
        nb checkpoint apply $vm one --force
        nb start $vm
        within 20 counts $vm 3 || fail "$vm does not start from its checkpoint"
        nb stop $vm --turn-off
    done
    [ "$(id copy)" != "$was" ] || fail 'the checkpoint has given the UUID back'
    [ "$("$NB" show copy --json | jq -r .settings.notes)" = 'a lab' ] || fail 'no notes'
    say 'off, with images elsewhere'
    ;;
running)
    nb start lab
    within 20 counts lab 10 || fail 'it does not count'
    number=$(written lab)
    at=$(count lab)
    nb export lab "$out" >/dev/null
    must_be lab Running
    within 5 counts lab "$at" || fail 'it does not go on'
    [ "$("$NB" checkpoint list lab --json | jq length)" = 0 ] || fail 'its checkpoint is left'
    at=$(count lab)
    later=$(written lab)
    nb import "$out/lab" twin --new-id >/dev/null
    must_be twin Saved
    nb start twin
    within 10 counts twin 10 || fail 'the import does not go on'
    first=$(printed twin | sed -n 's/^count \([0-9]*\)$/\1/p' | head -n 1)
    [ "$first" -ge "$number" ] && [ "$first" -le "$later" ] || fail "the import begins at $first"
    within 10 disk_is twin "$number" || fail "the disk of the import has $(disk twin), not $number"
    within 10 disk_is lab "$later" || fail "the disk of the VM has $(disk lab), not $later"
    say 'exported while it ran'
    nb save lab
    nb export lab "$out/saved.tar" >/dev/null
    nb import "$out/saved.tar" third --new-id >/dev/null
    must_be third Saved
    nb start third
    within 10 counts third "$at" || fail 'the saved one does not go on'
    say 'exported while it was saved'
    nb checkpoint create lab --name here >/dev/null
    nb export lab "$out/then" --checkpoint here >/dev/null
    nb import "$out/then" fourth --new-id >/dev/null
    must_be fourth Saved
    [ "$("$NB" checkpoint list fourth --json | jq length)" = 0 ] || fail 'it has checkpoints'
    say 'a checkpoint exported'
    # A command that is killed, and one that is cancelled: nothing is left after the next.
    nb start lab
    dd if=/dev/urandom of="$work/big.raw" bs=1M count=200 status=none
    nb stop lab --turn-off
    nb disk add lab "$work/big.raw" >/dev/null
    nb start lab
    for signal in KILL INT; do
        for moment in 0.05 0.3 0.6 1; do
            "$NB" export lab "$out/killed" >/dev/null 2>"$work/err" </dev/null &
            pid=$!
            sleep $moment
            kill -$signal $pid 2>/dev/null
            wait $pid
            within 10 "$NB" set lab --notes "$signal $moment" 2>"$work/said" || fail "$(<"$work/said")"
            nothing_left || fail "left after $signal at $moment: $(ls -A "$out")"
            rm -rf "$out/killed"
            must_be lab Running
            "$NB" checkpoint list lab --json | jq -r '.[].name' | grep -v '^here$' >"$work/names"
            while read -r name; do nb checkpoint delete lab "$name"; done <"$work/names"
        done
    done
    say 'killed and cancelled'
    ;;
place)
    nb switch create lan --type private
    nb nic add lab --switch lan >/dev/null
    mac=$("$NB" nic list lab --json | jq -r '.[0].mac')
    nb export lab "$out/here" >/dev/null
    nb delete lab --force
    nb switch delete lan
    refused "the switch lan, which is not here.*\`nestbox switch create lan\` makes it" import "$out/here"
    "$NB" import "$out/here" --check --json >"$work/problems"
    [ $? = 14 ] && [ "$(jq -r '.[0].problem + .[0].switch' "$work/problems")" = switchlan ] ||
        fail "check says $(<"$work/problems")"
    nb switch create wan --type private
    nb import "$out/here" --in-place --switch wan >/dev/null
    [ "$("$NB" nic list lab --json | jq -r '.[0].mac')" = "$mac" ] || fail 'its card has another address'
    [ ! -e "$out/here/export.json" ] || fail 'it is an export still'
    refused 'no export' import "$out/here" again
    nb start lab
    within 20 counts lab 3 || fail 'it does not start'
    nb stop lab --turn-off
    nb rename lab attic
    nb delete attic --force
    [ -n "$(ls "$out/here/disks")" ] || fail 'its folder has gone with it'
    nb switch stop wan
    say 'in place'
    ;;
strange)
    nb export lab "$out/lab" >/dev/null
    nb delete lab --force
    bad() { # TEXT PROGRAM-OF-JQ: an export whose description says something else
        jq "$2" "$out/lab/export.json" >"$work/changed.json"
        rm -rf "$out/bad"
        cp -r "$out/lab" "$out/bad"
        cp "$work/changed.json" "$out/bad/export.json"
        refused "$1" import "$out/bad"
        [ -z "$(ls -A "$NESTBOX_HOME/vms")" ] || fail "left: $(ls -A "$NESTBOX_HOME/vms")"
    }
    bad 'no version that is known' '.version = 9'
    bad 'impossible name' '.files += ["../../etc/passwd"]'
    bad 'impossible name' '.files += ["/etc/passwd"]'
    bad 'not in it' '.definition.disks[0].settings.path = "/etc/passwd"'
    bad 'not in it' '.definition.disks[0].settings.path = "../../host.json"'
    bad 'cannot have' '.definition.disks[0].settings.format = "vmdk"'
    bad 'no such file|No such file' '.files += ["disks/none"]'
    bad 'is not a UUID' '.definition.id = "x"'
    own=$(jq -r '.files[0]' "$out/lab/export.json")
    for how in base link; do
        rm -rf "$out/bad"
        cp -r "$out/lab" "$out/bad"
        rm "$out/bad/$own"
        case $how in
        base)
            qemu-img create -q -f qcow2 -b /etc/passwd -F raw "$out/bad/$own"
            jq '.definition.disks[0].settings.format = "qcow2"' "$out/lab/export.json" >"$out/bad/export.json"
            said='stands on one that is not in it'
            ;;
        link)
            ln -s /etc/passwd "$out/bad/$own"
            said='symbolic links|links or devices|Too many levels'
            ;;
        esac
        refused "$said" import "$out/bad"
        tar -C "$out" -cf "$out/bad.tar" bad/export.json bad
        refused "stands on one that is not in it|links or devices" import "$out/bad.tar"
        [ -z "$(ls -A "$NESTBOX_HOME/vms")" ] || fail "left: $(ls -A "$NESTBOX_HOME/vms")"
    done
    # What it has of its host is left out, and named.
    jq '.definition.disks += [{"id": "cd0", "settings": {"kind": "cd", "bus": "ide", "controller": 1, "path":
        "/etc/passwd", "format": "raw"}}] | .definition.shares = [{"tag": "all", "settings": {"path": "/"}}]' \
        "$out/lab/export.json" >"$work/changed.json"
    cp "$work/changed.json" "$out/lab/export.json"
    nb import "$out/lab" >/dev/null
    grep -q 'cd0 of VM lab is empty now.*disk set lab/cd0' "$work/said" || fail "it says: $(<"$work/said")"
    grep -q 'shares no folder all any more' "$work/said" || fail "it says: $(<"$work/said")"
    [ "$("$NB" show lab --json | jq -c '[.shares, .disks[1].settings.path]')" = '[[],null]' ] || fail 'it has them'
    say 'exports that mean harm'
    ;;
*) fail "no case $1" ;;
esac
