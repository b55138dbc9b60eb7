#!/bin/bash
# What goes wrong on a network and must not harm others: a flood, a receiver that does not read, a switch that is killed
# while it is used, clients that come and go, a definition that is damaged.
# cases: flood stalled killed reattach garbage slowdisk folders
. "$(dirname "$0")/lib.sh"
has ping jq

# The greatest time of ping's last line, in whole milliseconds.
worst() { sed -n 's|^rtt .*/\([0-9]*\)\.[0-9]*/[0-9.]* ms.*|\1|p' "$1"; }
received() { sed -n 's/.* \([0-9]*\) received.*/\1/p' "$1"; }

unlinked() { [ "$(show net | jq -r --arg vm "$1" '.ports[] | select(.vm == $vm) | .linked')" = false ]; }
switch_pid() { show net | jq -r .switch.pid; }

nb switch create net --type private --keep on
client a net 10.0.0.1/24
a=$mac
client b net 10.0.0.2/24
b=$mac
client c net 10.0.0.3/24
client d net 10.0.0.4/24
case $1 in
flood)
    reaches c 10.0.0.4 || fail 'c does not reach d'
    reaches c 10.0.0.2 || fail 'c does not reach b'
    serves d 7000
    before=$(in_space c "$tools/peer" fetch 10.0.0.4 7000 200000000) || fail 'no transfer'
    in_space a "$tools/frames" send eth0 plain "$a" "$b" 1000000000 0 60 &
    flood=$!
    sleep 1
    in_space c ping -q -i 0.05 -c 60 10.0.0.4 >"$work/beside" || fail "c does not reach d: $(<"$work/beside")"
    in_space c ping -q -i 0.05 -c 60 10.0.0.2 >"$work/same" || fail "c does not reach b: $(<"$work/same")"
    for _ in 1 2 3; do # other programs of a busy host take CPUs, too
        rate=$(in_space c "$tools/peer" fetch 10.0.0.4 7000 100000000) || fail 'no transfer beside the flood'
        [ "$rate" -le $((before / 10)) ] || break
    done
    kill $flood
    say "beside: $(tail -n 1 "$work/beside"); to the same port: $(tail -n 1 "$work/same")"
    say "transfer of $before bit/s before, $rate beside the flood"
    [ "$(received "$work/beside")" -ge 57 ] || fail "$(<"$work/beside")"
    [ "$(received "$work/same")" -ge 45 ] || fail "$(<"$work/same")"
    # The programs that flood take most of the CPUs, too.
    [ "$rate" -gt $((before / 10)) ] || fail 'the flood takes what others need'
    ;;
stalled)
    reaches a 10.0.0.2 && reaches a 10.0.0.3 || fail 'a reaches nobody'
    kill -STOP "${port[b]}"
    in_space a "$tools/frames" send eth0 plain "$a" "$b" 20000 20000 1000
    serves c 7000
    rate=$(in_space a "$tools/peer" fetch 10.0.0.3 7000 100000000) || fail 'a port that does not read stops others'
    say "$rate bit/s beside a port that does not read"
    in_space a ping -q -i 0.05 -c 40 10.0.0.3 >"$work/ping" || fail "$(<"$work/ping")"
    [ "$(received "$work/ping")" = 40 ] || fail "$(<"$work/ping")"
    counted net b stalled 1 || fail "nothing is counted: $(show net)"
    kill -CONT "${port[b]}"
    reaches a 10.0.0.2 || fail 'a port that reads again is not reached'
    ;;
killed) # comes back by itself, while a ping runs
    reaches a 10.0.0.2 || fail 'a does not reach b'
    in_space a ping -i 0.1 -c 80 10.0.0.2 >"$work/ping" &
    ping=$!
    serves b 7000
    background a "$tools/peer" fetch 10.0.0.2 7000 400000000
    sleep 1
    before=$(switch_pid)
    kill -9 "$before"
    wait $ping
    wait $started || fail "a transfer does not survive: $(<"$work/a.log")"
    [ "$(switch_pid)" != "$before" ] || fail 'the process is the same'
    say "$(tail -n 2 "$work/ping" | head -n 1)"
    says 'ended by signal 9' nb switch show net || fail "it does not say so: $(nb switch show net)"
    [ "$(received "$work/ping")" -ge 60 ] || fail "$(<"$work/ping")"
    ;;
