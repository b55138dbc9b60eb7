# shellcheck shell=bash
# Sourced first by scripts of this folder, which define and run VMs with the manager's own commands, in a home folder of
# their own. A VM that counts (counter.S) is there at once; a Debian from tools/test-disks.sh takes its time.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
NB=$(realpath "${NB:-build/release/nestbox}")
PATIENCE=${PATIENCE:-3} # all times to wait are multiplied by it; a busy host needs them
work=$(mktemp -d)
export NESTBOX_HOME=$work/home
run=$NESTBOX_HOME/run/vms

finish() {
    local file
    for file in "$run"/*/worker.lock; do [ -s "$file" ] && kill -9 "$(<"$file")" 2>/dev/null; done
    for file in "$run"/*/worker.json; do
        [ -s "$file" ] && jq -r '.qemu.process, .helpers[].process' "$file" | xargs -r kill -9 2>/dev/null
    done
    # rm would go through what is still mounted there, and take what it finds.
    if grep -qF " $work/" /proc/self/mountinfo; then
        echo "$work stays: something is mounted there" >&2
    else
        rm -rf "$work"
    fi
}
trap finish EXIT
trap 'exit 1' TERM INT

exec 3>&1 # what is said is seen also where the output of a function goes elsewhere
say() { printf '%4d s  %s\n' "$SECONDS" "$*" >&3; }

fail() {
    local log
    for log in "$NESTBOX_HOME"/vms/*/log "$run"/*/*.log; do
        [ -s "$log" ] && { echo "--- the end of ${log#"$work"/}" && tail -n 30 "$log"; } >&3
    done
    [ -z "${KEEP:-}" ] || cp -r "$work" "$KEEP"
    echo "FAILED: $*" >&3
    exit 1
}

skip() {
    echo "$*"
    exit 77
}

for program in qemu-system-x86_64 jq; do
    command -v $program >/dev/null || skip "$program is missing"
done

nb() { "$NB" "$@" 2>"$work/said" || fail "nestbox $*: $(<"$work/said")"; }

# refused TEXT COMMAND...: nestbox must refuse the command, with a text that matches.
refused() {
    local text=$1 said
    shift
    said=$("$NB" "$@" 2>&1) && fail "nestbox $* was not refused"
    grep -qE -- "$text" <<<"$said" || fail "nestbox $* says '$said', not '$text'"
}

# within SECONDS COMMAND...: tries the command until it succeeds. False if it does not.
within() {
    local end=$((${EPOCHREALTIME/./} + $1 * PATIENCE * 1000000))
    shift
    until "$@"; do
        [ "${EPOCHREALTIME/./}" -lt $end ] || return 1
        sleep 0.1
    done
}

state() { "$NB" show "$1" --json | jq -r .state; } # VM
is() { [ "$(state "$1")" = "$2" ]; }                # VM STATE
must_be() { within 10 is "$1" "$2" || fail "VM $1 is $(state "$1"), not $2"; }

# The file in the run folder that a worker's lock is has its number.
worker() { cat "$run/$1/worker.lock"; }
qemu_process() { jq .qemu.process "$run/$1/worker.json"; }

# A disk that counts.
counter_disk() { # FILE
    gcc -m32 -c -o "$work/counter.o" tests/manager/counter.S &&
        ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$1" "$work/counter.o" || fail 'the boot sector'
    truncate -s 1M "$1"
}

# counter_vm VM: one whose disk is $work/counter.raw
counter_vm() {
    counter_disk "$work/counter.raw"
    nb create "$1" --generation 1 --memory 64M --accel engine
    nb disk add "$1" "$work/counter.raw" >/dev/null
}

# What a VM has printed last.
printed() { "$NB" console "$1" --print 2>/dev/null | tr -d '\r'; } # VM
count() { printed "$1" | sed -n 's/^count \([0-9]*\)$/\1/p' | tail -n 1; }      # VM
counts() { [ "$(count "$1")" -gt "${2:-0}" ] 2>/dev/null; } # VM [MORE THAN]

# press VM KEYS: what the counter does at them
press() { printf '%s' "$2" | timeout 0.5 "$NB" console "$1" --no-history >/dev/null 2>&1; }
disk() { # VM: the number that is on its disk
    press "$1" p
    printed "$1" | sed -n 's/^disk \([0-9]*\)$/\1/p' | tail -n 1
}
disk_is() { [ "$(disk "$1")" = "$2" ]; } # VM NUMBER
written() { # VM: writes its number to its disk, and prints what is there then
    local i number
    press "$1" w
    for i in {1..20}; do
        number=$(disk "$1")
        [ -z "$number" ] || break
    done
    echo "$number"
}
