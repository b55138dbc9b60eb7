#!/bin/bash
# --trace entry names the rule and the section that a failing VM entry broke. The guests make many of them.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

guests=$(dirname "$NESTBOX")/guest
[ -e "$guests/svm_checks.elf" ] || { echo "no guests: make guests"; exit 77; }
told() { # NESTED ACCEPTED-PATTERN
    timeout 60 "$NESTBOX" run --accel engine --kernel "$guests/$2.elf" --nested "$1" --debug-exit --memory 128M \
        --trace entry </dev/null >"$WORK/out" 2>"$WORK/err"
    check "$2: a broken rule has its name" grep -qE "$3" "$WORK/err"
}
told amd svm_checks '^nestbox: CPU 0: VM entry fails: ASID is not 0 \(APM 2, "Canonicalization and .+"\)'
told intel vmx_checks '^nestbox: CPU 0: VM entry fails: .+ \(SDM, ".+"\)'
guest "$WORK/off" "$POWER_OFF$HANG"
run 'unknown trace' 2 "'nothing' is not known" run --accel engine --kernel "$WORK/off" --trace entry,nothing
run 'nothing to tell' 0 '' run --accel engine --kernel "$WORK/off" --trace entry
finish
