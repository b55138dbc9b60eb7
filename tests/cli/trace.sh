#!/bin/bash
# --trace entry names the rule and the section that a failing VM entry broke, --trace exits what each VM exit was. The
# guests make many of them. --symbols names functions.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

guests=$(dirname "$NESTBOX")/guest
[ -e "$guests/svm_checks.elf" ] || { echo "no guests: make guests"; exit 77; }
names_rule() { # NESTED GUEST PATTERN
    timeout 60 "$NESTBOX" run --accel engine --kernel "$guests/$2.elf" --nested "$1" --debug-exit --memory 128M \
        --trace entry </dev/null >"$WORK/out" 2>"$WORK/err"
    check "$2: a broken rule has its name" grep -qE "$3" "$WORK/err"
}
names_rule amd svm_checks '^nestbox: CPU 0: VM entry fails: ASID is not 0 \(APM 2, "Canonicalization and .+"\)'
names_rule intel vmx_checks '^nestbox: CPU 0: VM entry fails: .+ \(SDM, ".+"\)'
guest "$WORK/off" "$POWER_OFF$HANG"
run 'unknown trace' 2 "'nothing' is not known" run --accel engine --kernel "$WORK/off" --trace entry,nothing
run 'no entry that fails, no line' 0 '' run --accel engine --kernel "$WORK/off" --trace entry

exits() { # NESTED GUEST OPTION...
    local nested=$1 kernel=$2
    shift 2
    timeout 60 "$NESTBOX" run --accel engine --kernel "$guests/$kernel.elf" --nested "$nested" --debug-exit \
        --memory 128M --stats "$@" </dev/null >"$WORK/out" 2>"$WORK/err"
}
lines() { # NAME PATTERN FILE
    check "$1" grep -qE "$2" "$3"
}
exits intel vmx_intercepts --trace exits
lines 'VM exits in words' '^nestbox: CPU 0: L2 leaves at RIP 0x[0-9a-f]+: WRMSR: MSR 0xc0000082 = 0x7$' "$WORK/err"
exits amd svm_intercepts --trace exits,entry --trace-file "$WORK/trace"
lines 'a file of them' '^CPU 0: L2 leaves at RIP 0x[0-9a-f]+: I/O instruction: OUT port 0x80, 1 byte$' "$WORK/trace"
check 'a line for each' [ "$(grep -c leaves "$WORK/trace")" = "$(sed -nE 's/.*VM exits ([0-9]+) .*/\1/p' "$WORK/err")" ]
check 'which are not on standard error' [ "$(grep -c leaves "$WORK/err")" = 0 ]
exits intel vmx_checks --trace entry --symbols "$guests/vmx_checks.elf"
lines 'where L1 was' 'VM entry fails: .*, L1 at RIP 0x[0-9a-f]+ [a-z_0-9]+\+0x[0-9a-f]+$' "$WORK/err"

guest "$WORK/hang" "$HANG"
printf '0000000000100000 T start\n0000000000100021 t halted\n' >"$WORK/map"
run=(run --accel engine --memory 16M --timeout 0.5 --kernel "$WORK/hang")
MANY_LINES=1 run 'registers with the function' 8 'RIP [0-9a-f]+:0*100022 halted\+0x1 ' "${run[@]}" --symbols "$WORK/map"
guest "$WORK/fault" "$TRIPLE_FAULT"
MANY_LINES=1 run 'after a triple fault, too' 6 'RIP [0-9a-f]+:0*100020 start\+0x20 ' run --accel engine --no-reboot \
    --kernel "$WORK/fault" --symbols "$WORK/map"
run 'no list of symbols' 4 'symbols .*has no symbols of code' "${run[@]}" --symbols "$0"
run 'no such file' 4 'symbols .*/nowhere: No such file' "${run[@]}" --symbols "$WORK/nowhere"
run 'no name of a file' 2 'trace-file without the name of a file' "${run[@]}" --trace-file ''
run 'a trace leaves the kernel alone' 4 'is the file of --kernel' "${run[@]}" --trace entry --trace-file "$WORK/hang"
check 'which is still there' [ -s "$WORK/hang" ]
if [ -w /dev/full ]; then
    MANY_LINES=1
    run 'a full disk' 4 'lines of --trace-file are lost: No space left' run --accel engine --nested amd \
        --debug-exit --memory 128M --kernel "$guests/svm_intercepts.elf" --trace exits --trace-file /dev/full
fi
finish
