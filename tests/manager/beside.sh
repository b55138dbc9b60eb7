#!/bin/bash
# Dynamic memory of three VMs beside each other, installed Debians of low, middle and high priority, on a host that has
# little: who needs more gets it while there is some, what others do not use goes to them, the one of high priority goes
# first and gives back what it does not need, and no more is given than there is. What the host has left is told to the
# workers by a file in place of /proc/meminfo, which follows what the VMs have: the machine itself need not be short of
# memory.
# more cases: three
# limit: 1200
set -u
if [ -z "${BESIDE:-}" ]; then
    unshare -m true 2>/dev/null || { echo 'no namespaces of mounts here' && exit 77; }
    BESIDE=1 exec unshare -m bash "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"

[ -e build/disk/test.raw ] || skip 'no build/disk/test.raw: see tools/test.sh'
NESTBOX=$NB WORK=$work
eval "$(sed -n '/^agent_[a-z]*()/,/^}/p' tests/cli/lib.sh)"
agent_disk "$work/disk.raw"
vms='low middle high'
host=2300 # MiB
left=$host

# Counts what the VMs have, and tells the workers what is left.
tell() { # MiB
    left=$1
    sed -i "s/^MemTotal:.*/MemTotal: $((host << 10)) kB/; s/^MemAvailable:.*/MemAvailable: $((left << 10)) kB/" \
        "$work/meminfo.new"
    cat "$work/meminfo.new" >"$work/meminfo"
}
memory() { echo $(($("$NB" show "$1" --json | jq '.memory // 0') >> 20)); }
status() { "$NB" show "$1" --json | jq -r '.memory_status // "none"'; }
look() {
    local vm sum=0
    now=''
    for vm in $vms; do
        sum=$((sum + $(memory $vm)))
        now="$now $vm $(memory $vm) $(status $vm)"
    done
    tell $((host > sum ? host - sum : 0))
    least=$((left < least ? left : least))
}
least=$host
# becomes SECONDS COMMAND...: as within, and the host is looked at
becomes() {
    local end=$((SECONDS + $1 * PATIENCE))
    shift
    until look && "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.3
    done
}
more() { [ "$(memory "$1")" -gt "$2" ]; }
fewer() { [ "$(memory "$1")" -lt "$2" ]; }

cp /proc/meminfo "$work/meminfo"
cp /proc/meminfo "$work/meminfo.new"
tell $host
mount --bind "$work/meminfo" /proc/meminfo || skip 'no mounts here'
priority=0
for vm in $vms; do
    nb create $vm --generation 1 --memory 512M --dynamic-memory on --memory-minimum 256M --memory-maximum 1536M \
        --memory-priority $priority --accel engine --display none --base "$work/disk.raw"
    priority=$((priority + 50))
done
nb start $vms
for vm in $vms; do
    "$NB" start $vm --wait --timeout 900 2>"$work/said" || fail "$vm does not answer: $(<"$work/said")"
    nb exec $vm -- mount -o remount,size=2G /dev/shm
done
for vm in $vms; do
    becomes 60 fewer $vm 450 || fail "$vm keeps what it does not use:$now"
done
say "at rest:$now, $left of $host MiB left"

uses() { # VM MiB: in steps, as the guest gets more only when it needs more
    local i
    for ((i = 0; i < $2 / 50; i++)); do
        nb exec "$1" -- sh -c "head -c 50M /dev/urandom >>/dev/shm/x"
        look
        sleep 0.5
        look
    done
}
for vm in low high; do
    (uses $vm 200) || exit 1
    becomes 60 more $vm 390 || fail "$vm does not get what it needs:$now"
done
say "low and high use 200 MiB more each:$now, $left left"

least=$left
uses high 600
becomes 60 more high 1000 || fail "high has too little:$now"
say "high uses 600 MiB more:$now, $left left"
before=$(memory low)
host=$((host - left + 270)) # of which 8 % are for VMs of higher priority than low
look
uses low 150
for i in {1..20}; do look && sleep 0.5; done
more high 1000 || fail "high loses what it uses to low:$now"
kept=$((host * 2 / 100))
[ $left -ge $((kept / 2)) ] || fail "the host has $left MiB left:$now"
[ "$(memory low)" -lt $((before + 130)) ] || fail "low gets what there is not:$now"
say "low uses 150 MiB more, and the host keeps some:$now, $left left, never less than $least"

uses high 100
becomes 60 more high 1240 || fail "high does not go first:$now"
say "high uses 100 MiB more:$now, $left left"

nb exec high -- rm /dev/shm/x
becomes 120 fewer high 700 || fail "high keeps what it does not use:$now"
say "high needs no more:$now, $left left"
[ $least -ge 0 ] || fail 'more was given than there is'
nb stop --all --turn-off
