#!/bin/bash
# The rules of hosts where there is an operation: refused in their profiles, not under open, and the remedy that the
# refusal names works. No VM runs.
# limit: 120
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
NESTBOX=$(realpath "$NESTBOX")
export NESTBOX_HOME=$WORK/home
nb() { timeout 60 "$NESTBOX" "$@" 2>"$WORK/err" </dev/null; }
of() { nb show "$1" --json | sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" | head -1; } # VM KEY
profile() { nb host set --profile "$1"; }
remedy() { # does what the last refusal or warning names
    local line
    line=$(sed -n 's/.*); \(nestbox .*\)$/\1/p' "$WORK/err" | head -1)
    [ -n "$line" ] || return 1
    eval "nb ${line#nestbox }"
}

# The list
check 'there are rules' [ "$(nb rules | wc -l)" -gt 30 ]
check 'of the profile' [ "$(nb rules --profile ws2016 | grep -c '^R10 ')" = 1 ]
check 'and of no other' [ "$(nb rules --profile ws2022 | grep -c '^R10 ')" = 0 ]
check 'JSON has all of a rule' \
    grep -q '"remedy": "nestbox set %s --dynamic-memory off"' <(nb rules --profile ws2016 --json)
run 'an unknown profile' 2 'not one of open, preview' rules --profile ws2012
run 'an unknown profile of the host' 2 'not one of open' host set --profile ws2012
check 'the host is open' grep -q '^profile  open$' <(nb host show)

# R3, R4: silent success
run 'a VM' 0 '' create lab --nested intel
check 'the switch prints nothing' [ -z "$(nb set lab --nested off 2>&1)" ]
check 'it is set' [ "$(of lab nested)" = off ]

# R10: ws2016
profile ws2016
run 'a VM with dynamic memory' 0 '' create dyn --dynamic-memory
run 'R10 refuses the switch' 4 'rule R10 of profile ws2016' set dyn --nested intel
check 'its remedy' remedy
check 'nothing else changed' [ "$(of dyn nested) $(of dyn dynamic_memory)" = 'off false' ]
run 'after it' 0 '' set dyn --nested intel
run 'R10 refuses dynamic memory' 4 'rule R10' set dyn --dynamic-memory
run 'R10 at create' 4 'rule R10' create both --nested intel --dynamic-memory
run 'it left nothing' 4 'no VM both' show both
profile open
run 'under open there is a warning only' 0 'rule R12 of profile open' set dyn --dynamic-memory
check 'the remedy of the warning' remedy
check 'worked' [ "$(of dyn dynamic_memory)" = false ]

# P3: no AMD-V; P4: a warning
for host in ws2016 preview; do
    profile $host
    run "P3 of $host" 4 "rule P3 of profile $host" set lab --nested amd
    check 'its remedy' remedy
    check 'worked' [ "$(of lab nested)" = intel ]
done
profile ws2019
run 'P4 warns' 0 'rule P4 of profile ws2019' set lab --nested amd
profile open
run 'open does not' 0 '' set lab --nested off
run 'AMD-V under open' 0 '' set lab --nested amd

# P2: versions
profile ws2019
run 'a VM of 2019' 0 '' create old
check 'has its version' [ "$(of old configuration)" = 9.0 ]
profile ws2022
run 'P2 refuses it AMD-V' 4 'rule P2 of profile ws2022' set old --nested amd
check 'its remedy' remedy
run 'works' 0 '' set old --nested amd
profile ws2019
run 'another VM of 2019' 0 '' create older
profile ws2022
run 'a VM of 2022' 0 '' create new
run 'may have it' 0 '' set new --nested amd
check 'by its version' [ "$(of new configuration)" = 10.0 ]
profile open
run 'under open the old one may' 0 '' set older --nested amd

# R11, P11: what does not start
profile preview
run 'dynamic memory and the switch' 0 '' set dyn --dynamic-memory
run 'R11 refuses the start' 4 'rule R11 of profile preview' start dyn
check 'its remedy' remedy
profile ws2022
run 'much memory' 0 '' create large --memory 4T
run 'P11 refuses the start' 4 'rule P11 of profile ws2022' start large
check 'its remedy' remedy
check 'worked' [ "$(of large memory)" = 1073741824 ]
profile open

# P11: what no CPU has addresses for, and what needs more of them
bits=$(sed -n 's/^address sizes.*: \([0-9]*\) bits physical.*/\1/p' /proc/cpuinfo | head -n 1)
if [ "$bits" -lt 43 ]; then
    run 'P11 refuses more memory than addresses' 4 'rule P11 of profile open' create huge --memory 4T
    run 'P11 refuses a cap' 4 'rule P11 of profile open' set large --memory-cap 4T
fi

# R19, P13: what check finds
run 'a switch' 0 '' switch create lan --type private
run 'an L1 with a card' 0 '' create l1 --nested intel --switch lan
nb check l1 >"$WORK/out"
check 'check ends with 14' [ $? = 14 ]
check 'R19 is found' grep -q 'rule R19 of profile open' "$WORK/out"
check 'and P13' grep -q 'rule P13 of profile open' "$WORK/out"
run 'a second card' 0 '' nic add l1 --switch lan
for card in nic0 nic1; do
    nb check l1 >"$WORK/out"
    check "the remedy names $card" grep -qx "    nestbox nic set l1/$card --spoofing on" "$WORK/out"
    nb nic set l1/$card --spoofing on
done
nb set l1 --cpus 4
check 'nothing is left to find' nb check l1
nb switch delete lan --force

# R38: the cap, everywhere
for host in open ws2025; do
    profile $host
    run 'a cap' 0 '' set lab --memory 1G --memory-cap 2G
    run "R38 of $host" 4 "rule R38 of profile $host" set lab --memory 4G
    check 'its remedy' remedy
    run 'after it' 0 '' set lab --memory 4G
done
finish
