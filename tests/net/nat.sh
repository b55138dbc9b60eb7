#!/bin/bash
# NAT networks with both back ends. Behind the host, at the interface `wan`, is the namespace `out` with servers and a
# name server; the host's resolver points there.
# cases: slirp kernel overlap-slirp overlap-kernel pool-slirp pool-kernel firewall restart-slirp restart-kernel
# cases: maps-slirp maps-kernel repair-kernel clock-slirp
# more cases: load-slirp load-kernel
. "$(dirname "$0")/lib.sh"
has ping jq dnsmasq nft
[ "$(id -u)" = 0 ] || skip 'root only'
backend=${1##*-}

outside
in_space out ip address add 2001:db8::1/64 dev eth0
ip address add 198.51.100.2/24 dev wan
ip address add 2001:db8::2/64 dev wan
ip route add default via 198.51.100.1
ip -6 route add default via 2001:db8::1
background out dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --user= --pid-file= --bind-interfaces \
    --interface=eth0 --address=/server.example/198.51.100.1 --address=/server.example/2001:db8::1
serves out 7000
echo 'nameserver 198.51.100.1' >"$work/resolv.conf"
mount --bind "$work/resolv.conf" /etc/resolv.conf || skip '/etc/resolv.conf cannot be replaced'

# leased VM: asks for an address as a guest does, and sets what it gets: address, gateway, name server.
cat >"$work/script" <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev eth0
[ -z "$router" ] || ip route add default via "${router%% *}"
echo "$ip ${router%% *} ${dns%% *}" >"$OUT"
END
chmod 755 "$work/script"
leased() {
    OUT=$work/$1.lease in_space "$1" busybox udhcpc -f -n -q -t 10 -T 1 -i eth0 -s "$work/script" &>>"$work/$1.log" &&
        read -r address gateway dns <"$work/$1.lease"
}
names() { # SPACE SERVER NAME: the address by the name server
    in_space "$1" busybox nslookup "$3" "$2" 2>/dev/null | grep -q 198.51.100.1
}

made() { nb "$@" >>"$work/made.log"; }

case $1 in
slirp | kernel)
    made nat create lab --prefix 192.168.100.0/24 --prefix6 fd00:100::/64 --backend "$backend"
    client a lab
    client b lab
    leased a || fail 'a gets no lease'
    address_a=$address
    say "lease: $address, gateway $gateway, names by $dns"
    leased b || fail 'b gets no lease'
    [ "$address" != "$address_a" ] || fail 'two have one address'
    reaches a "$address" || fail 'a does not reach b'
    reaches a "$gateway" || fail 'a does not reach the gateway'
    reaches a 198.51.100.1 || fail 'ICMP echo does not come back'
    in_space a timeout 60 "$tools/peer" fetch 198.51.100.1 7000 10000000 >/dev/null || fail TCP
    in_space a "$tools/peer" datagrams 198.51.100.1 7000 100 1000 >/dev/null || fail UDP
    within 5 names a "$dns" server.example || fail 'DNS'
    within 10 says fd00:100: in_space a ip -6 address show dev eth0 || fail 'no IPv6 address'
    [ "$backend" = slirp ] || reaches a 2001:db8::1 || fail 'ICMP echo by IPv6' # libslirp 4.7 knows that of IPv4 only
    in_space a timeout 60 "$tools/peer" fetch 2001:db8::1 7000 10000000 >/dev/null || fail 'TCP by IPv6'
    in_space a "$tools/peer" datagrams 2001:db8::1 7000 100 1000 >/dev/null || fail 'UDP by IPv6'
    # The outside does not reach in, except where a mapping says so.
    serves a 7001
    in_space out ip route add 192.168.100.0/24 via 198.51.100.2 2>/dev/null
    nb nat map lab --external 8001 --internal "$address_a:7001"
    within 3 in_space out timeout 60 "$tools/peer" fetch 198.51.100.2 8001 1000000 &>/dev/null || fail 'a mapped port'
    nb nat map lab --protocol udp --external 8002 --internal "$address_a:7001"
    within 3 in_space out "$tools/peer" datagrams 198.51.100.2 8002 20 500 >/dev/null 2>&1 || fail 'a mapped UDP port'
    nb nat unmap lab --external 8001
    ! in_space out timeout 2 "$tools/peer" fetch 198.51.100.2 8001 1000 >/dev/null 2>&1 || fail 'an unmapped port'
    # A second network beside it.
    made nat create more --prefix 192.168.101.0/24 --backend "$backend"
    client c more
    leased c || fail 'c gets no lease'
    grep -q '^192\.168\.101\.' "$work/c.lease" || fail "c gets $address"
    in_space c timeout 60 "$tools/peer" fetch 198.51.100.1 7000 10000000 >/dev/null || fail 'TCP of the second network'
    in_space a timeout 60 "$tools/peer" fetch 198.51.100.1 7000 10000000 >/dev/null || fail 'TCP of the first network'
    # Without DHCP and DNS.
    made nat create plain --prefix 10.77.0.0/16 --backend "$backend" --dhcp off --dns off
    client d plain 10.77.3.3/16
    in_space d ip route add default via 10.77.0.1
    in_space d timeout 60 "$tools/peer" fetch 198.51.100.1 7000 1000000 >/dev/null || fail 'TCP without DHCP'
    ! leased d || fail 'a lease without DHCP'
    nb nat list --json | jq -e 'length == 3' >/dev/null || fail 'nat list'
    ;;
