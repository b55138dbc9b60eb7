#!/bin/bash
# The story at the end of `make demo`: a hypervisor in a VM and a VM in that, by the manager's own commands. They are
# printed as they are typed. What it makes is removed at the end, but for the image, which takes minutes and is kept in
# build/demo/home.
# usage: story.sh
set -u
here=$(dirname "$0")
. "$here/need.sh"
nestbox=$(realpath "${NB:-build/release/nestbox}") out=$PWD/build/demo
export NESTBOX_HOME=${STORY_HOME:-$out/home}
unset XDG_RUNTIME_DIR
SECONDS=0
fetched=$out/fetched

tell() { printf '\n# %s\n' "$*"; }

# Prints a command as it is typed, and runs it.
typed() {
    local word line=
    for word; do
        case $word in *[!A-Za-z0-9_./:=,@+-]*) word="'$word'" ;; esac
        line="$line $word"
    done
    printf '$ nestbox%s\n' "$line"
    nestbox "$@"
}
nestbox() { command "$nestbox" "$@"; }

remove() { # also what a story that was killed has left
    { nestbox stop l1 --turn-off; nestbox delete l1 --force; nestbox nat delete lab --force; } >/dev/null 2>&1
    rm -rf "$out/story" "$fetched"
}
trap remove EXIT
trap 'exit 130' INT TERM

ends() { # the story ends before its end
    printf '\nstory: FAILED: %s\n' "$*"
    exit 1
}

# within SECONDS COMMAND...
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 2
    done
}

fetch() { # PORT: what a web server answers; false if nothing comes
    timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && sed '1,/^\r*\$/d' <&3" \
        2>/dev/null | grep .
}

# -- the image --

if ! nestbox image show kvm-host >/dev/null 2>&1; then
    # shellcheck disable=SC2046
    if ! (need qemu-system-x86 qemu-utils seabios ovmf $("$here/../src/image/build.sh" --needs)); then
        printf '\nstory: left out, as packages are missing that apt-get does not get here\n'
        exit 0
    fi
    tell 'An image: a small Debian with QEMU and KVM. It takes minutes, once.'
    if ! typed image build kvm-host; then
        printf '\nstory: left out, as no image can be built here; nestbox image build kvm-host says why\n'
        exit 0
    fi
fi
need busybox-static cpio qemu-system-x86 qemu-utils seabios ovmf jq

remove
# What L2 is: the kernel of the guests here, busybox, and a web server that says who answers.
mkdir -p "$out/story/root" "$out/story/l2"
cat >"$out/story/root/start" <<'END'
#!/bin/sh
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; busybox --install -s /bin
for m in $(grep -vE 'kvm|irqbypass|ccp|nf|bridge|tun|8021q' /modules/order); do insmod /modules/$m; done
ip link set lo up
echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore; echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce
ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
ip route add default via 10.0.2.2 table 100; ip rule add from 10.0.2.15 table 100 # each way back as it came
ip link set eth1 up; ip addr add $(sed 's/.*nb.address=\([^ ]*\).*/\1/' /proc/cmdline) dev eth1
mkdir -p /www
echo "hello from L2: $(uname -sr) on $(dmesg | sed -n 's/.*Hypervisor detected: //p')" >/www/index.html
echo "L2 is up"
httpd -f -p 80 -h /www
END
chmod 755 "$out/story/root/start"
(cd "$out/story/root" && find . | cpio --quiet -o -H newc) >"$out/story/start.cpio" || ends 'no RAM disk of L2'
cat "$out/l2.cpio" "$out/net.cpio" "$out/story/start.cpio" >"$out/story/l2/initrd"
cp build/debs/vmlinuz "$out/story/l2/"

# -- L1 --

tell 'A network with DHCP, DNS and a way out, and a VM of the image with two cards there.'
typed nat create lab --backend slirp || ends 'the network'
typed create l1 --image kvm-host --memory 1536M --cpus 2 --display none --switch lab || ends 'the VM'
typed nic add l1 --switch lab >/dev/null || ends 'its second card'
tell "The extensions of the CPU, by the command that Hyper-V's documents have."
typed shell -c 'Set-VMProcessor -VMName l1 -ExposeVirtualizationExtensions $true' || ends 'the extensions'
typed start l1 --wait || ends 'l1 does not start'
tell 'Commands in it need no network and no password. It has the extensions, and its own KVM.'
within 120 nestbox exec l1 -- test -e /dev/kvm # the agent is there before the modules of KVM
typed exec l1 -- sh -c 'lscpu | grep Virtualization: ; ls -l /dev/kvm' || ends 'there is no KVM in l1'

