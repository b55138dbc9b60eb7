#!/bin/bash
# Where serial ports end: each kind, two of them, the log, who comes late, pipes that nobody opens; and the keys and the
# signal that press the guest's buttons.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
for program in pty client; do
    ${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -Wall -Wextra -o "$WORK/$program" tests/cli/$program.c || exit 1
done

vm=("$NESTBOX" run --accel "$ACCEL" --memory 16M)
PRINT_B2='\146\272\370\002\260\102\356' # mov dx, 0x2f8; mov al, 'B'; out dx, al
# mov dx, 0x600; in ax, dx; test ah, 1; jz back
WAIT_FOR_BUTTON='\146\272\000\006\146\355\366\304\001\164\371'
WAIT_FOR_BREAK='\146\272\375\003\354\250\020\164\373' # mov dx, 0x3fd; in al, dx; test al, 0x10; jz back
guest "$WORK/off" "$PRINT_A$POWER_OFF$HANG"
guest "$WORK/two" "$PRINT_A$PRINT_B2$POWER_OFF$HANG"
guest "$WORK/hang" "$PRINT_A$HANG"
guest "$WORK/echo" "$PRINT_A$ECHO"
guest "$WORK/button" "$PRINT_A$WAIT_FOR_BUTTON$POWER_OFF$HANG"
guest "$WORK/late" "$PRINT_A$WAIT_FOR_BUTTON$PRINT_A$HANG"
guest "$WORK/break" "$PRINT_A$WAIT_FOR_BREAK$POWER_OFF$HANG"
# mov ecx, 100000; mov dx, 0x3f8; mov al, 'x'; out dx, al; loop
guest "$WORK/much" "\271$(le32 100000)\146\272\370\003\260\170\356\342\375$PRINT_A$HANG"

start() { # OPTION...: $pid
    rm -f "$WORK/out" "$WORK/err" "$WORK/log"
    "${vm[@]}" "$@" >"$WORK/out" 2>"$WORK/err" </dev/null &
    pid=$!
}
ends() { # NAME STATUS
    wait $pid
    local got=$?
    if [ $got = "$2" ]; then pass "$1"; else fail "$1" "status $got, not $2" "$(cat "$WORK/err")"; fi
}
says() { # NAME PATTERN: within ten seconds
    for _ in $(seq 100); do
        grep -q -- "$2" "$WORK/err" && break
        sleep 0.1
    done
    check "$1" grep -- "$2" "$WORK/err"
}
prints_a() { # FILE: returns when A is the last that it has, after 20 seconds at most
    for _ in $(seq 200); do
        [ "$(tail -c 1 "$1" 2>/dev/null)" = A ] && break
        sleep 0.1
    done
}
client() { # NAME PATH SEND EXPECT [end]
    "$WORK/client" "${@:2}" >"$WORK/got" 2>&1
    check "$1" [ $? = 0 ]
}

start --kernel "$WORK/off" --serial none
ends 'no end at all' 0
check 'prints nothing' [ ! -s "$WORK/out" -a ! -s "$WORK/err" ]
start --kernel "$WORK/off" --serial file:"$WORK/tcp:1"
ends 'a file by its kind' 0
check 'has the output' [ "$(cat "$WORK/tcp:1")" = A ]
start --kernel "$WORK/two" --serial "$WORK/one" --serial "$WORK/other"
ends 'two ports' 0
check 'each has its own' [ "$(cat "$WORK/one" "$WORK/other")" = AB ]
start --kernel "$WORK/two" --serial stdio --serial none --serial-log "$WORK/log"
ends 'a log beside it' 0
check 'has the same, of the first port' [ "$(cat "$WORK/out" "$WORK/log")" = AA ]
start --kernel "$WORK/off" --serial none --serial-log /dev/full
ends 'a log on a full disk' 4
check 'is named' grep -- '--serial-log /dev/full: No space' "$WORK/err"

start --kernel "$WORK/echo" --serial pty
says 'a pseudo-terminal is named' 'serial port 1 is /dev/pts/'
client 'it works both ways, from what was printed before' "$(sed -n 's/.* is //p' "$WORK/err")" q Aq
client 'for the next one, too' "$(sed -n 's/.* is //p' "$WORK/err")" w w
kill $pid
ends 'and ends' 143

start --kernel "$WORK/hang" --serial unix:"$WORK/s" --serial-log "$WORK/log"
prints_a "$WORK/log"
client 'the first client gets what was printed before' "$WORK/s" '' A
kill $pid
wait $pid
start --kernel "$WORK/much" --serial unix:"$WORK/s" --serial-log "$WORK/log"
prints_a "$WORK/log"
client 'the last of it' "$WORK/s" '' xA
check 'which is 64 KiB' [ "$(wc -c <"$WORK/got")" = 65536 ]
kill $pid
wait $pid
start --kernel "$WORK/late" --serial unix:"$WORK/s" --serial-log "$WORK/log" --shutdown-timeout 60
prints_a "$WORK/log"
{ sleep 2; kill $pid; } &
client 'a client that ended its input gets what is printed later' "$WORK/s" '' AA end

kill $pid
wait $pid
start --kernel "$WORK/off" --serial unix:"$WORK/s",wait
says 'the start waits for a client' 'waiting for a client of unix:'
check 'and does wait' kill -0 $pid
client 'who gets all' "$WORK/s" '' A
ends 'then it runs' 0
start --kernel "$WORK/off" --serial unix:"$WORK/s",wait --timeout 1.5
ends 'no client: the time-out' 8
check 'says so' grep -- 'not a client of unix:.* within 1.500' "$WORK/err"
check 'no socket is left' [ ! -e "$WORK/s" ]

mkfifo "$WORK/pipe"
start --kernel "$WORK/pipe" --timeout 1.5
says 'a kernel in a pipe that nobody writes' "waiting for a writer of $WORK/pipe"
ends 'ends by the time-out' 8
start --kernel "$WORK/off" --initrd "$WORK/pipe" --timeout 1.5
says 'an initrd in such a pipe' "waiting for a writer of $WORK/pipe"
ends 'ends by the time-out, too' 8
start --kernel "$WORK/off" --serial "$WORK/pipe" --timeout 1.5
says 'a serial port in a pipe that nobody reads' "waiting for a reader of $WORK/pipe"
ends 'ends by the time-out, as well' 8
start --kernel "$WORK/pipe"
{ sleep 1.3; head -c 100; sleep 1; cat; } <"$WORK/off" >"$WORK/pipe"
ends 'who writes late and slowly is waited for' 0
start --kernel <(cat "$WORK/off") --serial "$WORK/pipe"
sleep 1.3
check 'who reads late gets the output' [ "$(cat "$WORK/pipe")" = A ]
ends 'and it ends' 0

typed() { # NAME STATUS KERNEL STEP... [-- OPTION...]
    local name=$1 want=$2 kernel=$3 steps=()
    shift 3
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        steps+=("$1")
        shift
    done
    "$WORK/pty" "${steps[@]}" -- "${vm[@]}" --kernel "$WORK/$kernel" "${@:2}" >"$WORK/out" 2>"$WORK/err"
    local got=$?
    if [ $got = "$want" ]; then pass "$name"; else fail "$name" "status $got, not $want" "$(tail -3 "$WORK/err")"; fi
}
typed 'Ctrl-a p is the power button' 0 button expect:A send:$'\001p'
typed 'Ctrl-a r resets' 12 hang expect:A send:$'\001r' expect:A send:$'\001x'
typed 'Ctrl-a r ends it with --no-reboot' 10 hang expect:A send:$'\001r' -- --no-reboot
typed 'Ctrl-a b is a BREAK' 0 break expect:A send:$'\001b'
# This guest has no handler.
typed 'Ctrl-a n is an NMI' 6 hang expect:A send:$'\001n' -- --no-reboot

start --kernel "$WORK/button" --shutdown-timeout 20
prints_a "$WORK/out"
kill -TERM $pid
ends 'SIGTERM presses the button' 0
start --kernel "$WORK/hang" --shutdown-timeout 1
prints_a "$WORK/out"
kill -TERM $pid
ends 'and ends who does not heed it' 143
check 'with a line' grep -- 'did not power off within 1.000 seconds (--shutdown-timeout)' "$WORK/err"
start --kernel "$WORK/hang" --shutdown-timeout 20
prints_a "$WORK/out"
kill -TERM $pid
sleep 0.5
kill -TERM $pid
ends 'a second one does not wait' 143
finish
