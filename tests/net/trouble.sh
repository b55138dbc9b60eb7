#!/bin/bash
# What goes wrong around real guests in QEMU on the engine: a guest that plays server of DHCP and router; one that does
# not read; limits; a NAT network whose addresses are all in use; peers behind NAT that are gone, and the process of the
# switch with them; the host's interface, which goes and comes back. The last ones once per back end.
# cases: rogue stalled pool-kernel gone-slirp
# more cases: limits pool-slirp gone-kernel interface-external interface-slirp interface-kernel
# limit: 900
. "$(dirname "$0")/lib.sh"
has ping jq
. tests/net/vms.sh
. tests/program.sh
what=${1%%-*} backend=${1#*-}

# l1 NAME ADDRESS [SWITCH [OPTION...]]: a VM with one card. $mac is its address.
l1() {
    attached "$1" "${@:3}"
    guest_start "$1" "$2" 256 "${options[@]}"
}

# The guests' way to take a lease.
mkdir -p "$work/root/etc"
cat >"$work/root/etc/lease" <<'END'
#!/bin/sh
[ "$1" != bound ] || { ip addr flush dev eth0; ip addr add $ip/$mask dev eth0; ip route add default via $router; }
END
chmod 755 "$work/root/etc/lease"
leased() { guest "$1" 'udhcpc -n -q -t 3 -T 1 -i eth0 -s /etc/lease' >>"$work/$1.lease.log" 2>&1; }

# The network behind the host, with a server; to the host's interface belong an address and a route.
surroundings() {
    outside
    ip address add 198.51.100.2/24 dev wan
    ip route add default via 198.51.100.1
}
nat() { # PREFIX
    surroundings
    [ "$backend" != kernel ] || has nft dnsmasq
    "$NB" nat create lab --prefix "$1" --backend "$backend" >/dev/null || fail 'nat create'
}

# A transfer of SECONDS in the guest, while something happens to it. Its status is that of the guest's program, which
# ends by itself. (Not by busybox's timeout, whose second process ends later, and with it the shell that is init.)
transfer() { # NAME SECONDS
    guest "$1" "peer fetch 198.51.100.1 7000 1000000000000 $2" 120 >"$work/said" 2>&1
    local status=$?
    say "the transfer: status $status, $(tail -n 2 "$work/said" | head -n 1)"
    return $status
}
works() { # NAME: a new connection
    guest "$1" 'peer fetch 198.51.100.1 7000 1000000' 60 >"$work/said" 2>&1
}

[ "$(id -u)" = 0 ] || case $what in pool | gone | interface) skip 'root only' ;; esac
case $what in
rogue)
    has dnsmasq
    install_program "$(command -v dnsmasq)" "$work/root"
    image_make
    "$NB" switch create net --type private --keep on >/dev/null || fail 'switch create'
    l1 r 10.9.0.1/24
    l1 v 10.0.0.2/24
    # Not as a daemon: with the end of its first process the guest's shell, which is init, may end.
    guest r 'ip addr add 2001:db8:9::1/64 dev eth0; dnsmasq --conf-file=/dev/null --port=0 --interface=eth0 --user= \
        --bind-interfaces --dhcp-range=10.9.0.50,10.9.0.60 --dhcp-range=2001:db8:9::,ra-only --enable-ra \
        --ra-param=eth0,4,1800 --dhcp-leasefile=/leases --pid-file= --keep-in-foreground </dev/null >/dev/null 2>&1 & \
        sleep 1; kill -0 $!' || fail 'no rogue server'
    routed() { guest v 'ip -6 addr show dev eth0' | grep -q 2001:db8:9; }
    clean() { guest v 'ip addr flush dev eth0; ip -6 route flush default; ip link set eth0 down; ip link set eth0 up'; }
    taken() {
        clean
        within 15 leased v || fail "the victim gets no lease: $(<"$work/v.lease.log")"
        guest v 'ip -4 addr show dev eth0' | grep -q 10.9.0 || fail 'another lease'
        within 20 routed || fail "the victim takes no address of the router: $(guest v 'ip -6 addr')"
    }
    taken
    say 'without guards the victim takes lease and router'
    "$NB" nic set r --dhcp-guard on --router-guard on || fail 'nic set'
    clean
    ! leased v || fail 'a lease from a guarded port'
    sleep 10
    ! routed || fail 'an address by a router behind a guarded port'
    counted net r dhcp-guard 1 && counted net r router-guard 1 || fail 'nothing is counted'
    for said in "$("$NB" switch show net)" "$("$NB" check 2>&1)"; do
        for guard in dhcp-guard router-guard; do
            grep -q "nic set r/nic0 --$guard off" <<<"$said" || fail "not named: $said"
        done
    done
    say 'with guards, set while it runs, it takes neither'
    "$NB" nic set r --dhcp-guard off --router-guard off || fail 'nic set'
    taken
    ;;
