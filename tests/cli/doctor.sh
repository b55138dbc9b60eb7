#!/bin/bash
# nestbox doctor: each section is there and agrees with the host, as text and as JSON; hosts without /dev/kvm, and
# without the permission to use it.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

doctor() { # OPTION...: the text is in $WORK/out
    timeout 60 "$NESTBOX" doctor "$@" >"$WORK/out" 2>"$WORK/err"
}
says() { # NAME PATTERN
    if grep -qE -- "$2" "$WORK/out"; then pass "$1"; else fail "$1" "no '$2' in:" "$(cat "$WORK/out")"; fi
}
flag() { grep -m 1 '^flags' /proc/cpuinfo | grep -qw "$1"; }
word() { if flag "$1"; then echo yes; else echo no; fi; }
json_word() { if flag "$1"; then echo true; else echo false; fi; }

doctor
status=$?
check 'nothing on standard error' [ ! -s "$WORK/err" ]
check 'its sections' [ "$(grep -cE '^(Host|Accelerators|What --accel auto chooses)$' "$WORK/out")" = 3 ]
if command -v qemu-system-x86_64 qemu-img >/dev/null && [ -e /usr/share/OVMF/OVMF_CODE_4M.fd ]; then
    says 'packages of VMs' '^  packages       what each VM needs is installed$'
fi
check 'networks' grep -qx '  private, NAT   yes' "$WORK/out"
if [ "$(id -u)" = 0 ] && (: >/dev/net/tun) 2>/dev/null; then
    says 'of the host' '^  of the host    yes: internal and external switches$'
    command -v nft >/dev/null && command -v dnsmasq >/dev/null && says 'by the kernel' '^  NAT by kernel  yes$'
else
    says 'not of the host' '^  of the host    .*(root|tun)'
    says 'nor by the kernel' '^  NAT by kernel  .'
fi
vendor=$(sed -n 's/^vendor_id[^:]*: //p' /proc/cpuinfo | head -n 1)
virtual=
flag hypervisor && virtual=', in a VM'
says 'CPU' "^  CPU  .*\($vendor\), $(getconf _NPROCESSORS_ONLN) online$virtual\$"
# Linux hides these where firmware has switched them off.
says 'VT-x' "^  CPU offers     VT-x (yes|$(word vmx)), "
says 'AMD-V' "^  CPU offers     VT-x [a-z]+, AMD-V (yes|$(word svm))\$"
says 'what the engine needs' "^  engine needs   BMI2 $(word bmi2), FSGSBASE $(word fsgsbase)\$"
says 'vectors for guests' "^  guests get     AVX $(word avx), AVX2 $(word avx2), AVX-512 $(word avx512f), "
says 'RDRAND' ", RDRAND $(word rdrand), "
says 'invariant TSC' "invariant TSC $(word nonstop_tsc)(;|\$)"
says 'kernel' "^  kernel         $(uname -s) $(uname -r)\$"
kib=$(sed -nE 's/^MemTotal: +([0-9]+) kB/\1/p' /proc/meminfo) memory=$((kib >> 10))
says 'memory' "^  memory         $memory MiB, of which [0-9]+ MiB are available\$"
available=$(sed -nE 's/^  memory .* ([0-9]+) MiB are available/\1/p' "$WORK/out")
check 'available memory' [ "${available:-0}" -gt 0 -a "${available:-0}" -le "$memory" ]
threads=$(ulimit -u)
limits='memory of the control group: .+; address space: .+; threads:'
says 'limits' "^  limits         $limits ${threads/unlimited/none}\$"
if [ ! -e /dev/kvm ]; then
    says 'no /dev/kvm' '^  /dev/kvm       there is no /dev/kvm'
