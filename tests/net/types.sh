#!/bin/bash
# The types of switches: who reaches whom, what the host gets, what is put back.
# cases: private internal external external-host bridge gone refusals
. "$(dirname "$0")/lib.sh"
has ping jq
[ "$(id -u)" = 0 ] || skip 'root only'

links() { ip -o link show | sed 's/^[0-9]*: //; s/[ @:].*//' | sort; }
same_links() { [ "$(links)" = "$before" ]; }
host_reaches() { within 5 ping -c 1 -W 1 -q "$1" >/dev/null; }
host_silent() { ! ping -c 3 -i 0.2 -W 1 -q "$1" >/dev/null; }
interface_of() { show "$1" | jq -r '.ports[] | select(.vm == null or .vm == "") | .interface // empty' | head -n 1; }

case $1 in
private)
    before=$(links)
    nb switch create one --type private
    nb switch create two --type private
    client a one 10.0.0.1/24
    client b one 10.0.0.2/24
    client c two 10.0.0.3/24
    reaches a 10.0.0.2 || fail 'a does not reach b'
    reaches b 10.0.0.1 || fail 'b does not reach a'
    silent a 10.0.0.3 || fail 'a reaches another switch'
    [ "$(links)" = "$before" ] || fail "the host got $(links)"
    ip address add 10.0.0.9/24 dev lo
    silent a 10.0.0.9 || fail 'a reaches the host'
    [ "$(nb switch list --json | jq -r '.[].name' | sort | tr '\n' ' ')" = 'one two ' ] || fail 'switch list'
    nb nic remove a
    silent b 10.0.0.1 || fail 'a card that was removed is reached'
    ;;
internal)
    before=$(links)
    nb switch create in --type internal --address 10.0.0.254/24 --keep on
    client a in 10.0.0.1/24
    client b in 10.0.0.2/24
    reaches a 10.0.0.2 || fail 'a does not reach b'
    reaches a 10.0.0.254 || fail 'a does not reach the host'
    host_reaches 10.0.0.1 || fail 'the host does not reach a'
    [ "$(comm -13 <(echo "$before") <(links) | wc -l)" = 1 ] || fail "the host got $(links)"
    refused 'internal switch in$|internal switch in[;:]' nat create lab --prefix 10.0.0.0/16 --backend slirp
    nb switch set in --address 10.0.0.253/24
    reaches a 10.0.0.253 || fail 'the host is not at its new address'
    interface=$(show in | jq -r .uplink.interface)
    address=$(in_space a ip neigh show 10.0.0.253 | sed 's/.*lladdr \([0-9a-f:]*\).*/\1/')
    kill -9 "$(show in | jq -r .switch.pid)" # guests need not ask for the host's Ethernet address again
    within 3 reaches a 10.0.0.253 || fail 'the host is not reached after the switch was killed'
    ip link show "$interface" | grep -q "${address:-none}" || fail "the host was $address: $(ip link show "$interface")"
    pid=$(show in | jq -r .switch.pid)
    ip link delete "$interface"
    within 5 reaches a 10.0.0.253 || fail "the host is not back after its interface was deleted: $(nb switch show in)"
    says 'note +repaired: its interface was deleted' nb switch show in || fail "show: $(nb switch show in)"
    ip link set "$interface" down
    within 3 says "interface $interface is down.*ip link set $interface up" "$NB" check || fail "check: $("$NB" check)"
    ip link set "$interface" up
    ip address flush dev "$interface"
    within 3 says "$interface has lost its address 10.0.0.253/24.*ip address add" "$NB" check || fail "$("$NB" check)"
    ip address add 10.0.0.253/24 dev "$interface"
    within 3 "$NB" check || fail "check: $("$NB" check)"
    [ "$(show in | jq -r .switch.pid)" = "$pid" ] || fail 'the process was started again'
    nb switch delete in --force 2>/dev/null || { nb nic remove a && nb nic remove b && nb switch delete in; }
    within 3 same_links || fail "left: $(links)"
    ;;
external)
    outside
    nb switch create ext --type external --interface wan --host off --keep on
    refused 'external switch ext has the interface wan already; connect the cards to that switch' \
        switch create ext2 --type external --interface wan
    other() { NESTBOX_HOME=$work/other "$NB" switch create ext2 --type external --interface wan --keep on; }
    says 'wan is in a bridge already: nbb-ext, of another external switch; connect the cards to that' other ||
        fail "an interface of another home's switch: $(other 2>&1)"
    client a ext 198.51.100.10/24
    client b ext 198.51.100.11/24
    reaches a 198.51.100.1 || fail 'a does not reach the outside'
    reaches a 198.51.100.11 || fail 'a does not reach b'
    in_space out ping -c 1 -W 2 -q 198.51.100.11 >/dev/null || fail 'b is not reached from outside'
    serves out 7000
    in_space a "$tools/peer" fetch 198.51.100.1 7000 100000000 >/dev/null || fail 'transfer from outside'
    serves a 7000
    in_space out "$tools/peer" fetch 198.51.100.10 7000 100000000 >/dev/null || fail 'transfer to outside'
    pid=$(show ext | jq -r .switch.pid)
    for part in interface bridge; do # somebody deletes what is the switch's own
        ip link delete "$(show ext | jq -r .uplink.$part)"
        within 5 reaches a 198.51.100.1 || fail "without its $part: $(nb switch show ext)"
        says "note +repaired: its $part was deleted" nb switch show ext || fail "show: $(nb switch show ext)"
    done
    [ "$(show ext | jq -r .switch.pid)" = "$pid" ] || fail 'the process was started again'
    nb switch delete ext --force
    ! ip link | grep -q 'nb[bx]-' || fail "left: $(ip link)"
    ;;