stalled) # QEMU does not read while its VM is stopped
    image_make
    "$NB" switch create net --type private --keep on >/dev/null || fail 'switch create'
    l1 a 10.0.0.1/24
    a=$mac
    l1 b 10.0.0.2/24
    b=$mac
    client c net 10.0.0.3/24
    serves c 7000
    guest a 'ping -c 2 10.0.0.2' || fail 'a does not reach b'
    qmp b stop >/dev/null || fail stop
    guest a "frames send eth0 plain $a $b 20000 10000 1000" || fail 'frames'
    rate=$(guest a 'peer fetch 10.0.0.3 7000 20000000' 60) || fail 'a VM that is stopped stops others'
    say "$rate bit/s beside a VM that is stopped"
    counted net b stalled 1 || fail "nothing is counted: $(show net)"
    qmp b cont >/dev/null || fail cont
    within 10 guest a 'ping -c 1 -W 1 10.0.0.2 >/dev/null' || fail 'a VM that goes on is not reached'
    guest b 'ping -c 2 10.0.0.3' || fail 'b reaches nobody'
    ;;
limits)
    image_make
    "$NB" switch create net --type private --keep on >/dev/null || fail 'switch create'
    l1 a 10.0.0.1/24 net --bandwidth-maximum 5M
    a=$mac
    client b net 10.0.0.2/24
    b=$mac
    flood() { # RATE TO COUNT: the guest sends so many frames
        types a "frames send eth0 plain $a $2 $3 $1 1400"
        sleep 1
    }
    for limit in 5 20; do
        "$NB" nic set a --bandwidth-maximum ${limit}M || fail 'nic set'
        flood $((limit * 200)) "$b" $((limit * 89 * 20))
        over=0
        for try in {1..10}; do # a busy host may keep the guest from sending, and what waited then comes at once
            got=$(rate b 5)
            say "limit of $limit Mbit/s: $got bit/s"
            [ "$got" -le $((limit * 1050000)) ] || over=$((over + 1))
            [ $over -le 2 ] || fail "with a limit of $limit Mbit/s $got bit/s arrive"
            near "$got" $((limit * 1000000)) 5 && break
            [ "$try" -lt 10 ] || fail "with a limit of $limit Mbit/s $got bit/s arrive"
        done
        guest a 'echo' 120 >/dev/null # when the flood is over
    done
    # Each second of the storm limit begins anew, so of 30 seconds one more or less is counted.
    "$NB" nic set a --bandwidth-maximum 0 --storm-limit 500 || fail 'nic set'
    flood 2000 ff:ff:ff:ff:ff:ff 80000
    got=$(($(rate b 30) * 30 / 8 / 1400))
    say "limit of 500 broadcasts per second: $got in 30 seconds"
    near $got 15000 5 || fail "$got broadcasts in 30 seconds"
    ;;
