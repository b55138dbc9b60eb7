#!/bin/bash
# Part of `make bench`: TCP between two guests in QEMU on the engine across a private switch, and between the same two
# joined by `-netdev socket` of QEMU, in turn in one run. Prints both and the ratio; fails if the switch is slower. Also
# prints the CPU time per full frame of all that took part, guests included, the least of the rounds: it depends less on
# what else the machine does.
# usage: bench-net.sh [ROUNDS [BYTES]]
if [ -z "${NET_INSIDE:-}" ]; then # before lib.sh makes namespaces, where packages cannot be fetched
    . "$(dirname "$0")/need.sh"
    need_build
    need busybox-static cpio xz-utils qemu-system-x86 seabios iproute2 jq socat
    make -s -j2 all build/loops nettools || die "the build failed"
    tools/fetch.sh build/debs || exit 1
    tools/mkinitrd.sh build/debs build/release/nestbox build/loops build/guest || exit 1
fi
. "$(dirname "$0")/../tests/net/lib.sh"
. tests/net/vms.sh
rounds=${1:-3} bytes=${2:-200000000}
image_make
"$NB" switch create net --type private --keep on >/dev/null || fail 'switch create'

# Prints the best of the transfers between two guests.
measured() { # NAMES of both
    guest "$2" 'peer serve 7000 >/dev/null 2>&1 & sleep 1' || fail "$2: no server"
    guest "$1" "peer fetch 10.0.0.2 7000 $bytes" 600 || fail "$1: no transfer"
}
# The CPU time that processes have had, in nanoseconds.
ran() { # PID...
    local pid
    for pid; do cat /proc/"$pid"/task/*/schedstat; done | awk '{ n += $1 } END { printf "%.0f\n", n }'
}
attached a
guest_start a 10.0.0.1/24 256 "${options[@]}"
attached b
guest_start b 10.0.0.2/24 256 "${options[@]}"
guest_start c 10.0.0.1/24 256 -netdev "socket,id=n,listen=127.0.0.1:7777" \
    -device virtio-net-pci,netdev=n,mac=02:00:00:00:00:0c
guest_start d 10.0.0.2/24 256 -netdev "socket,id=n,connect=127.0.0.1:7777" \
    -device virtio-net-pci,netdev=n,mac=02:00:00:00:00:0d
declare -A best=([switch]=0 [socket]=0) least=() took=()
took[switch]="${process[a]} ${process[b]} $(show net | jq -r .switch.pid)"
took[socket]="${process[c]} ${process[d]}"
frame=1448 # bytes of the transfer in a full frame
for ((round = 1; round <= rounds; round++)); do
    for way in switch socket; do
        pair=(a b)
        [ $way = switch ] || pair=(c d)
        # shellcheck disable=SC2086
        before=$(ran ${took[$way]})
        rate=$(measured "${pair[@]}" | tail -n 1)
        # shellcheck disable=SC2086
        cpu=$((($(ran ${took[$way]}) - before) / (bytes / frame)))
        [ "${least[$way]:-$((cpu + 1))}" -lt "$cpu" ] || least[$way]=$cpu
        [ "$rate" -gt 0 ] || fail "$way: $rate"
        [ "$rate" -le "${best[$way]}" ] || best[$way]=$rate
        printf '%s, round %d: %d Mbit/s, %d ns of CPU time per frame\n' $way $round $((rate / 1000000)) $cpu >&2
    done
done
ratio=$(awk -v a="${best[switch]}" -v b="${best[socket]}" 'BEGIN { printf "%.2f", a / b }')
verdict='at least 1'
awk -v r="$ratio" 'BEGIN { exit !(r >= 1) }' || verdict="$verdict: MISSED"
printf '%-24s %12s %12s %12s  %s\n' what switch socket ratio promise
printf '%-24s %12d %12d %12s  %s\n' 'TCP, Mbit/s' $((best[switch] / 1000000)) $((best[socket] / 1000000)) "$ratio" \
    "$verdict"
awk -v a="${least[switch]}" -v b="${least[socket]}" \
    'BEGIN { printf "%-24s %12.2f %12.2f %12.2f\n", "CPU per frame, us", a / 1000, b / 1000, a / b }'
[[ $verdict != *MISSED ]]
