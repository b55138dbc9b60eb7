#!/bin/bash
# The host's clock is set back and forth while a VM runs: how long it has run, what it has used, the order of its
# checkpoints and who waits for whom do not follow.
set -u
. "$(dirname "$0")/lib.sh"
. tests/clock.sh
clocked

counter_disk "$work/counter.raw"
nb create lab --generation 1 --memory 64M --accel engine --disk "$work/counter.raw" --metering on
nb start lab
within 20 counts lab 3 || fail 'it does not count'
up() { "$NB" show lab --json | jq .uptime_ms; }
is_short() { [ "$1" -gt 0 ] && [ "$1" -lt 120000 ]; }
"$NB" list | grep -qE '^lab +Running .* [0-9]+s ' || fail "no uptime: $("$NB" list)"
nb checkpoint create lab --kind standard --name first >/dev/null
used() { nb meter lab --json | jq .cpu_ms; }
before=$(used)
for step in -7200 -86400 7200; do
    clock $step
    is_short "$(up)" || fail "after $step seconds it has run for $(up) ms"
    shown=$(nb shell -c '"$((Get-VM lab).Uptime)"' | tr -d '\r')
    [[ $shown = 00:0[01]:[0-9][0-9]* ]] || fail "after $step seconds Get-VM has an uptime of $shown s"
    at=$(count lab)
    within 10 counts lab "$at" || fail "it does not go on after $step seconds"
    nb checkpoint create lab --kind standard --name "at$step" >/dev/null
done
say 'it runs on, for as long as it has'
after=$(used)
[ "$before" -ge 0 ] && [ "$after" -gt "$before" ] && [ "$after" -lt 600000 ] ||
    fail "it used $before ms, then $after ms"
nb meter lab --json | jq -e '.seconds >= 0 and .seconds < 120' >/dev/null || fail "metered: $("$NB" meter lab --json)"
say 'what it has used'
order=$(nb checkpoint list lab --json | jq -r '[.[].name] | join(" ")')
[ "$order" = 'first at-7200 at-86400 at7200' ] || fail "the order of checkpoints: $order"
nb checkpoint delete lab at-86400
nb checkpoint apply lab at-7200 --force
nb start lab
within 10 counts lab 3 || fail 'it does not go on from a checkpoint of another time'
say 'checkpoints'
clock -100000
nb save lab
clock 100000
nb start lab
within 10 counts lab 3 || fail 'it does not go on after it was saved'
nb stop lab --turn-off
# a command that waits says since when the other is at work, which is no time before now
exec 9>>"$run/.lab.lock"
flock 9
printf '%d %d export\n' $$ "$(date +%s)" >"$run/.lab.lock"
clock -500000
"$NB" set lab --cpus 2 2>"$work/said" 9>&- &
within 5 grep -q "at work on VM lab for 0 seconds" "$work/said" || fail "it waits so: $(<"$work/said")"
exec 9>&-
wait $! || fail "it does not go on: $(<"$work/said")"
say 'locks'
