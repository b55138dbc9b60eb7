# shellcheck shell=bash
# Sourced by the scripts of this folder, which drive Debian's QEMU: serial console, QMP, monitor. A VM has a name, by
# which its files in $work are found: NAME.serial.log is all that its first serial port wrote, NAME.qmp.log all that QMP
# answered, events among that, NAME.err what QEMU complained of.
# QEMU_ACCEL is kvm (by default: on the engine, through the preloaded library) or tcg, which shows whether the test
# itself is right. VENDOR is intel or amd: which extensions guests of the engine see.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
NB=${NB:-build/release/nestbox}
QEMU_ACCEL=${QEMU_ACCEL:-kvm}
VENDOR=${VENDOR:-intel}
PATIENCE=${PATIENCE:-1} # all times to wait are multiplied by it
image=build/disk/test.raw
work=$(mktemp -d)
declare -A process=() console=() monitor=()

finish() {
    local vm
    for vm in "${!process[@]}"; do kill -9 "${process[$vm]}" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' TERM INT

fail() {
    local log
    for log in "$work"/*.serial.log "$work"/*.err; do
        [ -s "$log" ] && { echo "--- the end of $(basename "$log")" && tail -c 3000 "$log" | tr -d '\r'; }
    done
    [ -z "${KEEP:-}" ] || cp -r "$work" "$KEEP"
    echo "FAILED: $*"
    exit 1
}

skip() {
    echo "$*"
    exit 77
}

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

command -v qemu-system-x86_64 >/dev/null && command -v socat >/dev/null || skip 'qemu-system-x86 and socat are missing'
[ -e $image ] || [ -n "${diskless:-}" ] || skip "no $image: see tools/test.sh"
program=(qemu-system-x86_64) # with what starts it
if [ "$QEMU_ACCEL" = kvm ]; then
    if [ -n "${QEMU_RUN:-}" ]; then
        read -ra program <<<"$QEMU_RUN qemu-system-x86_64"
    else
        "$NB" help 2>/dev/null | grep -q '^ *kvm ' || skip 'this nestbox has no KVM API'
        program=("$NB" kvm --accel engine --nested "$VENDOR" -- qemu-system-x86_64)
    fi
fi

# qemu NAME ARGUMENT...: starts a VM with a serial port and QMP. The caller gives everything else.
qemu() {
    local vm=$1
    shift
    : >"$work/$vm.serial.log"
    : >"$work/$vm.qmp.log"
    "${program[@]}" -nodefaults -display none -no-user-config \
        -chardev "socket,id=serial,path=$work/$vm.serial,server=on,wait=off,logfile=$work/$vm.serial.log" \
        -chardev "socket,id=qmp,path=$work/$vm.qmp,server=on,wait=off" -mon chardev=qmp,mode=control \
        -serial chardev:serial "$@" >"$work/$vm.err" 2>&1 </dev/null &
    process[$vm]=$!
    echo 0 >"$work/$vm.place"
    local i
    for ((i = 0; ; i++)); do
        [ -S "$work/$vm.qmp" ] && [ -S "$work/$vm.serial" ] && break
        kill -0 "${process[$vm]}" 2>/dev/null || fail "$vm: QEMU ended at its start"
        [ $i -lt $((300 * PATIENCE)) ] || fail "$vm: QEMU does not open its sockets"
        sleep 0.1
    done
    local fd
    exec {fd}> >(exec socat "UNIX-CONNECT:$work/$vm.serial" STDIO >/dev/null 2>&1)
    console[$vm]=$fd
    exec {fd}> >(exec socat "UNIX-CONNECT:$work/$vm.qmp" STDIO >"$work/$vm.qmp.log" 2>/dev/null)
    monitor[$vm]=$fd
    echo '{"execute": "qmp_capabilities", "id": 0}' >&"${monitor[$vm]}"
    qmp "$vm" query-status >/dev/null || fail "$vm: QMP does not answer"
}

# The accelerator, with more properties for KVM (kernel-irqchip=split), and a CPU of the vendor that the API shows:
# QEMU's max and host would take the host's.
accelerator() { # [PROPERTIES]
    local vendor=GenuineIntel
    [ "$VENDOR" = intel ] || vendor=AuthenticAMD
    case $QEMU_ACCEL in
    kvm) printf '%s' "-accel kvm${1:+,$1} -cpu max,vendor=$vendor,host-phys-bits-limit=40" ;;
    *) printf '%s' "-accel $QEMU_ACCEL,thread=single -cpu max" ;;
    esac
}

# qmp NAME COMMAND [ARGUMENTS]: prints the reply, one line of JSON. False if QMP reports an error.
qmp() {
    local vm=$1 id=${EPOCHREALTIME//[^0-9]/} i line
    printf '{"execute": "%s", "id": %s%s}\n' "$2" "$id" "${3:+, \"arguments\": $3}" >&"${monitor[$vm]}"
    for ((i = 0; i < 1200 * PATIENCE; i++)); do
        line=$(grep -m 1 -E "\"id\": ${id}[,}]" "$work/$vm.qmp.log") && break
        kill -0 "${process[$vm]}" 2>/dev/null || return 1
        sleep 0.05
    done
    [ -n "$line" ] || fail "$vm: QMP does not answer $2"
    printf '%s\n' "${line//$'\r'/}"
    [[ $line != *'"error": '* ]]
}

# hmp NAME COMMAND...: prints what the human monitor answers.
hmp() {
    local vm=$1 line
    shift
    line=$(qmp "$vm" human-monitor-command "{\"command-line\": \"$*\"}") || fail "$vm: monitor command $*: $line"
    line=${line#*'"return": "'}
    printf '%b' "${line%'", "id"'*}" | tr -d '\r'
    [[ $line != *Error* ]]
}

# event NAME EVENT [SECONDS]: waits until QMP has reported it once more than at the last call.
event() {
    local vm=$1 i seen=$work/$1.seen.$2
    [ -e "$seen" ] || echo 0 >"$seen"
    for ((i = 0; i < ${3:-60} * 10 * PATIENCE; i++)); do
        if [ "$(grep -c "\"event\": \"$2\"" "$work/$vm.qmp.log")" -gt "$(<"$seen")" ]; then
            echo $(($(<"$seen") + 1)) >"$seen"
            return 0
        fi
        sleep 0.1
    done
    fail "$vm: no event $2 within ${3:-60} s"
}

# saw NAME PATTERN SECONDS: waits for a line of QMP that matches.
saw() {
    local vm=$1 i
    for ((i = 0; i < $3 * 10 * PATIENCE; i++)); do
        ! grep -qE -- "$2" "$work/$vm.qmp.log" || return 0
        sleep 0.1
    done
    return 1
}

# sees NAME TEXT [SECONDS]: waits for text that matches, after what the last call matched, from the serial port.
sees() {
    local vm=$1 i at place
    place=$(<"$work/$vm.place")
    for ((i = 0; ; i++)); do
        at=$(tail -c +$((place + 1)) "$work/$vm.serial.log" | grep -abom 1 -E -- "$2" | head -n 1)
        [ -z "$at" ] || break
        kill -0 "${process[$vm]}" 2>/dev/null || fail "$vm: QEMU ended while waiting for: $2"
        [ $i -lt $((${3:-120} * 10 * PATIENCE)) ] || fail "$vm: not seen within ${3:-120} s: $2"
        sleep 0.1
    done
    echo $((place + ${at%%:*} + $(printf '%s' "${at#*:}" | wc -c))) >"$work/$vm.place"
}

types() { # NAME TEXT: as if at the keyboard of the serial terminal, with Enter
    printf '%s\n' "$2" >&"${console[$1]}"
}

# logged_in NAME [SECONDS]: waits for the shell of an installed Debian, and makes it quiet for `guest`.
logged_in() {
    sees "$1" 'root@[a-z0-9]*:~# ' "${2:-240}"
    types "$1" ' stty -echo -onlcr; PS1= PS2=; bind "set enable-bracketed-paste off"; dmesg -n 1; echo NB"-shell"'
    sees "$1" 'NB-shell' 60
}

# small NAME WORDS ARGUMENT...: a VM with the kernel that the boot tests use and a shell of busybox, which needs no disk
# and starts in a few seconds. WORDS are for the kernel; the shell takes those that the kernel does not know. $initrd is
# what it starts from.
initrd=${initrd:-build/guest/l2.cpio}
small() {
    [ -e build/debs/vmlinuz ] && [ -e "$initrd" ] || skip 'no kernel or image: see tools/test.sh'
    qemu "$1" -kernel build/debs/vmlinuz -initrd "$initrd" -append "console=ttyS0 rdinit=/bin/sh $2" "${@:3}"
    sees "$1" '/ # ' 120
    types "$1" ' mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; busybox --install -s /bin
        stty -echo -onlcr; PS1= PS2=; dmesg -n 1; echo NB"-shell"'
    sees "$1" 'NB-shell' 60
}

# guest NAME COMMANDS [SECONDS]: runs them in the guest's shell, prints what they print, and returns their exit status.
guest() {
    local vm=$1 from mark=NB-$RANDOM$RANDOM status
    from=$(<"$work/$vm.place")
    types "$vm" "{ $2"$'\n'"} 2>&1; echo \"$mark=\$?=\""
    sees "$vm" "$mark=[0-9]*=" "${3:-60}"
    status=$(tail -c +$((from + 1)) "$work/$vm.serial.log" | head -c $(($(<"$work/$vm.place") - from)) | tr -d '\r' |
        sed "1d;/$mark=/{s/.*$mark=\([0-9]*\)=.*/\1/;q};w $work/$vm.said" | tail -n 1)
    cat "$work/$vm.said"
    return "$status"
}

