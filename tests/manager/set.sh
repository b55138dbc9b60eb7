#!/bin/bash
# What a running VM takes of changes, and what it refuses: settings, memory, drives, its name, clones; and the remedies.
set -u
. "$(dirname "$0")/lib.sh"

counter_disk "$work/counter.raw"
nb create lab --generation 1 --memory 64M --accel engine --disk "$work/counter.raw" --json >/dev/null
nb start lab
within 20 counts lab 3 || fail 'it does not count'
refused 'rule R2 of profile open' set lab --nested amd
refused 'is Running and cannot be changed in this way' set lab --cpus 2
refused 'come and go only while a VM is off' disk add lab 16M --bus ide
refused 'is Running and cannot be changed in this way' share add lab "$work"
refused 'is Running and cannot be renamed' rename lab other
refused 'is Running and cannot be cloned' clone lab other
refused 'is Running and cannot be deleted' delete lab --force
nb set lab --notes 'while it runs' || fail 'its notes do not change'
nb set lab --error-timeout 7
[ ! -s "$work/said" ] || fail "a time-out of errors is noted: $(<"$work/said")"
nb set lab --error-action none
grep -q "what an error of a disk does changes with the VM's next start" "$work/said" ||
    fail "an action that QEMU does not take is not noted: $(<"$work/said")"
nb set lab --error-action pause
say 'what a running VM refuses, and takes'
nb set lab --memory 32M || fail "its memory does not shrink: $(<"$work/said")"
refused 'was started with 64M of memory and gets no more than 1G' set lab --memory 2G
nb set lab --memory 64M || fail 'its memory does not come back'
before=$(count lab)
within 5 counts lab "$before" || fail 'it does not go on'
say 'memory'
nb pause lab
refused 'is Paused and cannot be changed in this way' set lab --memory 32M
nb resume lab
nb stop lab --turn-off
nb set lab --nested amd --cpus 2 || fail 'the remedy, to stop it, does not help'
nb set lab --nested off --cpus 1
nb start lab
nb save lab
refused 'rule R2 of profile open' set lab --nested amd
nb stop lab --turn-off
nb set lab --nested amd || fail 'after the saved state is dropped it cannot be set'
say 'saved'
nb set lab --nested off
nb switch create lan
nb nic add lab --switch lan >/dev/null
nb nic set lab --switch ''
nb start lab
within 20 counts lab 3 || fail 'a VM whose card is at no switch does not start'
linked() { [ "$(nb nic list lab --json | jq '.[0].linked')" = "$1" ]; }
linked null || fail 'a card at no switch is at one'
nb nic set lab --switch lan
within 5 linked true || fail 'a card does not come to a switch while its VM runs'
nb nic set lab --switch ''
linked null || fail 'a card does not leave its switch while its VM runs'
nb stop lab --turn-off
nb clone lab lab2
[ "$(nb nic list lab2 --json | jq -c '[.[] | .switch]')" = '[null]' ] || fail 'the card of a clone'
nb export lab2 "$work/lab2" >/dev/null
nb delete lab2 --force
nb import "$work/lab2" >/dev/null
[ "$(nb nic list lab2 --json | jq -c '[.[] | .switch]')" = '[null]' ] || fail 'the card of an import'
say 'cards at no switch'
