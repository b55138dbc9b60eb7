#!/bin/bash
# --stats: every line is there, and its numbers are what the guest did.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

guests=$(dirname "$NESTBOX")/guest
[ -e "$guests/svm_intercepts.elf" ] || { echo "no guests: make guests"; exit 77; }

stats() { # NAME STATUS OPTION...: the lines are in $WORK/err
    local name=$1 want=$2
    shift 2
    timeout 60 "$NESTBOX" run --accel engine --stats "$@" </dev/null >"$WORK/out" 2>"$WORK/err"
    check "$name" [ $? = "$want" ]
}
counter() { # VCPU NAME
    sed -nE "s/^vCPU $1:(.*[0-9]|) $2 ([0-9]+)( .*|)$/\2/p" "$WORK/err"
}
called() { # all counts of called instructions together
    sed -nE 's/^called: +([0-9]+) [a-z].*/\1/p' "$WORK/err" | awk '{n += $1} END {print n}'
}
from_to() { # NAME NUMBER LEAST MOST
    check "$1: $2 is from $3 to $4" [ "${2:--1}" -ge "$3" -a "${2:--1}" -le "$4" ]
}
line() { # NAME PATTERN
    check "$1" grep -qE "^$2$" "$WORK/err"
}
names=(dispatched lookups calls 'system calls' 'TLB fills' ungrouped 'bounced accesses' faults 'VM entries' 'VM exits'
    halts 'stores beside code' 'pages of code compared' 'blocks found stale'
    'fills by a victim' 'fills in place of another' 'fetch fills' 'lookups for links'
    'jumps in C' 'blocks made' 'blocks made hot' 'mapped.pieces' 'mapped.drops' 'mapped.flushes' 'mapped.refused'
    'mapped.checked' 'users.spaces' 'users.ends' 'users.signals' 'users.calls' 'users.pages'
    'users.drops' 'users.checks' 'direct.entries' 'direct.entries_l2'
    'direct.syscalls' 'direct.page_faults' 'direct.other_stops' 'direct.trapped' 'direct.kicks' 'direct.steps'
    'direct.changes' 'direct.calls' 'direct.pages' 'direct.checks' 'direct.unfit_pages' 'direct.ran_us'
    'direct.spent_us' 'direct.vectors' 'direct.processes' 'direct.begun'
    'direct.predicted' 'direct.given_up' 'direct.mispredicted')
vcpu_line='vCPU [0-9]+:'
for name in "${names[@]}"; do vcpu_line+=" $name [0-9]+"; done

# Reads port 7777h three times and writes it once; reads memory at D000_0000h twice and writes it three times: nobody is
# there.
ports='\146\272\167\167\354\354\354\356'
load='\241\000\000\000\320' store='\243\000\000\000\320'
guest "$WORK/nobody" "$ports$load$load$store$store$store$POWER_OFF$HANG"
stats 'accesses that nobody claims' 0 --memory 16M --kernel "$WORK/nobody"
check 'four lines, and what was called' [ "$(grep -vc '^called: ' "$WORK/err")" = 4 ]
line 'three reads of a port' 'called: +3 in'
line 'one or more writes' 'called: +[1-9] out'
line 'the code cache' 'blocks [1-9][0-9]*, code [0-9]+ KiB hot [0-9]+ KiB cold, cache flushes 0'
line 'the vCPU' "$vcpu_line"
line 'ports that nobody claimed' 'unclaimed port accesses +3 reads, 1 writes'
line 'memory that nobody claimed' 'unclaimed memory accesses +2 reads, 3 writes'
from_to 'all that was called' "$(called)" "$(counter 0 calls)" "$(counter 0 calls)"
from_to 'called: port accesses' "$(counter 0 calls)" 5 20
from_to 'memory accesses outside the TLB' "$(counter 0 'bounced accesses')" 5 20
from_to 'nothing faults' "$(counter 0 faults)" 0 0
from_to 'no nested VM' "$(counter 0 'VM entries')" 0 0

guest "$WORK/hang" "$HANG"
stats 'a time-out' 8 --memory 16M --timeout 0.5 --kernel "$WORK/hang"
line 'has its line too' "$vcpu_line"
from_to 'it halts' "$(counter 0 halts)" 1 2
stats '256 CPUs' 0 --memory 16M --cpus 256 --kernel "$WORK/nobody"
check 'have a line each' [ "$(grep -cE "^$vcpu_line$" "$WORK/err")" = 256 ]
line 'and what follows is there' 'unclaimed memory accesses +2 reads, 3 writes'

stats 'nested VMs' 1 --memory 128M --debug-exit --nested amd --kernel "$guests/svm_intercepts.elf"
entries=$(counter 0 'VM entries')
from_to 'VM entries' "$entries" 1000 100000000
exits=$(counter 0 'VM exits')
from_to 'VM exits' "$exits" 1000 "$entries"
from_to 'blocks made' "$(counter 0 'blocks made')" 100 100000
from_to 'fetch fills' "$(counter 0 'fetch fills')" 10 "$(counter 0 lookups)"
line 'ends with a table of VM exits' 'VM exits of L2 to L1: +20000 CPUID'
sum=$(sed -nE 's/^VM exits of L2 to L1: +([0-9]+) .*/\1/p' "$WORK/err" | awk '{n += $1} END {print n}')
check 'which has them all' [ "$sum" = "$exits" ]
check 'the table is last' [ "$(tail -n 1 "$WORK/err" | cut -c -20)" = 'VM exits of L2 to L1' ]
stats 'VT-x' 1 --memory 128M --debug-exit --nested intel --kernel "$guests/vmx_paging.elf"
line 'VM exits by reason there, too' 'VM exits of L2 to L1: +[0-9]+ EPT violation'
from_to 'blocks' "$(sed -nE 's/^blocks ([0-9]+),.*/\1/p' "$WORK/err")" 100 100000
from_to 'code' "$(sed -nE 's/.*code ([0-9]+) KiB hot.*/\1/p' "$WORK/err")" 10 10000
from_to 'TLB fills' "$(counter 0 'TLB fills')" 100 100000000
stats 'faults' 1 --memory 128M --debug-exit --kernel "$guests/fault.elf"
from_to 'faults' "$(counter 0 faults)" 50 100000000
run 'no lines without it' 0 '' run --accel engine --memory 16M --kernel "$WORK/nobody"
finish