# ends NAME STATUS [SECONDS]: waits for QEMU to end, with that exit status.
ends() {
    local vm=$1 i status
    for ((i = 0; i < ${3:-120} * 10 * PATIENCE; i++)); do
        kill -0 "${process[$vm]}" 2>/dev/null || break
        sleep 0.1
    done
    kill -0 "${process[$vm]}" 2>/dev/null && fail "$vm: QEMU goes on after ${3:-120} s"
    wait "${process[$vm]}"
    status=$?
    unset "process[$vm]"
    local fd
    for fd in "${console[$vm]}" "${monitor[$vm]}"; do exec {fd}>&-; done
    [ $status = "$2" ] || fail "$vm: QEMU ended with status $status"
}

# carried WAY FROM TO COMMAND...: what runs in VM FROM goes on in TO, which COMMAND TO ARGUMENT... starts, and its
# console where it was. WAY is file (its state is written, then read), or any other (it runs while its memory goes
# over). Adds to $stopped the milliseconds for which it did not run.
stopped=0
carried() {
    local way=$1 from=$2 to=$3 i status=''
    shift 3
    # Two programs can write more pages in 300 ms than QEMU sends in that time. With that limit, which is QEMU's own, it
    # might send for ever.
    qmp "$from" migrate-set-parameters '{"max-bandwidth": 104857600, "downtime-limit": 2000}' >/dev/null
    if [ "$way" != file ]; then
        "$@" "$to" -incoming "unix:$work/migration"
        qmp "$from" migrate "{\"uri\": \"unix:$work/migration\"}" >/dev/null || fail migrate
    else
        qmp "$from" migrate "{\"uri\": \"exec:cat >$work/state\"}" >/dev/null || fail migrate
    fi
    for ((i = 0; i < 2400 * PATIENCE; i++)); do
        status=$(qmp "$from" query-migrate)
        [[ $status == *'"status": "completed"'* ]] && break
        [[ $status == *'"status": "failed"'* ]] && fail "migration: $status"
        sleep 0.1
    done
    [[ $status == *'"status": "completed"'* ]] || fail "migration does not end: $status"
    say "$(grep -oE '"(total-time|downtime|dirty-sync-count)": [0-9]*' <<<"$status" | tr '\n' ' ')"
    stopped=$((stopped + $(grep -oE '"downtime": [0-9]*' <<<"$status" | grep -oE '[0-9]*$')))
    [ "$way" != file ] || "$@" "$to" -incoming "exec:cat $work/state"
    qmp "$from" quit >/dev/null
    ends "$from" 0 60
    event "$to" RESUME 60
}

