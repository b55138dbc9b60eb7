#!/bin/bash
# CPUs, memory, disks and cards that come to a running Debian and go.
# usage: hotplug.sh MACHINE-VENDOR
# more cases: q35-intel pc-amd
set -u
VENDOR=${1#*-}
. "$(dirname "$0")/lib.sh"
machine=${1%-*}

overlay d0
qemu-img create -q -f qcow2 "$work/d1.qcow2" 64M
ports=() bus1='' bus2=''
if [ "$machine" = q35 ]; then
    ports=(-device "pcie-root-port,id=p1,slot=1" -device "pcie-root-port,id=p2,slot=2")
    bus1=',"bus":"p1"' bus2=',"bus":"p2"'
fi
# shellcheck disable=SC2046
qemu vm $(accelerator) -machine "$machine" -smp 1,maxcpus=4,sockets=4,cores=1,threads=1 \
    -m 768M,slots=4,maxmem=2G -no-reboot $(disk virtio-blk "$work/d0.qcow2") -device virtio-scsi-pci,id=scsi0 \
    "${ports[@]}"
logged_in vm 300
guest vm 'echo online >/sys/devices/system/memory/auto_online_blocks' || fail 'memory does not come by itself'
say 'logged in'

add() { # PROPERTIES
    local reply
    reply=$(qmp vm device_add "{$1}") || fail "device_add $1: $reply"
}
remove() { # ID
    qmp vm device_del "{\"id\":\"$1\"}" >/dev/null || fail "device_del $1"
    # Parts of a device have such an event of their own, and theirs come first.
    saw vm "\"event\": \"DEVICE_DELETED\", .*\"device\": \"$1\"" 60 || fail "no event that $1 was deleted"
}
becomes() { # WHAT, COMMAND: the command succeeds in the guest within a minute
    guest vm "for i in {1..60}; do $2 && break; sleep 1; done; [ \$i -lt 60 ]" 90 || fail "$1"
    say "$1"
}

type=$(qmp vm query-hotpluggable-cpus | grep -o '"type": "[^"]*"' | head -n 1 | cut -d'"' -f4)
for n in 1 2 3; do
    add "\"driver\":\"$type\",\"id\":\"cpu$n\",\"socket-id\":$n,\"core-id\":0,\"thread-id\":0"
    becomes "CPU $n came" "{ [ -e /sys/devices/system/cpu/cpu$n ] && { echo 1 >/sys/devices/system/cpu/cpu$n/online; \
[ \$(nproc) = $((n + 1)) ]; }; } 2>/dev/null"
done
becomes 'all CPUs work' \
    'for c in 0 1 2 3; do taskset -c $c sha256sum /bin/bash || echo no CPU $c; done | uniq | [ $(wc -l) = 1 ]'
remove cpu3
becomes 'CPU 3 went' '[ $(nproc) = 3 ]'

before=$(guest vm "sed -n 's/MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo")
qmp vm object-add '{"qom-type":"memory-backend-ram","id":"m1","size":268435456}' >/dev/null || fail object-add
add '"driver":"pc-dimm","id":"dimm1","memdev":"m1"'
becomes 'memory came' "[ \$(sed -n 's/MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo) -gt $((before + 250000)) ]"
guest vm 'pages 600 5' 200 || fail 'pages'

qmp vm blockdev-add "{\"driver\":\"qcow2\",\"node-name\":\"n1\",\"file\":{\"driver\":\"file\",\
\"filename\":\"$work/d1.qcow2\"}}" >/dev/null || fail blockdev-add
add "\"driver\":\"virtio-blk-pci\",\"id\":\"disk1\",\"drive\":\"n1\"$bus1"
becomes 'a disk came' '[ -b /dev/vdb ]'
verified_writes vm /dev/vdb 16M || fail 'fio found a wrong block'
remove disk1
becomes 'the disk went' '[ ! -e /dev/vdb ]'
add '"driver":"scsi-hd","id":"disk2","bus":"scsi0.0","drive":"n1"'
becomes 'a disk came to a controller' '[ -b /dev/sda ]'
verified_writes vm /dev/sda 16M || fail 'fio found a wrong block'
remove disk2
becomes 'the disk went' '[ ! -e /dev/sda ]'

cards=$(guest vm 'ls /sys/class/net | wc -l')
qmp vm netdev_add '{"type":"user","id":"u1"}' >/dev/null || fail netdev_add
add "\"driver\":\"virtio-net-pci\",\"id\":\"card1\",\"netdev\":\"u1\"$bus2"
becomes 'a card came and has an address' 'ip -4 route | grep -q default'
remove card1
becomes 'the card went' "[ \$(ls /sys/class/net | wc -l) = $cards ]"
complaints vm && fail 'the kernel complains'
types vm poweroff
ends vm 0
