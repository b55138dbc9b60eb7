#!/bin/bash
# The terminal while a guest's serial port is on it: raw mode, our keys and the guest's, and the terminal restored
# however the VM ends.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -Wall -Wextra -o "$WORK/pty" tests/cli/pty.c || exit 1

guest "$WORK/echo" "$PRINT_A$ECHO"
guest "$WORK/hang" "$PRINT_A$HANG"
guest "$WORK/off" "$PRINT_A$POWER_OFF$HANG"
guest "$WORK/fault" "$PRINT_A$TRIPLE_FAULT$HANG"

# typed NAME STATUS KERNEL STEP... [-- OPTION...]: what the terminal showed is in $WORK/out
typed() {
    local name=$1 want=$2 kernel=$3 steps=()
    shift 3
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        steps+=("$1")
        shift
    done
    timeout 60 "$WORK/pty" "${steps[@]}" -- "$NESTBOX" run --accel "$ACCEL" --memory 16M --kernel "$WORK/$kernel" \
        "${@:2}" >"$WORK/out" 2>"$WORK/err"
    local got=$?
    if [ "$got" = "$want" ]; then
        pass "$name"
    else
        fail "$name" "status $got, not $want" "$(cat "$WORK/err")" "$(cat -v "$WORK/out")"
    fi
}
shown() { # NAME TEXT: that is what the guest wrote, and nothing else was
    check "$1" [ "$(guest_text | cat -v)" = "$2" ]
}

typed 'Ctrl-a x ends it' 12 echo expect:A raw send:$'\001x'
shown 'and shows nothing of it' A
typed 'Ctrl-a X too' 12 echo expect:A raw send:$'\001X'
typed 'keys come to the guest, without local echo' 12 echo expect:A send:q expect:q send:$'\r' expect:$'\r' \
    send:$'\001x'
shown 'each key is shown once' 'Aq^M'
typed 'Ctrl-c, Ctrl-z, Ctrl-d, Ctrl-s, Ctrl-q and Ctrl-\ are keys too' 12 echo expect:A \
    send:$'\003\032\004\023\021\034' expect:$'\003\032\004\023\021\034' raw send:$'\001x'
typed 'Ctrl-a Ctrl-a sends one Ctrl-a' 12 echo expect:A send:$'\001\001.' expect:$'\001.' send:$'\001x'
shown 'no other key comes' 'A^A.'
typed 'keys that come one by one' 12 echo expect:A send:$'\001' send:$'\001' expect:$'\001' send:$'\001' send:x
typed 'Ctrl-a h helps' 12 echo expect:A send:$'\001h' expect:'Ctrl-a x  end the VM' expect:'Ctrl-a Ctrl-a' raw \
    send:q expect:q send:$'\001x'
typed 'Ctrl-a and any other key is nothing' 12 echo expect:A send:$'\001jq' expect:q send:$'\001x'
shown 'the guest does not get that key either' Aq

keys=$(printf '%0500d' 0)
typed 'Ctrl-a x after more keys than a guest that hangs takes' 12 hang expect:A send:"$keys" send:"$keys" send:"$keys" \
    send:"$keys" send:"$keys" send:$'\001x'

# A guest that takes its time over each byte: in al, dx and out dx, al as in ECHO, then mov ecx, 3000; loop; jmp back.
SLOW_ECHO='\146\272\375\003\354\250\001\164\367\146\272\370\003\354\356\271\270\013\000\000\342\376\353\350'
guest "$WORK/slow" "$PRINT_A$SLOW_ECHO"
awk 'BEGIN { for (i = 0; i < 4000; i++) printf "%07x.", i }' >"$WORK/pasted"
typed 'what is pasted comes to the guest' 12 slow expect:A paste:"$WORK/pasted" expect:0000f9f. send:$'\001x'
check 'all of it' cmp <(printf A; cat "$WORK/pasted") <(guest_text)
typed 'Ctrl-a x behind a paste that the guest does not take' 12 hang expect:A paste:"$WORK/pasted" send:$'\001x'

typed 'the guest powers off' 0 off expect:A
typed 'the guest has a triple fault' 6 fault expect:A -- --no-reboot
typed 'the time is over' 8 echo expect:A raw -- --timeout 3
for signal in HUP INT QUIT TERM; do
    number=$(kill -l $signal)
    typed "SIG$signal" $((128 + number)) echo expect:A raw signal:"$number"
done
# These signals are crashes. Each has its usual effect, also while a thread is taking the terminal.
${CC:-gcc} -shared -fPIC -O1 -Wall -Wextra -o "$WORK/slow_terminal.so" tests/cli/slow_terminal.c || exit 1
for signal in ABRT SEGV BUS ILL FPE TRAP SYS; do
    number=$(kill -l $signal)
    typed "SIG$signal" $((128 + number)) echo expect:A raw signal:"$number"
    LD_PRELOAD=$WORK/slow_terminal.so typed "SIG$signal while the terminal is taken" $((128 + number)) echo raw \
        signal:"$number"
done
typed 'the terminal goes away' 129 echo expect:A hangup
typed 'no kernel there' 4 nothing
typed 'the serial port is elsewhere' 0 off cooked -- --serial "$WORK/serial"
check 'keys are not ours then' [ ! -s "$WORK/out" ]
typed 'and the terminal stays as it is' 143 echo signal:15 cooked -- --serial "$WORK/serial"

job="'$NESTBOX' run --accel $ACCEL --memory 16M --kernel '$WORK/echo' --timeout 3"
"$WORK/pty" expect:A cooked -- bash -mc "$job & wait \$!" >"$WORK/out" 2>"$WORK/err"
check 'in the background the terminal is left alone' [ $? = 8 ]

# Job control of a real shell: whoever is in the foreground has the terminal.
echo "PS1='ready> '; bind 'set enable-bracketed-paste off'" >"$WORK/rc"
job="'$NESTBOX' run --accel $ACCEL --memory 16M --kernel '$WORK/echo'"
shell=(bash --noprofile --rcfile "$WORK/rc" -i)
jobs() { # NAME STEP...
    "$WORK/pty" expect:'ready> ' "${@:2}" -- "${shell[@]}" >"$WORK/out" 2>"$WORK/err"
    check "$1" [ $? = 0 ]
}
jobs 'a job that comes to the foreground takes the terminal' send:"$job &"$'\r' expect:A send:$'fg\r' expect:run raw \
    send:q expect:q send:$'\003' expect:$'\003' send:$'\001x' expect:'ready> ' \
    send:$'echo st$((1 + 1)) $?\r' expect:'st2 12' send:$'exit 0\r'
jobs 'Ctrl-a z stops it, and fg goes on' send:"$job"$'\r' expect:A raw send:q expect:q send:$'\001z' expect:Stopped \
    expect:'ready> ' send:$'echo st$((1 + 1))\r' expect:st2 send:$'fg\r' expect:run raw send:w expect:w \
    send:$'\001x' expect:'ready> ' send:$'exit 0\r'
jobs 'in the background it leaves the terminal to the shell' send:"$job"$'\r' expect:A raw send:$'\001z' \
    expect:Stopped expect:'ready> ' send:$'bg\r' expect:'ready> ' send:$'echo st$((1 + 1))\r' expect:st2 \
    send:$'kill %1; wait; echo st$((1 + 2))\r' expect:st3 send:$'exit 0\r'
finish
