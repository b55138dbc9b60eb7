#!/bin/bash
# A standard checkpoint of a VM in which an L2 computes under KVM, applied again and again, and a VM that is saved and
# resumed again and again: L2 goes on each time, with the right results.
# usage: nested.sh VENDOR[-TIMES]
# cases: intel amd
# more cases: intel-10 amd-10
# limit: 1800
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
image=build/disk/test.raw
vendor=${1:-intel} times=2
[[ $vendor == *-* ]] && times=${vendor#*-} vendor=${vendor%-*}
[ -e $image ] || { echo "no $image: see tools/test.sh" && exit 77; }
for tool in qemu-system-x86_64 jq; do
    command -v $tool >/dev/null || { echo "$tool is missing" && exit 77; }
done
export NESTBOX_HOME=$WORK/home
unset XDG_RUNTIME_DIR
nb() { timeout "${LIMIT:-200}" "$NESTBOX" "$@"; }
trap 'LIMIT=30 nb stop lab --turn-off >/dev/null 2>&1; rm -rf "$WORK"' EXIT
agent_disk "$WORK/disk.raw"
${CC:-gcc} -O2 -static -Wall -Wextra -o "$WORK/l2" tests/manager/l2.c || exit 1

results() { nb console lab --print 2>/dev/null | tr -d '\r' | sed -n 's/.*l2 \([0-9]*\) \(.*\)/\1 \2/p'; }
last() { results | tail -n 1 | cut -d' ' -f1; }
first() { results | head -n 1 | cut -d' ' -f1; }
goes_on() { # COUNT: so many results more, all right, within a minute
    local from=${2:-$(last)} i
    for i in {1..600}; do
        [ "$(last)" -ge $((from + $1)) ] 2>/dev/null && { ! results | grep WRONG; } && return
        sleep 0.1
    done
    return 1
}

nb create lab --generation 1 --memory 512M --accel engine --nested "$vendor" --display none --disk "$WORK/disk.raw" ||
    exit 1
LIMIT=600 nb start lab --wait --timeout 550 2>"$WORK/err" || { cat "$WORK/err" && exit 1; }
check 'the program gets there' nb copy "$WORK/l2" lab:/root/l2
check 'KVM' nb exec lab -- modprobe kvm_"$vendor"
nb exec lab -- sh -c 'systemctl stop serial-getty@ttyS0 2>/dev/null; setsid /root/l2 </dev/null >/root/log 2>&1 &'
check 'L2 computes' goes_on 5 0
check 'L1 is seen to run a hypervisor' [ "$(nb show lab --json | jq .hypervisor_active)" = true ]
check 'a checkpoint' nb checkpoint create lab --name one --kind standard
at=$(last)
check 'it goes on' goes_on 5
for ((i = 1; i <= times; i++)); do
    nb checkpoint apply lab one --force 2>"$WORK/err" && nb start lab 2>>"$WORK/err" ||
        fail "apply $i" "$(cat "$WORK/err")"
    check "applied $i times, it goes on with the right results" goes_on 5 "$at"
    check "at the instant of the checkpoint" [ "$(first)" -le $((at + 2)) ]
done
for ((i = 1; i <= times; i++)); do
    at=$(last)
    nb save lab 2>"$WORK/err" && nb start lab 2>>"$WORK/err" || fail "save $i" "$(cat "$WORK/err")"
    check "saved $i times, it goes on with the right results" goes_on 5 "$at"
done
finish
