#!/bin/bash
# The settings of ports, with whole Linux stacks as clients: each rule stops what it should, counts it, and stops
# nothing else; changed while frames flow.
# cases: vlan trunk spoofing guards rogue storm maximum minimum protect mirror move
. "$(dirname "$0")/lib.sh"
has ping jq

# Counts frames at a client in the background; `seen SPACE KIND FROM TO VLAN` then prints how many came.
watches() { # SPACE...
    local name
    for name; do
        : >"$work/$name.ready"
        nsenter --net="/run/netns/$name" -- "$tools/frames" count eth0 0 >"$work/$name.seen" 2>"$work/$name.ready" &
        watcher[$name]=$!
    done
    for name; do within 5 grep -q ready "$work/$name.ready" || fail "frames are not counted at $name"; done
}
declare -A watcher=() bits=()
watched() { # after a moment in which frames arrive
    sleep 0.3
    kill "${watcher[@]}"
    wait "${watcher[@]}"
    watcher=()
}
seen() { # SPACE KIND FROM [VLAN]
    awk -v kind="$2" -v from="$3" -v vlan="vlan=${4:-0}" '$1 == kind && $2 == from && $4 == vlan { n += $5 }
        END { print n + 0 }' "$work/$1.seen"
}

everybody=ff:ff:ff:ff:ff:ff
nb switch create net --type private --keep on
case $1 in
vlan) # two pairs with the same addresses
    client a net 10.0.0.1/24 --vlan 10
    macs=$mac
    client b net 10.0.0.2/24 --vlan 10
    client c net 10.0.0.1/24 --vlan 20
    client d net 10.0.0.2/24 --vlan 20
    client e net 10.0.0.1/24
    reaches a 10.0.0.2 || fail 'a does not reach b'
    reaches d 10.0.0.1 || fail 'd does not reach c'
    silent e 10.0.0.2 || fail 'a port without VLAN reaches one of a VLAN'
    watches b c d e
    frames a send eth0 plain "$macs" $everybody 50 1000
    frames a send eth0 plain@20 "$macs" $everybody 7
    watched
    [ "$(seen b plain "$macs")" = 50 ] || fail 'broadcasts do not come'
    for other in c d e; do
        [ "$(seen $other plain "$macs")" = 0 ] || fail "broadcasts of VLAN 10 come to $other"
    done
    [ "$(counter net a vlan)" = 7 ] || fail "tagged frames of an access port: $(counter net a vlan) are counted"
    nb nic set c --vlan 10
    nb nic set d --vlan 10
    in_space c ip address change 10.0.0.3/24 dev eth0
    reaches c 10.0.0.2 || fail 'a VLAN that was changed does not hold'
    ;;
trunk)
    client a net '' --vlan 10
    a=$mac
    client b net '' --vlan 20
    client t net '' --trunk 10,20-29 --vlan 30
    t=$mac
    client n net '' --vlan 30
    n=$mac
    watches a b t n
    frames t send eth0 plain@10 "$t" $everybody 10 1000
    frames t send eth0 plain@20 "$t" $everybody 20 1000
    frames t send eth0 plain@11 "$t" $everybody 11 1000
    frames t send eth0 plain "$t" $everybody 30 1000
    frames a send eth0 plain "$a" $everybody 5 1000
    frames n send eth0 plain "$n" $everybody 6 1000
    watched
    [ "$(seen a plain "$t")/$(seen b plain "$t")/$(seen n plain "$t")" = 10/20/30 ] || fail 'of the trunk came:' \
        "$(seen a plain "$t")/$(seen b plain "$t")/$(seen n plain "$t")"
    [ "$(seen t plain "$a" 10)/$(seen t plain "$n" 0)" = 5/6 ] || fail "to the trunk came: $(<"$work/t.seen")"
    [ "$(counter net t vlan)" = 11 ] || fail "$(counter net t vlan) frames of a VLAN that is not the trunk's"
    ;;
