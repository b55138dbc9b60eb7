#!/bin/bash
# The life of a VM by the manager's commands, with a guest that counts.
# states: each verb in each state. save: memory goes on where it was. killed: a worker that is killed at any time is
# replaced. guest: the guest powers itself off and resets itself.
# cases: states save killed guest
set -u
. "$(dirname "$0")/lib.sh"

counter_disk "$work/counter.raw"
nb create lab --generation 1 --memory 64M --accel engine --disk "$work/counter.raw" --json >/dev/null

case ${1:-states} in
states)
    must_be lab Off
    refused 'is Off and cannot be paused' pause lab
    refused 'is Off and cannot be saved' save lab
    nb stop lab
    grep -q 'is Off already' "$work/said" || fail "stop of a VM that is off says $(<"$work/said")"
    nb start lab
    must_be lab Running
    within 20 counts lab 3 || fail 'it does not count'
    nb start lab
    grep -q 'is Running already' "$work/said" || fail "start of a VM that runs says $(<"$work/said")"
    say 'it counts'
    nb pause lab
    must_be lab Paused
    before=$(count lab)
    sleep 0.5
    [ "$(count lab)" = "$before" ] || fail 'it counts while it is paused'
    refused 'is Paused and cannot be shut down' stop lab
    refused 'is Paused and cannot be deleted' delete lab --force
    nb resume lab
    within 5 counts lab "$before" || fail 'it does not go on'
    say 'paused and resumed'
    refused 'did not shut down within' stop lab --timeout 2
    must_be lab Running
    nb restart lab --hard
    within 20 grep -q 'count 1$' <<<"$(printed lab)" || within 20 counts lab || fail 'it does not start again'
    nb logs lab >"$work/log"
    grep -q 'the VM is reset from outside' "$work/log" || fail "a reset by a command: $(<"$work/log")"
    ! grep -q 'by its guest' "$work/log" || fail "a reset by a command is the guest's: $(<"$work/log")"
    nb screenshot lab --write "$work/lab.png" >/dev/null
    [ "$(head -c 4 "$work/lab.png" | tail -c 3)" = PNG ] || fail 'the picture is no PNG file'
    nb stats lab --json | jq -e '.cpu_ms > 0 and .drives.disk0.rd_bytes > 0' >/dev/null || fail 'no statistics'
    nb stop lab --turn-off
    must_be lab Off
    [ -z "$(find "$run/lab" -mindepth 1 ! -name '*.log' ! -name '*.lock')" ] || fail "what is left: $(ls "$run/lab")"
    say 'turned off'
    nb start lab
    within 20 counts lab 3 || fail 'it does not count'
    press lab u
    must_be lab Paused
    given_up='lab is paused: KVM cannot go on with its guest; `nestbox restart --hard` resets it, `nestbox stop '
    within 5 grep -q "problem  *VM $given_up" <("$NB" show lab) || fail "a guest that KVM gave up: $("$NB" show lab)"
    for verb in resume start save 'checkpoint create' stop restart; do
        # shellcheck disable=SC2086
        refused "^nestbox: VM $given_up" $verb lab
        is lab Paused || fail "after $verb it is $(state lab)"
    done
    nb restart lab --hard
    must_be lab Running
    within 20 counts lab 3 || fail 'it does not begin anew after KVM gave it up'
    [ "$("$NB" show lab --json | jq '.problem')" = null ] || fail "it still has $("$NB" show lab --json | jq .problem)"
    press lab u
    must_be lab Paused
    nb stop lab --turn-off
    must_be lab Off
    say 'what KVM gave up is reset or turned off, and nothing else'
    for i in 2 3; do nb create lab$i --generation 1 --memory 64M --accel engine; done
    nb start 'lab*'
    for i in '' 2 3; do must_be lab$i Running; done
    nb stop --all --turn-off
    for i in '' 2 3; do must_be lab$i Off; done
    say 'several at once'
    # A KVM of the host that cannot run what it is given: the VM says so.
    nb create given --accel kvm
    gave_up() { "$NB" show given | grep -q 'problem .*given is paused: KVM cannot go on with its guest; `nestbox'; }
    if [ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] && "$NB" start given 2>/dev/null; then
        ! within 2 is given Paused || within 5 gave_up || fail "it says $("$NB" show given)"
        nb stop given --turn-off
    fi
    nb delete given --force
    nb start lab3
    cp "$NESTBOX_HOME/vms/lab3/vm.json" "$work/whole.json"
    echo '{' >"$NESTBOX_HOME/vms/lab3/vm.json"
    refused 'is Running and cannot be deleted' delete lab3 --force
    nb stop lab3 --turn-off
    within 5 test ! -e "$run/lab3/worker.json" || fail 'it runs'
    refused 'vm.json: it is damaged' start '*'
    must_be lab Running
    must_be lab2 Running
    refused 'vm.json: it is damaged' stop --all --turn-off
    must_be lab Off
    nb delete lab3 --force
    [ ! -e "$NESTBOX_HOME/vms/lab3" ] || fail 'it is there'
    say 'one whose definition was damaged while it ran is ended and deleted, and is in the way of no other'
    ;;
