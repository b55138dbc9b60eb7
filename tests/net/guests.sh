#!/bin/bash
# Real guests in QEMU on the engine: two L1s on a private switch; an L2 in one of them, on a Linux bridge and behind
# NAT, with spoofing off and on; a guest that starts by PXE from a server on the switch.
# cases: pair types nested pxe
# more cases: restart
# limit: 900
. "$(dirname "$0")/lib.sh"
has ping jq
. tests/net/vms.sh
. tests/program.sh

# l1 NAME ADDRESS MEMORY: a VM with one card at the switch. $mac is its address.
l1() {
    attached "$1"
    guest_start "$1" "$2" "$3" "${options[@]}"
}

"$NB" switch create net --type private --keep on || fail 'switch create'
case $1 in
pair)
    image_make
    l1 a 10.0.0.1/24 256
    l1 b 10.0.0.2/24 256
    guest a 'ping -c 3 10.0.0.2' || fail 'a does not reach b'
    guest b 'peer serve 7000 >/dev/null 2>&1 & sleep 1'
    rate=$(guest a 'peer fetch 10.0.0.2 7000 50000000' 120) || fail "a transfer: $rate"
    say "$rate bit/s"
    [ "$("$NB" switch show net --json | jq '[.ports[] | select(.vm == "a" or .vm == "b") | .linked] | all')" = true ] ||
        fail 'not linked'
    ;;
types) # both guests go from one switch to the next while they run
    [ "$(id -u)" = 0 ] || skip 'root only'
    outside
    ip address add 198.51.100.2/24 dev wan
    background out "$tools/peer" serve 7000
    mkdir -p "$work/root/etc"
    cat >"$work/root/etc/lease" <<'END'
#!/bin/sh
[ "$1" != bound ] || { ip addr flush dev eth0; ip addr add $ip/$mask dev eth0; ip route add default via $router; }
END
    chmod 755 "$work/root/etc/lease"
    image_make
    l1 a 10.0.0.1/24 256
    l1 b 10.0.0.2/24 256
    moved() { # SWITCH: both guests are at that switch, and reach each other
        "$NB" nic set a --switch "$1" && "$NB" nic set b --switch "$1" || fail "to $1"
        within 10 guest a 'ping -c 1 -W 1 10.0.0.2 >/dev/null' || fail "a does not reach b at $1"
    }
    "$NB" switch create in --type internal --address 10.0.0.254/24 >/dev/null || fail 'internal'
    moved in
    guest a 'ping -c 2 10.0.0.254' || fail 'the host is not reached'
    ping -c 2 -W 2 -q 10.0.0.2 || fail 'the host does not reach b'
    "$NB" switch create ext --type external --interface wan >/dev/null || fail external
    moved ext
    guest a 'ip addr add 198.51.100.10/24 dev eth0; peer fetch 198.51.100.1 7000 20000000' 60 || fail 'outside'
    guest a 'ip addr del 198.51.100.10/24 dev eth0'
    for backend in slirp kernel; do
        [ $backend = kernel ] || { moved net && "$NB" switch delete ext; } || fail "delete"
        "$NB" nat create $backend --prefix 192.168.$((RANDOM % 100 + 100)).0/24 --backend $backend >/dev/null ||
            fail "$backend"
        moved $backend
        guest a 'udhcpc -n -q -i eth0 -s /etc/lease' || fail "no lease of $backend"
        guest a 'peer fetch 198.51.100.1 7000 20000000' 60 || fail "no transfer by $backend"
        guest a 'ip addr flush dev eth0; ip addr add 10.0.0.1/24 dev eth0'
    done
    moved net
    guest a 'ip route add default via 10.0.0.254; ! ping -c 2 -W 1 198.51.100.1' ||
        fail 'a private switch leads outside'
    ;;
nested) # L2 has two ways: its own address on L1's bridge, and L1's NAT
    image_make
    l1 b 10.0.0.2/24 256
    guest b 'ip addr add 10.8.0.2/24 dev eth0' || fail 'b: address'
    install_program "$(command -v qemu-system-x86_64)" "$work/root"
    install_program "$(command -v nft)" "$work/root"
    mkdir -p "$work/root/usr/share/qemu" "$work/root/l2" "$work/l2"
    cp -L /usr/share/seabios/bios-256k.bin /usr/share/qemu/kvmvapic.bin /usr/share/qemu/linuxboot_dma.bin \
        "$work/root/usr/share/qemu"
    cat >"$work/l2/start" <<'END'
#!/bin/sh
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; busybox --install -s /bin
for m in $(grep -vE 'kvm|irqbypass|ccp|nf|bridge|tun' /modules/order); do insmod /modules/$m; done
ip link set eth0 up
ip addr add 10.0.0.22/24 dev eth0
ip addr add 192.168.100.2/24 dev eth0
ip route add default via 192.168.100.1
while true; do
    bridged=no nat=no
    ping -c 1 -W 1 10.0.0.2 >/dev/null && bridged=yes
    ping -c 1 -W 1 10.8.0.2 >/dev/null && nat=yes
    echo "L2 bridged=$bridged nat=$nat"
