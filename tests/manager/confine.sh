#!/bin/bash
# QEMU and the TPM's program have a user of their own where root starts them, no network, no capability, and write to no
# file but those of their VM; what a VM needs works with it: files elsewhere, pictures, media and disks that are added,
# checkpoints; for root and for others. spaces: a host that makes no more user namespaces.
# cases: root user spaces
set -u
. "$(dirname "$0")/lib.sh"

if [ "${1:-}" = spaces ]; then
    gcc -shared -fPIC -o "$work/none.so" tests/manager/no_user_space.c || fail 'the library'
    real=$NB NB=$work/without
    printf '#!/bin/sh\nLD_PRELOAD=%s exec %s "$@"\n' "$work/none.so" "$real" >"$NB"
    chmod 755 "$NB"
    counter_disk "$work/counter.raw"
    nb create lab --generation 1 --memory 64M --accel engine
    nb disk add lab "$work/counter.raw" >/dev/null
    timeout 60 "$NB" start lab 2>"$work/said" || fail "it does not start: $(<"$work/said")"
    within 20 counts lab 3 || fail 'it does not count'
    nb stop lab --turn-off
    say 'where no user namespace can be made a VM runs all the same'
    exit
fi
if [ "${1:-root}" = user ]; then
    [ "$(id -u)" = 0 ] || skip 'this user is none but root: the case root has it'
    command -v setpriv >/dev/null || skip 'setpriv is missing'
    # Somebody else, with a home of their own, and none of our files but what everybody reads.
    mkdir -p "$work/home" && chmod 755 "$work" && chown 1234:1234 "$work/home"
    cp "$NB" "$(dirname "$NB")"/libnestbox-kvm.so "$work/" && chmod 755 "$work"/nestbox "$work"/libnestbox-kvm.so
    counter_disk "$work/counter.raw"
    chmod 644 "$work/counter.raw"
    NB=$work/as-user
    printf '#!/bin/sh\nexec setpriv --reuid 1234 --regid 1234 --clear-groups env HOME=%s NESTBOX_HOME=%s %s "$@"\n' \
        "$work/home" "$NESTBOX_HOME" "$work/nestbox" >"$NB"
    chmod 755 "$NB"
    nb create lab --generation 1 --memory 64M --accel engine --base "$work/counter.raw"
else
    counter_disk "$work/counter.raw"
    nb create lab --generation 1 --memory 64M --accel engine
    nb disk add lab "$work/counter.raw" >/dev/null # which it writes to
    nb disk add lab 8M >/dev/null
    command -v swtpm >/dev/null && nb set lab --tpm on
fi

cd=$("$NB" disk add lab --kind cd) || fail 'no CD drive'

ask() { # VM REQUEST: what its worker answers
    printf '%s\n' "$2" | timeout 10 socat -t 5 - "UNIX-CONNECT:$run/$1/control" | tail -n 1
}
save_memory() { # FILE: QEMU writes a page of the guest's memory there
    ask lab "$(jq -nc --arg file "$1" \
        '{do: "qmp", execute: "pmemsave", arguments: {val: 0, size: 4096, filename: $file}}')"
}

nb start lab
within 20 counts lab 3 || fail 'it does not count'
"$NB" show lab --json | jq -c .confined >"$work/confined"
grep -q "not confined" "$NESTBOX_HOME/vms/lab/log" && skip "this host does not let it: $(<"$work/confined")"
all='"network":true,"rights":true,"files":true}'
[ "${1:-root}" = root ] && all='"user":true,'$all
[ "$(<"$work/confined")" = "{$all" ] || fail "it says $(<"$work/confined")"
for process in $(jq '.qemu.process, .helpers[].process' "$run/lab/worker.json"); do
    for line in CapEff:.0000000000000000 CapBnd:.0000000000000000 NoNewPrivs:.1; do
        grep -q "^$line" "/proc/$process/status" ||
            fail "process $process: $(grep "^${line%%:*}" "/proc/$process/status")"
    done
    [ "$(readlink "/proc/$process/ns/net")" != "$(readlink /proc/self/ns/net)" ] ||
        fail "$process has the host's network"
