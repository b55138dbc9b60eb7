#!/bin/bash
# Bare-metal guests whose users the host's CPU executes (docs/direct.md): each access faults as the model of paging
# says, and leaves the accessed and dirty bits that it says.
set -u
nestbox=${1:-build/release/nestbox}
"$nestbox" doctor | grep -q '^  --direct       works' || {
    echo "no direct execution here: see nestbox doctor"
    exit 77
}
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
while read -r guest entries trapped; do
    "$nestbox" run --accel engine --kernel "build/release/guest/$guest.elf" --memory 128M --debug-exit --timeout 150 \
        --direct on --stats >"$log" 2>&1 </dev/null
    status=$?
    entered=$(sed -n 's/.* direct\.entries \([0-9]*\).*/\1/p' "$log")
    stopped=$(sed -n 's/.* direct\.trapped \([0-9]*\).*/\1/p' "$log")
    if [ $status -ne 1 ] || grep -q '^not ok' "$log" || [ "${entered:-0}" -lt "$entries" ] ||
        [ "${stopped:-0}" -lt "$trapped" ]; then
        cat "$log"
        echo "FAILED: $guest, status $status, ${entered:-0} entries, ${stopped:-0} stops at breakpoints"
        exit 1
    fi
    echo "ok $guest: $entered entries"
done <<'END'
access 200000 0
paging 15 0
fault 10 0
tsc 100 50
unfit 30 0
END