done
END
    chmod 755 "$work/l2/start"
    (cd "$work/l2" && find . | cpio --quiet -o -H newc) >"$work/l2.cpio"
    cat build/guest/l2.cpio build/guest/net.cpio "$work/l2.cpio" >"$work/root/l2/initrd"
    cp build/debs/vmlinuz "$work/root/l2"
    image_make
    l1 a 10.0.0.1/24 1024
    guest a "brctl addbr br0 && ip link set br0 address $mac && ip addr flush dev eth0 && brctl addif br0 eth0 &&
        ip tuntap add tap0 mode tap 2>/dev/null || tunctl -t tap0; brctl addif br0 tap0; ip link set tap0 up
        ip link set br0 up; ip addr add 10.0.0.1/24 dev br0; ip addr add 10.8.0.1/24 dev br0
        ip addr add 192.168.100.1/24 dev br0; echo 1 >/proc/sys/net/ipv4/ip_forward
        nft 'table ip n { chain p {
            type nat hook postrouting priority 100; ip saddr 192.168.100.0/24 masquerade; }; }'" ||
        fail "L1: $(guest a 'ip addr; cat /modules/order')"
    guest a 'ping -c 2 10.0.0.2' || fail 'L1 does not reach its neighbour'
    guest a 'qemu-system-x86_64 -enable-kvm -display none -nodefaults -serial file:/l2.log -no-reboot -m 192 \
        -kernel /l2/vmlinuz -initrd /l2/initrd -append "console=ttyS0 panic=-1 quiet rdinit=/start" \
        -netdev tap,id=n,ifname=tap0,script=no,downscript=no \
        -device virtio-net-pci,netdev=n,mac=52:54:00:00:00:22,romfile= >/qemu.log 2>&1 &'
    # What L2 says last, or nothing.
    l2() { guest a 'tail -n 1 /l2.log' | grep -o 'L2 bridged.*'; }
    l2_says() { [[ $(l2) == *"$1"* ]]; }
    within 240 l2_says 'bridged=' || fail "L2 does not start: $(guest a 'tail /l2.log /qemu.log')"
    say 'L2 runs'
    within 30 l2_says 'nat=yes' || fail 'by NAT inside L1, L2 does not reach the network with spoofing off'
    for _ in 1 2 3; do
        l2_says 'bridged=no' || fail 'on the bridge L2 reaches the network with spoofing off'
        sleep 1
    done
    for said in "$("$NB" switch show net)" "$("$NB" check 2>&1)"; do
        grep -q 52:54:00:00:00:22 <<<"$said" && grep -q 'nic set a' <<<"$said" || fail "not named: $said"
    done
    [ "$("$NB" switch show net --json | jq '.ports[] | select(.vm == "a") | .dropped.spoofed')" -gt 0 ] ||
        fail 'not counted'
    "$NB" nic set a --spoofing on || fail 'nic set'
    within 30 l2_says 'bridged=yes nat=yes' || fail 'L2 does not reach the network with spoofing on'
    say 'with spoofing on it reaches the network both ways'
    "$NB" nic set a --spoofing off || fail 'nic set'
    within 30 l2_says 'bridged=no nat=yes' || fail 'L2 reaches the network after spoofing was switched off'
    ;;
pxe) # the script of iPXE by TFTP, kernel and RAM disk by HTTP, which takes fewer turns
    has dnsmasq busybox
    client server net 10.0.0.1/24
    mkdir "$work/tftp"
    cp build/debs/vmlinuz build/guest/l2.cpio "$work/tftp"
    cat >"$work/tftp/boot.ipxe" <<END
#!ipxe
kernel http://10.0.0.1/vmlinuz console=ttyS0 quiet nb.nonce=pxe$$ initrd=l2.cpio
initrd http://10.0.0.1/l2.cpio
boot
END
    chmod -R a+rX "$work" "$work/tftp"
    background server dnsmasq --no-daemon --conf-file=/dev/null --port=0 --interface=eth0 --bind-interfaces \
        --user=root --dhcp-range=10.0.0.50,10.0.0.60 --dhcp-boot=boot.ipxe --enable-tftp --tftp-root="$work/tftp" \
        --dhcp-leasefile="$work/leases" --pid-file=
    background server busybox httpd -f -p 80 -h "$work/tftp"
    attached pxe
    # shellcheck disable=SC2046
    qemu pxe $(accelerator) -m 512 -boot n "${options[@]}"
    within 120 grep -q 'sent .*boot.ipxe' "$work/server.log" || fail 'nothing was asked for by TFTP'
    say 'the script was sent by TFTP'
    sees pxe 'NB L2 kernel' 240
    sees pxe "sha256 $(seq 1 20000 | sed "s/\$/ pxe$$/" | sha256sum | cut -d' ' -f1)" 60
    ;;
restart) # the switch is killed and comes back by itself while two guests use it
    image_make
    l1 a 10.0.0.1/24 256
    l1 b 10.0.0.2/24 256
    guest b 'peer serve 7000 >/dev/null 2>&1 & sleep 1'
    guest a 'peer fetch 10.0.0.2 7000 10000000' || fail 'before'
    for round in 1 2 3; do
        (
            sleep 2
            kill -9 "$("$NB" switch show net --json | jq .switch.pid)"
        ) >"$work/killed" 2>&1 &
        # The shell of init must not sit at its prompt while a child ends: busybox's would end, too.
        guest a '(peer fetch 10.0.0.2 7000 300000000 >/fetched; echo $? >>/fetched) &
            ping -c 100 -i 0.1 10.0.0.2 >/pinged; wait' 200 || fail "round $round: $(guest a 'tail -n 3 /pinged')"
        [ ! -s "$work/killed" ] || fail "round $round: $(<"$work/killed")"
        say "$(guest a 'grep packets /pinged; cat /fetched' | tr '\n' ' ')"
        [ "$(guest a 'tail -n 1 /fetched')" = 0 ] || fail "round $round: a transfer does not survive"
        [ "$(guest a "sed -n 's/.* \([0-9]*\) packets received.*/\1/p' /pinged")" -ge 80 ] || fail "round $round"
    done
    ;;
*) fail "no case $1" ;;
esac
