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
ended() { # [SIGNAL]: which is how a capture ends, when nothing comes any more
    local before='' now
    sleep 0.3
    while now=$(cat "$work"/*.pcapng "$work"/*.json 2>/dev/null | wc -c) && [ "$now" != "$before" ]; do
        before=$now
        sleep 0.3
    done
    kill -"${1:-TERM}" $capturing
    wait $capturing || fail "a capture ended by ${1:-TERM} has status $?"
}

# lines FILE SWITCH SPACE SOURCE OPTION...: a capture as lines of JSON. Frames of another type than IP, which the space
# sends from SOURCE, show when it has begun.
lines() {
    local file=$work/$1
    "$NB" switch capture "$2" "${@:5}" --json >"$file" 2>>"$work/capture.log" &
    capturing=$!
    begun() {
        frames "$1" send eth0 plain "$2" ff:ff:ff:ff:ff:ff
        [ -s "$file" ]
    }
    within 10 begun "$3" "$4" || fail "no capture: $(<"$work/capture.log")"
}
capture all.pcapng
in_space a ping -q -c 5 -i 0.1 10.0.0.2 >/dev/null
ended
said=$(read_file all.pcapng 'icmp.type == 8' frame.interface_name frame.packet_flags_direction | sort | uniq -c |
    tr -s ' \t' ' ')
[ "$said" = $' 5 a/nic0 0x00000001\n 5 b/nic0 0x00000002' ] || fail "of all ports: $said"

capture one.pcapng --port a
in_space a ping -q -c 5 -i 0.1 10.0.0.2 >/dev/null
in_space b ping -q -c 5 -i 0.1 10.0.0.3 >/dev/null
ended INT
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

# As lines of JSON: only what is dropped, and one port.
probe=02:00:00:00:00:98
lines drops.json net a $probe --drops
in_space a ping -q -c 2 -i 0.1 10.0.0.2 >/dev/null
in_space a "$tools/frames" send eth0 plain 02:00:00:00:00:99 "$b" 3
ended
jq -s -e --arg b "$b" --arg probe $probe 'map(select(.source != $probe)) | length == 3 and
    all(.[]; .port == "a/nic0" and .dropped == "spoofed" and .direction == "in" and
    .source == "02:00:00:00:00:99" and .destination == $b and .remedy == "nestbox nic set a/nic0 --spoofing on" and
    .meaning and (.time | test("^20[0-9-]*T[0-9:]*[.][0-9]{9}Z$")))' "$work/drops.json" >/dev/null ||
    fail "drops as JSON: $(<"$work/drops.json")"
lines one.json net a $probe --port a/nic0
in_space a ping -q -c 2 -i 0.1 10.0.0.2 >/dev/null
ended
jq -s -e '[.[] | select(.ethertype == "0x0800" and .dropped == null)] | length == 4 and
    ([.[] | select(.direction == "in")] | all(.[]; .source_ip == "10.0.0.1" and .destination_ip == "10.0.0.2"))' \
    "$work/one.json" >/dev/null || fail "one port as JSON: $(<"$work/one.json")"

# The port of NAT alone.
nb nat create lab --prefix 192.168.100.0/24 --backend slirp >/dev/null
client d lab 192.168.100.50/24
d=$mac
client e lab 192.168.100.51/24
reaches d 192.168.100.1 || fail 'd does not reach the gateway'
lines nat.json lab d "$d" --port nat
in_space d ping -q -c 2 -i 0.1 192.168.100.1 >/dev/null
in_space d ping -q -c 2 -i 0.1 192.168.100.51 >/dev/null
ended
jq -s -e '[.[] | select(.ethertype == "0x0800")] | length == 4 and all(.[]; .port | startswith("nbn"))' \
    "$work/nat.json" >/dev/null || fail "the port of NAT as JSON: $(<"$work/nat.json")"
refused 'switch net has no port nat' switch capture net --port nat
refused 'switch lab has no port outside' switch capture lab --port outside

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
refused 'no port|no card|no VM' switch capture net --port nobody
show net >/dev/null