load-*)
    made nat create lab --prefix 192.168.100.0/24 --backend "$backend"
    client a lab 192.168.100.50/24
    in_space a ip route add default via 192.168.100.1
    reaches a 198.51.100.1 || fail 'a does not reach the outside'
    [ "$(in_space a "$tools/peer" many 198.51.100.1 7000 1000)" = 1000 ] || fail '1000 connections at once'
    rate=$(in_space a timeout 60 "$tools/peer" fetch 198.51.100.1 7000 $((1 << 30))) || fail '1 GiB'
    say "1 GiB at $rate bit/s"
    ;;
maps-*) # ports that programs of the host have, and addresses that are not the host's
    "$tools/peer" serve 8001 >>"$work/host.log" 2>&1 &
    server=$!
    within 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8001' 2>/dev/null || fail 'no server on the host'
    made nat create lab --prefix 192.168.100.0/24 --backend "$backend"
    client a lab 192.168.100.50/24
    in_space a ip route add default via 192.168.100.1
    serves a 7001
    refused 'another program has it' nat map lab --external 8001 --internal 192.168.100.50:7001
    says 'TCP port 0.0.0.0:8001 of the host cannot be mapped: another program has it' nb nat show lab ||
        fail "a port of a program: $(nb nat show lab)"
    # The refusal is known as well to a switch that starts with the mapping.
    nb switch stop lab && nb switch start lab
    says 'TCP port 0.0.0.0:8001 of the host cannot be mapped' "$NB" check || fail "check: $("$NB" check)"
    in_space out timeout 60 "$tools/peer" fetch 198.51.100.2 8001 1000 >/dev/null || fail 'the program lost its port'
    [ "$backend" = slirp ] || ! nft list ruleset | grep -q 'dnat.*:7001' || fail 'a rule for what is refused'
    nb nat unmap lab --external 8001
    refused 'Cannot assign' nat map lab --external 203.0.113.9:8002 --internal 192.168.100.50:7001
    says 'port 203.0.113.9:8002 of the host cannot be mapped: Cannot assign' nb nat show lab ||
        fail "an address of nobody: $(nb nat show lab)"
    nb nat unmap lab --external 203.0.113.9:8002
    # What is mapped nobody else gets.
    nb nat map lab --external 8003 --internal 192.168.100.50:7001
    within 3 in_space out timeout 60 "$tools/peer" fetch 198.51.100.2 8003 1000000 &>/dev/null || fail 'a mapped port'
    timeout 2 "$tools/peer" serve 8003 &>/dev/null
    [ $? != 124 ] || fail 'another program has a mapped port'
    kill "$server" && wait "$server"
    nb nat map lab --external 8001 --internal 192.168.100.50:7001
    within 3 in_space out timeout 60 "$tools/peer" fetch 198.51.100.2 8001 1000000 &>/dev/null ||
        fail 'the port of a program that has ended'
    ;;
