#!/bin/bash
# Commands on VMs, and the processes of a VM, that are killed at random moments; strangers at the control socket. After
# each the next command sees a VM that is whole and says what happened; what was complete is there, and the VM runs.
# cases: kills strangers full
# more cases: many
# limit: 1500
set -u
if [ "${1:-}" = full ] && [ -z "${FULL_INSIDE:-}" ]; then # a small file system, in namespaces of our own
    spaces=(-m)
    [ "$(id -u)" = 0 ] || spaces=(-Urm)
    unshare "${spaces[@]}" true 2>/dev/null || { echo 'no namespaces can be made here'; exit 77; }
    FULL_INSIDE=1 exec unshare "${spaces[@]}" bash "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
if [ -n "${FULL_INSIDE:-}" ]; then
    mkdir "$NESTBOX_HOME" && mount -t tmpfs -o size=96m,mode=700 small "$NESTBOX_HOME" || skip 'no tmpfs can be mounted'
    trap 'finish 2>/dev/null; umount -l "$NESTBOX_HOME"; rm -rf "$work"' EXIT
    out=$NESTBOX_HOME/out
fi

TRIES=${TRIES:-1}
[ "${1:-}" = many ] && TRIES=14 # of 15 commands: 210 moments
out=${out:-$work/out}
mkdir "$out"
counter_disk "$work/counter.raw"
make_vm() { # VM
    nb create "$1" --generation 1 --memory 64M --accel engine
    nb disk add "$1" "$work/counter-$1.raw" >/dev/null
    nb disk add "$1" 8M >/dev/null
    qemu-io -f qcow2 -c 'write -P 7 0 4M' "$NESTBOX_HOME/vms/$1/disks/disk1.qcow2" >/dev/null || fail 'qemu-io'
}

