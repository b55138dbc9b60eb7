#!/bin/bash
# Bare-metal guests whose users' pages are mapped at host addresses (docs/mapped.md): each access faults as the model of
# paging says, and leaves the accessed and dirty bits that it says.
set -u
nestbox=${1:-build/release/nestbox}
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
while read -r guest pages; do
    "$nestbox" run --accel engine --kernel "build/release/guest/$guest.elf" --memory 512M --debug-exit --timeout 150 \
        --direct off --mapped on --stats >"$log" 2>&1 </dev/null
    status=$?
    mapped=$(sed -n 's/.* users\.pages \([0-9]*\).*/\1/p' "$log")
    if [ $status -ne 1 ] || grep -q '^not ok' "$log" || [ "${mapped:-0}" -lt "$pages" ]; then
        cat "$log"
        echo "FAILED: $guest, status $status, ${mapped:-0} pages"
        exit 1
    fi
    echo "ok $guest: $mapped pages"
done <<'END'
access 100000
paging 15
fault 1
holes 60000
END