overlap-*)
    made nat create lab --prefix 192.168.100.0/24 --backend "$backend"
    refused 'other.*lab|lab.*other' nat create other --prefix 192.168.0.0/16 --backend "$backend"
    refused 'other.*lab|lab.*other' nat create other --prefix 192.168.100.128/25 --backend "$backend"
    refused '198.51.100.0/24|wan' nat create other --prefix 198.51.100.0/25 --backend "$backend"
    refused '192.168.100.0/24' nat create other --prefix 192.168.100.1/24 --backend "$backend"
    refused 'network lab' switch create in --type internal --address 192.168.100.7/28
    refused 'interface wan' switch create in --type internal --address 198.51.100.7/28
    made nat create other --prefix 192.168.101.0/24 --backend "$backend"
    refused 'lab' nat create lab --prefix 192.168.102.0/24 --backend "$backend"
    ;;
pool-*) # a prefix with few addresses
    made nat create lab --prefix 192.168.100.0/29 --backend "$backend"
    for vm in a b c d e; do client $vm lab; done
    count=0
    for vm in a b c d e; do leased $vm && count=$((count + 1)); done
    say "$count leases of 192.168.100.0/29"
    [ $count -ge 4 ] || fail "only $count leases"
    client f lab
    client g lab
    for vm in f g; do ! leased $vm || fail 'more leases than addresses'; done
    within 3 says 'problem +all 4 addresses of .* lab are in use.*nestbox nat release' nb switch show lab ||
        fail "switch show: $(nb switch show lab)"
    says "switch lab: all 4 addresses .*; .nestbox nat release. ends" "$NB" check || fail "check: $("$NB" check)"
    for vm in f g; do
        within 5 grep -q 'it gets no address: all 4 of the NAT network lab' "$NESTBOX_HOME/vms/$vm/log" ||
            fail "the log of $vm says nothing"
    done
    read -r ended _ <"$work/d.lease"
    nb nat release lab "$ended"
    leased f || fail 'no lease after one was ended'
    [ "$address" = "$ended" ] || fail "the lease is of $address"
    refused 'no lease of 192.168.100.77' nat release lab 192.168.100.77
    reaches a 198.51.100.1 || fail 'a does not reach the outside'
    ;;
firewall) # one that drops what is forwarded is found and named
    nft 'table ip guard { chain forward { type filter hook forward priority 0; policy drop; }; }'
    made nat create lab --prefix 192.168.100.0/24 --backend kernel
    client a lab 192.168.100.50/24
    within 3 says 'guard|forward' nb nat show lab || fail "nat show: $(nb nat show lab)"
    says 'guard|forward' "$NB" check || fail "check: $("$NB" check 2>&1)"
    ;;