# overlay NAME [IMAGE]: a disk of its own for the VM, $work/NAME.qcow2, on the image that all tests share.
overlay() {
    qemu-img create -q -f qcow2 -F "$([[ ${2:-$image} == *.qcow2 ]] && echo qcow2 || echo raw)" \
        -b "$(readlink -f "${2:-$image}")" "$work/$1.qcow2" || fail "$1: no overlay"
}

# firmware NAME KIND: prints the arguments for bios or kernel (none), ovmf, or secure (OVMF with SMM, where Secure Boot
# is on).
firmware() {
    local code vars
    case $2 in
    bios | kernel) return ;;
    ovmf) code=OVMF_CODE_4M.fd vars=OVMF_VARS_4M.fd ;;
    secure)
        code=OVMF_CODE_4M.secboot.fd vars=OVMF_VARS_4M.ms.fd
        echo '-global driver=cfi.pflash01,property=secure,value=on'
        ;;
    esac
    [ -e /usr/share/OVMF/$code ] || skip 'ovmf is missing'
    [ -e "$work/$1.vars" ] || cp /usr/share/OVMF/$vars "$work/$1.vars"
    # Debian's OVMF maps all that the CPU can address by pages of 2 MiB: half a gigabyte of tables for 47 bits.
    echo '-global driver=x86_64-cpu,property=host-phys-bits-limit,value=40'
    echo "-drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/$code"
    echo "-drive if=pflash,unit=1,format=raw,file=$work/$1.vars"
}

