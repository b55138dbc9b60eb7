#!/bin/bash
# --perf-map writes names of translated code for `perf`, by function and by address, also for programs of the KVM API.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

# with_map OPTION...: `nestbox run`, and then the map is $WORK/perf
with_map() {
    timeout 60 bash -c 'echo $$ >"$0/pid" && exec "$@"' "$WORK" "$NESTBOX" run --accel engine --memory 16M \
        "$@" </dev/null >"$WORK/out" 2>"$WORK/err"
    local status=$? map
    map=/tmp/perf-$(cat "$WORK/pid").map
    rm -f "$WORK/perf"
    [ ! -e "$map" ] || mv "$map" "$WORK/perf"
    return $status
}
line() { # NAME PATTERN
    check "$1" grep -qE "$2" "$WORK/perf"
}
printf '0000000000100000 T start\n0000000000100021 t halted\n' >"$WORK/map"
# mov eax, [0x100000]: what an access does that the TLB does not have is apart from the rest
guest "$WORK/off" "\241\000\000\020\000$POWER_OFF$HANG"
check 'with names' with_map --kernel "$WORK/off" --perf-map --symbols "$WORK/map"
line 'a function' '^[0-9a-f]+ [0-9a-f]+ L1 kernel start\+0x20$'
line 'what is seldom run of it' '^[0-9a-f]+ [0-9a-f]+ L1 kernel start\+0x20 rest$'
line 'what blocks share' '^[0-9a-f]+ [0-9a-f]+ shared checks and jumps$'
line 'flushes are counted' '^0 1 \(translations were thrown away 0 times before these\)$'
# shellcheck disable=SC2016
overlaps=$(sort "$WORK/perf" | while read -r at size _; do
    ((16#$at >= ${end:-0})) || echo "$at"
    end=$((16#$at + 16#$size))
done)
check 'no piece lies in another' [ -z "$overlaps" ]
check 'without names' with_map --kernel "$WORK/off" --perf-map
line 'an address' '^[0-9a-f]+ [0-9a-f]+ L1 kernel 0x100020$'
with_map --kernel "$WORK/off"
check 'no map without it' [ ! -e "$WORK/perf" ]
guest "$WORK/hang" "$HANG"
check 'also after a time-out' [ "$(with_map --kernel "$WORK/hang" --timeout 0.3 --perf-map; echo $?)" = 8 ]
line 'where it hangs' ' L1 kernel 0x10002[0-9]$'

# A link that somebody put there is not followed.
echo precious >"$WORK/victim"
# shellcheck disable=SC2016
check 'with a link in its place' timeout 60 bash -c \
    'ln -s "$0" /tmp/perf-$$.map && echo $$ >"$1" && shift && exec "$@"' "$WORK/victim" "$WORK/pid" "$NESTBOX" run \
    --accel engine --memory 16M --kernel "$WORK/off" --perf-map
check 'it is replaced' [ ! -L "/tmp/perf-$(cat "$WORK/pid").map" ]
check 'and what it named stays' grep -qx precious "$WORK/victim"
rm -f "/tmp/perf-$(cat "$WORK/pid").map"

guests=$(dirname "$NESTBOX")/guest
if [ -e "$guests/vmx_checks.elf" ]; then
    with_map --kernel "$guests/vmx_run.elf" --nested intel --debug-exit --memory 128M --perf-map
    line 'code of L2' ' L2 kernel 0x'
fi

program=$(dirname "$NESTBOX")/tests/kvmapi/stats
if [ -x "$program" ] && [ -e "$(dirname "$NESTBOX")/libnestbox-kvm.so" ]; then
    # shellcheck disable=SC2016
    check 'a program of the KVM API' timeout 60 bash -c 'echo $$ >"$0" && exec "$@"' "$WORK/pid" "$NESTBOX" kvm \
        --accel engine --perf-map "$program"
    mv "/tmp/perf-$(cat "$WORK/pid").map" "$WORK/perf"
    line 'has its map, too' '^[0-9a-f]+ [0-9a-f]+ L1 kernel 0x'
fi
finish
