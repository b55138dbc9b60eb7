#!/bin/bash
# Each verb with --json in a right call: valid JSON with keys that docs/json.md has, and nothing on standard error. A
# new verb with --json fails here until it has its line. Then what is not taken: a full disk, a closed pipe; and Ctrl-C.
# cases: calls ends
# limit: 300
set -u
. "$(dirname "$0")/lib.sh"

top=$PWD
counter_disk "$work/counter.raw"
cd "$work" || exit 1

calls() {
    # A line is `KEYS<tab>VERB...`: a program of jq that the result must fulfil. In this order they have what they need.
    cat <<'END'
.name == "lab" and .settings.memory == 67108864	create lab --generation 1 --memory 64M --accel engine
.id	disk add lab counter.raw
.	disk add lab 1M
. == {}	disk set lab/disk1 --iops-maximum 100
length == 2 and .[0].settings.format == "raw"	disk list lab
. == {}	disk create other.qcow2 2M
.corruptions == 0 and .leaks == 0 and .format == "qcow2"	disk check other.qcow2
. == {}	disk resize other.qcow2 4M
.before > 0 and .after > 0	disk compact other.qcow2
. == {}	disk convert other.qcow2 other.vhdx
. == {}	disk create over.qcow2 --base other.qcow2
. == {}	disk merge over.qcow2
. == {}	disk remove lab/disk1 --delete
.	share add lab . --tag data
.[0].tag == "data"	share list lab
. == {}	share remove lab data
.settings.profile == "open"	host show
.	host set --profile open
type == "array" and (.[0] | has("id"))	rules
.switch.name == "lan" and .switch.settings.type == "private"	switch create lan
.[0].name == "lan"	switch list
.switch.settings.notes == "mine"	switch set lan --notes mine --keep
.switch.name == "lan" and .running	switch show lan
. == {}	switch stop lan
. == {}	switch start lan
.name == "nic0" and .switch == "lan"	nic add lab --switch lan
.	nic set lab/nic0 --spoofing
length == 1	nic list lab
.name == "net"	nat create net --prefix 10.77.0.0/24
.[0].name == "net"	nat list
.	nat set net --dns off
.	nat map net --external 18080 --internal 10.77.0.5:80
.name == "net"	nat show net
.	nat unmap net --external 18080
. == {}	nat delete net
.name == "lab"	set lab --notes mine
.settings.memory == 100663296	memory set lab --memory 96M
.[0].settings.memory == 100663296	memory list
.name == "lab" and .state == "Off"	show lab
.[0].name == "lab"	list
.[0].name == "lab" and .[0].state == "Running"	start lab
.name == "lab" and .cpu_ms >= 0 and .state == "Running"	stats lab
.path	screenshot lab --write picture.png
type == "array"	top --seconds 0.5
.settings.metering	set lab --metering on
.	meter lab
.[0].state == "Paused"	pause lab
.[0].state == "Running"	resume lab
.[0].state == "Running"	restart lab --hard
.[0].state == "Saved"	save lab
.[0].state == "Off"	stop lab --turn-off
.name == "one"	checkpoint create lab --name one
.[0].name == "one"	checkpoint list lab
.name == "one"	checkpoint show lab one
. == {}	checkpoint rename lab one two
. == {}	checkpoint apply lab two --force
.path	export lab exported
. == {}	checkpoint delete lab two
.name == "twin"	import exported twin --new-id
.	clone lab third
. == {}	rename third fourth
. == {}	nic remove lab/nic0
.name == "counter"	image import counter.raw --format raw
.[0].name == "counter"	image list
.name == "counter"	image show counter
. == {}	image delete counter
. == {}	delete fourth --force
. == {}	delete twin --force
. == {}	switch delete lan
type == "array"	check
.engine.usable and .auto.amd.accel	doctor
END
}

valid() { # KEYS VERB...
    local keys=$1 status
    shift
    timeout 60 "$NB" "$@" --json >"$work/out" 2>"$work/said" </dev/null
    status=$?
    [ $status = 0 ] || [ "$1 $status" = 'check 14' ] || fail "nestbox $*: $status, $(<"$work/said")"
    [ ! -s "$work/said" ] || fail "nestbox $* says: $(<"$work/said")"
    jq -e "$keys" "$work/out" >/dev/null || fail "nestbox $* --json prints: $(<"$work/out")"
    jq -r 'if type == "array" then .[] else . end | objects | keys[]' "$work/out" | sort -u >"$work/keys"
    while read -r keys; do
        grep -qF "\`$keys\`" "$top/docs/json.md" || fail "nestbox $* --json has $keys, which docs/json.md has not"
    done <"$work/keys"
}