elif [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
    says '/dev/kvm' '^  /dev/kvm       (/dev/kvm|cannot open) .'
else
    says '/dev/kvm' '^  /dev/kvm       no permission .'
fi
if flag bmi2 && flag fsgsbase; then
    says 'the engine works' '^  engine         works, and gives guests VT-x or AMD-V$'
fi
says 'direct execution' '^  --direct       (works: the host.s CPU can|no process can|a process that) .*$'
for nested in off intel amd; do
    says "what auto takes, --nested $nested" "^  --nested $nested +(engine: |kvm: |nothing: )."
done
check 'the probe speaks once' [ "$(grep -c 'ring 0: it is\|ring 0, .* ns' "$WORK/out")" -le 1 ]
check 'advice' [ "$(tail -n 1 "$WORK/out" | wc -c)" -gt 20 ]
if grep -q '^  --nested off   nothing' "$WORK/out"; then
    check 'status when nothing can run a VM' [ $status = 4 ]
else
    check 'status' [ $status = 0 ]
    # A run says the same; times differ.
    taken=$(sed -nE 's/^  --nested off +([a-z]+): .*/\1/p' "$WORK/out")
    guest "$WORK/off" "$POWER_OFF$HANG"
    run 'a run takes the same' 0 "^nestbox: accelerator $taken \\(" run --memory 16M --kernel "$WORK/off"
fi

# KVM that is not fit and is asked for by name gives a warning, and the run ends.
doctor
if [ -w /dev/kvm ] && grep -q '^  --nested off   engine: no fit' "$WORK/out"; then
    guest "$WORK/jumps" "$LOOP_OF_JUMPS"
    timeout 30 "$NESTBOX" run --accel kvm --memory 16M --kernel "$WORK/jumps" >"$WORK/out" 2>"$WORK/err" </dev/null
    check 'an unfit KVM ends' [ $? = 4 ]
    check 'after a warning' grep '^nestbox: warning: /dev/kvm .*; use --accel engine' "$WORK/err"
    check 'with a line' [ "$(wc -l <"$WORK/err")" = 2 ]
fi

# Finds the least limit of the control group and of those around it.
least=
while IFS=: read -r _ controllers group; do
    case $controllers in
    '') mount=/sys/fs/cgroup file=memory.max ;;
    memory) mount=/sys/fs/cgroup/memory file=memory.limit_in_bytes ;;
    *) continue ;;
    esac
    while :; do
        limit=$(cat "$mount$group/$file" 2>/dev/null)
        [[ $limit =~ ^[0-9]+$ ]] && [ "$limit" -lt "${least:-$((1 << 62))}" ] && least=$limit
        [ -n "$group" ] || break
        group=${group%/*}
    done
done </proc/self/cgroup
doctor
says 'limit of the control group' "memory of the control group: ${least:+$((least >> 20)) MiB}${least:-none};"
(
    ulimit -v 3000000
    doctor
)
says 'limit of the address space' 'address space: 2929 MiB;'

doctor --json
check 'status with --json' [ $? = $status ]
# Strings become S, other values V, members P; then objects become V from the inside out.
shape=$(tr -d '\n' <"$WORK/out" | sed -E 's/"([^"\\]|\\.)*"/S/g; s/true|false|null|-?[0-9]+/V/g; s/ //g
    :again; s/S:[SV]([,}])/P\1/g; s/\{P(,P)*\}/V/g; tagain')
check "JSON is one object: $shape" [ "$shape" = V ]
for pair in bmi2:bmi2 fsgsbase:fsgsbase avx:avx avx2:avx2 avx512:avx512f rdrand:rdrand invariant_tsc:nonstop_tsc \
    hypervisor:hypervisor; do
    says "JSON: ${pair%:*}" "\"${pair%:*}\": $(json_word "${pair#*:}")[,}]"
done
says 'JSON: CPU' "\"vendor\": \"$vendor\", \"online\": $(getconf _NPROCESSORS_ONLN),"
says 'JSON: kernel' "\"kernel\": \"$(uname -r)\""
says 'JSON: memory' "\"memory\": \{\"total\": $((kib << 10)), \"available\": [1-9]"
says 'JSON: limits' '"cgroup_limit": (null|[0-9]+), "address_space_limit": (null|[0-9]+)'
says 'JSON: accelerators' '"engine": \{"usable": (true|false), "reason": (null|".+")\}'
says 'JSON: direct execution' '"direct": \{"usable": (true|false), "reason": (null|".+")\}'
says 'JSON: KVM' '"kvm": \{"device": "[a-z ]+", "usable": (true|false), "nests_intel": (true|false), "nests_amd": '
for nested in off intel amd; do
    says "JSON: what auto takes, nested $nested" "\"$nested\": \{\"accel\": (null|\"[a-z]+\"), \"reason\": \".+\"\}"
done
says 'JSON: advice' '"advice": (null|".+")\}$'

run 'unknown option' 2 "unknown option '--jsno'; did you mean '--json'" doctor --jsno
run 'stray argument' 2 "unexpected argument 'kvm'" doctor kvm
run 'flag with a value' 2 'takes no value' doctor --json=yes
run 'help' 0 '' doctor --help
timeout 60 "$NESTBOX" doctor >/dev/full 2>"$WORK/err"
check 'nowhere to print to' [ $? = 4 ]

# Hosts of another kind, which takes root.
if unshare -m mount -t tmpfs none /dev 2>/dev/null; then
    program=$(realpath "$NESTBOX")
    unshare -m sh -c 'mount -t tmpfs none /dev && exec timeout 60 "$0" doctor' "$program" >"$WORK/out"
    says 'without /dev/kvm' '^  /dev/kvm       there is no /dev/kvm'
    says 'without /dev/kvm nothing is measured' '^  --nested off   engine: no /dev/kvm'
fi
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
if [ -e /dev/kvm ] && "${nobody[@]}" true 2>/dev/null && ! "${nobody[@]}" test -w /dev/kvm; then
    cp "$NESTBOX" "$WORK/nestbox"
    chmod 755 "$WORK" "$WORK/nestbox"
    "${nobody[@]}" timeout 60 "$WORK/nestbox" doctor >"$WORK/out" 2>/dev/null
    says 'without permission' '^  /dev/kvm       no permission for /dev/kvm'
    says 'what to do then' '^Let this user open /dev/kvm'
fi
finish