repair-kernel) # what somebody takes away of a network comes back by itself, and is named
    made nat create lab --prefix 192.168.100.0/24 --prefix6 fd00:100::/64 --backend kernel
    client a lab
    leased a || fail 'a gets no lease'
    serves a 7001
    nb nat map lab --external 8001 --internal "$address:7001"
    pid=$(show lab | jq -r .switch.pid) interface=$(show lab | jq -r .nat.interface)
    passes() {
        in_space a timeout 5 "$tools/peer" fetch 198.51.100.1 7000 100000 &&
            in_space out timeout 5 "$tools/peer" fetch 198.51.100.2 8001 100000
    }
    back() { # WHAT TEXT COMMAND...: after the command all works again, without another one
        local what=$1 text=$2
        shift 2
        "$@" || fail "$*"
        within 10 passes &>/dev/null || fail "$what: it is not back: $(nb switch show lab)"
        within 3 says "repaired: .*$text" nb nat show lab || fail "$what is not named: $(nb nat show lab)"
        grep -q "NAT network lab: repaired: .*$text" "$NESTBOX_HOME/run/logs/lab" || fail "$what: the log says nothing"
        ! says "$text" "$NB" check || fail "$what: what is put back is no finding: $("$NB" check 2>&1)"
        say "$what: back"
    }
    within 5 passes &>/dev/null || fail 'nothing passes at first'
    back 'a host that loads its own rules' 'rules were removed from the host' nft flush ruleset
    back 'a chain' 'rules in the host.s nftables were changed' nft delete chain inet "$interface" enter
    back 'forwarding' 'did not forward packets any more' sysctl -qw net.ipv4.ip_forward=0
    back 'an interface that is down' 'interface was down' ip link set "$interface" down
    back 'addresses' 'interface had lost an address' ip address flush dev "$interface"
    back 'the interface' 'interface was deleted' ip link delete "$interface"
    names a "$dns" server.example || within 10 names a "$dns" server.example || fail 'no names behind the new interface'
    in_space a ip address flush dev eth0
    within 10 leased a || fail 'no lease behind the new interface'
    [ "$(show lab | jq -r .switch.pid)" = "$pid" ] || fail 'the process was started again'
    taken_over() { ip link delete "$interface" && ip link add "$interface" type bridge; }
    taken_over
    within 8 says 'interface was deleted, and cannot be put back' "$NB" check || fail "check: $("$NB" check 2>&1)"
    ip link delete "$interface"
    within 20 passes &>/dev/null || fail "not back after another one's interface: $(nb switch show lab)"
    back 'a name' 'interface was deleted' ip link set "$interface" down name other
    ! ip link show other &>/dev/null || fail 'the renamed interface is left'
    kill -9 "$(pgrep -P "$pid")" # dnsmasq
    within 10 names a "$dns" server.example || fail 'no names after dnsmasq was killed'
    # What cannot be put back is a finding, until it can.
    nft=$(command -v nft)
    cp "$nft" "$work/nft"
    mount --bind "$(type -P false)" "$nft"
    "$work/nft" flush ruleset
    within 8 says 'nftables cannot be read, and cannot be put back' "$NB" check || fail "check: $("$NB" check 2>&1)"
    umount "$nft"
    within 20 passes &>/dev/null || fail "not back after nft was: $(nb switch show lab)"
    ! says 'cannot be put back' "$NB" check || fail "check still says: $("$NB" check 2>&1)"
    nb nat delete lab --force
    [ "$(</proc/sys/net/ipv4/ip_forward)" = 0 ] || fail 'packets are still forwarded'
    ! nft list tables | grep -q "$interface" || fail 'a table is left'
    ;;
restart-*) # leases and prefixes stay
    made nat create lab --prefix 192.168.100.0/24 --backend "$backend"
    client a lab
    leased a || fail 'a gets no lease'
    first=$address
    kill -9 "$(show lab | jq -r .switch.pid)"
    nb switch start lab
    in_space a ip address flush dev eth0
    within 5 leased a || fail 'no lease after the switch started again'
    [ "$address" = "$first" ] || fail "the address was $first and is $address"
    reaches a 198.51.100.1 || fail 'a does not reach the outside after the start'
    client b lab
    leased b || fail 'b gets no lease'
    [ "$address" != "$first" ] || fail 'the address of a is given to b'
    nb nat set lab --dhcp off
    nb nat set lab --dhcp on
    in_space a ip address flush dev eth0
    leased a || fail 'no lease after DHCP was off'
    [ "$address" = "$first" ] || fail "the address was $first and is $address after DHCP was off"
    ;;
clock-*)
    . tests/clock.sh
    clocked
    made nat create lab --prefix 192.168.100.0/24 --backend "$backend"
    client a lab
    leased a || fail 'a gets no lease'
    first=$address
    for step in 300000000 -300000000; do # ten years
        clock $step
        now=$(($(date +%s) + step))
        nb nat show lab --json | jq -e --argjson now $now '.state.leases | length == 1 and
            all(.until > $now and .until < $now + 86500)' >/dev/null || fail "leases: $("$NB" nat show lab --json)"
        client "b$step" lab
        leased "b$step" || fail 'b gets no lease'
        [ "$address" != "$first" ] || fail 'the address of a is given to b'
        in_space a ip address flush dev eth0
        leased a || fail 'a gets no lease again'
        [ "$address" = "$first" ] || fail "the address was $first and is $address"
        nb nat release lab "$(<"$work/b$step.lease" cut -d ' ' -f 1)"
    done
    ;;
*) fail "no case $1" ;;
esac
