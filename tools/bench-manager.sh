#!/bin/bash
# Part of `make bench`: what commands of the manager take, and what a running VM costs the host beside its memory.
# Each time is the best of several; fails if a promise of SPEC.md is missed.
# usage: bench-manager.sh
set -u
here=$(dirname "$0")
. "$here/need.sh"
need_build
need qemu-system-x86 qemu-utils ovmf jq
make -s -j2 all || die "the build failed"
missed=0
promise() { # text, value, limit
    local verdict=kept
    [ "$2" -le "$3" ] || verdict=MISSED missed=1
    printf '%-60s %8s  limit %-6s %s\n' "$1" "$2" "$3" "$verdict"
}
least() { # times, command: the least ms of the runs
    local best=999999 start took i
    for ((i = 0; i < $1; i++)); do
        start=${EPOCHREALTIME/./}
        "${@:2}" >/dev/null 2>&1
        took=$(((${EPOCHREALTIME/./} - start) / 1000))
        [ $took -lt $best ] && best=$took
    done
    echo $best
}
cd "$here/.." || exit 1
. tests/manager/lib.sh

counter_disk "$work/counter.raw"
nb create first --generation 1 --memory 256M --disk "$work/counter.raw"
nb create second --generation 2 --memory 256M

# A start ends when QEMU has said that the vCPUs run.
for vm in first second; do
    best=999999
    for _ in 1 2 3 4 5; do
        took=$(least 1 "$NB" start $vm)
        [ "$took" -lt $best ] && best=$took
        must_be $vm Running
        nb stop $vm --turn-off
    done
    promise "a $vm generation's VM runs after its start, ms" $best 300
done

# Pages of the VM's memory are those of a memfd; the others are QEMU's, as far as it does not share them.
for vm in first second; do
    nb start $vm
    sleep 2
    sum=0
    for process in "$(qemu_process $vm)" "$(worker $vm)"; do
        sum=$((sum + $(awk '/^[0-9a-f]+-/ { guest = /memfd:memory-backend/ } /^Pss:/ && !guest { n += $2 }
            END { print n }' "/proc/$process/smaps")))
    done
    promise "QEMU and worker of an idle VM without its memory, MiB" $((sum / 1024)) 150
    nb stop $vm --turn-off
done

for i in $(seq 998); do
    mkdir "$NESTBOX_HOME/vms/v$i"
    sed "s/\"name\": \"first\"/\"name\": \"v$i\"/" "$NESTBOX_HOME/vms/first/vm.json" >"$NESTBOX_HOME/vms/v$i/vm.json"
done
promise 'a list of 1,000 VMs, ms' "$(least 10 "$NB" list)" 100
promise 'a verb without a VM (rules), ms' "$(least 10 "$NB" rules)" 20
promise 'a verb without a VM (switch list), ms' "$(least 10 "$NB" switch list)" 20
promise 'help, ms' "$(least 10 "$NB" help)" 20
exit $missed
