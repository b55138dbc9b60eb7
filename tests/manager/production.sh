#!/bin/bash
# Production checkpoints of an installed Debian with nestbox-agent: its file systems are at rest, so what was written is
# there and nothing is to be recovered; without the agent it falls back or fails, as the VM is set. A shared folder is
# seen by the guest, written by it, and read-only where it is to be.
# more cases: agent share
# limit: 900
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
image=build/disk/test.raw
[ -e $image ] || { echo "no $image: see tools/test.sh" && exit 77; }
for tool in qemu-system-x86_64 jq; do
    command -v $tool >/dev/null || { echo "$tool is missing" && exit 77; }
done
export NESTBOX_HOME=$WORK/home
unset XDG_RUNTIME_DIR
nb() { timeout "${LIMIT:-200}" "$NESTBOX" "$@"; }
trap 'LIMIT=30 nb stop lab --turn-off >/dev/null 2>&1; rm -rf "$WORK"' EXIT
agent_disk "$WORK/disk.raw"
nb create lab --generation 1 --memory 512M --accel "${ACCEL:-engine}" --display none --disk "$WORK/disk.raw" || exit 1

ready() { LIMIT=500 nb start lab --wait --timeout 450 2>"$WORK/err"; }
in_guest() { nb exec lab -- sh -c "$1" 2>"$WORK/err"; }
# The file is empty for a moment each time.
flushed() { in_guest 'until n=$(cat /root/flushed) && [ "$n" ]; do :; done; echo $n'; }
kinds() { nb checkpoint list lab --json | jq -r '.[].kind' | paste -sd' '; }

case ${1:-agent} in
agent)
    check 'it starts' ready
    check 'start --wait of a VM that is ready returns' timeout 20 "$NESTBOX" start lab --wait
    # Something writes all the time; each line is counted when it has been flushed.
    in_guest 'cd /root && (n=0; while :; do n=$((n + 1)); echo $n >>lines; sync lines; echo $n >flushed; done) \
        </dev/null >/dev/null 2>&1 &'
    sleep 3
    before=$(flushed)
    check 'a production checkpoint' nb checkpoint create lab --name one
    check 'is one' [ "$(kinds)" = production ]
    check 'it has no memory' [ "$(nb checkpoint show lab one --json | jq .memory)" = null ]
    sleep 2
    check 'the guest goes on' [ "$(flushed)" -gt "$before" ]
    check 'it is applied' nb checkpoint apply lab one --force
    check 'it is off' [ "$(nb show lab --json | jq -r .state)" = Off ]
    check 'it starts again' ready
    lines=$(in_guest 'wc -l </root/lines')
    check "what was flushed is there: $before, then $lines lines" [ "$lines" -ge "$before" ]
    check 'each line is whole' [ "$(in_guest 'seq $(wc -l </root/lines) | cmp - /root/lines && echo yes')" = yes ]
    check 'nothing was recovered' [ -z "$(in_guest 'dmesg | grep -i "ext4.*recovery\|orphan"')" ]
    in_guest 'echo later >/root/later && sync'
    # Without an agent.
    in_guest 'mkdir -p /run/systemd/system/nestbox-agent.service.d; systemctl stop nestbox-agent' >/dev/null
    sleep 2
    nb checkpoint create lab --name two --kind production-only 2>"$WORK/err" && fail 'production-only without an agent'
    check 'production-only says why it fails' grep -q 'agent' "$WORK/err"
    check 'and takes none' [ "$(kinds)" = production ]
    check 'production falls back' nb checkpoint create lab --name three --kind production
    check 'to a standard one' [ "$(kinds)" = 'production standard' ]
    ;;
share)
    mkdir "$WORK/shared" "$WORK/fixed"
    echo hello >"$WORK/shared/file"
    echo fixed >"$WORK/fixed/file"
    check 'a share' nb share add lab "$WORK/shared" --tag data
    check 'one that is only read' nb share add lab "$WORK/fixed" --tag fixed --read-only
    check 'it starts' ready
    check 'the guest mounts them' in_guest 'mkdir -p /mnt/a /mnt/b && modprobe virtiofs
        mount -t virtiofs data /mnt/a && mount -t virtiofs fixed /mnt/b'
    check 'it reads' [ "$(in_guest 'cat /mnt/a/file /mnt/b/file' | paste -sd' ')" = 'hello fixed' ]
    check 'it writes' in_guest 'echo from the guest >/mnt/a/new && sync'
    check 'the host has it' [ "$(cat "$WORK/shared/new")" = 'from the guest' ]
    in_guest 'echo x >/mnt/b/new' && fail 'it writes to what is only read'
    check 'nothing is there' [ ! -e "$WORK/fixed/new" ]
    nb save lab 2>"$WORK/err" && fail 'it was saved'
    check 'a save says why not' grep -q 'shared folders' "$WORK/err"
    check 'it runs on' [ "$(in_guest 'echo on')" = on ]
    check 'autostop shuts it down instead' nb autostop
    check 'it is off' [ "$(nb show lab --json | jq -r .state)" = Off ]
    ;;
esac
finish