case ${1:-calls} in
calls)
    while IFS=$'\t' read -r keys verb <&4; do
        # shellcheck disable=SC2086 # words
        valid "$keys" $verb
    done 4< <(calls)
    say 'each call prints JSON'
    while IFS=$'\t' read -r title _ options; do
        case $title in
        'image build' | 'switch capture' | 'nat release') continue ;; # manager/image, net/capture, net/nat
        esac
        [[ $options != *--json* ]] || calls | cut -f 2 | grep -qE "^$title( |\$)" || fail "$title has no call here"
    done < <("$NB" derive words)
    say 'and no verb with --json is without one'
    ;;
ends)
    nb create lab --generation 1 --memory 64M --accel engine
    nb disk add lab "$work/counter.raw" >/dev/null
    for verb in list 'show lab' 'disk list' rules doctor help version 'set --help' 'derive bash'; do
        # shellcheck disable=SC2086
        timeout 60 "$NB" $verb >/dev/full 2>"$work/said"
        status=$?
        [ $status = 4 ] || fail "$verb on a full disk: $status"
        grep -q '^nestbox: cannot write the output: No space' "$work/said" || fail "$verb says $(<"$work/said")"
        # shellcheck disable=SC2086
        { timeout 60 "$NB" $verb 2>"$work/said" && echo 0 >"$work/status" || echo $? >"$work/status"; } | true
        within 5 test -s "$work/status"
        case $(<"$work/status") in
        0 | 141) rm "$work/status" ;;
        *) fail "$verb into a closed pipe: $(<"$work/status"), $(<"$work/said")" ;;
        esac
        [ ! -s "$work/said" ] || fail "$verb into a closed pipe says $(<"$work/said")"
    done
    say 'output that nobody takes'
    dd if=/dev/urandom of=big.raw bs=1M count=300 status=none
    nb disk add lab big.raw >/dev/null
    nb start lab
    # interrupted SECONDS VERB...: Ctrl-C after that time; the command says at most one line and ends with 130
    interrupted() {
        local after=$1
        shift
        timeout --preserve-status -s INT -k 20 "$after" "$NB" "$@" >"$work/out" 2>"$work/said" </dev/null
        status=$?
        [ $status = 130 ] || [ $status = "${DONE:-130}" ] || fail "nestbox $* after Ctrl-C: $status, $(<"$work/said")"
        [ "$(wc -l <"$work/said")" -le 1 ] || fail "nestbox $* after Ctrl-C says: $(<"$work/said")"
    }
    nb start lab >/dev/null
    interrupted 1 start lab --wait
    interrupted 1 events lab
    interrupted 1 logs lab --follow
    interrupted 1 console lab
    is lab Running || fail "after Ctrl-C it is $(state lab)"
    say 'Ctrl-C while something is watched'
    nb stop lab --turn-off
    # cut TEST FILE VERB...: what is there after Ctrl-C is nothing, or all where the command was done before. A signal
    # may end even one that is done, while it prints; then FILE, its image of big.raw, must be whole.
    cut() {
        local there=$1 file=$2
        shift 2
        DONE=0 interrupted 0.15 "$@"
        if [ $status = 0 ]; then
            eval "$there" >"$work/out" 2>&1 || fail "nestbox $* was done, and nothing is there: $(<"$work/out")"
        elif eval "$there" >/dev/null 2>&1; then
            qemu-img compare big.raw "$file" >"$work/out" 2>&1 || fail "half of nestbox $* is there: $(<"$work/out")"
        fi
        say "nestbox $*: $status"
    }
    cut '"$NB" show twin' "$NESTBOX_HOME/vms/twin/disks/disk1.qcow2" clone lab twin
    cut '[ -e exported ]' exported/disks/base-2.raw export lab exported
    cut '[ -e other.qcow2 ]' other.qcow2 disk convert big.raw other.qcow2
    cut '"$NB" image show big' "$NESTBOX_HOME/images/big/disk.qcow2" image import big.raw big --format raw
    nb set lab --notes checked
    [ -z "$(ls "$NESTBOX_HOME/intents")" ] || fail "intents are left: $(ls "$NESTBOX_HOME/intents")"
    [ -z "$(find "$work" -maxdepth 1 -name '.*' ! -path "$work")" ] || fail "left: $(ls -A "$work")"
    say 'Ctrl-C while something is copied'
    ${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -o pty "$top/tests/cli/pty.c" || exit 1
    ./pty columns:40 -- "$NB" create --help >screen || fail 'help on a narrow terminal'
    ! tr -d '\r' <screen | awk 'length > 60' | grep -v Usage: || fail 'help does not fit a narrow terminal'
    nb start lab
    ./pty columns:40 expect:NAME expect:lab expect:exits send:q -- "$NB" top --seconds 0.5 >screen || fail 'top'
    tr '\n' '\0' <screen | sed 's/\x1b\[[0-9;?]*[A-Za-z]/\n/g' | tr -d '\r' | tr '\0' '\n' >lines
    [ -z "$(awk 'length > 40' lines)" ] ||
        fail 'top does not fit a narrow terminal'
    nb stop lab --turn-off
    say 'narrow terminals'
    ;;
*) fail "no case $1" ;;
esac
