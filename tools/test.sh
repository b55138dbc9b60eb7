#!/bin/bash
# `make test`: installs what is missing, builds, runs every test, and closes with `N passed, N failed, N skipped`.
# Tests run two at a time. Each is a line of the table below: name, time limit in seconds, command; the command's exit
# status is the verdict, 77 means skipped. Output of each goes to build/test/NAME.log; of failures, the end is shown.
# If a few fail, these run again when all others are done, one at a time, up to twice; their logs stay as NAME.first.log
# and NAME.second.log. What passes then has passed, but the last line but one names it: it depends on chance, and is to
# be mended.
# usage: test.sh [PATTERN]   (only tests whose name matches); MORE=1 in the environment adds the cases that take long
set -u
here=$(dirname "$0")
. "$here/need.sh"
pattern=${1:-.}
need_build
need busybox-static cpio xz-utils qemu-system-x86 qemu-utils seabios clang-format iproute2 iputils-ping jq socat \
    nftables dnsmasq-base tshark qemu-guest-agent ipxe-qemu
[[ -z ${MORE:-} ]] || need libvirt-daemon libvirt-clients virtinst debian-installer-12-netboot-amd64 xorriso
make -s -j2 all unit kvmapi nettools guests build/release/insn build/release/fuzz build/release/hop build/loops ||
    die "the build failed"
NB=build/release/nestbox
export NB
logs=build/test
rm -rf "$logs"
mkdir -p "$logs"
tools/fetch.sh build/debs || say "no kernel: tests that need one will be skipped"
[ -e build/debs/vmlinuz ] && tools/mkinitrd.sh build/debs "$NB" build/loops build/guest

tests=()
add() { # name, limit, command
    [[ $1 =~ $pattern ]] && tests+=("$1|$2|$3")
}
add insn 900 "build/release/insn --corpus tests/insn/cases.txt --seed ${SEED:-1} --cases ${CASES:-1000000}"
add insn-direct 300 "$NB doctor | grep -q '^  --direct       works' || exit 77; \
    build/release/insn --direct --corpus tests/insn/cases.txt --seed ${SEED:-1} --cases ${DIRECT_CASES:-20000}"
add fuzz 300 "build/release/fuzz --corpus tests/fuzz/corpus.txt --seed ${SEED:-1} --seconds 20"
limit=600
[[ -z ${MORE:-} ]] || limit=1200
for script in tests/boot/*.sh tests/cli/*.sh tests/guest/*.sh tests/house/*.sh tests/kvmapi/*.sh \
    tests/manager/*.sh tests/net/*.sh tests/qemu/*.sh tests/shell/*.sh; do
    [ -e "$script" ] || continue
    head -n 1 "$script" | grep -q '^#!' || continue # for sourcing
    name=$(basename "$(dirname "$script")")/$(basename "$script" .sh)
    own=$(sed -n 's/^# limit: *//p' "$script")
    grep -qE '^# (more )?cases:' "$script" || add "$name" "${own:-$limit}" "bash $script"
    for case in $(sed -nE "s/^# ${MORE:+(more )?}cases: *//p" "$script" | sed 's/.*://'); do
        add "$name:$case" "${own:-$limit}" "bash $script $case"
    done
done
while read -r unit; do
    name=${unit#build/release/tests/}
    add "${name%_test}" 300 "$unit"
done < <(find build/release/tests/unit -name '*_test' -perm -u+x | sort)
for program in build/release/tests/kvmapi/*; do
    for vendor in intel amd; do
        add "kvmapi/$(basename "$program"):$vendor" 300 "NESTBOX_KVM=1 NESTBOX_KVM_NESTED=$vendor \
            NESTBOX_KVM_TRACE=unknown LD_PRELOAD=$PWD/build/release/libnestbox-kvm.so $program"
    done
done
add selftests 600 "tools/selftests.sh -q"
add lint 300 "tools/lint.sh"

if [[ " ${tests[*]}" = *" boot/real|"* ]]; then
    tools/real-tree.sh || say "no tree of programs: the test that needs it will be skipped"
fi
if [[ " ${tests[*]}" =~ " qemu/"|" manager/agent" ]]; then
    tools/test-disks.sh ${MORE:+nested} || say "no disk to start QEMU from: tests that need one will be skipped"
fi

passed=0 skipped=0
failed=() # tests, of the turn that runs
turn=first
later=() # names of tests that passed in a later turn only
declare -A running=()
settle() { # one finished test
    local pid status entry name
    wait -n -p pid
    status=$?
    entry=${running[$pid]}
    unset "running[$pid]"
    name=${entry%%|*}
    took=$((SECONDS - ${entry##*|}))
    case $status in
    0) passed=$((passed + 1)) verdict=ok ;;
    77) skipped=$((skipped + 1)) verdict="skipped: $(tail -n 1 "$logs/${name//\//.}.log")" ;;
    *)
        failed+=("${entry%|*}") verdict="FAILED ($status)"
        tail -n 30 "$logs/${name//\//.}.log" | sed 's/^/    /'
        ;;
    esac
    [ $turn = first ] || verdict+=" the $turn time"
    [ $turn = first ] || [ $status != 0 ] || later+=("$name")
    printf '%-36s %s, %d s\n' "$name" "$verdict" "$took"
}
start() { # test
    local name limit command
    IFS='|' read -r name limit command <<<"$1"
    timeout -k 5 "$limit" bash -c "$command" >"$logs/${name//\//.}.log" 2>&1 </dev/null &
    running[$!]="$1|$SECONDS"
}
for entry in "${tests[@]}"; do
    [ ${#running[@]} -lt 2 ] || settle
    start "$entry"
done
while [ ${#running[@]} -gt 0 ]; do settle; done
for next in second third; do
    [ ${#failed[@]} -le 10 ] || break
    again=("${failed[@]}") failed=()
    for entry in "${again[@]}"; do
        name=${entry%%|*}
        mv "$logs/${name//\//.}.log" "$logs/${name//\//.}.$turn.log"
    done
    turn=$next
    for entry in "${again[@]}"; do
        start "$entry"
        settle
    done
done
[ ${#later[@]} = 0 ] || echo "passed only the second or third time: ${later[*]}"
echo "$passed passed, ${#failed[@]} failed, $skipped skipped"
[ ${#failed[@]} = 0 ] && [ "$passed" -gt 0 ]
