#!/bin/bash
# Hardware that comes and goes while a VM runs, with an installed Debian that sees it: disks, CDs, cards, limits; what
# is refused; and that a saved state, a checkpoint and the next start have the same.
# cases: refused
# more cases: first second
# limit: 1200
set -u
. "$(dirname "$0")/lib.sh"

drives() { nb disk list "$1" --json | jq -r '.[].id' | paste -sd' '; } # VM

refused_case() {
    counter_disk "$work/counter.raw"
    nb create lab --generation 1 --memory 64M --accel engine --disk "$work/counter.raw"
    nb disk add lab --kind cd >/dev/null
    nb disk add lab --kind floppy >/dev/null
    nb switch create lan
    nb start lab
    within 20 counts lab 5 || fail 'it does not count'
    for bus in sata ide; do refused "drives at bus $bus come and go only" disk add lab 16M --bus $bus; done
    refused 'is not told of changes at bus lsi' disk add lab 16M --bus lsi
    refused 'floppies come and go only' disk add lab --kind floppy
    refused 'come and go only' disk remove lab/cd0
    refused 'runs, and only limits and what is in a CD drive' disk set lab/disk0 --bus scsi
    refused 'runs, and only limits and what is in a CD drive' disk set lab/disk0 --read-only on
    [ "$(drives lab)" = 'disk0 cd0 floppy0' ] || fail "what was refused is there: $(drives lab)"
    [ "$(find "$NESTBOX_HOME/vms/lab/disks" -type f 2>/dev/null)" = '' ] || fail 'what was refused left an image'
    say 'what is refused changes nothing'
    head -c 2M /dev/urandom >"$work/one.iso"
    head -c 1474560 /dev/zero >"$work/floppy.img"
    for medium in one.iso '' one.iso; do
        nb disk set lab/cd0 --path "${medium:+$work/$medium}"
        nodes=$(socat -t 5 - "UNIX-CONNECT:$run/lab/control" <<<'{"do": "qmp", "execute": "query-block"}' |
            jq -r '.return[] | select(.qdev // "" | endswith("cd0")) | .inserted.image.filename // ""')
        [ "$nodes" = "${medium:+$work/$medium}" ] || fail "in the drive is '$nodes', not '$medium'"
    done
    refused 'No such file' disk set lab/cd0 --path "$work/none.iso"
    nb disk set lab/floppy0 --path "$work/floppy.img"
    nb disk set lab/floppy0 --path ''
    say 'media change'
    nb disk set lab/disk0 --iops-maximum 10
    nb disk set lab/disk0 --iops-maximum 0
    nb disk add lab 16M --bus scsi >/dev/null
    nb disk add lab 16M --iops-maximum 50 >/dev/null
    nb disk set lab/disk2 --iops-maximum 70 --bytes-maximum 1M
    nb nic add lab --switch lan >/dev/null
    refused 'does not let go of disk2' disk remove lab/disk2
    refused 'does not let go of nic' nic remove lab
    [ "$(drives lab)" = 'disk0 cd0 floppy0 disk1 disk2' ] || fail "the drives are $(drives lab)"
    nb disk remove lab/disk1 --delete
    before=$(count lab)
    kill -9 "$(worker lab)"
    within 5 counts lab "$before" || fail 'it does not go on'
    nb save lab
    refused 'is Saved and cannot be changed' nic add lab --switch lan
    nb start lab
    within 5 counts lab "$before" || fail 'it does not go on after it was saved'
    say 'a guest without drivers keeps what it has, and is saved with it'
    nb checkpoint create lab --kind standard --name one >/dev/null
    nb stop lab --turn-off
    nb disk remove lab/disk2
    nb checkpoint apply lab one --force
    [ "$(drives lab)" = 'disk0 cd0 floppy0 disk2' ] || fail "after the checkpoint the drives are $(drives lab)"
    nb start lab
    within 5 counts lab "$before" || fail 'it does not go on from the checkpoint'
    nb stop lab --turn-off
    nb start lab
    within 20 counts lab 5 || fail 'it does not start'
    say 'a checkpoint and the next start have it, too'
}

guest() { nb exec lab -- sh -c "$1"; }
sees() { "$NB" exec lab -- sh -c "$1" >/dev/null 2>&1; }

