#!/bin/bash
# Readers of the serial port that stall for seconds, a pipe's and a terminal: the guest's timer and devices go on, and
# all output arrives in the end.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -Wall -Wextra -o "$WORK/pty" tests/cli/pty.c || exit 1

guests=$(dirname "$NESTBOX")/guest
[ -e "$guests/serial.elf" ] || { echo "no guests: make guests"; exit 77; }
vm=("$NESTBOX" run --accel engine --memory 32M --debug-exit --kernel "$guests/serial.elf")
awk 'BEGIN { for (i = 0; i < 65536; i++) printf "%07x\n", i }' >"$WORK/lines"

arrived() { # NAME STATUS: all lines in order, and the guest's verdicts
    check "$1: status" [ "$2" = 1 ]
    tr -d '\r' <"$WORK/out" >"$WORK/text"
    check "$1: every line arrives, in order" cmp "$WORK/lines" <(head -n 65536 "$WORK/text")
    check "$1: what the guest says of it" [ "$(grep -c '^ok' "$WORK/text")" = 6 ]
    grep '^not ok' "$WORK/text"
}

{
    timeout 60 "${vm[@]}" 2>"$WORK/err" </dev/null
    echo $? >"$WORK/status"
} | {
    sleep 4
    head -c 300000
    sleep 4
    cat
} >"$WORK/out"
arrived 'a pipe' "$(cat "$WORK/status")"

timeout 60 "$WORK/pty" pause:4000 expect:0008000 pause:4000 expect:000ffff -- "${vm[@]}" >"$WORK/out" 2>"$WORK/err"
arrived 'a terminal' $?

# Who never reads: the VM ends in time all the same.
started=$SECONDS
{
    timeout 60 "${vm[@]}" --timeout 3 2>"$WORK/err" </dev/null
    echo $? >"$WORK/status"
} | { sleep 8; }
check 'a reader that never reads: the time-out comes' [ "$(cat "$WORK/status")" = 8 ]
check 'and comes in time' [ $((SECONDS - started)) -le 15 ]
finish
