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
status=$?
guest_text >"$WORK/guest" && mv "$WORK/guest" "$WORK/out"
arrived 'a terminal' $status

# Nobody reads, and the VM ends in time all the same.
started=$SECONDS
{
    timeout 60 "${vm[@]}" --timeout 3 2>"$WORK/err" </dev/null
    echo $? >"$WORK/status"
} | { sleep 8; }
check 'a reader that never reads: the time-out comes' [ "$(cat "$WORK/status")" = 8 ]
check 'and comes in time' [ $((SECONDS - started)) -le 15 ]

# The guest ends while its reader stalls: what it wrote is read all the same. These guests do not look whether the
# transmitter is busy, so they write no more than queue and pipe, or terminal, hold.
prints() { # BYTES: mov ecx, BYTES; mov dx, 0x3f8; mov al, 'A'; out dx, al; loop
    guest "$WORK/prints$1" "\271$(le32 "$1")\146\272\370\003\260\101\356\342\375$POWER_OFF$HANG"
}
whole() { # NAME BYTES: that many As are in $WORK/out, and nothing else
    check "$1" [ "$(tr -d A <"$WORK/out" | wc -c) $(wc -c <"$WORK/out")" = "0 $2" ]
}
prints 100000
prints 60000
vm=("$NESTBOX" run --accel "$ACCEL" --memory 16M --kernel)
{
    timeout 60 "${vm[@]}" "$WORK/prints100000" 2>"$WORK/err" </dev/null
    echo $? >"$WORK/status"
} | {
    sleep 4
    cat
} >"$WORK/out"
check 'a guest that ends meanwhile: status' [ "$(cat "$WORK/status")" = 0 ]
whole 'all of it is read' 100000
timeout 60 "$WORK/pty" pause:4000 -- "${vm[@]}" "$WORK/prints60000" >"$WORK/out" 2>"$WORK/err"
check 'by a terminal too: status' [ $? = 0 ]
guest_text >"$WORK/guest" && mv "$WORK/guest" "$WORK/out"
whole 'all of it is shown' 60000
started=$SECONDS
{
    timeout 60 "${vm[@]}" "$WORK/prints100000" --timeout 3 2>"$WORK/err" </dev/null
    echo $? $((SECONDS - started)) >"$WORK/status"
} | { sleep 8; }
read -r status took <"$WORK/status"
check 'nobody reads: the wait ends with the time-out' [ "$status" = 0 -a "$took" -ge 2 -a "$took" -le 7 ]
mkfifo "$WORK/pipe"
exec 7<>"$WORK/pipe"
"${vm[@]}" "$WORK/prints100000" >&7 2>"$WORK/err" </dev/null &
pid=$!
sleep 2.5
kill -0 $pid
check 'nobody reads: it waits' [ $? = 0 ]
kill -TERM $pid
wait $pid
check 'and a signal ends that' [ $? = 143 ]
exec 7<&-
finish
