#!/bin/sh
# Runs the bare-metal guests of tests/guest/table: run.sh [NESTBOX [GUEST...]], or with PEER=qemu under QEMU TCG, which
# lacks VMX and departs from the manuals in places. Prints the lines that are not ok, and one verdict per guest.
set -u
cd "$(dirname "$0")/../.." || exit 2
nestbox=${1:-build/release/nestbox}
[ $# -gt 0 ] && shift
images=$(dirname "$nestbox")/guest
passed=0 failed=0
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
while read -r guest cpus nested seconds cpu append; do
    case $guest in '#'* | '') continue ;; esac
    if [ $# -gt 0 ]; then
        case " $* " in *" $guest "*) ;; *) continue ;; esac
    fi
    seconds=$((seconds * 3)) # of a busy host
    if [ "${PEER:-}" = qemu ]; then
        timeout "$seconds" qemu-system-x86_64 -accel tcg -kernel "$images/$guest.elf" -cpu "${cpu:-max}" \
            -smp "$cpus" -m 128 \
            -device isa-debug-exit,iobase=0xf4,iosize=4 -device pc-testdev -display none -no-reboot -serial stdio \
            ${append:+-append "$append" -initrd "tests/guest/table 3 four"} >"$log" 2>&1 </dev/null
    else
        timeout $((seconds + 5)) "$nestbox" run --accel engine --kernel "$images/$guest.elf" --cpus "$cpus" \
            --nested "$nested" --cpu "${cpu:-max}" --memory 128M --debug-exit --timeout "$seconds" \
            ${append:+--append "$append" --initrd "tests/guest/table 3 four"} >"$log" 2>&1 </dev/null
    fi
    status=$?
    if [ $status -eq 1 ] && ! grep -q '^not ok' "$log"; then
        passed=$((passed + 1))
        echo "ok $guest cpus=$cpus${cpu:+ cpu=$cpu}: $(tail -n 1 "$log" | tr -d '\r')"
    else
        failed=$((failed + 1))
        grep -A 1 '^not ok' "$log"
        tail -n 3 "$log"
        echo "not ok $guest cpus=$cpus${cpu:+ cpu=$cpu}: status $status"
    fi
done <tests/guest/table
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
