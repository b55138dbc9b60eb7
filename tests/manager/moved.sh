#!/bin/bash
# What strangers do to a home folder and to processes: it moves, it is copied, it cannot be written to; a worker is
# killed while a command waits for it. What is in the home folder is found where it is; what cannot be done is said.
set -u
. "$(dirname "$0")/lib.sh"

counter_disk "$work/counter.raw"
nb image import "$work/counter.raw" counter >/dev/null
nb create lab --generation 1 --memory 64M --accel engine --image counter
nb disk add lab 8M >/dev/null
nb checkpoint create lab --name old >/dev/null
nb clone lab 'other lab' --linked
base=$("$NB" disk list 'other lab' --json | jq -r '.[0].base')
[[ $base == "$NESTBOX_HOME"/* ]] || fail "its disk stands on $base"

mv "$NESTBOX_HOME" "$work/second home"
export NESTBOX_HOME="$work/second home"
run=$NESTBOX_HOME/run/vms
for vm in lab 'other lab'; do
    nb start "$vm"
    within 20 counts "$vm" 3 || fail "$vm does not count"
done
say 'the home folder has moved'
cp -a "$NESTBOX_HOME" "$work/third"
other() { NESTBOX_HOME=$work/third "$NB" "$@"; }
nb stop lab --turn-off
refused 'is on .*other lab|stand on its images' rename lab attic
nb stop 'other lab' --turn-off
nb delete 'other lab' --force
nb rename lab attic
nb start attic
within 20 counts attic 3 || fail 'it does not count under another name'
say 'renamed'

# A copy of a VM that runs has no process.
other list >/dev/null || fail 'the copy cannot be listed'
[ "$(other show lab --json | jq -r .state)" = Off ] || fail "the copy is $(other show lab --json | jq -r .state)"
[ "$(state attic)" = Running ] || fail 'the original has gone'
say 'copied'

"$NB" stop attic --timeout 5 >"$work/said" 2>&1 &
sleep 1
kill -9 "$(worker attic)"
wait $!
grep -q 'did not shut down within 5 seconds' "$work/said" || fail "stop says $(<"$work/said")"
"$NB" start attic --wait --timeout 5 >"$work/said" 2>&1 &
sleep 1
kill -9 "$(worker attic)"
wait $!
grep -qE 'agent|answer' "$work/said" && ! grep -q 'ended' "$work/said" || fail "start --wait says $(<"$work/said")"
within 20 is attic Running || fail "it is $(state attic)"
say 'workers are killed while commands wait'

nb stop attic --turn-off
rm "$NESTBOX_HOME"/images/counter*/* 2>/dev/null || rm "$NESTBOX_HOME"/images/counter*.qcow2
refused "Could not open.*No such file" start attic
"$NB" start attic 2>&1 | grep -q 'blockdev' && fail 'it says what QEMU was asked'
say 'an image is missing'

if unshare -m true 2>/dev/null; then
    unshare -m bash -c 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && shift; cd / || exit
        "$1" list >/dev/null && "$1" show attic >/dev/null || exit 1
        for verb in "start attic" "set attic --notes x" "create z" "delete attic --force"; do
            "$1" $verb 2>&1 | grep -q "Read-only file system" || exit 2
        done' "$NESTBOX_HOME" x "$NB" || fail "a home folder that cannot be written to: $?"
    say 'a home folder that cannot be written to'
fi
