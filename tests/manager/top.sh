#!/bin/bash
# What runs and what it uses: once as text and as JSON, and on a terminal until q is pressed.
set -u
. "$(dirname "$0")/lib.sh"

counter_disk "$work/counter.raw"
nb top >"$work/none"
[ "$(wc -l <"$work/none")" = 1 ] || fail "without VMs there is: $(<"$work/none")"
for vm in lab other; do nb create $vm --generation 1 --memory 64M --accel engine; done
nb disk add lab "$work/counter.raw" >/dev/null
nb switch create lan
nb nic add lab --switch lan >/dev/null
nb start lab
within 20 counts lab 5 || fail 'it does not count'
measured() { # on a busy host it may get no CPU time in a second
    nb top --seconds 1 --json >"$work/json"
    jq -e 'length == 1 and .[0].name == "lab" and .[0].cpu > 0 and .[0].memory == 67108864 and
        .[0].exits["l1 all"] > 0' "$work/json" >/dev/null
}
within 10 measured || fail "as JSON: $(<"$work/json")"
nb top --seconds 1 >"$work/text"
grep -qE '^lab +Running +[0-9.]+ +64.0 MiB' "$work/text" || fail "as text: $(<"$work/text")"
grep -q 'exits: l1 all' "$work/text" || fail 'no exits'
grep -q $'\033' "$work/text" && fail 'there are escapes where no terminal is'
say 'text and JSON'
${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -o "$work/pty" tests/cli/pty.c || exit 1
"$work/pty" expect:NAME expect:lab expect:exits send:e send:m 'expect:lab' send:q -- "$NB" top --seconds 1 \
    >"$work/screen" 2>"$work/said" || fail "on a terminal: $(<"$work/said")"
for signal in 2 15; do
    "$work/pty" expect:lab signal:$signal -- "$NB" top >"$work/screen" 2>"$work/said"
    [ $? = $((128 + signal)) ] || fail "after signal $signal: $(<"$work/said")"
    tail -c 20 "$work/screen" | grep -q $'\033\\[?1049l' || fail "signal $signal leaves the screen"
done
nb stop lab --turn-off
say 'on a terminal, which is as it was before'