spoofing) # a client that is a hypervisor with an L2 on its bridge
    client l1 net
    outer=$mac
    client b net 10.0.0.2/24
    space l2
    in_space l1 ip link add br0 address "$outer" type bridge
    in_space l1 ip link set eth0 master br0
    in_space l1 ip link add veth type veth peer name eth0 address 52:54:00:00:00:22 netns l2
    in_space l1 ip link set veth master br0
    for device in br0 veth; do in_space l1 ip link set $device up; done
    in_space l2 ip link set eth0 up
    in_space l2 ip address add 10.0.0.22/24 dev eth0
    in_space l1 ip address add 10.0.0.1/24 dev br0
    reaches l1 10.0.0.2 || fail 'L1 does not reach its neighbour'
    silent l2 10.0.0.2 || fail 'L2 reaches the network with spoofing off'
    within 3 counted net l1 spoofed 1 || fail 'what L2 sent is not counted'
    said=$(nb switch show net)
    for text in 52:54:00:00:00:22 'nested guest' 'nic set l1' spoofing; do
        grep -q -- "$text" <<<"$said" || fail "switch show does not say '$text': $said"
    done
    said=$("$NB" check 2>&1)
    for text in 52:54:00:00:00:22 'nested guest' 'nic set l1'; do
        grep -q -- "$text" <<<"$said" || fail "check does not say '$text': $said"
    done
    within 3 grep -q 52:54:00:00:00:22 "$NESTBOX_HOME/vms/l1/log" || fail 'the log of the VM says nothing'
    in_space l2 ping -i 0.2 -c 30 10.0.0.2 >"$work/ping.log" &
    ping=$!
    sleep 1
    nb nic set l1 --spoofing on
    wait $ping || fail 'nothing passes after spoofing was switched on'
    reaches b 10.0.0.22 || fail 'L2 is not reached with spoofing on'
    said=$("$NB" check 2>&1) || fail "check still finds after its own remedy: $said"
    ! nb switch show net | grep -q 'to let them pass' || fail 'switch show still has the remedy'
    # A guest does not hear of a new address of its card. That is no nested guest.
    old=$(jq -r '.[0].mac' < <(nb nic list b --json))
    nb nic set b --mac 52:54:00:00:00:bb
    within 5 counted net b spoofed 1 || silent b 10.0.0.1 || fail 'the old address still passes'
    within 5 says "b/nic0 at switch net: the guest still sends from $old, the address that the card had" "$NB" check ||
        fail "check: $("$NB" check 2>&1)"
    ! says 'nested guest' "$NB" check || fail 'check takes the guest for a nested one'
    says "stranger +$old: .*former address" nb switch show net || fail "switch show: $(nb switch show net)"
    within 3 grep -q "frames from $old, the address that the card had before" "$NESTBOX_HOME/vms/b/log" || fail 'log'
    in_space b ip link set eth0 address 52:54:00:00:00:bb
    reaches b 10.0.0.1 || fail 'the new address does not pass'
    counted net l1 spoofed 1 || fail 'what was dropped is forgotten'
    nb nic set l1 --spoofing off
    silent l2 10.0.0.2 || fail 'L2 reaches the network after spoofing was switched off again'
    reaches l1 10.0.0.2 || fail 'L1 does not reach its neighbour any more'
    # With NAT inside L1 it does without.
    has nft
    in_space l1 ip link set veth nomaster
    in_space l1 ip address add 192.168.100.1/24 dev veth
    in_space l2 ip address flush dev eth0
    in_space l2 ip address add 192.168.100.2/24 dev eth0
    in_space l2 ip route add default via 192.168.100.1
    in_space l1 sysctl -qw net.ipv4.ip_forward=1
    in_space l1 nft 'table ip n { chain p { type nat hook postrouting priority 100; oifname "br0" masquerade; }; }'
    reaches l2 10.0.0.2 || fail 'L2 does not reach the network by NAT'
    ;;
guards)
    client a net '' --dhcp-guard on --router-guard on
    a=$mac
    client c net
    c=$mac
    client b net
    watches b
    for kind in dhcp4 dhcp6 ra redirect6 redirect4 ra4 plain; do
        frames a send eth0 $kind "$a" $everybody 3
        frames c send eth0 $kind "$c" $everybody 4
    done
    watched
    for kind in dhcp4 dhcp6 ra redirect6 redirect4 ra4; do
        [ "$(seen b $kind "$a")/$(seen b $kind "$c")" = 0/4 ] || fail "$kind of a guarded port and of another:" \
            "$(seen b $kind "$a")/$(seen b $kind "$c")"
    done
    [ "$(seen b plain "$a")" = 3 ] || fail 'a guarded port loses other frames'
    [ "$(counter net a dhcp-guard)/$(counter net a router-guard)" = 6/12 ] || fail 'the guards count' \
        "$(counter net a dhcp-guard)/$(counter net a router-guard)"
    ;;