done
grep -q '^Seccomp:.2' "/proc/$(qemu_process lab)/status" || fail 'it has all system calls'
if [ "${1:-root}" = root ]; then
    nb create other --disk 8M
    for process in $(jq '.qemu.process, .helpers[].process' "$run/lab/worker.json"); do
        user=$(stat -c %u "/proc/$process")
        [ "$user" -ge $((0x70000000)) ] || fail "process $process has user $user"
        as() { nsenter -t "$process" -m setpriv --reuid "$user" --regid "$user" --clear-groups "$@"; }
        as test -w "$NESTBOX_HOME/vms/lab/disks/disk1.qcow2" || fail 'its disk is not its own'
        for path in /etc/shadow "$NESTBOX_HOME/vms/other/vm.json" "$NESTBOX_HOME/host.json"; do
            as test -r "$path" && fail "process $process may read $path"
        done
    done
    [ "$(stat -c %u "$NESTBOX_HOME/vms/lab/disks/disk1.qcow2" "$work/counter.raw" | sort -u)" = 0 ] ||
        fail 'files have other owners on the disk'
    say 'it has a user of its own'
fi
mkdir -m 777 "$work/outside"
save_memory "$work/outside/page" | grep -qE 'Permission denied|No such file' || fail 'it writes where it wants'
[ ! -e "$work/outside/page" ] || fail 'it has written'
save_memory "$NESTBOX_HOME/vms/lab/vm.json" | grep -q 'Permission denied' || fail 'it writes its definition'
save_memory "$NESTBOX_HOME/vms/lab/disks/page" | jq -e .ok >/dev/null || fail 'it does not write to its own folder'
say 'it writes to its own files only'

nb screenshot lab --write "$work/outside/picture.png" >/dev/null
[ "$(head -c 4 "$work/outside/picture.png" | tail -c 3)" = PNG ] || fail 'no picture'
truncate -s 1M "$work/outside/more.raw" "$work/outside/cd.iso"
chmod 666 "$work"/outside/*
nb disk add lab "$work/outside/more.raw" >/dev/null
qemu-io -f raw -c 'write 0 512' "$work/outside/more.raw" 2>&1 | grep -q 'lock' || fail 'the image is not locked'
"$NB" disk list lab | grep -q more.raw || fail 'the disk is not there'
mkdir -m 700 "$work/closed" # a folder that lets nobody else through
truncate -s 1M "$work/closed/other.iso" "$work/closed/base.raw"
qemu-img create -q -f qcow2 -b "$work/closed/base.raw" -F raw "$work/closed/top.qcow2" >/dev/null
[ "${1:-root}" = root ] || chown -R 1234:1234 "$work/closed"
mkdir -m 700 "$work/roots" # as are the images in it
truncate -s 1M "$work/roots/base.raw" "$work/roots/stranger.raw"
chmod 600 "$work"/roots/*.raw
if [ "${1:-root}" = root ]; then
    nb create stands --generation 1 --memory 64M --accel engine --base "$work/roots/base.raw"
    nb start stands
    nb stop stands --turn-off
    nb clone stands too --linked
    nb start too stands
    process=$(qemu_process too)
    user=$(stat -c %u "/proc/$process")
    nsenter -t "$process" -m setpriv --reuid "$user" --regid "$user" --clear-groups \
        sh -c "test -r '$work/roots/base.raw' && ! dd if=/dev/zero of='$work/roots/base.raw' count=1 2>/dev/null" ||
        fail 'it does not read what its disk stands on, or writes to it'
    nb stop too stands --turn-off
    # what only a head names
    qemu-img rebase -u -F raw -b "$work/roots/stranger.raw" "$NESTBOX_HOME/vms/stands/disks/disk0-2.qcow2"
    refused 'stranger.raw.*Permission denied' start stands
    say 'what disks were made to stand on, and what only their heads name'
fi
nb disk set "lab/$cd" --path "$work/closed/other.iso" >/dev/null
nb disk add lab "$work/closed/top.qcow2" >/dev/null
nb checkpoint create lab --kind standard --name here >/dev/null
nb save lab
nb start lab
at=$(count lab)
within 20 counts lab "$at" || fail 'it does not go on after it was saved'
nb stop lab --turn-off
nb checkpoint apply lab here --force
nb start lab
within 20 counts lab 3 || fail 'it does not go on from its checkpoint'
say 'pictures, disks elsewhere, checkpoints'