reattach) # clients that end and come back; a switch that starts last
    reaches a 10.0.0.2 || fail 'a does not reach b'
    for round in 1 2 3; do
        kill "${port[b]}"
        wait "${port[b]}" 2>/dev/null
        within 3 unlinked b ||
            fail 'the port of a client that ended is linked'
        socket=$(nb nic list b --json | jq -r '.[0].socket')
        tap b eth0 "$socket" "$b"
        in_space b ip address add 10.0.0.2/24 dev eth0
        reaches a 10.0.0.2 || fail "not reached after coming back $round times"
    done
    nb switch stop net
    silent a 10.0.0.2 || fail 'a switch that was stopped passes frames'
    nb switch start net
    reaches a 10.0.0.2 || fail 'not reached after the switch started again'
    ;;
garbage) # a client whose stream is no frames, and frames that are none
    reaches a 10.0.0.3 || fail 'a does not reach c'
    kill "${port[b]}"
    socket=$(nb nic list b --json | jq -r '.[0].socket')
    has socat
    for stream in '\xff\xff\xff\xff' '\0\0\0\0' '\0\0\0\1x' '\0\0\0\x0dabcdefghijklm' '\0\1\0\x0fabc'; do
        rm -f "$socket"
        { printf "$stream"; sleep 0.6; } | timeout 2 socat -u - "UNIX-LISTEN:$socket" >>"$work/b.log" 2>&1
    done
    timeout 3 socat -u /dev/urandom "UNIX-LISTEN:$socket,unlink-early" >>"$work/b.log" 2>&1
    reaches a 10.0.0.3 || fail 'a does not reach c any more'
    socket=$(jq -rn 'env.NESTBOX_HOME')/run/switches/net
    for request in '' '{' '[]' '{"do": 7}' '{"do": "nothing"}' '{"do": "capture", "port": 5}' \
        '{"do": "capture", "port": "none"}' "$(printf '[%.0s' {1..100000})"; do
        printf '%s\n' "$request" | timeout 2 socat - "UNIX-CONNECT:$socket" >>"$work/control.log" 2>&1
    done
    head -c 3000000 /dev/urandom | timeout 3 socat - "UNIX-CONNECT:$socket" >>"$work/control.log" 2>&1
    reaches a 10.0.0.3 || fail 'a does not reach c after what the control socket got'
    ;;
slowdisk) # the disk with the definitions takes its time: frames do not wait for it
    nb switch stop net
    LD_PRELOAD=$tools/slowdisk.so SLOW_WHEN=$work/slow SLOW_MS=400 nb switch start net
    reaches a 10.0.0.2 || fail 'a does not reach b'
    touch "$work/slow"
    in_space a ping -q -i 0.05 -c 80 10.0.0.2 >"$work/ping" &
    ping=$!
    in_space a "$tools/frames" send eth0 plain 02:00:00:00:00:99 "$b" 3 # which the log of the VM gets
    start=${EPOCHREALTIME/./}
    nb nic set a --protect on
    took=$(((${EPOCHREALTIME/./} - start) / 1000))
    wait $ping
    rm "$work/slow"
    say "a change took $took ms; $(tail -n 1 "$work/ping")"
    [ $took -ge 1000 ] || fail "the disk was not slow: $took ms"
    [ "$(received "$work/ping")" = 80 ] || fail "frames waited for the disk: $(<"$work/ping")"
    [ "$(worst "$work/ping")" -lt $((200 * PATIENCE)) ] || fail "frames waited for the disk: $(<"$work/ping")"
    [ "$(show net | jq -r '.ports[] | select(.vm == "a") | .settings.protect')" = true ] ||
        fail 'the change is not there'
    within 5 grep -q 02:00:00:00:00:99 "$NESTBOX_HOME/vms/a/log" || fail 'the log has nothing'
    ;;
folders) # those with the sockets and the lock are removed: the switch goes on, and can be found again
    reaches a 10.0.0.2 || fail 'a does not reach b'
    before=$(switch_pid)
    rm -r "$NESTBOX_HOME/run"
    silent a 10.0.0.2 && fail 'connections break'
    within 5 test -S "$NESTBOX_HOME/run/switches/net" || fail 'the socket does not come back'
    [ "$(switch_pid)" = "$before" ] || fail 'it is another process'
    client e net 10.0.0.5/24
    reaches e 10.0.0.1 || fail 'a new card does not reach a'
    refused 'runs already' switch run net
    ;;
*) fail "no case $1" ;;
esac