rogue) # a real server of DHCP and of router advertisements
    has dnsmasq busybox
    client r net 10.9.0.1/24 --dhcp-guard on --router-guard on
    client b net
    in_space r ip address add 2001:db8:9::1/64 dev eth0
    in_space b sysctl -qw net.ipv6.conf.eth0.accept_ra=2
    background r dnsmasq --no-daemon --conf-file=/dev/null --port=0 --interface=eth0 --bind-interfaces --user= \
        --dhcp-range=10.9.0.50,10.9.0.60 --dhcp-range=2001:db8:9::,ra-only --enable-ra --ra-param=eth0,4,1800 \
        --dhcp-leasefile="$work/leases" --pid-file=
    printf '#!/bin/sh\n[ "$1" != bound ] || echo "$ip" >%s/bound\n' "$work" >"$work/script"
    chmod 755 "$work/script"
    lease() {
        in_space b timeout $((3 * PATIENCE)) \
            busybox udhcpc -f -n -q -t 2 -T 1 -i eth0 -s "$work/script" &>>"$work/b.log"
    }
    routed() { in_space b ip -6 address show dev eth0 | grep -q 2001:db8:9; }
    lease && fail 'a lease from a guarded port'
    sleep 5
    routed && fail 'an address by a router behind a guarded port'
    counted net r dhcp-guard 1 && counted net r router-guard 1 || fail 'nothing is counted'
    nb nic set r --dhcp-guard off --router-guard off
    within 10 lease || fail 'no lease with the guard off'
    grep -q '^10\.9\.0\.' "$work/bound" || fail "the lease is $(<"$work/bound")"
    within 10 routed || fail 'no address by the router with the guard off'
    ;;
storm)
    client a net '' --storm-limit 500
    a=$mac
    client b net 10.0.0.2/24
    b=$mac
    watches b
    start=${EPOCHREALTIME/./}
    frames a send eth0 plain "$a" $everybody 20000 4000
    took=$((${EPOCHREALTIME/./} - start))
    frames a send eth0 plain "$a" "$b" 1000 4000
    watched
    passed=$(($(seen b plain "$a") - 1000)) wanted=$((500 * took / 1000000))
    say "$passed of 20000 broadcasts passed in $((took / 1000)) ms"
    # Each second begins anew, and the last one has just begun.
    [ $passed -ge $((wanted * 95 / 100)) ] && [ $passed -le $((wanted * 105 / 100 + 500)) ] || fail "not $wanted"
    near $((passed + $(counter net a storm))) 20000 15 || fail "$(counter net a storm) are counted"
    ;;
maximum)
    client a net 10.0.0.1/24 --bandwidth-maximum 5M
    a=$mac
    client b net 10.0.0.2/24
    b=$mac
    client c net 10.0.0.3/24
    serves c 7001
    for limit in 5 20; do
        nb nic set a --bandwidth-maximum ${limit}M
        background a "$tools/frames" send eth0 plain "$a" "$b" 100000000 $((limit * 200)) 1400
        flood=$started
        sleep 1
        over=0
        for try in {1..10}; do # a busy host may keep everybody from sending, and what waited then comes at once
            got=$(rate b 3)
            say "limit ${limit} Mbit/s: $got bit/s"
            [ "$got" -le $((limit * 1050000)) ] || over=$((over + 1))
            [ $over -le 2 ] || fail "with a limit of $limit Mbit/s $got bit/s arrive"
            near "$got" $((limit * 1000000)) 5 && break
            [ "$try" -lt 10 ] || fail "with a limit of $limit Mbit/s $got bit/s arrive"
        done
        # Others have no limit.
        [ $limit != 5 ] || [ "$(in_space b "$tools/peer" fetch 10.0.0.3 7001 50000000)" -gt 100000000 ] ||
            fail 'c is slow, too'
        kill $flood
    done
    ;;