settled() { [[ $(state "$1") =~ ^(Off|Saved|Running|Paused)$ ]]; } # VM
intents() { find "$NESTBOX_HOME/intents" -name '*.json' ! -name '.*' 2>/dev/null; }
no_intents() { "$NB" set keeper --notes "$RANDOM" 2>>"$work/noted" && [ -z "$(intents)" ]; }
content() { # VM: what was on its second disk is there
    local top
    top=$NESTBOX_HOME/vms/$1/$("$NB" show "$1" --json | jq -r '.disks[1].settings.path')
    qemu-io -r -U -f qcow2 -c 'read -P 7 0 4M' "$top" 2>&1 | grep -q 'read 4194304/4194304' &&
        ! qemu-io -r -U -f qcow2 -c 'read -P 7 0 4M' "$top" 2>&1 | grep -q 'verification failed'
}
exists() { [ -e "$NESTBOX_HOME/vms/$1/vm.json" ]; }
# whole WHAT: after a command that locks some VM nothing is under way, each folder is a VM, and the VM has its disks
whole() {
    local folder
    : >"$work/noted"
    within 20 no_intents || fail "$1: something is under way: $(intents) $(<"$work/noted")"
    for folder in "$NESTBOX_HOME"/vms/* "$NESTBOX_HOME"/vms/.[a-z]*; do
        [ ! -e "$folder" ] || [ -e "$folder/vm.json" ] || fail "$1: $folder is no VM"
    done
    [ -z "$(find "$out" -name '.*' ! -path "$out")" ] || fail "$1: left $(ls -A "$out")"
    exists lab || fail "$1: the VM is gone"
    within 30 settled lab || fail "$1: VM lab is $(state lab)"
    # A look at images that are being merged may find one that has just gone.
    within 20 content lab || fail "$1: the content of its disk is another"
    "$NB" checkpoint list lab >/dev/null 2>"$work/said" || fail "$1: $(<"$work/said")"
}
runs() { # WHAT: it can be started, and goes on
    within 10 "$NB" start lab 2>"$work/said" || fail "$1: $(<"$work/said")"
    within 30 counts lab 3 || fail "$1: it does not count"
}

# victim WHO COMMAND...: the command begins, and WHO (command, worker, qemu) is killed at a random moment of its time
victim() {
    local who=$1 pid target=
    shift
    "$NB" "$@" >/dev/null 2>"$work/err" </dev/null &
    pid=$!
    sleep "$(printf '0.%03d' $((RANDOM % (${took:-300} + 1))))"
    case $who in
    command) target=$pid ;;
    worker) target=$(worker lab 2>/dev/null) ;;
    qemu) target=$(qemu_process lab 2>/dev/null) ;;
    esac
    [[ $target =~ ^[1-9] ]] && kill -9 "$target" 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
}
took_by() { # COMMAND...: how long it takes, in milliseconds, at most 900
    local begin=${EPOCHREALTIME/./}
    nb "$@" >/dev/null
    took=$(((${EPOCHREALTIME/./} - begin) / 1000))
    [ $took -le 900 ] || took=900
}
must_run() { is lab Running || runs 'before'; }
must_stop() { is lab Off || nb stop lab --turn-off; }
drop_checkpoints() {
    local id
    for id in $("$NB" checkpoint list lab --json | jq -r '.[].id'); do nb checkpoint delete lab "$id"; done
}
who() { local all=("$@"); echo "${all[RANDOM % $#]}"; }

kills() {
    local try n=0
    for try in $(seq "$TRIES"); do
        must_stop
        victim "$(who command worker qemu)" start lab
        whole start
        must_run
        victim "$(who command worker qemu)" stop lab --turn-off
        whole stop
        must_run
        victim "$(who command worker qemu)" save lab
        whole save
        must_run
        victim "$(who command worker qemu)" checkpoint create lab --kind standard --name "c$try"
        whole 'checkpoint create'
        must_run
        nb checkpoint create lab --kind standard --name "d$try" >/dev/null
        victim "$(who command worker qemu)" checkpoint delete lab "d$try"
        whole 'checkpoint delete'
        must_run
        nb checkpoint create lab --kind standard --name "e$try" >/dev/null
        victim command checkpoint apply lab "e$try" --force
        whole 'checkpoint apply'
        must_run
        victim "$(who command worker qemu)" export lab "$out/running-$try"
        whole 'export of a VM that runs'
        must_stop
        [ ! -e "$out/x-$try" ] || rm -rf "$out/x-$try"
        victim command export lab "$out/killed-$try"
        whole export
        victim command export lab "$out/killed-$try.tar"
        whole 'export of an archive'
        nb export lab "$out/x-$try" >/dev/null
        victim command import "$out/x-$try" other --new-id
        whole import
        exists other && { content other || fail 'the import has another content'; }
        exists other && nb delete other --force
        victim command clone lab other
        whole clone
        exists other && { content other || fail 'the clone has another content'; }
        exists other && nb delete other --force
        victim command create other --disk 8M
        whole create
        exists other || nb create other --disk 8M
        victim command delete other --force
        whole delete
        exists other && nb delete other --force
        victim command set lab --notes "try $try"
        whole set
        victim command rename lab other
        whole_after_rename
        runs 'after all'
        drop_checkpoints
        rm -rf "${out:?}"/*
        n=$((n + 15))
        [ $((try % 5)) = 0 ] && say "$n commands, $kills killed"
    done
    say "$n commands, $kills of them or of their VM's processes killed"
}
whole_after_rename() {
    within 20 no_intents || fail "rename: something is under way: $(intents)"
    if exists other; then
        exists lab && fail 'rename: both are there'
        nb rename other lab
    fi
    whole rename
}

# with KIB COMMAND...: the command, with that much room left; its status is in $status
with() {
    local left=$1
    shift
    rm -f "$NESTBOX_HOME/filler"
    dd if=/dev/zero of="$NESTBOX_HOME/filler" bs=1k status=none 2>/dev/null
    truncate -s -"${left}K" "$NESTBOX_HOME/filler" 2>/dev/null
    timeout 60 "$NB" "$@" >/dev/null 2>"$work/full" </dev/null
    status=$?
    rm -f "$NESTBOX_HOME/filler"
}
refused_for_room() { # WHAT: where it did not succeed it says why
    [ $status = 0 ] || grep -qiE 'no space|No room|cannot|disk is full' "$work/full" || fail "$1 says $(<"$work/full")"
    [ $status -le 14 ] || fail "$1 ends with $status: $(<"$work/full")"
}
full() {
    local left
    for left in ${MORE:+4 16 256 4096} 0 8 64 1024; do
        must_stop
        with $left checkpoint create lab --name "f$left"
        refused_for_room 'checkpoint create'
        whole "checkpoint create with $left KiB"
        with $left export lab "$out/f$left"
        refused_for_room export
        [ $status = 0 ] || [ ! -e "$out/f$left" ] || fail 'half an export is there'
        whole "export with $left KiB"
        with $left export lab "$out/f$left.tar"
        refused_for_room 'export of an archive'
        whole "export of an archive with $left KiB"
        rm -rf "$out"/f*
        nb export lab "$out/good" >/dev/null
        with $left import "$out/good" other --new-id
        refused_for_room import
        whole "import with $left KiB"
        exists other && { content other || fail 'the import has another content'; }
        exists other && nb delete other --force
        rm -rf "$out/good"
        with $left clone lab other
        refused_for_room clone
        whole "clone with $left KiB"
        exists other && nb delete other --force
        must_run
        with $left checkpoint create lab --name "r$left" --kind standard
        refused_for_room 'checkpoint create'
        whole "checkpoint of a VM that runs with $left KiB"
        must_run
        with $left save lab
        refused_for_room save
        whole "save with $left KiB"
        must_run
        with $left set lab --notes "$left"
        refused_for_room set
        whole "set with $left KiB"
        drop_checkpoints
        runs "with $left KiB"
    done
    say 'a full file system'
}

strangers() {
    local kind said made
    gcc -O1 -o "$work/stranger" tests/manager/stranger.c || fail 'the stranger'
    nb start lab
    within 30 counts lab 3 || fail 'it does not count'
    for kind in garbage half endless nothing; do
        "$work/stranger" "$run/lab/control" 1000 $kind 3 >"$work/made" &
        sleep 1
        timeout 20 "$NB" show lab --json >"$work/said" 2>&1 || made=late
        wait $!
        # While they are there it may have no place for us; once they are gone it must.
        within 10 "$NB" show lab --json >/dev/null 2>&1 || fail "$kind: it does not answer: $(<"$work/said")"
        at=$(count lab)
        within 10 counts lab "$at" || fail "$kind: the VM does not go on"
        say "$kind: connections made, answered or closed: $(<"$work/made")${made:+; others wait meanwhile}"
        made=
    done
    if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
        # The folders keep others out; so does the worker, where they do not.
        chmod 755 "$work/stranger"
        as() { setpriv --reuid 1234 --regid 1234 --clear-groups "$@"; }
        as "$work/stranger" "$run/lab/control" 1 nothing 0 2>/dev/null | grep -q '^1' &&
            fail 'the folder lets others in'
        chmod 755 "$work" "$NESTBOX_HOME" "$NESTBOX_HOME/run" "$run" "$run/lab"
        chmod 777 "$run/lab/control"
        said=$(printf '{"do": "stop", "how": "turn-off"}\n' |
            as timeout 10 socat -t 3 - "UNIX-CONNECT:$run/lab/control" 2>&1)
        grep -q '"ok": *true' <<<"$said" && fail "another user was heard: $said"
        is lab Running || fail 'another user has turned it off'
        say 'another user is not heard'
    fi
}

cp "$work/counter.raw" "$work/counter-lab.raw"
nb create keeper --disk 1M
make_vm lab
cp "$work/counter.raw" "$work/counter-other.raw"
kills=0
case ${1:-kills} in
kills | many) kills ;;
strangers) strangers ;;
full) full ;;
*) fail "no case $1" ;;
esac