# disk CONTROLLER FILE [ID]: prints the arguments for a disk on a controller of that kind.
disk() {
    local id=${3:-d0}
    echo "-drive if=none,id=$id,file=$2,format=qcow2,discard=unmap"
    case $1 in
    virtio-blk) echo "-device virtio-blk-pci,drive=$id,serial=$id" ;;
    virtio-mmio) echo "-device virtio-blk-device,drive=$id,serial=$id" ;;
    virtio-scsi) echo "-device virtio-scsi-pci,id=c$id -device scsi-hd,bus=c$id.0,drive=$id,serial=$id" ;;
    lsi53c895a) echo "-device lsi53c895a,id=c$id -device scsi-hd,bus=c$id.0,drive=$id,serial=$id" ;;
    ahci) echo "-device ich9-ahci,id=c$id -device ide-hd,bus=c$id.0,drive=$id,serial=$id" ;;
    ide) echo "-device ide-hd,bus=ide.0,drive=$id,serial=$id" ;;
    nvme) echo "-device nvme,drive=$id,serial=$id" ;;
    *) fail "no controller $1" ;;
    esac
}

# complaints NAME [LESS]: prints what the guest's kernel complains of, and succeeds if there is something; what matches
# the pattern LESS does not count. Under TCG complaints of the TSC do not count, because TCG has no good one. With AMD's
# CPUs Linux says under every KVM that SRSO is a risk, which QEMU 7.2 cannot deny, and that CPUs without invariant TSC
# are not in step, of which L1's own KVM warns, too.
complaints() {
    local known='Speculative Return Stack Overflow|TSCs unsynchronized|SMP vm created on host with unstable TSC'
    local texts='WARNING:|BUG:|Oops|\bstall|soft lockup|Call Trace|unchecked MSR|I/O error|timeout|Machine check|hung'
    [ "$QEMU_ACCEL" = tcg ] || texts="$texts|TSC warp|Unable to calibrate|unstable"
    guest "$1" "dmesg | grep -E '$texts' | grep -vE '$known${2:+|$2}'"
}

# verified_writes NAME FILE SIZE [MORE [SECONDS]]: random writes of 4 KiB in the guest; each block is read and compared.
verified_writes() {
    guest "$1" "fio --name=v --filename=$2 --size=$3 --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 \
        --verify=crc32c --verify_fatal=1 ${4:-} >/tmp/fio 2>&1 && ! grep -i verify: /tmp/fio ||
        { tail /tmp/fio; false; }" "${5:-300}"
}

# In the guest, COUNT programs write checksummed pages (pages.c) until pages_end.
pages_start() { # NAME COUNT MEGABYTES
    guest "$1" "for i in {1..$2}; do pages $3 0 >/tmp/pages\$i & done
        for i in {1..60}; do sleep 1; [ \$(grep -l started /tmp/pages* | wc -l) = $2 ] && break; done; [ \$i -lt 60 ]" \
        100 >/dev/null || fail 'pages do not start'
}
pages_right() { # NAME
    guest "$1" 'sleep 2; ! grep WRONG /tmp/pages* && pgrep pages' >"$work/said" || fail "pages: $(<"$work/said")"
}
pages_end() { # NAME COUNT
    guest "$1" 'pkill pages; sleep 3; cat /tmp/pages*' 60
    [ "$(guest "$1" 'cat /tmp/pages* | grep -c "rounds right"')" = "$2" ] || fail 'pages were lost'
}