external-host)
    outside
    ip address add 198.51.100.2/24 dev wan
    ip route add default via 198.51.100.1
    addresses=$(ip -j address show dev wan | jq -c '[.[0].addr_info[] | .local] | sort')
    nb switch create ext --type external --interface wan --host on --keep on
    client a ext 198.51.100.10/24
    reaches a 198.51.100.1 || fail 'a does not reach the outside'
    reaches a 198.51.100.2 || fail 'a does not reach the host'
    host_reaches 198.51.100.10 || fail 'the host does not reach a'
    host_reaches 198.51.100.1 || fail 'the host does not reach the outside'
    ip route | grep -q '^default via 198.51.100.1' || fail "the host's routes: $(ip route)"
    settings=$("$NB" switch list --json | jq -c '.[0].settings')
    refused '198.51.100.2' switch set ext --host off # it would lose its address
    refused 'nothere' switch set ext --interface nothere
    [ "$("$NB" switch list --json | jq -c '.[0].settings')" = "$settings" ] || fail "what was refused: $settings"
    within 3 reaches a 198.51.100.1 || fail 'what was refused took the outside from a'
    host_reaches 198.51.100.1 || fail 'what was refused took the outside from the host'
    nb nic remove a
    nb switch delete ext
    host_reaches 198.51.100.1 || fail 'the host has lost the outside'
    [ "$(ip -j address show dev wan | jq -c '[.[0].addr_info[] | .local] | sort')" = "$addresses" ] ||
        fail "addresses of the interface: $(ip address show dev wan)"
    ip route | grep -q '^default via 198.51.100.1 dev wan' || fail "the host's routes: $(ip route)"
    ;;
bridge) # of the host's own
    outside
    ip link add br0 type bridge
    ip link set wan master br0
    ip link set br0 up
    ip address add 198.51.100.2/24 dev br0
    before=$(links)
    nb switch create ext --type external --interface br0 --keep on
    client a ext 198.51.100.10/24
    reaches a 198.51.100.1 || fail 'a does not reach the outside'
    reaches a 198.51.100.2 || fail 'a does not reach the host'
    nb switch create ext2 --type external --interface br0 --keep on # which may have several
    client b ext2 198.51.100.11/24
    reaches b 198.51.100.10 || fail 'two switches at a bridge do not reach each other'
    nb nic remove b
    nb switch delete ext2
    nb nic remove a
    nb switch delete ext
    within 3 same_links || fail "left: $(links)"
    host_reaches 198.51.100.1 || fail 'the bridge does not work any more'
    ;;
gone) # the interface is removed and comes back
    outside
    nb switch create ext --type external --interface wan --host off --keep on
    client a ext 198.51.100.10/24
    client b ext 198.51.100.11/24
    reaches a 198.51.100.1 || fail 'a does not reach the outside'
    ip link delete wan
    reaches a 198.51.100.11 || fail 'without the interface a does not reach b'
    within 3 says wan nb switch show ext || fail 'show'
    outside
    reaches a 198.51.100.1 || fail 'an interface that came back is not used'
    ;;
refusals)
    nb switch create net --type private --keep on
    client a net '' --mac 02:00:00:00:00:01
    refused 'net' switch create net --type private
    refused 'net' switch create NET --type private
    refused '02:00:00:00:00:01.*(a|b)|(a|b).*02:00:00:00:00:01' nic add b --switch net --mac 02:00:00:00:00:01
    refused 'nowhere' nic add b --switch nowhere
    refused 'nothere' switch create ext --type external --interface nothere --keep on
    refused 'interface' switch create other --type external
    refused 'vlan|5000' nic add b --switch net --vlan 5000
    refused 'group|multicast|01:' nic add b --switch net --mac 01:00:5e:00:00:01
    refused 'a' switch delete net
    refused '' switch create ../evil --type private
    refused '' nic add ../evil --switch net
    [ "$(nb nic list --json | jq length)" = 1 ] || fail "a refused card is there: $(nb nic list)"
    ;;
*) fail "no case $1" ;;
esac