# -- L2 --

prefix=$(nestbox nat show lab --json | jq -r '.settings.prefix | sub("\\.0/.*"; "")')
second=$(nestbox nic list l1 --json | jq -r '.[1].mac')
address() { # of the first card, by DHCP
    first=$(nestbox nic list l1 --json | jq -r '.[0].addresses[]?' | grep "^$prefix\." | head -n 1)
    [ -n "$first" ]
}
within 120 address
[ -n "$prefix" ] && [ -n "$second" ] && [ -n "$first" ] || ends "the addresses of l1: '$prefix', '$second', '$first'"
tell 'A VM in it, L2, with two cards: one behind the NAT of its QEMU, one on a bridge with the second card of l1.'
cat >"$out/story/l2/run" <<END
set -e
mkdir -p /run/systemd/network
modprobe tun
card=\$(ip -o link | sed -n 's/^[0-9]*: \([^:]*\):.*$second.*/\1/p')
printf '[Match]\nName=%s\n[Link]\nUnmanaged=yes\n' "\$card br0 tap0" >/run/systemd/network/10-l2.network
until networkctl reload 2>/dev/null; do sleep 1; done # the guest may still be starting
ip link add br0 type bridge && ip address flush dev \$card && ip link set \$card master br0 && ip link set \$card up
ip tuntap add tap0 mode tap && ip link set tap0 master br0 && ip link set tap0 up && ip link set br0 up
exec qemu-system-x86_64 -accel kvm -m 192 -display none -nodefaults -serial file:/root/l2/log -no-reboot -daemonize \\
    -kernel /root/l2/vmlinuz -initrd /root/l2/initrd \\
    -append 'console=ttyS0 panic=-1 quiet rdinit=/start nb.address=$prefix.200/24 nb.end' \\
    -netdev user,id=nat,hostfwd=tcp::8080-:80 -device virtio-net-pci,netdev=nat,romfile= \\
    -netdev tap,id=bridge,ifname=tap0,script=no,downscript=no \\
    -device virtio-net-pci,netdev=bridge,mac=52:54:00:00:00:22,romfile=
END
typed copy -r build/demo/story/l2 l1:/root/ || ends 'copying'
typed exec l1 -- bash /root/l2/run || ends 'L2 does not start'
within 300 nestbox exec l1 -- grep -q 'L2 is up' /root/l2/log ||
    ends "L2 does not come up: $(nestbox exec l1 -- tail -n 3 /root/l2/log)"
typed exec l1 -- tail -n 1 /root/l2/log

tell 'From here by NAT: a port of this host leads to l1, and one of l1 to L2.'
typed nat map lab --external 127.0.0.1:18080 --internal "$first:8080" >/dev/null || ends 'the mapping'
answered() { fetch "$1" >"$fetched" && grep -q 'hello from L2' "$fetched"; }
within 60 answered 18080 || ends 'L2 does not answer by NAT'
echo '$ curl http://127.0.0.1:18080/' && cat "$fetched"

tell "Straight to L2's own address on the bridge: its frames are not from the card's address, and are dropped."
typed nat map lab --external 127.0.0.1:18081 --internal "$prefix.200:80" >/dev/null || ends 'the mapping'
echo '$ curl http://127.0.0.1:18081/'
fetch 18081 && ends 'L2 answers though spoofing is off'
echo '(no answer)'
typed check
tell 'With MAC address spoofing they pass.'
typed shell -c 'Get-VMNetworkAdapter -VMName l1 | Set-VMNetworkAdapter -MacAddressSpoofing On' || ends 'spoofing'
within 60 answered 18081 || ends 'L2 does not answer with spoofing on'
echo '$ curl http://127.0.0.1:18081/' && cat "$fetched"
typed list
typed stop l1 || ends 'l1 does not stop'
printf '\nstory: ok, %s s; the image stays in %s\n' $SECONDS "${NESTBOX_HOME#"$PWD/"}"
