#!/bin/bash
# Commands on VMs that are killed at random moments, and disks that are full: the next command finds each VM as it was
# or as it was to be, nothing is left over, and it says what happened.
# usage: vm_faults.sh [full HOME]   TRIES kills of each command (default 6)
# limit: 600
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
NESTBOX=$(realpath "$NESTBOX")
export NESTBOX_HOME=$WORK/home
TRIES=${TRIES:-6}
[ "${1:-}" = full ] && export NESTBOX_HOME=$2
trap 'stop_all; rm -rf "$WORK"' EXIT

stop_all() { [ -d "$NESTBOX_HOME/switches" ] && "$NESTBOX" switch stop lan 2>/dev/null; }
nb() { timeout 100 "$NESTBOX" "$@" 2>"$WORK/err" </dev/null; }
of() { nb show "$1" --json | sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" | head -1; } # VM KEY
exists() { [ -e "$NESTBOX_HOME/vms/$1/vm.json" ]; }
cards() { nb nic list | grep -c "^$1/"; }

# A draft of an intent, which has a hidden name, is none yet; the next intent replaces it.
under_way() { [ -n "$(ls "$NESTBOX_HOME/intents")" ]; }
# consistent: after a command that locks some VM, nothing is under way, each folder is a VM, each drive has its image,
# and each image its drive or another that stands on it
consistent() {
    local folder files used
    for _ in {1..50}; do # a child of what was killed may have its lock for a moment
        nb set keeper --notes checked || return 1
        cp "$WORK/err" "$WORK/said"
        under_way || break
        sleep 0.1
    done
    under_way && { echo "intents are left"; return 1; } >>"$WORK/said"
    for folder in "$NESTBOX_HOME"/vms/* "$NESTBOX_HOME"/vms/.[a-z]*; do
        [ -e "$folder" ] || continue
        [ -e "$folder/vm.json" ] || { echo "$folder is no VM"; return 1; } >>"$WORK/said"
    done
    nb disk list --json >"$WORK/disks" || return 1
    sed -n 's/^ *"file": "\(.*\)".*/\1/p' "$WORK/disks" | while read -r file; do
        qemu-img info -U --backing-chain "$file" | sed -n 's/^image: //p' | xargs -rd '\n' realpath
    done | sort -u >"$WORK/used"
    files=$(find "$NESTBOX_HOME"/vms/*/disks -type f | sort)
    used=$(cat "$WORK/used")
    [ "$files" = "$used" ] || { printf 'files:\n%s\nused:\n%s\n' "$files" "$used"; return 1; } >>"$WORK/said"
}

# killed VERB...: the command is killed at a random moment of the time that it takes
killed() {
    local pid
    "$NESTBOX" "$@" >/dev/null 2>&1 </dev/null &
    pid=$!
    sleep "$(printf '0.%06d' $((RANDOM * 32768 % (${took:-100000} + 1) + RANDOM % 1000)))"
    kill -9 $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
}
# times VERB...: how long the command takes, in microseconds, at most 0.9 seconds
times() {
    local begin=${EPOCHREALTIME/./}
    nb "$@" >/dev/null || return 1
    took=$((${EPOCHREALTIME/./} - begin))
    [ $took -gt 900000 ] && took=900000
    return 0
}
verdict() { # NAME: consistent, and a check of its own
    local name=$1
    shift
    if ! consistent; then
        fail "$name" "$(cat "$WORK/said")"
    elif ! "$@"; then
        fail "$name" "$*" "$(cat "$WORK/said")"
    else
        good=$((good + 1))
    fi
}
part() { # NAME: what was tried of one command
    [ $good = "$TRIES" ] && pass "$1: $TRIES tries, $kills of them killed"
    good=0 kills=0
}
good=0 kills=0

whole() { ! exists "$1" || { [ "$(nb disk list "$1" | tail -n +2 | wc -l)" = 1 ] && [ "$(cards "$1")" = 1 ]; }; } # VM
whole_or_gone() { whole "$1" && { exists "$1" || [ "$(cards "$1")" = 0 ]; }; }
is_one_of() { local value=$1; shift; [[ " $* " == *" $value "* ]]; }
one_of() { if exists "$1"; then ! exists "$2"; else exists "$2"; fi; } # VM VM: there is exactly one
one_name() { one_of r s && whole r && whole s; }

kills_of_all() {
    nb switch create lan --type private
    check 'a VM that stays' nb create keeper --disk 16M --switch lan
    times create c --disk 16M --switch lan
    for ((i = 0; i < TRIES; i++)); do
        exists c && nb delete c --force
        killed create c --disk 16M --switch lan
        verdict 'create' whole_or_gone c
    done
    part create
    times set keeper --cpus 1
    for ((i = 0; i < TRIES; i++)); do
        old=$(of keeper cpus)
        killed set keeper --cpus $((i + 2))
        verdict 'set' is_one_of "$(of keeper cpus)" "$old" $((i + 2))
    done
    part set
    nb create r --disk 16M --switch lan
    times rename r s
    for ((i = 0; i < TRIES; i++)); do
        if exists r; then killed rename r s; else killed rename s r; fi
        verdict 'rename' one_name
    done
    part rename
    for how in '' --linked; do
        times clone keeper k $how
        for ((i = 0; i < TRIES; i++)); do
            exists k && nb delete k --force
            # shellcheck disable=SC2086
            killed clone keeper k $how
            verdict "clone $how" whole_or_gone k
            [ "$(nb disk list keeper | tail -n +2 | wc -l)" = 1 ] || fail 'the original of a clone has its disk'
        done
        exists k && nb delete k --force
        part "clone $how"
    done
    nb create a
    times disk add a 16M
    for ((i = 0; i < TRIES; i++)); do
        killed disk add a 16M
        verdict 'disk add' true
    done
    part 'disk add'
    for ((i = 0; i < TRIES; i++)); do
        exists d || nb create d --disk 16M --switch lan
        killed delete d --force
        verdict 'delete' whole_or_gone d
    done
    part delete
}

# -- full disks --

# full KIB VERB...: with that much room left
full() {
    local left=$1
    shift
    rm -f "$NESTBOX_HOME/filler"
    dd if=/dev/zero of="$NESTBOX_HOME/filler" bs=1k status=none 2>/dev/null
    truncate -s -"${left}K" "$NESTBOX_HOME/filler" 2>/dev/null
    nb "$@" >"$WORK/out"
    status=$?
    cp "$WORK/err" "$WORK/full"
    rm -f "$NESTBOX_HOME/filler"
}
full_disks() {
    check 'a VM that stays' nb create keeper --disk 16M
    for left in 0 4 8 12 16 64 200 260; do
        full $left create c --disk 16M
        [ $status = 0 ] || check "create says why, with $left KiB" grep -qi 'no space' "$WORK/full"
        check "create, with $left KiB" consistent
        exists c && nb delete c --force
        full $left set keeper --cpus 2 --notes "$left"
        check "set, with $left KiB" consistent
        [ $status = 0 ] || check 'set changed nothing' [ "$(of keeper cpus)" = 1 ]
        nb set keeper --cpus 1
        full $left clone keeper k --linked
        check "clone, with $left KiB" consistent
        exists k && nb delete k --force
        nb create r
        full $left rename r s
        check "rename, with $left KiB" consistent
        check 'one name' one_of r s
        full $left delete '[rs]' --force
        check "delete, with $left KiB" consistent
        nb delete '[rs]' --force
    done
}

if [ "${1:-}" = full ]; then
    full_disks
    finish
fi
kills_of_all
mkdir -p "$WORK/small"
# shellcheck disable=SC2016 # the inner shell expands them
if unshare -Urm true 2>/dev/null; then
    check 'full disks' unshare -Urm bash -c \
        'mount -t tmpfs -o size=4m,mode=700 small "$2" && exec "$1" full "$2/home"' bash \
        "$(realpath "$0")" "$WORK/small"
else
    echo '# full disks: no user namespaces here, left out'
fi
finish
