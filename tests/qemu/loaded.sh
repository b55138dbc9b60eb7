#!/bin/bash
# A guest on a host that has much else to do: four busy loops per core, while Linux starts and computes on two CPUs,
# with KVM's clock and (all) then with the TSC. It complains neither of its clocks nor of CPUs that stand still.
# usage: loaded.sh VENDOR-CORES, where CORES is one (the loops and the VM share one core, the others stay free) or all
# cases: amd-one
# more cases: intel-all amd-all
set -u
VENDOR=${1%-*} cores=${1#*-}
. "$(dirname "$0")/lib.sh"

program=("$NB" qemu --accel engine --nested "$VENDOR" --)
count=$(($(nproc) * 4))
cpus=(host "host,migratable=off,+invtsc")
if [ "$cores" = one ]; then
    count=4 cpus=(host)
    core=$(taskset -cp $$ | sed 's/.*[^0-9]//')
    program=(taskset -c "$core" "${program[@]}")
fi
for ((i = 0; i < count; i++)); do
    loop=(bash -c 'while :; do :; done')
    [ "$cores" = all ] || loop=(taskset -c "$core" "${loop[@]}")
    "${loop[@]}" &
    process[busy$i]=$!
done
for cpu in "${cpus[@]}"; do
    vm=${cpu//[^a-z]/}
    small "$vm" '' -cpu $cpu -smp 2 -m 256M -no-reboot
    [ "$(guest "$vm" nproc)" = 2 ] || fail 'a CPU is missing'
    guest "$vm" 'for i in 1 2 3; do seq 100000 | sha256sum & seq 100000 | sha256sum; wait; done | uniq | wc -l |
        grep -qx 1' 200 || fail 'wrong results'
    complaints "$vm" && fail 'the kernel complains'
    say "-cpu $cpu: $(guest "$vm" 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource; uptime' |
        tr '\n' ' ')"
    qmp "$vm" quit >/dev/null
    ends "$vm" 0 60
done
