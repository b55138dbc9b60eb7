#!/bin/bash
# Part of `make bench`: an installed Debian in QEMU on the engine and in QEMU by TCG, with the same image and the same
# devices. Each round starts both, and then measures them in turn, with the other one stopped, since the host's speed
# changes within minutes. Prints medians, the median of the ratios of neighbours, the smallest and the largest of them,
# and fails if a promise of SPEC.md is missed. Compute loops are compared with those that tools/bench.sh measured in L1
# of `nestbox run` before, if it did.
# usage: bench-qemu.sh [intel|amd] [ROUNDS [TURNS]]
set -u
loops='alu sha256 sieve matrix copy'
here=$(dirname "$0")
. "$here/need.sh"
VENDOR=${1:-intel}
rounds=${2:-2} turns=${3:-3}
need_build
need qemu-system-x86 qemu-utils socat
make -s -j2 all build/loops || die "the build failed"
"$here/test-disks.sh" || exit 1
out=build/bench
mkdir -p $out
PATIENCE=3
. "$here/../tests/qemu/lib.sh"
: >$out/values

now() { echo "${EPOCHREALTIME/[^0-9]/}"; }
value() { # accelerator, name, value
    echo "$*" | tee -a $out/values
}
for accel in kvm tcg; do
    overlay d0.$accel
    dd if=/dev/urandom of="$work/data.$accel" bs=1M count=256 status=none
done

# Starts the VM named after an accelerator, up to its login, and stops it.
start() {
    local vm=$1 disk=$work/d0.$1.qcow2 data=$work/data.$1 begin
    program=("$NB" qemu --accel engine --nested "$VENDOR")
    [ "$vm" = kvm ] || program=(qemu-system-x86_64)
    begin=$(now)
    # shellcheck disable=SC2046
    qemu "$vm" -accel "$vm" -cpu max -machine q35 -smp 1 -m 512M -no-reboot $(disk virtio-blk "$disk") \
        -drive "if=none,id=d1,file=$data,format=raw" -device virtio-blk-pci,drive=d1 \
        -netdev user,id=n0,guestfwd=tcp:10.0.2.100:80-cmd:"head -c 67108864 /dev/zero" -device virtio-net-pci,netdev=n0
    sees "$vm" 'root@debian:~# ' 500
    value "$vm" login "$(awk -v t=$(($(now) - begin)) 'BEGIN { printf "%.2f", t / 1e6 }')"
    echo 0 >"$work/$vm.place"
    logged_in "$vm" 60
    guest "$vm" 'sleep 10; for i in {1..60}; do ip -4 route | grep -q default && break; sleep 1; done' 100
    qmp "$vm" stop >/dev/null || fail "$vm does not stop"
}

measure() { # accelerator, name, the field of fio's terse output, a factor, options
    local output
    output=$(guest "$1" "fio --name=v --filename=/dev/vdb --direct=1 --ioengine=libaio --time_based --runtime=5 \
--output-format=terse $5 | grep '^3;' | cut -d';' -f$3" 200) || fail "fio: $output"
    value "$1" "$2" $((output / $4))
}

turn() { # accelerator
    local tcp
    qmp "$1" cont >/dev/null || fail "$1 does not go on"
    measure "$1" randread 8 1 '--rw=randread --bs=4k --iodepth=8'
    measure "$1" randwrite 49 1 '--rw=randwrite --bs=4k --iodepth=8'
    measure "$1" read 7 1024 '--rw=read --bs=1M --iodepth=4'
    tcp=$(guest "$1" 's=${EPOCHREALTIME/.}; cat </dev/tcp/10.0.2.100/80 | wc -c
        echo $((67108864 / (${EPOCHREALTIME/.} - s)))' 300)
    [ "${tcp%%$'\n'*}" = 67108864 ] || fail "TCP: $tcp"
    value "$1" tcp "${tcp##*$'\n'}"
    guest "$1" 'loops port' 100 | sed -n "s/^\(port\) \([0-9.]*\) .*/$1 \1 \2/p" | tee -a $out/values
    qmp "$1" stop >/dev/null || fail "$1 does not stop"
}

for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds"
    for accel in kvm tcg; do start $accel; done
    for ((i = 0; i < turns; i++)); do
        for accel in kvm tcg; do turn $accel; done
    done
    for accel in kvm tcg; do
        qmp $accel cont >/dev/null || fail "$accel does not go on"
        [ $accel = tcg ] || guest kvm "loops $loops" 300 | sed -n 's/^\([a-z0-9]*\) \([0-9.]*\) .*/kvm \1 \2/p' |
            tee -a $out/values
        # Without guest memory, which is the mapping of that size: how much of it a guest touches differs each time.
        value $accel rss "$(awk '/^Size:/ { ram = $2 == 512 * 1024 } /^Rss:/ && !ram { sum += $2 }
            END { printf "%d", sum / 1024 }' "/proc/${process[$accel]}/smaps")"
        types $accel poweroff
        ends $accel 0
    done
done

values() { sed -n "s/^$1 $2 //p" $out/values; } # accelerator, name
median() { sort -g | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "-" }'; }
missed=0
verdict() { # the ratio or value, at_most or at_least, the promise, a unit
    local kept
    kept=$(awk -v r="$1" -v l="$3" -v o="$2" 'BEGIN { print r == "-" || (o == "at_most" ? r <= l : r >= l) }')
    [ "$kept" = 1 ] || missed=1
    echo "${2/_/ } $3$4$([ "$kept" = 1 ] || echo ': MISSED')"
}
printf '%-20s %10s %10s %8s %13s  %s\n' median engine TCG ratio 'from, to' promise
for row in 'login s at_most 0.5' 'randread IO/s at_least 1.5' 'randwrite IO/s at_least 1.5' 'read MB/s at_least 1.5' \
    'tcp MB/s at_least 1.5'; do
    read -r name unit order promise <<<"$row"
    ratios=$(paste <(values kvm "$name") <(values tcg "$name") | awk '{ printf "%.2f\n", $1 / $2 }')
    ratio=$(median <<<"$ratios")
    printf '%-20s %10s %10s %8s %13s  ' "$name, $unit" "$(values kvm "$name" | median)" \
        "$(values tcg "$name" | median)" "$ratio" "$(sort -g <<<"$ratios" | sed -n '1p;$p' | paste -sd ' ')"
    verdict "$ratio" "$order" "$promise" ''
done
port=$(values kvm port | median)
printf '%-20s %10s %10s %8s %13s  ' 'port, us' "$port" "$(values tcg port | median)" '' ''
verdict "$port" at_most 3 ' us'
for name in $loops; do
    qemu=$(values kvm "$name" | sort -g | head -n 1)
    run=$(sed -n "s/.*NB L1 bench $name \([0-9.e+-]*\) .*/\1/p" $out/nestbox.log 2>/dev/null | sort -g | head -n 1)
    ratio=$(awk -v a="${qemu:-0}" -v b="${run:-0}" 'BEGIN { if (b == 0) print "-"; else printf "%.2f", a / b }')
    printf '%-20s %10s %10s %8s %13s  ' "$name" "${qemu:--}" "${run:--}" "$ratio" ''
    verdict "$ratio" at_most 1.05 ' of nestbox run'
done
rss=$(($(values kvm rss | sort -g | tail -n 1) - $(values tcg rss | sort -g | head -n 1)))
printf '%-20s %10s %10s %8s %13s  ' 'rss beyond RAM, MiB' "$(values kvm rss | median)" \
    "$(values tcg rss | median)" '' ''
verdict $rss at_most 256 ' more'
exit $missed