pool) # four addresses, which neighbours have
    has busybox
    nat 192.168.100.0/29
    serves out 7000
    image_make
    printf '#!/bin/sh\n' >"$work/nothing"
    chmod 755 "$work/nothing"
    attached a lab # with a card at it the network runs
    guest_start a 10.0.0.1/24 256 "${options[@]}" # it takes its time, and who is silent for a minute loses an address
    addresses=$(nb nat show lab --json | jq .state.addresses)
    [ "$addresses" -le 6 ] || fail "$addresses addresses"
    for ((i = 1; i <= addresses; i++)); do
        client "p$i" lab
        background "p$i" busybox udhcpc -f -R -i eth0 -s "$work/nothing"
        holder=$started
    done
    full() { nb nat show lab --json | jq -e '(.state.leases | length) == .state.addresses' >/dev/null; }
    within 20 full || fail "not all are taken: $(nb nat show lab --json)"
    ! leased a || fail 'a lease without an address'
    says 'all .* addresses|in use' nb nat show lab || fail "nat show: $(nb nat show lab)"
    says lab "$NB" check || fail 'check says nothing'
    within 5 grep -q 'gets no address' "$NESTBOX_HOME/vms/a/log" || fail 'the log of the VM says nothing'
    say 'the guest has no address, and its log says why'
    kill "$holder" # the last of them; its client may have no address to send a release from
    nb nat release lab "$(nb nat show lab --json | jq -r '.state.leases[-1].address')"
    within 20 leased a || fail "no lease after another ended: $(<"$work/a.lease.log")"
    within 20 works a || fail "no connection: $(<"$work/said")"
    ;;
gone)
    nat 192.168.100.0/24
    serves out 7000
    server=$started
    image_make
    l1 a 10.0.0.1/24 lab
    within 20 leased a || fail 'no lease'
    works a || fail "no connection at first: $(<"$work/said")"
    { sleep 5; kill -9 "$server"; } 2>/dev/null &
    guest a 'echo 3 >/proc/sys/net/ipv4/tcp_syn_retries' # the guest's patience
    ! transfer a 60 || fail 'a transfer goes on without its server'
    ! works a || fail 'a connection without a server'
    serves out 7000
    within 20 works a || fail "no connection to the new server: $(<"$work/said")"
    say 'a server that ended: an error, and the next one is reached'
    # The kernel's connections may survive the process of the switch, those of libslirp are in it.
    { sleep 5; kill -9 "$(show lab | jq -r .switch.pid)"; "$NB" switch start lab; } >>"$work/switch.log" 2>&1 &
    transfer a 40 && [ "$backend" = slirp ] && fail 'a connection survives what it was in'
    within 20 works a || fail "no connection after the switch was killed: $(<"$work/said")"
    # This peer is gone without a word, and behind libslirp the guest does not hear that it is unreachable.
    in_space out ip link set eth0 down
    ! transfer a 5 || fail 'a connection to nobody'
    guest a 'ping -c 2 192.168.100.1' || fail 'the gateway does not answer'
    in_space out ip link set eth0 up
    within 40 works a || fail "no connection after the peer came back: $(<"$work/said")"
    ;;
interface)
    if [ "$backend" = external ]; then
        outside
        "$NB" switch create ext --type external --interface wan --host off >/dev/null || fail 'switch create'
        switch=ext
    else
        nat 192.168.100.0/24
        switch=lab
    fi
    serves out 7000
    image_make
    l1 a 198.51.100.10/24 $switch
    client b $switch 198.51.100.11/24
    [ "$backend" = external ] || within 20 leased a || fail 'no lease'
    guest a 'ip addr add 10.0.0.1/24 dev eth0'
    in_space b ip address add 10.0.0.2/24 dev eth0
    works a || fail "no connection at first: $(<"$work/said")"
    # The namespace keeps its address, so its server goes on.
    in_space b ping -i 0.2 -c 150 10.0.0.1 >"$work/ping" &
    ping=$!
    {
        sleep 5
        ip link delete wan
        sleep 4
        if [ "$backend" = external ]; then outside; else surroundings; fi
    } >>"$work/interface.log" 2>&1 &
    transfer a 40
    status=$?
    wait $ping
    say "between the guests meanwhile: $(tail -n 2 "$work/ping" | head -n 1)"
    [ "$(sed -n 's/.* \([0-9]*\) received.*/\1/p' "$work/ping")" -ge 145 ] || fail "$(<"$work/ping")"
    [ "$backend" != external ] || [ $status = 0 ] || fail 'a transfer does not survive'
    within 20 works a || fail "no connection after the interface came back: $(<"$work/said")"
    ;;
*) fail "no case $1" ;;
esac
