#!/bin/bash
# QEMU's gdbstub on a small Linux, by gdb's remote protocol: a breakpoint in the kernel stops the guest where it was
# set, a step goes one instruction on, a watchpoint stops at a write, and without them the guest goes on as if nothing
# had been.
# usage: gdbstub.sh VENDOR
# cases: intel
# more cases: amd
set -u
VENDOR=${1:-intel}
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2046
small vm '' $(accelerator) -m 256M -smp 2 -gdb "unix:$work/gdb,server=on,wait=off"
# The kernel's symbols that are used below, before the guest may stand still.
address() { guest vm "sed -n 's/ [a-zA-Z] $1\$//p' /proc/kallsyms"; }
function=$(address __x64_sys_sethostname)
variable=$(address init_uts_ns)
[ ${#function} = 16 ] && [ ${#variable} = 16 ] || fail "no symbols: '$function', '$variable'"
coproc stub { exec socat "UNIX-CONNECT:$work/gdb" STDIO; }

send() { # PACKET
    local i sum=0
    for ((i = 0; i < ${#1}; i++)); do sum=$(((sum + $(printf %d "'${1:i:1}")) & 255)); done
    printf '$%s#%02x' "$1" $sum >&"${stub[1]}"
}
receive() { # [SECONDS]: the next packet, to $packet
    IFS= read -r -t $((${1:-20} * PATIENCE)) -d '#' packet <&"${stub[0]}" || fail "gdbstub does not answer; $packet"
    packet=${packet#*\$}
    IFS= read -r -n 2 <&"${stub[0]}"
    printf + >&"${stub[1]}"
}
ask() { send "$1" && receive; }
takes() { # PACKET: gdbstub answers OK. It may report a stop before that.
    ask "$1"
    [[ $packet != T0* ]] || receive
    [ "$packet" = OK ] || fail "$1: $packet"
}
rip() { # gets RIP of the CPU that stopped, to $rip
    local i
    ask "Hg${thread:-0}"
    ask g
    rip=
    for i in 7 6 5 4 3 2 1 0; do rip+=${packet:256 + i * 2:2}; done
}
stops() { # the guest goes on, and must stop
    send c
    receive
    [[ $packet == T05* ]] || fail "no stop but $packet"
    thread=$(sed -n 's/.*thread:\([^;]*\);.*/\1/p' <<<"$packet")
    rip
}

ask '?' # the guest stands still when gdb comes
for kind in 0 1; do # by INT3, by a debug register
    takes "Z$kind,$function,1"
    types vm "busybox hostname name-$kind; cat /proc/sys/kernel/hostname"
    stops
    [ "$rip" = "$function" ] || fail "stopped at $rip, not $function"
    say "breakpoint of kind $kind: stopped at $rip"
    takes "z$kind,$function,1"
    send s
    receive
    rip
    [ "$rip" != "$function" ] && [ $((16#$rip - 16#$function)) -lt 16 ] || fail "a step from $function to $rip"
    say "a step: to $rip"
    send c
    sees vm "name-$kind" 30 # echoed by cat
    printf '\003' >&"${stub[1]}" # Ctrl-C of gdb
    receive
    say "goes on, and is stopped: $packet"
done
ask "m$variable,100"
memory=$packet
needle=$(printf 'name-1' | od -An -tx1 | tr -d ' \n')
before=${memory%%"$needle"*}
[ "$before" != "$memory" ] || fail 'the name is not in init_uts_ns'
# The first letter of the name, which the kernel writes.
byte=$(printf %x $((16#$variable + ${#before} / 2)))
takes "Z2,$byte,1"
types vm 'busybox hostname other; cat /proc/sys/kernel/hostname'
stops
takes "z2,$byte,1"
ask "m$byte,1"
say "watchpoint: stopped at $rip, the byte is $packet"
[ "$packet" != "$(printf n | od -An -tx1 | tr -d ' \n')" ] || fail 'the byte has not changed'
send D
receive
sees vm other 30
[ "$(guest vm 'cat /proc/sys/kernel/hostname')" = other ] || fail 'the guest does not go on'
complaints vm && fail 'the kernel complains'
qmp vm quit >/dev/null
ends vm 0 30
