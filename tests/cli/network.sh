#!/bin/bash
# switch, nat, nic, check: what they do to what is defined, what they refuse and how, one process per switch whatever is
# killed and started at once, and JSON. No frames: those are in tests/net. Nothing of the host is touched: switches are
# private, or NAT by slirp.
# limit: 300
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
own_home
pid_of() { nb switch show "$1" --json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'; }
served() { nb switch list | grep -qE "^$1 +[a-z]+ +yes"; } # SWITCH
kill_all() { # SWITCH: its process and who would start it again
    local process keeper
    read -r process keeper _ <"$NESTBOX_HOME/locks/$1"
    kill -9 "$keeper" "$process"
}
another() { second=$(pid_of lan) && [ -n "$second" ] && [ "$second" != "$first" ]; }
gone() { ! served "$1"; }
within() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# Switches
run 'no verb' 2 'switch needs a verb' switch
run 'mistyped verb' 2 "unknown verb 'switch craete'; did you mean 'switch create'" switch craete
run 'help of all' 0 '' switch --help
run 'help of one' 0 '' help switch create
run 'no name' 2 'switch create without NAME: nestbox switch create NAME' switch create
run 'two names' 2 "unexpected argument 'b'" switch create a b
run 'a name that is a path' 2 "'../a' is no name for a switch; letters" switch create ../a
run 'an empty name' 2 'the name of a switch is empty' switch create ''
run 'unknown type' 2 "did you mean 'private'" switch create lan --type privat
run 'interface of a private switch' 2 '--interface is for external switches, and this one is private' \
    switch create lan --interface eth0
run 'external without an interface' 2 'needs an interface of the host; name it with --interface' \
    switch create lan --type external
run 'the loopback' 2 "lo is the host's loopback.*type internal" switch create lan --type external --interface lo
run 'no name of an interface' 2 "'abcdefghijklmnop' is no name of an interface: it has 1 to 15" \
    switch create lan --type external --interface abcdefghijklmnop
run 'NAT options of a private switch' 2 'are for switches of --type nat' switch create lan --prefix 10.1.0.0/24
run 'create' 0 '' switch create Lan --notes 'a note'
run 'twice, in another case' 4 'there is already a switch Lan' switch create lan
says 'list' '^Lan +private +no +0' switch list
says 'list as JSON' '"name": "Lan"' switch list --json
says 'show' 'settings +notes a note' switch show LAN
run 'unknown switch' 4 "there is no switch lna; did you mean 'Lan'" switch show lna
run 'nothing to change' 2 'set without an option' switch set lan
run 'set' 0 '' switch set lan --notes '' --keep
says 'what was set' '"notes": null' switch show lan --json
check 'a switch that is kept runs' served Lan
run 'change to NAT' 2 'cannot change to or from type nat' switch set lan --type nat
run 'unkeep' 0 '' switch set lan --keep off
run 'start what would end' 2 'no cards and is not kept: .*; it starts with its first card' switch start lan
check 'it ends by itself' within 15 gone Lan

# Cards
run 'a card that leaves its switch' 0 '' nic add leaver --switch lan
run 'is at none' 0 '' nic set leaver --switch ''
check 'which is shown' grep -qE '^leaver/nic0 +- +no switch' <(nb nic list leaver)
check 'also as JSON' [ "$(nb nic list leaver --json | jq -c '.[0] | [.switch, .linked]')" = '[null,null]' ]
check 'and is no finding' [ -z "$(nb check)" ]
run 'nor is it captured' 2 'leaver/nic0 is at no switch, not at Lan' switch capture lan --port leaver
run 'and comes back' 0 '' nic set leaver --switch lan
check 'it is there' [ "$(nb nic list leaver --json | jq -r '.[0].switch')" = Lan ]
run 'it goes' 0 '' nic remove leaver
run 'no switch named' 2 'connected to a switch, and none is named; name it with --switch' nic add lab1
run 'unknown switch of a card' 4 "there is no switch lab; did you mean 'Lan'" nic add lab1 --switch lab
netdev='-netdev stream,id=([a-f][0-9a-f]{7}),server=on,addr.type=unix,addr.path=.*/home/run/nics/\1'
says 'add' "^$netdev -device virtio-net-pci,netdev=\\1,mac=[0-9a-f:]{17}\$" nic add lab1 --switch lan
check 'its switch runs' served Lan
first=$(pid_of lan)
says 'the second has the next name' '"name": "nic1"' nic add LAB1 --switch Lan --mac 02-00-00-00-00-01 --json
run 'the same address' 4 '02:00:00:00:00:01 is the address of lab1/nic1 at switch Lan, so lab2/nic0 cannot have it' \
    nic add lab2 --switch lan --mac 02:00:00:00:00:01
run 'the address of a group' 2 '--mac: 01:.* is the address of a group' \
    nic add lab2 --switch lan --mac 01:00:00:00:00:01
run 'no address' 2 "'mac' is not an Ethernet" nic add lab2 --switch lan --mac mac
run 'too little bandwidth' 2 'less than the least, 64K; 0 is none' nic add lab2 --switch lan --bandwidth-maximum 100
run 'no list of VLANs' 2 "--trunk: '5-3' is not a list" nic add lab2 --switch lan --trunk 5-3
run 'a path as a VM' 2 'is no name for a VM' nic add ../x --switch lan
says 'nothing of a refused card stays' '^lab1/nic1 ' nic list
check 'nothing at all' [ "$(nb nic list --json | grep -c '"id"')" = 2 ]
run 'which card' 2 'VM lab1 has several cards; name one of them, as in lab1/nic0' nic set lab1 --spoofing
run 'mistyped card' 4 "there is no card lab1/nci0; did you mean 'lab1/nic0'" nic set lab1/nci0 --spoofing
run 'set a card' 0 '' nic set lab1/NIC0 --spoofing --vlan 5 --bandwidth-maximum 10M
says 'what the process has' 'settings +spoofing on, bandwidth-maximum 10000000, vlan 5' switch show lan
run 'set one thing' 0 '' nic set lab1/nic0 --spoofing off
says 'others stay' 'settings +bandwidth-maximum 10000000, vlan 5' switch show lan
run 'one VM' 0 '' nic list lab1 --json
run 'mistyped VM' 4 "there is no card of a VM lba1; did you mean 'lab1'" nic list lba1
run 'delete a switch in use' 4 'switch Lan has cards: lab1/nic0, lab1/nic1; remove or move' switch delete lan
run 'nothing is wrong' 0 '' check
check 'the process is the same' [ "$(pid_of lan)" = "$first" ]

# One process, whatever happens
runs() { # those of Lan, without who would start them again
    for p in $(pgrep -f '^nestbox switch run Lan$'); do
        grep -qs "$NESTBOX_HOME" "/proc/$p/environ" && ! grep -q keeper "/proc/$p/comm" && echo "$p"
    done
}
kill -9 "$first"
check 'a killed switch comes back by itself' within 5 another
says 'and says so' 'note +its process was ended by signal 9 .* and started again; that happened 1 time$' switch show lan
first=$second
kill_all lan
within 5 gone Lan
check 'a killed switch is a finding' [ "$(nb check)" = "switch Lan does not run, so its cards reach nothing
    nestbox switch start Lan" ]
nb check >/dev/null
check 'and its status' [ $? = 14 ]
check 'the stale socket is there' [ -S "$NESTBOX_HOME/run/switches/lan" ]
run 'start' 0 '' switch start lan
check 'another process' another
kill_all lan
within 5 gone Lan
run 'the next command starts it' 0 '' nic set lab1/nic1 --protect
check 'it runs' served Lan
run 'start of one that runs' 0 '' switch start lan
kill_all lan
within 5 gone Lan
for i in 1 2 3 4 5 6; do nb switch start lan & done
for job in $(jobs -p); do wait "$job" || fail "starts at once: $(cat "$WORK/err")"; done
check 'six starts at once are one process' [ "$(runs | wc -l)" = 1 ]
grep -q '^NoNewPrivs:[[:space:]]1' "/proc/$(pid_of lan)/status"
check 'it gains no rights' [ $? = 0 ]
nb switch show lan --json >"$WORK/out"
check 'it says what it gave up' grep -q '"rights"' "$WORK/out"
run 'stop' 0 '' switch stop lan
check 'it does not run' gone Lan
says 'show starts nothing' 'does not run, so its cards reach nothing; nestbox switch start Lan' switch show lan
check 'it still does not run' gone Lan
run 'stop of one that does not run' 0 '' switch stop lan
for i in 1 2 3 4 5 6; do nb nic add "many$i" --switch lan >/dev/null & done
for job in $(jobs -p); do wait "$job" || fail "cards at once: $(cat "$WORK/err")"; done
check 'six cards at once' [ "$(nb nic list | grep -c '^many[1-6]/nic0 .*Lan')" = 6 ]
check 'all are ports' [ "$(nb switch show lan | grep -c '^Card many')" = 6 ]
for i in 1 2 3 4 5 6; do run "remove $i" 0 '' nic remove "many$i"; done
"$NESTBOX" switch run lan 2>"$WORK/err"
check 'in the foreground beside it' [ $? = 4 ]
check 'what is said' grep -q 'its process runs already' "$WORK/err"

# Refused, so nothing of it stays
refused() { # NAME STATUS PATTERN COMMAND...: and then there is neither a switch x1 nor a network x1
    run "$@"
    check "$1: nothing stays" [ "$(nb switch list | grep -c '^x1 ')$(nb nat list | grep -c '^x1 ')" = 00 ]
}
refused 'an address that is none' 2 "--address: '300.1.1.1/24' is not an address" \
    switch create x1 --type internal --address 300.1.1.1/24
refused 'an interface that is not there' 4 'nosuch' switch create x1 --type external --interface nosuch
refused 'notes that are no text' 2 '--notes: the text is not UTF-8' switch create x1 --notes $'\xff'
refused 'neither on nor off' 2 "--keep: 'maybe' is neither on nor off" switch create x1 --keep maybe
run 'the corrected command' 0 '' switch create x1 --notes $'a\e[31mb'
says 'notes are printed safely' 'notes a.x1b' switch show x1
run 'an address that is none is not set' 2 "--address: '1/2' is not" switch set x1 --type internal --address 1/2
says 'nor is the type' '^x1 +private' switch list
run 'delete it' 0 '' switch delete x1

# A process that hangs
hung=$(pid_of lan)
kill -STOP "$hung"
check 'check says which' grep -q "switch Lan does not answer (process $hung)" <(nb check)
check 'nic list does' grep -q "^lab1/nic0 .*does not answer (process $hung)" <(nb nic list)
run 'stop ends it' 0 '' switch stop lan
check 'it has ended' gone Lan
run 'it starts again' 0 '' switch start lan

# Folders that are removed while it runs
first=$(pid_of lan)
rm -r "$NESTBOX_HOME/run"
check 'a removed run folder comes back' within 5 served Lan
check 'with the same process' [ "$(pid_of lan)" = "$first" ]
rm -r "$NESTBOX_HOME/locks"
check 'so does a lock' within 5 test -s "$NESTBOX_HOME/locks/lan"
rm -r "$NESTBOX_HOME/locks" "$NESTBOX_HOME/run"
for i in 1 2 3 4; do nb switch start lan & done
for job in $(jobs -p); do wait "$job" || fail "starts without folders: $(cat "$WORK/err")"; done
alone() { [ "$(runs | wc -l)" = 1 ] && [ "$(runs)" = "$(pid_of lan)" ]; }
check 'there is one process in the end' within 10 alone
mv "$NESTBOX_HOME" "$WORK/moved"
gone_all() { [ -z "$(runs)" ]; }
check 'without its home folder it ends' within 10 gone_all
mv "$WORK/moved" "$NESTBOX_HOME"
run 'and starts again' 0 '' switch start lan

# Paths that are too long for a socket
long=$WORK/$(printf 'l%.0s' {1..80})
in_long() { NESTBOX_HOME=$long timeout 60 "$NESTBOX" "$@" >"$WORK/out" 2>"$WORK/err"; }
in_long switch create x1
check 'a path that is too long for a socket' [ $? = 4 ]
check 'it says so' grep -q 'the path of the socket switches/x1 has [0-9]* characters, and at most 107' "$WORK/err"
check 'nothing stays' [ ! -e "$long/switches/x1.json" ]
NESTBOX_HOME=$WORK/short nb switch create x1 && cp "$WORK/short/switches/x1.json" "$long/switches"
check 'one that is there is deleted' in_long switch delete x1

# Captures
"$NESTBOX" switch capture lan --write "$WORK/capture" 2>"$WORK/err" &
check 'a capture begins' within 5 test -s "$WORK/capture"
kill -INT $!
wait $!
check 'Ctrl-c ends it' [ $? = 0 ]
check 'it is pcapng' [ "$(head -c 4 "$WORK/capture" | od -An -tx1 | tr -d ' ')" = 0a0d0d0a ]
run 'of an unknown card' 4 "did you mean 'lab1/nic0'" switch capture lan --port lab1/nic00 --write "$WORK/none"
check 'nor is a file made' [ ! -e "$WORK/none" ]
run 'to nowhere' 4 'none/x: No such' switch capture lan --write "$WORK/none/x"

# NAT
says 'a prefix is chosen' 'NAT network net: (192\.168|10)\.[0-9.]*/24 at switch net' nat create net --backend slirp
prefix=$(nb nat list --json | sed -n 's/.*"prefix": "\(.*\)",/\1/p')
run 'an overlap' 4 "the NAT network two.*${prefix%/*}.*the NAT network net|${prefix%/*}.*net" \
    nat create two --backend slirp --prefix "${prefix%.*}.128/25"
run 'host bits' 2 "${prefix%/*}" nat create two --prefix "${prefix%.*}.1/24"
run 'IPv6 as IPv4' 2 '--prefix: fd00:1::/64 is not of IPv4' nat create two --prefix fd00:1::/64
run 'no room' 2 'has no room for VMs' nat create two --prefix 10.99.0.0/30
check 'nothing of it' [ "$(nb switch list --json | grep -c '"name": "two"')" = 0 ]
run 'the same by switch' 0 '' switch create three --type nat --prefix 10.98.0.0/16 --backend slirp --dns off
says 'its network' 'three +10.98.0.0/16 +three' nat list
run 'a switch that is not NAT' 2 'switch Lan is not of type nat' nat create four --switch lan
run 'a switch that has one' 4 'switch three has a NAT network already: three' nat create four --switch three
run 'map' 0 '' nat map net --external 18080 --internal "${prefix%.*}.5:80"
run 'map twice' 4 'tcp 127.0.0.1:18080 of the host is mapped already: to .* of the network net' \
    nat map three --external 127.0.0.1:18080 --internal 10.98.0.5:80
run 'map UDP' 0 '' nat map net --protocol udp --external 127.0.0.1:18080 --internal "${prefix%.*}.5:80"
run 'map outside' 2 '--internal: 10.1.1.1:80 is not in' nat map net --external 18081 --internal 10.1.1.1:80
run 'map without' 2 'nat map without --internal' nat map net --external 18081
run 'map IPv6 to IPv4' 2 '--external and --internal: \[::\]:18081 and .* are of different versions of IP' \
    nat map net --external '[::]:18081' --internal "${prefix%.*}.5:80"
check 'which is not written' [ "$(nb nat show net | grep -c 18081)" = 0 ]
run 'no port' 2 "--external: 'http' is not a port" nat map net --external http --internal "${prefix%.*}.5:80"
says 'mappings' "mapping +udp 127.0.0.1:18080 to ${prefix%.*}.5:80" nat show net
run 'a lease of a network that does not run' 4 'switch net does not run' nat release net 02:00:00:00:00:77
run 'unmap' 0 '' nat unmap net --external 18080
run 'unmap twice' 4 'has no mapping of tcp 0.0.0.0:18080' nat unmap net --external 18080
IFS=./ read -r a b c _ <<<"$prefix"
printf -v gateway '52:55:%02x:%02x:%02x:01' "$a" "$b" "$c"
run 'the address of the gateway' 4 'is the address of the gateway of the NAT network net' \
    nic add lab3 --switch net --mac "$gateway"
run 'a prefix that leaves a mapping' 2 'udp 127.0.0.1:18080 of the host is mapped to' nat set net --prefix 10.97.0.0/24
run 'set' 0 '' nat set net --dhcp off
says 'what was set' '"dhcp": false' nat show net --json
check 'the prefix stays' [ "$(nb nat list --json | sed -n 's/.*"prefix": "\(.*\)",/\1/p' | head -n 1)" = "$prefix" ]
nb nic add lab3 --switch net >/dev/null
check 'its switch runs' served net
run 'a lease without DHCP' 4 'the NAT network net has no DHCP, and so no leases' nat release net 02:00:00:00:00:77
run 'what is no address' 2 "'x' is neither an Ethernet address nor one of IPv4" nat release net x
run 'delete in use' 4 'switch net has a card: lab3/nic0' nat delete net
run 'delete by force' 0 '' nat delete net --force
check 'a card without a switch is a finding' grep -q 'lab3/nic0 is at switch net, which does not exist' <(nb check)
run 'and can be moved' 0 '' nic set lab3 --switch lan
run 'then nothing is wrong' 0 '' check
run 'delete' 0 '' nat delete three
check 'with its switch' [ "$(nb switch list | grep -c three)" = 0 ]

# Damage, and commands that are killed
printf '{"version": 1' >"$NESTBOX_HOME/switches/bad.json"
run 'a damaged definition' 4 'switches/bad.json: it is damaged: line 1.*; mend the file or remove it' switch list
run 'stops changes' 4 'switches/bad.json: it is damaged' switch create other
rm "$NESTBOX_HOME/switches/bad.json"
run 'and is forgotten without it' 0 '' switch list
run 'a VM that is whole' 0 '' nic add sound --switch lan
mkdir -p "$NESTBOX_HOME/vms/broken"
printf '{"version": 1' >"$NESTBOX_HOME/vms/broken/nics.json"
nb switch stop lan
for words in 'switch show lan' 'switch start lan' 'nic list sound' 'switch stop lan' 'switch start lan'; do
    # shellcheck disable=SC2086
    run "damage elsewhere: $words" 0 'vms/broken/nics.json: it is damaged' $words
done
says 'its card is there' '^Card sound/nic0' switch show lan
check 'check has a finding' grep -q '^vms/broken/nics.json: it is damaged' <(nb check)
nb check --json >"$WORK/out"
check 'of its own' grep -q '"finding": "damaged"' "$WORK/out"
run 'the VM itself' 4 'vms/broken/nics.json: it is damaged' nic list broken
run 'a change of it' 4 'vms/broken/nics.json: it is damaged' nic add broken --switch lan
check 'it is as it was' [ "$(cat "$NESTBOX_HOME/vms/broken/nics.json")" = '{"version": 1' ]
rm -r "$NESTBOX_HOME/vms/broken"
run 'remove the other' 0 '' nic remove sound
cp "$NESTBOX_HOME/switches/lan.json" "$NESTBOX_HOME/switches/wan.json"
run 'a name that is not the file'\''s' 4 'switches/wan.json: it is damaged: "name" is not the file' switch list
rm "$NESTBOX_HOME/switches/wan.json"
whole=yes
start=${EPOCHREALTIME/./}
nb nat create k0 --backend slirp >/dev/null
took=$((${EPOCHREALTIME/./} - start)) # microseconds; killed after 5 % to 150 % of that
for i in $(seq 60); do
    printf -v moment '0.%06d' $((took * (i % 30 + 1) / 20))
    { timeout -s KILL "$moment" "$NESTBOX" nat create "k$i" --backend slirp >/dev/null; } 2>/dev/null
    nb nat list >"$WORK/nats" && nb switch create "s$i" >/dev/null && nb switch list >"$WORK/switches" || whole=no
    [ "$(grep -c "^k$i " "$WORK/switches")" = "$(nb nat list | grep -c "^k$i ")" ] || whole=no
done
check 'kill -9 leaves all of a command or nothing' [ $whole = yes ]
check 'some of them were done' grep -q '^k[1-9]' "$WORK/nats"
check 'and some were not' [ "$(grep -c '^k[1-9]' "$WORK/nats")" -lt 60 ]

if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    mkdir "$WORK/small"
    check 'a full disk' unshare -m bash -c '
        mount -t tmpfs -o size=160k none "$1" && export NESTBOX_HOME=$1/home && shift
        "$1" switch create one --notes before || exit 1
        dd if=/dev/zero of="$NESTBOX_HOME/../fill" bs=4k 2>/dev/null
        long=$(printf "x%.0s" {1..9000})
        "$1" switch set one --notes "$long" 2>"$2" && exit 2
        grep -q "No space left" "$2" || exit 3
        "$1" switch create two --notes "$long" 2>"$2" && exit 4
        rm "$NESTBOX_HOME/../fill"
        [ "$(ls -A "$NESTBOX_HOME/switches")" = one.json ] || exit 5
        "$1" switch show one | grep -q before' full "$WORK/small" "$NESTBOX" "$WORK/err"
fi

# Files that were edited: each conflict is named, whether the switch runs or not, and no command makes it worse
export NESTBOX_HOME=$WORK/edited
run 'two NAT networks' 0 '' nat create one --backend slirp --prefix 10.61.0.0/24
run 'and another' 0 '' nat create two --backend slirp --prefix 10.62.0.0/24
run 'a switch of its own type' 0 '' switch create pri
run 'a mapping' 0 '' nat map one --external 18090 --internal 10.61.0.5:80
run 'and another mapping' 0 '' nat map two --external 18091 --internal 10.62.0.5:80
for vm in a b c; do nb nic add $vm --switch pri >/dev/null; done
run 'nothing is wrong at first' 0 '' check
edit() { sed -i "$2" "$NESTBOX_HOME/$1" && nb check >"$WORK/found"; }
found() { # NAME PATTERN
    if grep -qE -- "$2" "$WORK/found"; then pass "$1"; else fail "$1" "$2 is not in" "$(cat "$WORK/found")"; fi
}
mac=$(sed -n 's/.*"mac": "\(.*\)".*/\1/p' "$NESTBOX_HOME/vms/a/nics.json")
edit vms/b/nics.json "s/\"mac\": \".*\"/\"mac\": \"$mac\"/"
found 'the same address twice' "a/nic0 and b/nic0 have the same address at switch pri, $mac.*nic set --mac"
run 'the way out' 0 '' nic set b --mac 02:00:00:00:00:0b
run 'is one' 0 '' check
edit switches/pri.json 's/"notes": .*/"notes": "edited"/'
found 'a switch that was not told' 'switch pri runs otherwise than is defined'
found 'and how to' '^    nestbox switch start pri$'
run 'that tells it' 0 '' switch start pri
run 'so it knows' 0 '' check
edit nats/two.json 's/18091/18090/'
found 'a port mapped twice' ':18090 of the host is mapped twice: to 10.61.0.5:80 of one and to 10.62.0.5:80 of two'
edit nats/two.json 's/18090/18091/; s/10.62.0.5/10.99.0.5/'
found 'a mapping to nowhere' '18091 of the host is mapped to no address of a VM in two: 10.99.0.5:80.*nat unmap'
edit nats/two.json 's/10.99.0.5/10.62.0.5/; s/10.62.0.0/10.61.0.0/; s/10.62.0.5/10.61.0.6/'
found 'a prefix twice' 'NAT network two.*10.61.0.0/24.*one.*nat set --prefix'
edit nats/two.json 's/10.61.0.0/10.62.0.0/; s/10.61.0.6/10.62.0.5/; s/"switch": .*,/"switch": "pri",/'
found 'a NAT network at another kind of switch' 'network two is at switch pri, which is not of type nat'
found 'and a switch without its network' 'switch two is of type nat and has no NAT network'
edit nats/two.json 's/"switch": .*,/"switch": "one",/'
found 'two at one switch' 'NAT networks one and two are both at switch one: only one serves there'
edit nats/two.json 's/"switch": .*,/"switch": "none",/'
found 'one at no switch' 'network two is at switch none, which does not exist'
edit nats/two.json 's/"switch": .*,/"switch": "",/'
run 'mended' 0 '' check
mkdir "$NESTBOX_HOME/vms/d"
sed 's/"vm": "a"/"vm": "d"/' "$NESTBOX_HOME/vms/a/nics.json" >"$NESTBOX_HOME/vms/d/nics.json"
nb check >"$WORK/found"
found 'a copied VM' "vms/d/nics.json: it is damaged: the card nic0 has the \"id\" of a/nic0"
run 'whose card is not taken for the other' 4 'vms/d/nics.json' nic remove d/nic0
check 'which stays' grep -q '"nic0"' "$NESTBOX_HOME/vms/a/nics.json"
rm -r "$NESTBOX_HOME/vms/d"
run 'without it all is well' 0 '' check
printf '{"steps": [{"path": "switches/one.json", "content": null}, {"path": "../x", "content": null}]}' \
    >"$NESTBOX_HOME/journal.json"
run 'a journal that was edited' 4 'journal.json: it is damaged: step 1 names no file; mend' switch create new
check 'nothing of it is done' [ -e "$NESTBOX_HOME/switches/one.json" ]
nb check >"$WORK/found"
found 'it is a finding' 'journal.json: it is damaged'
rm "$NESTBOX_HOME/journal.json"
sed -i 's/"version": 1/"version": 9/' "$NESTBOX_HOME/switches/pri.json"
check 'a switch whose definition is damaged' [ -n "$(cat "$NESTBOX_HOME/locks/pri")" ]
run 'can be stopped' 0 'pri.json: it is damaged' switch stop pri
sed -i 's/"version": 9/"version": 1/' "$NESTBOX_HOME/switches/pri.json"
run 'and started' 0 '' switch start pri
mv "$NESTBOX_HOME/switches/pri.json" "$WORK/pri.json"
run 'one whose definition was removed, too' 0 '' switch stop pri
mv "$WORK/pri.json" "$NESTBOX_HOME/switches/pri.json"
run 'that one starts' 0 '' switch start pri
mv "$NESTBOX_HOME/switches/pri.json" "$WORK/pri.json"
sleep 1
check 'a moment without does no harm' test -S "$NESTBOX_HOME/run/switches/pri"
ends_itself() { grep -q 'switch pri ends: there is no switch pri any more' "$NESTBOX_HOME/run/logs/pri"; }
check 'then it ends by itself' within 15 ends_itself
mv "$WORK/pri.json" "$NESTBOX_HOME/switches/pri.json"
stop_switches
export NESTBOX_HOME=$WORK/home

# Interfaces of external switches, and prefixes: refused before anything is written
run 'an interface that a switch made' 2 'nbb-x is an interface that a switch made' \
    switch create x1 --type external --interface nbb-x
run 'one for another type' 2 '--interface is for external switches, and this one is private' \
    switch set lan --interface e9
run 'a prefix for a change' 0 '' nat create pre --backend slirp --prefix 10.71.0.0/24
run 'and one beside it' 0 '' nat create pre2 --backend slirp --prefix 10.72.0.0/24
run 'a hint for a change' 4 "10.71.0.0/24.*an empty one \\(''\\) has a free one chosen" \
    nat set pre2 --prefix 10.71.0.0/24
run 'which is true' 0 '' nat set pre2 --prefix ''
run 'a hint for a new one' 4 'or give none and a free one is chosen' nat create pre3 --prefix 10.71.0.0/24
nb nat delete pre && nb nat delete pre2
# Without root
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    install -m 755 "$NESTBOX" "/tmp/nestbox.$$"
    mkdir -m 777 "$WORK/user"
    chmod 755 "$WORK"
    as_user() {
        env -u XDG_RUNTIME_DIR NESTBOX_HOME="$WORK/user/home" timeout 60 setpriv --reuid 61234 --regid 61234 \
            --clear-groups "/tmp/nestbox.$$" "$@" >"$WORK/out" 2>"$WORK/err"
    }
    check 'private without root' as_user switch create lan --keep
    check 'a card' as_user nic add lab1 --switch lan
    check 'NAT without root' as_user nat create net
    check 'a card there' as_user nic add lab1 --switch net
    as_user nat show net
    check 'by slirp' grep -q 'back end *slirp' "$WORK/out"
    as_user switch create inner --type internal --keep
    check 'internal needs rights' [ $? = 4 ]
    check 'and says which' grep -qiE 'root|CAP_NET_ADMIN' "$WORK/err"
    as_user switch create outer --type internal
    as_user nic add lab2 --switch outer
    check 'a switch that cannot be gets no card' [ $? = 4 ]
    as_user nic list
    check 'none at all' [ "$(grep -c lab2 "$WORK/out")" = 0 ]
    as_user switch list
    check 'nor does the switch stay' [ "$(grep -cE '^(inner|outer) ' "$WORK/out")" = 0 ]
    prefix=$(as_user nat list --json; sed -n 's/.*"prefix": "\(.*\)",/\1/p' "$WORK/out" | head -n 1)
    as_user nat map net --external 80 --internal "${prefix%.*}.5:80"
    if [ $? = 4 ]; then # ports below 1024 may be free for all
        check 'the next mapping works' as_user nat map net --external 18080 --internal "${prefix%.*}.5:80"
        check 'what is wrong with the first is a note' as_user nic add lab4 --switch net
        as_user nat set net --dns off
        as_user nat unmap net --external 80
    fi
    as_user nat create byroot --backend kernel
    check 'the kernel'\''s NAT is refused' [ $? = 4 ]
    check 'with the reason' grep -q 'backend kernel: NAT by the host.s kernel takes root' "$WORK/err"
    as_user switch create byroot --type nat --backend kernel
    check 'by the switch as well' [ $? = 4 ]
    check 'nothing is written' [ -z "$(ls "$WORK"/user/home/*/byroot.json 2>/dev/null)" ]
    as_user nat set net --backend kernel
    check 'nor by a change' grep -q 'takes root' "$WORK/err"
    as_user switch stop lan
    as_user switch stop net
    NESTBOX_HOME=$WORK/user/home "$NESTBOX" switch list 2>"$WORK/err"
    check 'a home of somebody else' grep -q 'belongs to another user' "$WORK/err"
    rm -f "/tmp/nestbox.$$"
fi
check 'no process said what a sanitizer says' \
    [ "$(cat "$NESTBOX_HOME"/run/logs/* | grep -c 'Sanitizer\|runtime error')" = 0 ]
finish
