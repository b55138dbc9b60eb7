#!/bin/bash
# Commands, copies and file systems at rest in a real guest: an installed Debian with nestbox-agent on its disk.
# limit: 900
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
image=build/disk/test.raw
[ -e $image ] || { echo "no $image: see tools/test.sh" && exit 77; }
for tool in qemu-system-x86_64 socat jq; do
    command -v $tool >/dev/null || { echo "$tool is missing" && exit 77; }
done
${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -Wall -Wextra -o "$WORK/pty" tests/cli/pty.c || exit 1

export NESTBOX_HOME=$WORK/home
unset XDG_RUNTIME_DIR
nb() { timeout "${LIMIT:-120}" "$NESTBOX" "$@"; }
trap 'LIMIT=30 nb stop lab --turn-off >/dev/null 2>&1; rm -rf "$WORK"' EXIT

agent_disk "$WORK/disk.raw"

expect() { # NAME STATUS COMMAND...: its exit status; what it prints is in $WORK/out and $WORK/err
    local name=$1 want=$2 got
    shift 2
    "$@" >"$WORK/out" 2>"$WORK/err" </dev/null
    got=$?
    if [ $got = "$want" ]; then
        pass "$name"
    else
        fail "$name" "status $got, not $want" "$(tail -c 1000 "$WORK/err")" "$(head -c 1000 "$WORK/out")"
    fi
}
prints() { # NAME TEXT COMMAND...
    local name=$1 want=$2 got
    shift 2
    got=$("$@" 2>"$WORK/err" </dev/null)
    [ "$got" = "$want" ] && pass "$name" || fail "$name" "'$got', not '$want'" "$(cat "$WORK/err")"
}
ask() { # JSON: what the worker answers
    socat -t 60 - "UNIX-CONNECT:$(echo "$WORK"/home/run/vms/lab/control)" <<<"$1" | grep -v '"progress"'
}

expect 'a VM that is not there' 125 nb exec none true
nb create lab --generation 1 --memory 512M --accel engine --display none --disk "$WORK/disk.raw" >/dev/null || exit 1
expect 'a VM that does not run' 125 nb exec lab true
check 'says how to start it' grep -q 'nestbox start' "$WORK/err"
nb start lab || exit 1
expect 'Ctrl-C while a guest that is starting is waited for' 130 \
    timeout --preserve-status -s INT 2 "$NESTBOX" exec lab true
LIMIT=330 prints 'a guest that is still starting is waited for' Linux nb exec lab uname
LIMIT=500 nb start lab --wait --timeout 450 2>"$WORK/wait" || { cat "$WORK/wait" && exit 1; }
pass 'start --wait'

prints 'a command' Linux nb exec lab uname
prints 'who runs it, and where' 'root /root' nb exec lab -- sh -c 'echo $(id -un) $PWD'
prints 'as another user' 'daemon' nb exec lab -u daemon -w / -- id -un
prints 'a variable' 'a b' nb exec lab -e 'X=a b' -- sh -c 'echo $X'
for status in 0 1 7 255; do expect "exit status $status" $status nb exec lab -- sh -c "exit $status"; done
expect 'a signal' 143 nb exec lab -- sh -c 'kill $$'
expect 'no such program' 127 nb exec lab nothing-of-this-name
check 'errors are errors' grep -q 'nothing-of-this-name: No such file' "$WORK/err"
prints 'input' HELLO sh -c "echo hello | '$NESTBOX' exec -i lab tr a-z A-Z"
prints 'no input without -i' '' sh -c "echo hello | '$NESTBOX' exec lab cat"

nb exec lab -- head -c 104857600 /dev/zero | sha256sum >"$WORK/1"
head -c 104857600 /dev/zero | sha256sum >"$WORK/2"
check '100 MiB of output' cmp "$WORK/1" "$WORK/2"
head -c 20000000 /dev/urandom >"$WORK/random"
prints '20 MB of input' "$(sha256sum <"$WORK/random")" sh -c "'$NESTBOX' exec -i lab sha256sum <'$WORK/random'"
nb exec lab yes 2>/dev/null | head -n 1 >/dev/null
check 'output that nobody reads ends the command' [ "${PIPESTATUS[0]}" = 141 ]
# In the guest: prints how many are left of a program that has a moment to end.
left='for i in $(seq 20); do pgrep -x yes >/dev/null || break; sleep 1; done; pgrep -c -x yes'
prints 'in the guest, too' 0 nb exec lab -- sh -c "$left"

check 'a terminal' timeout 60 "$WORK/pty" raw expect:'# ' send:$'tty; stty size; echo $TERM\n' expect:/dev/pts \
    expect:'24 80' expect:vt220 expect:'# ' send:$'sleep 100\n' pause:300 send:$'\3' expect:'# ' \
    send:$'exit 5\n' cooked -- env TERM=vt220 sh -c "'$NESTBOX' exec lab; [ \$? = 5 ]"
check 'Enter-PSSession' timeout 60 "$WORK/pty" raw expect:'# ' send:$'tty; exit 5\n' expect:/dev/pts cooked -- \
    sh -c "'$NESTBOX' shell -c 'Enter-PSSession lab; exit \$LASTEXITCODE'; [ \$? = 5 ]"
check 'Ctrl-c without a terminal' timeout 60 bash -c "
    '$NESTBOX' exec lab -- sh -c 'trap \"exit 9\" INT; echo ready; while :; do sleep 0.1; done' >'$WORK/ready' &
    until grep -q ready '$WORK/ready'; do sleep 0.1; done; kill -INT \$!
    wait \$!; [ \$? = 9 ]"

bad=0
for i in {1..50}; do nb exec lab -- sh -c "sleep 1; exit $i" & process[i]=$!; done
for i in {1..50}; do
    wait "${process[i]}"
    status=$?
    [ $status = "$i" ] || { echo "# session $i: status $status" && bad=$((bad + 1)); }
done
check '50 sessions at once' [ $bad = 0 ]

mkdir -p "$WORK/tree/a b/c" "$WORK/tree/empty"
printf 1 >"$WORK/tree/a b/$(printf 'new\nline')"
printf 2 >"$WORK/tree/a b/c/-rf *"
: >"$WORK/tree/none"
head -c 5000001 /dev/urandom >"$WORK/tree/big"
for i in {1..200}; do echo "$i" >"$WORK/tree/a b/c/$i"; done
ln -s '../no where' "$WORK/tree/link"
chmod 640 "$WORK/tree/big"
chmod 750 "$WORK/tree/empty"
touch -d '2001-02-03 04:05:06.789' "$WORK/tree/big" "$WORK/tree/empty"
expect 'a tree into the guest' 0 nb copy -r "$WORK/tree" lab:/var/tmp/there
expect 'and back' 0 nb copy -r lab:/var/tmp/there "$WORK/back"
listing() { (cd "$1" && find . -printf '%p %y %l %m %T@ %s\n' | sed '/ d /s/ [0-9]*$//' | sort); }
check 'names, modes, times' cmp <(listing "$WORK/tree") <(listing "$WORK/back")
check 'contents' diff -r --no-dereference "$WORK/tree" "$WORK/back"
expect 'a file, into a folder' 0 nb copy lab:/etc/os-release "$WORK/back"
check 'has its name' test -s "$WORK/back/os-release"
expect 'a folder without -r' 4 nb copy lab:/etc "$WORK/x"
expect 'what is not there' 4 nb copy lab:/none "$WORK/x"
check 'is named' grep -q 'lab:/none: No such file' "$WORK/err"
expect 'a copy as a user who may not' 4 nb copy -u daemon "$WORK/random" lab:/root/x
check 'is refused by the guest' grep -q 'lab:/root/x: Permission denied' "$WORK/err"
"$NESTBOX" copy "$WORK/random" lab:/var/tmp/broken-off & broken=$!
sleep 0.1
kill -INT $broken
wait $broken
check 'a copy that was broken off leaves nothing or all' nb exec lab -- sh -c \
    'sleep 1; ls -A /var/tmp | grep nestbox- && exit 1; s=$(stat -c %s /var/tmp/broken-off 2>/dev/null || echo 20000000)
    [ $s = 20000000 ]'

# File systems at rest: what is written meanwhile waits.
frozen() { [ "$(jq "$1" <<<"$answer")" = "$2" ]; }
answer=$(ask '{"do": "freeze", "seconds": 60}')
check 'freeze' frozen .count 1
nb exec lab -- sh -c 'echo x >/var/tmp/late && sync' >/dev/null 2>&1 & late=$!
sleep 2
check 'a write waits' kill -0 $late
answer=$(ask '{"do": "thaw"}')
check 'thaw' frozen .count 1
check 'then it goes on' wait $late
answer=$(ask '{"do": "freeze", "seconds": 3}')
check 'freeze, and forget it' frozen .count 1
expect 'thawed after its time' 0 nb exec lab -- sh -c 'echo x >/var/tmp/later && sync'
answer=$(ask '{"do": "thaw"}')
check 'and the host is told' frozen .ok false
answer=$(ask '{"do": "show"}')
check 'the guest is reported' frozen .guest.hostname '"debian"'

# The clock, after the VM stood still.
clock_right() { # soon
    local there before i
    for i in {1..10}; do
        before=$(date +%s)
        there=$(nb exec lab date +%s)
        [ $((before - there)) -lt 3 ] && [ $((there - $(date +%s))) -lt 3 ] && return
        sleep 1
    done
    return 1
}
nb pause lab && sleep 5 && nb resume lab
sleep 1
check 'the clock is right after a pause' clock_right
nb exec lab sleep 100 2>"$WORK/saved" & long=$!
sleep 1
LIMIT=200 nb save lab || fail save
wait $long
check 'a VM that is saved ends sessions' [ $? = 125 ]
sleep 5
LIMIT=300 nb start lab --wait
sleep 1
check 'and after it was saved' clock_right
prints 'what ran then has ended' 0 nb exec lab pgrep -c -x sleep

# What list and show say of the guest; a new agent reports at once.
nb exec lab -- sh -c 'ip link add b0 type bridge && ip addr add 192.0.2.7/24 dev b0'
expect 'ssh without an sshd' 255 nb ssh lab true
check 'says what is missing' grep -q 'openssh-server' "$WORK/err"

# The agent is killed; the worker is killed.
nb exec lab sleep 60 2>"$WORK/killed" & long=$!
sleep 1
nb exec lab -- sh -c 'kill -9 $(pidof nestbox-agent)' 2>/dev/null
wait $long
check 'an agent that is killed ends sessions' [ $? = 125 ]
check 'with a clear error' grep -q 'the agent in the guest ended' "$WORK/killed"
LIMIT=60 nb start lab --wait >/dev/null 2>&1
prints 'systemd starts it again' again nb exec lab echo again
for _ in {1..20}; do
    nb list | grep -q '192.0.2.7' && break
    sleep 1
done
check 'list has addresses' grep -q '192.0.2.7' <(nb list)
check 'show has the guest' grep -q 'guest *debian, Debian GNU/Linux' <(nb show lab)
nb exec lab yes >/dev/null 2>&1 & flood=$!
sleep 0.5
kill -9 "$(ask '{"do": "show"}' | jq .worker)"
wait $flood
check 'a worker that is killed ends sessions' [ $? = 125 ]
LIMIT=60 nb start lab --wait >/dev/null 2>&1
prints 'the next one goes on' 'back 0' nb exec lab -- sh -c "echo back \$($left)"

nb stop lab --timeout 100 || fail 'stop by the agent'
expect 'a VM that was stopped' 125 nb exec lab true
finish