minimum) # three that send more than the fourth takes, which is 16 Mbit/s
    client a net 10.0.0.1/24 --bandwidth-minimum 10M
    a=$mac
    client c net 10.0.0.3/24
    c=$mac
    client d net 10.0.0.4/24
    d=$mac
    takes=2000000 client b net 10.0.0.2/24
    b=$mac
    for sender in a c d; do
        background $sender "$tools/frames" send eth0 plain "${!sender}" "$b" 100000000 3000 1400
    done
    sleep 1
    shared() { # whether the shares are right, within 5 seconds
        local start=${EPOCHREALTIME/./} took sender
        frames b count eth0 5 >"$work/b.seen" 2>/dev/null
        took=$((${EPOCHREALTIME/./} - start))
        for sender in a c d; do
            bits[$sender]=$(($(seen b plain "${!sender}") * 1400 * 8 * 1000000 / took))
            say "$sender: ${bits[$sender]} bit/s"
        done
        [ "${bits[a]}" -ge 9500000 ] && [ "${bits[c]}" -ge 1500000 ] && near "${bits[c]}" "${bits[d]}" 20
    }
    shared || shared || shared || fail 'a does not get its minimum, or the others do not share the rest'
    ;;
protect)
    client a net 10.0.0.1/24 --protect on
    a=$mac
    client b net 10.0.0.2/24 --protect on
    b=$mac
    client c net 10.0.0.3/24
    reaches a 10.0.0.3 || fail 'a protected port does not reach another'
    reaches b 10.0.0.3 || fail 'b protected port does not reach another'
    silent a 10.0.0.2 || fail 'two protected ports reach each other'
    frames a send eth0 plain "$a" "$b" 3
    within 3 counted net a protected 3 || fail 'nothing is counted'
    nb nic set b --protect off
    reaches a 10.0.0.2 || fail 'a port that is not protected any more is not reached'
    ;;
mirror)
    client a net 10.0.0.1/24 --mirror source
    a=$mac
    client b net 10.0.0.2/24
    b=$mac
    client m net '' --mirror destination
    client x net
    reaches a 10.0.0.2
    watches m x
    frames a send eth0 plain "$a" "$b" 40 1000
    frames b send eth0 plain "$b" "$a" 50 1000
    frames b send eth0 plain "$b" $everybody 7 1000
    watched
    [ "$(seen m plain "$a")/$(seen x plain "$a")" = 40/0 ] || fail "mirrored: $(<"$work/m.seen")"
    [ "$(seen m plain "$b")/$(seen x plain "$b")" = 57/7 ] || fail "mirrored: $(<"$work/m.seen")"
    nb nic set a --mirror none
    watches m
    frames a send eth0 plain "$a" "$b" 40 1000
    watched
    [ "$(seen m plain "$a")" = 0 ] || fail 'mirroring does not end'
    ;;
move) # cards that run go from switch to switch, under a flood, and come and go in numbers
    nb switch create two --type private --keep on
    client a net 10.0.0.1/24
    client b net 10.0.0.2/24
    client c two 10.0.0.3/24
    reaches a 10.0.0.2 || fail 'a does not reach b'
    nb nic set a --switch two
    reaches a 10.0.0.3 || fail 'a that moved does not reach c'
    silent a 10.0.0.2 || fail 'a that moved still reaches b'
    in_space a ping -f -c 100000 10.0.0.3 >/dev/null 2>&1 &
    flood=$!
    for ((i = 0; i < 6; i++)); do
        nb nic set a --switch net
        nb nic set a --switch two
    done
    kill $flood
    reaches a 10.0.0.3 || fail 'a that moved back and forth does not reach c'
    [ "$(show net | jq -r '.ports[].vm')/$(show two | jq -r '.ports[].vm' | sort | xargs)" = 'b/a c' ] || fail ports
    nb nic add x --switch net --mac 02:00:00:00:00:77 >/dev/null
    nb nic add y --switch two --mac 02:00:00:00:00:77 >/dev/null
    refused '02:00:00:00:00:77 is the address of y/nic0 at switch two' nic set x --switch two
    adding=()
    for ((i = 0; i < 20; i++)); do
        "$NB" nic add "many$i" --switch two >/dev/null &
        adding+=($!)
    done
    wait "${adding[@]}"
    [ "$(show two | jq '.ports | length')" = 23 ] || fail "$(show two | jq '.ports | length') ports"
    nb nic remove a
    silent c 10.0.0.1 || fail 'a card that was removed is reached'
    "$NB" check || fail 'check finds something'
    ;;
*) fail "no case $1" ;;
esac
