#!/bin/bash
# Captures of one port, of all and of the drops, as tshark reads them; a reader that is slow or ends.
. "$(dirname "$0")/lib.sh"
has ping jq tshark capinfos
nb switch create net --type private --keep on
client a net 10.0.0.1/24
a=$mac card_a=$card
client b net 10.0.0.2/24
b=$mac
client c net 10.0.0.3/24
reaches a 10.0.0.2 || fail 'a does not reach b'

read_file() { # FILE FILTER FIELD...
    local file=$1 filter=$2 field fields=()
    shift 2
    for field; do fields+=(-e "$field"); done
    tshark -n -r "$work/$file" -Y "$filter" -T fields "${fields[@]}" 2>"$work/tshark.log" || fail "tshark: $file"
    ! grep -vE 'root|^$' "$work/tshark.log" || fail "tshark complains of $file"
}
capture() { # FILE OPTION...: in the background
    "$NB" switch capture net "${@:2}" >"$work/$1" 2>>"$work/capture.log" &
    capturing=$!
    within 3 test -s "$work/$1" || fail "no capture: $(<"$work/capture.log")"
}
ended() {
    sleep 0.3
    kill $capturing
    wait $capturing
}

capture all.pcapng
in_space a ping -q -c 5 -i 0.1 10.0.0.2 >/dev/null
ended
said=$(read_file all.pcapng 'icmp.type == 8' frame.interface_name frame.packet_flags_direction | sort | uniq -c |
    tr -s ' \t' ' ')
[ "$said" = $' 5 a/nic0 0x00000001\n 5 b/nic0 0x00000002' ] || fail "of all ports: $said"

capture one.pcapng --card a
in_space a ping -q -c 5 -i 0.1 10.0.0.2 >/dev/null
in_space b ping -q -c 5 -i 0.1 10.0.0.3 >/dev/null
ended
[ "$(read_file one.pcapng icmp frame.number | wc -l)" = 10 ] || fail 'of one port'
[ "$(read_file one.pcapng icmp frame.interface_name | sort -u)" = a/nic0 ] || fail 'of one port'

capture drops.pcapng --drops
in_space a ping -q -c 2 -i 0.1 10.0.0.2 >/dev/null
in_space a "$tools/frames" send eth0 plain 02:00:00:00:00:99 "$b" 3
in_space b "$tools/frames" send eth0 plain@7 "$b" "$a" 2
ended
[ "$(read_file drops.pcapng '' frame.number | wc -l)" = 5 ] || fail "drops: $(read_file drops.pcapng '' frame.comment)"
[ "$(read_file drops.pcapng 'frame.comment contains "spoofed" && frame.comment contains "nic set a/nic0"' eth.src |
    sort | uniq -c | tr -s ' ')" = ' 3 02:00:00:00:00:99' ] || fail "drops: $(read_file drops.pcapng '' frame.comment)"
[ "$(read_file drops.pcapng 'frame.comment contains "vlan"' frame.interface_name | sort -u)" = b/nic0 ] ||
    fail "drops: $(read_file drops.pcapng '' frame.comment)"

# A reader that sleeps: the network goes on, and what was lost is counted.
mkfifo "$work/slow"
"$NB" switch capture net >"$work/slow" &
capturing=$!
exec 5<"$work/slow"
in_space a "$tools/frames" send eth0 plain "$a" "$b" 20000 0 1400
reaches a 10.0.0.2 || fail 'a capture that is not read stops the network'
cat <&5 >"$work/slow.pcapng" &
reader=$!
sleep 1
in_space a ping -q -c 1 10.0.0.2 >/dev/null
sleep 0.5
kill $capturing
wait $capturing
exec 5<&-
wait $reader
said=$(capinfos -M "$work/slow.pcapng") || fail "capinfos: $said"
grep -q 'stat entries = [1-9]' <<<"$said" || fail "what was lost is not counted: $said"
refused 'no port|no card|no VM' switch capture net --card nobody
show net >/dev/null
