#!/bin/bash
# The process that executes a guest's user code and the vCPU's thread stay on one CPU of the host while they take turns.
# When the vCPU sleeps its thread may run where it could before, or where somebody said meanwhile.
# cases: back said
set -u
. "$(dirname "$0")/guest.sh"
needs_direct
may=$(sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status)
[[ $may = *[,-]* ]] || { echo "one CPU only"; exit 77; }
init_from "$(dirname "$0")/direct_cpu.c"
mkfifo "$work/in"
"$NB" run --accel engine --kernel $kernel --initrd "$initrd" --memory 256M --direct on --timeout 300 \
    --append 'console=ttyS0 panic=-1 quiet' <"$work/in" >"$log" 2>&1 &
vm=$!
exec 3>"$work/in"
trap 'kill $vm 2>/dev/null; wait $vm 2>/dev/null; rm -rf "$work"' EXIT

allowed() { # of the thread or process with this folder in /proc
    sed -n 's/^Cpus_allowed_list:\t//p' "$1/status" 2>/dev/null
}
# Sets `thread` to the folder of the vCPU's thread, `process` to that of what it traces.
find_both() {
    local t
    for t in /proc/$vm/task/*; do
        [ "$(cat "$t/comm")" = vcpu0 ] && thread=$t
    done
    process=/proc/$(pgrep -P $vm | head -n 1)
}
until_true() { # what to say else, command...
    local say=$1 end=$((SECONDS + 200))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] && kill -0 $vm || fail "$say"
        sleep 0.05
    done
}
is_in_log() { grep -q "^$1" "$log"; }
on_one_cpu() {
    find_both
    local a b
    a=$(allowed "$thread") b=$(allowed "$process")
    [[ $a = "$b" && $a =~ ^[0-9]+$ ]]
}
is_allowed() { [ "$(allowed "$thread")" = "$1" ]; }

until_true "the guest does not begin" is_in_log computes
until_true "the thread and the process are not on one CPU" on_one_cpu
if [ "$1" = said ]; then
    # The first of the CPUs, or another one if it is that already: not one that the thread is bound to by itself.
    other=${may%%[,-]*}
    [ "$(allowed "$thread")" != "$other" ] || other=${may##*[,-]}
    taskset -pc "$other" "${thread##*/}" >/dev/null || fail "taskset"
    may=$other
fi
echo >&3
until_true "the guest does not sleep" is_in_log sleeps
until_true "the thread of a vCPU that sleeps may not run on $may" is_allowed "$may"