save)
    nb start lab
    within 20 counts lab 10 || fail 'it does not count'
    for i in 1 2 3; do
        nb save lab
        must_be lab Saved
        [ -s "$NESTBOX_HOME/vms/lab/saved/state" ] || fail 'nothing is saved'
        refused 'is Saved and cannot be paused' pause lab
        nb start lab
        within 5 counts lab $((10 * i)) || fail "it counts from $(count lab)"
        [ ! -e "$NESTBOX_HOME/vms/lab/saved/saved.json" ] || fail 'it is saved and runs'
    done
    say 'saved and started three times'
    nb pause lab
    nb save lab
    must_be lab Saved
    nb stop lab --turn-off
    must_be lab Off
    [ -z "$(ls "$NESTBOX_HOME/vms/lab/saved")" ] || fail 'a dropped state is there'
    say 'saved while it was paused, and dropped'
    nb start lab
    within 20 counts lab 5 || fail 'it does not count'
    nb save lab
    cp "$NESTBOX_HOME/vms/lab/saved/state" "$work/good"
    truncate -s 100000 "$NESTBOX_HOME/vms/lab/saved/state"
    refused 'VM lab: ' start lab
    must_be lab Saved
    cp "$work/good" "$NESTBOX_HOME/vms/lab/saved/state"
    nb start lab
    within 5 counts lab 5 || fail 'it does not go on after the first try failed'
    say 'a state that cannot be read stays, and the VM is saved as before'
    ;;
killed)
    nb start lab
    within 20 counts lab 3 || fail 'it does not count'
    hung=$(worker lab)
    kill -STOP "$hung"
    "$NB" stop lab --turn-off 2>"$work/said" || fail "stop --turn-off of a VM whose worker hangs: $(<"$work/said")"
    must_be lab Off
    [ -z "$(readlink "/proc/$hung/exe")" ] || fail 'the worker that hung is there' # nobody may have waited for it yet
    say 'a worker that hangs is ended by stop --turn-off'
    nb start lab
    within 20 counts lab 5 || fail 'it does not count'
    for i in 1 2 3; do
        before=$(count lab)
        kill -9 "$(worker lab)"
        [ -d "/proc/$(qemu_process lab)" ] || fail 'QEMU ended with its worker'
        must_be lab Running
        within 5 counts lab "$before" || fail 'it does not count under another worker'
    done
    say 'found again three times'
    kill -9 "$(worker lab)"
    nb pause lab
    kill -9 "$(worker lab)"
    must_be lab Paused
    nb resume lab
    say 'a paused one is paused'
    # In the middle of a save: the VM is saved or runs on, and either way it counts on.
    for delay in 0 0.02 0.05 0.1 0.2; do
        before=$(count lab)
        "$NB" save lab >/dev/null 2>&1 &
        sleep $delay
        kill -9 "$(worker lab)" 2>/dev/null
        wait
        within 10 eval 'case $(state lab) in Saved | Running) ;; *) false ;; esac' || fail "it is $(state lab)"
        say "killed after $delay s of a save, it is $(state lab)"
        nb start lab
        within 10 counts lab "$before" || fail 'it does not go on'
    done
    # In the middle of a start: it is off, or runs.
    for delay in 0 0.02 0.05 0.1 0.2; do
        nb stop lab --turn-off
        "$NB" start lab >/dev/null 2>&1 &
        sleep $delay
        [ ! -s "$run/lab/worker.lock" ] || kill -9 "$(worker lab)" 2>/dev/null
        wait
        within 10 eval 'case $(state lab) in Off | Running) ;; *) false ;; esac' || fail "it is $(state lab)"
        say "killed after $delay s of a start, it is $(state lab)"
        nb start lab
        within 20 counts lab || fail 'it does not start'
    done
    kill -9 "$(qemu_process lab)"
    must_be lab Off
    say 'QEMU killed'
    # A worker that found QEMU running is not its parent, and says so much, too.
    nb start lab
    within 20 counts lab 3 || fail 'it does not count'
    kill -9 "$(worker lab)"
    must_be lab Running
    kill -9 "$(qemu_process lab)"
    must_be lab Off
    nb logs lab | tail -n 5 | grep -q 'QEMU ended by itself or was ended' || fail "the log: $(nb logs lab)"
    say 'QEMU killed, and another worker'
    ;;
guest)
    nb start lab
    within 20 counts lab 20 || fail 'it does not count'
    printf x | timeout 2 "$NB" console lab | grep -q 'key x' || fail 'a key does not arrive'
    printf r | timeout 1 "$NB" console lab --no-history >/dev/null
    within 20 eval '[ "$(count lab)" -lt 20 ]' || fail 'it does not reset itself'
    must_be lab Running
    nb logs lab | grep -q 'the VM is reset by its guest' || fail "a reset by its guest: $("$NB" logs lab)"
    say 'reset'
    timeout 60 "$NB" events lab >"$work/events" &
    heard() { nb pause lab && nb resume lab && [ -s "$work/events" ]; }
    within 10 heard || fail 'no events'
    printf o | timeout 1 "$NB" console lab --no-history >/dev/null
    must_be lab Off
    wait
    jq -se 'any(.event == "SHUTDOWN" and .data.guest)' "$work/events" >/dev/null || fail "events: $(<"$work/events")"
    nb logs lab | grep -q 'guest-shutdown' || fail "the log: $("$NB" logs lab)"
    say 'powered off by its guest'
    ;;
*) fail "no case $1" ;;
esac