debian_case() { # GENERATION
    local bus
    [ -e build/disk/test.raw ] || skip 'no build/disk/test.raw: see tools/test.sh'
    NESTBOX=$NB WORK=$work
    eval "$(sed -n '/^agent_[a-z]*()/,/^}/p' tests/cli/lib.sh)"
    agent_disk "$work/disk.raw"
    nb create lab --generation "$1" --memory 512M --accel engine --disk "$work/disk.raw" \
        --cpus 1 --switch lan ${2:-}
    nb disk add lab --kind cd >/dev/null
    nb start lab
    "$NB" start lab --wait --timeout 450 2>"$work/said" || fail "the guest does not answer: $(<"$work/said")"
    say 'the guest answers'
    for bus in virtio scsi nvme; do
        nb disk add lab 64M --bus $bus >/dev/null
        within 20 sees '[ "$(cat /sys/block/*/size | grep -cx 131072)" = 1 ]' ||
            fail "the guest does not see a disk at $bus"
        guest 'd=$(grep -lx 131072 /sys/block/*/size); d=${d%/size}; d=/dev/${d##*/}
            echo hello >$d && sync && head -c 5 $d' | grep -q hello || fail "a disk at $bus cannot be used"
        nb disk remove lab/disk1 --delete
        within 20 sees '! grep -qx 131072 /sys/block/*/size' || fail "the disk at $bus stays"
    done
    say 'disks come and go'
    head -c 4M /dev/urandom >"$work/hello.iso"
    sum=$(md5sum <"$work/hello.iso")
    nb disk set lab/cd0 --path "$work/hello.iso"
    within 20 sees "[ \"\$(head -c 4M /dev/sr0 | md5sum)\" = '$sum' ]" || fail 'the guest does not read the CD'
    nb disk set lab/cd0 --path ''
    within 20 sees '! head -c 1 /dev/sr0' || fail 'the CD stays in the drive'
    say 'a CD comes and goes'
    before=$(guest 'ls /sys/class/net | wc -l')
    nb nic add lab --switch lan --name extra >/dev/null
    within 20 sees "[ \$(ls /sys/class/net | wc -l) = $((before + 1)) ]" || fail 'the guest sees no new card'
    nb nic set lab/extra --switch other
    within 10 linked lab/extra || fail 'the card is not at the other switch'
    nb nic remove lab/extra
    within 20 sees "[ \$(ls /sys/class/net | wc -l) = $before ]" || fail 'the card stays'
    say 'a card comes, moves and goes'
    nb disk add lab 64M --bytes-maximum 1M >/dev/null
    within 20 sees 'grep -qx 131072 /sys/block/*/size' || fail 'the guest does not see a disk with a limit'
    for limit in 1M 8M 0; do
        nb disk set lab/disk1 --bytes-maximum $limit
        guest 'd=$(grep -lx 131072 /sys/block/*/size); d=${d%/size}; d=/dev/${d##*/}
            t=$(date +%s%N); dd if=/dev/zero of=$d bs=256k count=16 oflag=direct 2>/dev/null
            echo $((($(date +%s%N) - t) / 1000000))' >"$work/took"
        say "4 MiB with a limit of $limit per second take $(<"$work/took") ms"
        case $limit in
        1M) [ "$(<"$work/took")" -gt 2000 ] || fail 'the limit does not hold' ;;
        0) [ "$(<"$work/took")" -lt 2000 ] || fail 'the limit stays' ;;
        esac
    done
    guest 'echo here >/tmp/mark'
    nb save lab
    nb start lab
    "$NB" start lab --wait --timeout 60 2>"$work/said" || fail 'it does not go on'
    [[ $(guest 'cat /tmp/mark') == here ]] || fail 'it is another after it was saved'
    sees 'grep -qx 131072 /sys/block/*/size' || fail 'the disk has gone'
    say 'saved and started'
}
linked() { # VM/CARD
    "$NB" nic list "${1%/*}" --json |
        jq -e ".[] | select(.name == \"${1#*/}\" and .linked and .switch == \"other\")" >/dev/null
}

case ${1:-refused} in
refused) refused_case ;;
first | second)
    counter_disk "$work/counter.raw"
    nb switch create lan
    nb switch create other
    debian_case $([ "$1" = first ] && echo 1 || echo 2)
    ;;
*) fail "no case $1" ;;
esac
