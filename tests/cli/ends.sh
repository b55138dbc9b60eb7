#!/bin/bash
# How VMs end: exit statuses, messages that show the state, signals, and what is left behind.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

vm=(run --accel "$ACCEL" --memory 16M)
guest "$WORK/hang" "$HANG"
guest "$WORK/off" "$PRINT_A$POWER_OFF$HANG"
guest "$WORK/reset" "$PRINT_A$RESET$HANG"
guest "$WORK/debug" "$DEBUG_EXIT$HANG"
guest "$WORK/fault" "$PRINT_A$TRIPLE_FAULT$HANG"
guest "$WORK/nowhere" "$JUMP_NOWHERE"
guest "$WORK/jumps" "$LOOP_OF_JUMPS"
guest "$WORK/returns" "$LOOP_OF_RETURNS"

run 'power-off' 0 '' "${vm[@]}" --kernel "$WORK/off"
check 'serial output' [ "$(cat "$WORK/out")" = A ]
run 'reset with --no-reboot' 10 'asked for a reset' "${vm[@]}" --kernel "$WORK/reset" --no-reboot
run 'debug exit' 43 '' "${vm[@]}" --kernel "$WORK/debug" --debug-exit
MANY_LINES=1
run 'triple fault with --no-reboot' 6 'triple fault' "${vm[@]}" --kernel "$WORK/fault" --no-reboot
check 'its state is named' grep -i rip "$WORK/err"
run 'triple faults in a row' 6 'given up' "${vm[@]}" --kernel "$WORK/fault"
check 'with a reset after each' [ "$(cat "$WORK/out")" = AAA ]
run 'time-out' 8 'did not end within 0.500' "${vm[@]}" --kernel "$WORK/hang" --timeout 0.5
check 'the state of a hang is named' grep -i rip "$WORK/err"
run 'jump into nowhere' 6 'triple fault' "${vm[@]}" --kernel "$WORK/nowhere" --no-reboot
check 'where it went is named' grep 'RIP .*:0000000070000000 ' "$WORK/err"
run 'time-out of a loop of jumps' 8 'did not end' "${vm[@]}" --kernel "$WORK/jumps" --timeout 0.5
run 'time-out of a loop of returns' 8 'did not end' "${vm[@]}" --kernel "$WORK/returns" --timeout 0.5
MANY_LINES=0
run 'serial port in a file' 0 '' "${vm[@]}" --kernel "$WORK/off" --serial "$WORK/serial"
check 'what is in the file' [ "$(cat "$WORK/serial")" = A ]

# The timers of vCPUs signal thousands of times a second, and wake none but their own thread.
"$NESTBOX" run --accel engine --memory 128M --kernel "$(dirname "$NESTBOX")/guest/storm.elf" --debug-exit \
    >"$WORK/out" 2>"$WORK/err" </dev/null &
pid=$!
while [ -d /proc/$pid ]; do
    switches=$(sed -n 's/^voluntary_ctxt_switches:\s*//p' /proc/$pid/task/$pid/status 2>/dev/null)
    woken=${switches:-$woken}
    sleep 0.02
done
wait $pid
check 'fast timers do not wake the owner of the VM' [ "${woken:-1000}" -lt 300 ]
# Where a timer takes longer to set than the least time between two of a guest's, the guest goes on all the same.
${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -Wall -Wextra -shared -fPIC -o "$WORK/slow_timer.so" tests/cli/slow_timer.c ||
    exit 1
for guest in storm:off svm_storm:amd; do
    SLOW_TIMER_US=250 LD_PRELOAD=$WORK/slow_timer.so timeout 120 "$NESTBOX" run --accel engine --memory 128M \
        --kernel "$(dirname "$NESTBOX")/guest/${guest%:*}.elf" --nested ${guest#*:} --debug-exit --timeout 100 \
        >"$WORK/out" 2>"$WORK/err" </dev/null
    check "${guest%:*} where timers are slow" [ $? = 1 ]
done

run 'serial port on a full disk' 4 'lost: --serial /dev/full: No space' "${vm[@]}" --kernel "$WORK/off" \
    --serial /dev/full
timeout 20 "$NESTBOX" "${vm[@]}" --kernel "$WORK/off" </dev/null >/dev/full 2>"$WORK/err"
check 'standard output on a full disk' [ $? = 4 ]
check 'what is said of it' grep -q 'lost: --serial stdio: No space' "$WORK/err"

timeout 20 "$NESTBOX" "${vm[@]}" --kernel "$WORK/off" --serial "$WORK/serial" <&- >&- 2>&-
check 'power-off with standard input and output closed' [ $? = 0 ]
check 'nothing else in the file' [ "$(cat "$WORK/serial")" = A ]

# ends_by SIGNAL STATUS: a hanging guest with its serial port on a socket
ends_by() {
    local pid status
    "$NESTBOX" "${vm[@]}" --kernel "$WORK/hang" --serial "unix:$WORK/socket" >"$WORK/out" 2>"$WORK/err" </dev/null &
    pid=$!
    for _ in $(seq 100); do
        [ -S "$WORK/socket" ] && break
        sleep 0.1
    done
    sleep 0.3
    kill -"$1" $pid
    wait $pid
    status=$?
    if [ "$status" != "$2" ]; then
        fail "ended by $1" "status $status, not $2" "$(cat "$WORK/err")"
    elif [ -e "$WORK/socket" ]; then
        fail "ended by $1" 'the socket is still there'
    else
        pass "ended by $1"
    fi
}
ends_by TERM 143
ends_by HUP 129
for signal in USR1 USR2 ALRM VTALRM PROF IO PWR STKFLT XCPU RTMIN+5 ABRT SEGV BUS ILL FPE TRAP SYS; do
    ends_by $signal $((128 + $(kill -l $signal)))
done
"$NESTBOX" "${vm[@]}" --kernel "$WORK/hang" >"$WORK/out" 2>"$WORK/err" </dev/null &
pid=$!
sleep 0.5
for signal in PIPE TTIN TTOU XFSZ WINCH URG RTMIN+1 RTMIN+2; do
    kill -$signal $pid
    sleep 0.1
    check "not ended by $signal" kill -0 $pid
done
kill $pid
wait $pid
mkfifo "$WORK/pipe"
timeout 20 "$NESTBOX" run --kernel "$WORK/pipe" >"$WORK/out" 2>"$WORK/err" </dev/null &
pid=$!
sleep 0.5
kill -TERM $pid
wait $pid
check 'ended while its kernel is a pipe that nobody writes' [ $? -gt 123 ]
timeout -k 5 20 "$NESTBOX" "${vm[@]}" --kernel "$WORK/off" --serial "$WORK/pipe" >"$WORK/out" 2>"$WORK/err" </dev/null &
pid=$!
sleep 1
kill -TERM $pid
wait $pid
check 'ended while its serial port is a pipe that nobody reads' [ $? = 143 ]
# A shell starts background commands with SIGINT ignored; job control does not.
set -m
ends_by INT 130
set +m
finish
