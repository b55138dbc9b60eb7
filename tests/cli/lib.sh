# shellcheck shell=bash
# For the scripts in this folder: `source lib.sh`. Each check prints "ok NAME" or "not ok NAME"; finish with `finish`.
# NESTBOX names the program under test; ACCEL the accelerator that tiny guests run on.

NESTBOX=${NESTBOX:-build/release/nestbox}
ACCEL=${ACCEL:-engine}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/nestbox-cli-XXXXXX")
trap 'rm -rf "$WORK"' EXIT
passed=0
failed=0

pass() {
    echo "ok $1"
    passed=$((passed + 1))
}

fail() {
    echo "not ok $1"
    shift
    printf '# %s\n' "$@"
    failed=$((failed + 1))
}

# check NAME COMMAND...: passes when the command does
check() {
    local name=$1
    shift
    if "$@" >/dev/null; then
        pass "$name"
    else
        fail "$name" "$*" "$(head -20 "$WORK/err" 2>/dev/null)"
    fi
}

# guest_text: what a terminal showed, which is in $WORK/out, behind the line that names our keys
guest_text() {
    head -n 1 "$WORK/out" | grep -qxF $'nestbox: Ctrl-a x ends the VM, Ctrl-a h shows the other keys\r' &&
        tail -n +2 "$WORK/out"
}

# own_home: a home folder of the script's own, whose switches end with the script
own_home() {
    NESTBOX=$(realpath "$NESTBOX")
    export NESTBOX_HOME=$WORK/home
    trap 'stop_switches; rm -rf "$WORK"' EXIT
}

stop_switches() {
    local lock
    for lock in "$NESTBOX_HOME"/locks/*; do
        [ -e "$lock" ] && "$NESTBOX" switch stop "${lock##*/}" 2>/dev/null
    done
}

nb() { timeout 60 "$NESTBOX" "$@" 2>"$WORK/err" </dev/null; }

# says NAME PATTERN VERB...: the output matches
says() {
    local name=$1 pattern=$2
    shift 2
    nb "$@" >"$WORK/out" || fail "$name" "status $?: $(head -3 "$WORK/err")"
    grep -qE -- "$pattern" "$WORK/out" && pass "$name" && return
    fail "$name" "no '$pattern' in:" "$(cat "$WORK/out")"
}

# agent_disk FILE: a copy of the tests' Debian with nestbox-agent, without a mount: partition 3 begins at sector 133120
# (src/image/build.sh)
agent_disk() {
    cp --sparse=always build/disk/test.raw "$1"
    agent_files "$1"
}
# agent_files FILE: the same for an image that is there
agent_files() {
    local agent
    agent=$(dirname "$NESTBOX")/nestbox-agent
    cat >"$WORK/commands" <<END
cd /usr/local/sbin
write $agent nestbox-agent
cd /etc/systemd/system
write src/agent/guest/nestbox-agent.service nestbox-agent.service
cd /etc/udev/rules.d
write src/agent/guest/nestbox-agent.rules 60-nestbox-agent.rules
END
    debugfs -w -f "$WORK/commands" "$1?offset=$((133120 * 512))" >"$WORK/debugfs" 2>&1 ||
        { cat "$WORK/debugfs" && exit 1; }
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    exit
}

# le32 NUMBER: four bytes as octal escapes
le32() {
    printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}

# guest FILE CODE: a multiboot kernel whose 32-bit code is CODE (escapes for printf), loaded and entered at 1 MiB + 32
guest() {
    local flags=$((0x10003)) magic=$((0x1badb002)) base=$((0x100000))
    # shellcheck disable=SC2059
    {
        printf "$(le32 $magic)$(le32 $flags)$(le32 $((-(magic + flags))))"
        printf "$(le32 $base)$(le32 $base)$(le32 0)$(le32 0)$(le32 $((base + 32)))"
        printf "$2"
        head -c 4096 /dev/zero
    } >"$1"
}

# Code for guests
# shellcheck disable=SC2034
{
    HANG='\372\364\353\375'                            # cli; hlt; jmp
    POWER_OFF='\146\272\004\006\146\270\000\064\146\357' # mov dx, 0x604; mov ax, 0x3400; out dx, ax
    RESET='\146\272\371\014\260\006\356'               # mov dx, 0xcf9; mov al, 6; out dx, al
    DEBUG_EXIT='\146\272\364\000\260\025\356'          # mov dx, 0xf4; mov al, 21; out dx, al
    TRIPLE_FAULT='\017\013'                            # ud2, with an empty IDT
    JUMP_NOWHERE='\270\000\000\000\160\377\340'      # mov eax, 0x70000000; jmp eax
    LOOP_OF_JUMPS='\270\040\000\020\000\377\340'     # mov eax, 0x100020; jmp eax
    # mov esp, 0x104000; mov eax, 0x10002a; push eax; ret
    LOOP_OF_RETURNS='\274\000\100\020\000\270\052\000\020\000\120\303'
    # mov dx, 0x3fd; in al, dx; test al, 1; jz back; mov dx, 0x3f8; in al, dx; out dx, al; jmp back
    ECHO='\146\272\375\003\354\250\001\164\367\146\272\370\003\354\356\353\357'
    WAIT_FOR_KEY='\146\272\375\003\354\250\001\164\367' # mov dx, 0x3fd; in al, dx; test al, 1; jz back
    PRINT_A='\146\272\370\003\260\101\356'             # mov dx, 0x3f8; mov al, 'A'; out dx, al
}

# run NAME STATUS PATTERN ARG...: the exit status, and one line on standard error that matches; PATTERN "" means silence
run() {
    local name=$1 want=$2 pattern=$3 got lines
    shift 3
    timeout 60 "$NESTBOX" "$@" >"$WORK/out" 2>"$WORK/err" </dev/null
    got=$?
    lines=$(wc -l <"$WORK/err")
    if [ "$got" != "$want" ]; then
        fail "$name" "status $got, not $want" "$(head -3 "$WORK/err")"
    elif [ -z "$pattern" ] && [ "$lines" != 0 ]; then
        fail "$name" "said: $(head -3 "$WORK/err")"
    elif [ -n "$pattern" ] && ! grep -qE -- "$pattern" "$WORK/err"; then
        fail "$name" "no '$pattern' in: $(head -3 "$WORK/err")"
    elif [ -n "$pattern" ] && [ "$lines" != 1 ] && [ "${MANY_LINES:-0}" = 0 ]; then
        fail "$name" "$lines lines, not one:" "$(head -5 "$WORK/err")"
    else
        pass "$name"
    fi
}
