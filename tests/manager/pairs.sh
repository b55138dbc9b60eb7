#!/bin/bash
# Two commands at the same time on one VM: each is done, in one order or the other, or refused with the reason, and the
# VM is whole afterwards. Who waits for long says for whom.
set -u
. "$(dirname "$0")/lib.sh"

counter_disk "$work/counter.raw"
make_lab() {
    nb create lab --generation 1 --memory 64M --accel engine --base "$work/counter.raw"
    nb disk add lab 8M >/dev/null
    nb checkpoint create lab --name old >/dev/null
}
exists() { [ -e "$NESTBOX_HOME/vms/$1/vm.json" ]; }
settled() { [[ $(state "$1") =~ ^(Off|Saved|Running|Paused)$ ]]; } # VM
intents() { find "$NESTBOX_HOME/intents" -name '*.json' ! -name '.*' 2>/dev/null; }

reasons=' is (Off|Saved|Running|Paused|Starting|Stopping|Saving|Pausing|Resuming|running)| is not |turn of|no VM'
reasons+='|does not run|has no (checkpoint|drive)|cannot be|already|no longer|ended|was cut off|before this was done'
reasons+='|there is no|did not'

# at_once STATE "COMMAND" "COMMAND": both, from that state
at_once() {
    local n first second status=() name
    exists lab || make_lab
    case $1 in
    Off) is lab Off || nb stop lab --turn-off ;;
    Saved) is lab Saved || { is lab Running || nb start lab; nb save lab; } ;;
    *) is lab Running || { if is lab Paused; then nb resume lab; else nb start lab; fi; } ;;
    esac
    [ "$1" != Paused ] || nb pause lab
    must_be lab "$1"
    read -ra first <<<"$2"
    read -ra second <<<"$3"
    timeout 100 "$NB" "${first[@]}" >"$work/1.out" 2>"$work/1.err" </dev/null &
    n=$!
    sleep "0.0$((RANDOM % 10))"
    timeout 100 "$NB" "${second[@]}" >"$work/2.out" 2>"$work/2.err" </dev/null
    status[2]=$?
    wait $n
    status[1]=$?
    for n in 1 2; do
        [ "${status[n]}" -lt 20 ] || fail "'$2' and '$3' when $1: number $n ends with ${status[n]}: $(<"$work/$n.err")"
        [ "${status[n]}" = 0 ] || grep -qE "$reasons" \
            "$work/$n.err" || fail "'$2' and '$3' when $1: number $n says: $(<"$work/$n.err")"
    done
    [ "${status[1]}" = 0 ] || [ "${status[2]}" = 0 ] ||
        fail "'$2' and '$3' when $1: neither is done: $(cat "$work"/[12].err)"
    pairs=$((pairs + 1))
    [ "${status[1]}${status[2]}" = 00 ] && both=$((both + 1))
    for name in attic other; do
        ! exists $name || { [ $name = attic ] && ! exists lab && nb rename attic lab; } || nb delete $name --force
    done
    exists lab || return 0
    within 30 settled lab || fail "'$2' and '$3' when $1: VM lab is $(state lab)"
    "$NB" set lab --notes x 2>/dev/null
    [ -z "$(intents)" ] || fail "'$2' and '$3' when $1: under way: $(intents)"
    "$NB" checkpoint list lab >"$work/said" 2>&1 || fail "'$2' and '$3' when $1: $(<"$work/said")"
    if ! is lab Running; then
        if is lab Paused; then nb resume lab; else nb start lab; fi
    fi
    within 20 counts lab 1 || fail "'$2' and '$3' when $1: it does not count"
}

pairs=0 both=0
make_lab
at_once Off 'start lab' 'start lab'
at_once Off 'start lab' 'stop lab --turn-off'
at_once Off 'start lab' 'delete lab --force'
at_once Off 'start lab' 'rename lab attic'
at_once Off 'start lab' 'set lab --cpus 2'
at_once Off 'start lab' 'disk add lab 8M'
at_once Off 'start lab' 'clone lab other'
at_once Off 'start lab' 'checkpoint apply lab old --force'
at_once Off 'set lab --cpus 1' 'set lab --memory 80M'
at_once Off 'set lab --memory 64M' 'delete lab --force'
at_once Off 'rename lab attic' 'rename lab other'
at_once Off 'delete lab --force' 'delete lab --force'
at_once Off 'clone lab other' 'delete lab --force'
at_once Off 'clone lab other' 'clone lab other'
at_once Off 'checkpoint create lab' 'checkpoint apply lab old --force'
at_once Running 'stop lab --turn-off' 'stop lab --turn-off'
at_once Running 'stop lab --turn-off' 'save lab'
at_once Running 'save lab' 'save lab'
at_once Running 'save lab' 'pause lab'
at_once Running 'checkpoint create lab --kind standard' 'save lab'
at_once Running 'checkpoint create lab --kind standard' 'stop lab --turn-off'
at_once Running 'checkpoint create lab --kind standard' 'checkpoint create lab --kind standard'
at_once Running 'checkpoint delete lab old' 'checkpoint delete lab old'
nb checkpoint create lab --name old --kind standard >/dev/null
at_once Running 'checkpoint apply lab old --force' 'save lab'
at_once Running 'disk add lab 8M' 'save lab'
at_once Running 'disk add lab 8M --bus scsi' 'disk add lab 8M --bus scsi'
at_once Running 'restart lab --hard' 'save lab'
at_once Paused 'resume lab' 'save lab'
at_once Paused 'resume lab' 'stop lab --turn-off'
at_once Saved 'start lab' 'start lab'
at_once Saved 'start lab' 'delete lab --force'
at_once Saved 'start lab' 'stop lab --turn-off'
at_once Saved 'start lab' 'checkpoint apply lab old --force'
say "$pairs pairs, both done in $both"

# Who waits says for whom.
exists lab || make_lab
is lab Off || nb stop lab --turn-off
(
    exec 9>>"$run/.lab.lock"
    flock 9
    printf '%d %d export\n' "$BASHPID" "$(date +%s)" >"$run/.lab.lock"
    sleep 3
) &
within 5 grep -q export "$run/.lab.lock"
"$NB" set lab --notes waited 2>"$work/said" || fail "it does not wait: $(<"$work/said")"
grep -q "waiting for 'export' (process [0-9]*), which has been at work on VM lab for [0-9]* seconds" "$work/said" ||
    fail "it says $(<"$work/said")"
wait
say 'who waits says for whom'
