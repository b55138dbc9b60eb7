#!/bin/bash
# The host runs out of memory, before the guest starts and while it runs; and files to boot from that become shorter.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

NESTBOX=$(realpath "$NESTBOX")
guest "$WORK/off" "$PRINT_A$POWER_OFF$HANG"
ok_status=0

# At the start: whatever the limit, the program works or says in one line what is in the way.
limited() { # KiB of address space, OPTION...
    local name="address space of $1 KiB: ${*:2}"
    (
        ulimit -v "$1"
        timeout 60 "$NESTBOX" run --accel "$ACCEL" --kernel "$WORK/off" "${@:2}" </dev/null >"$WORK/out" 2>"$WORK/err"
    )
    local got=$?
    [ $got = 0 ] && [ ! -s "$WORK/err" ] && ok_status=1 && pass "$name: enough" && return
    check "$name: status" [ $got = 4 ]
    check "$name: one line" [ "$(wc -l <"$WORK/err")" = 1 ]
    check "$name: $(cat "$WORK/err")" grep -qE '^nestbox: .*(memory|[Cc]annot)' "$WORK/err"
}
for limit in 30000 100000 270000 290000 300000 320000 500000; do
    limited $limit --memory 16M
done
check 'half a GiB is enough for a small VM' [ $ok_status = 1 ]
limited 600000 --memory 1G
check 'guest memory is named' grep -q 'no room for 1024 MiB of guest memory' "$WORK/err"
limited 500000 --memory 16M --cpus 200
check 'threads are named' grep -qE 'CPU [0-9]+ of 200|not enough memory' "$WORK/err"

# While it runs: the host has no more than half of the guest's 16 MiB.
${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -Wall -Wextra -shared -fPIC -o "$WORK/short.so" tests/cli/short_memory.c ||
    exit 1
short() { # NAME ADDRESS CODE OPTION...: the guest's first access to memory that is not there is at ADDRESS
    local name=$1 address=$2
    guest "$WORK/guest" "$PRINT_A$3$PRINT_A$POWER_OFF$HANG"
    SHORT_MEMORY_SIZE=$((0x1001000)) SHORT_MEMORY_KEEP=$((0x800000)) LD_PRELOAD=$WORK/short.so \
        timeout 60 "$NESTBOX" run --accel "$ACCEL" --memory 16M --kernel "$WORK/guest" --serial "unix:$WORK/socket" \
        "${@:4}" </dev/null >"$WORK/out" 2>"$WORK/err"
    check "$name: status 4" [ $? = 4 ]
    check "$name: one line" [ "$(wc -l <"$WORK/err")" = 1 ]
    check "$name: names the address" grep -q "no memory for guest address $address: out of memory" "$WORK/err"
    check "$name: nothing left behind" [ ! -e "$WORK/socket" ]
}
short 'a store' 0xc00000 '\243\000\000\300\000'                                      # mov [0xc00000], eax
short 'a load' 0xc00000 '\241\000\000\300\000'                                       # mov eax, [0xc00000]
# mov edi, 0x7ff000; mov ecx, 65536; rep stosb
short 'a string store' 0x800000 '\277\000\360\177\000\271\000\000\001\000\363\252'
short 'code' 0xc00000 '\270\000\000\300\000\377\340'                                 # mov eax, 0xc00000; jmp eax
short 'a store of each of two CPUs' 0xc00000 '\243\000\000\300\000' --cpus 2
head -c $((10 << 20)) /dev/zero >"$WORK/module"
short 'a module, before the guest starts' '0x[89ab][0-9a-f]*' "$HANG" --initrd "$WORK/module"

# A file becomes shorter while the VM may need it again, for a reset.
mkfifo "$WORK/keys"
shorter() { # NAME FILE OPTION...
    local name=$1 pid
    guest "$WORK/reset" "$PRINT_A$WAIT_FOR_KEY$RESET$HANG"
    timeout 60 "$NESTBOX" run --accel "$ACCEL" --memory 64M --kernel "$WORK/reset" "${@:3}" <"$WORK/keys" >"$WORK/out" \
        2>"$WORK/err" &
    pid=$!
    exec 8>"$WORK/keys"
    for _ in $(seq 100); do
        [ -s "$WORK/out" ] && break
        sleep 0.1
    done
    truncate -s 0 "$WORK/$2"
    echo >&8
    exec 8>&-
    wait $pid
    check "$name: status 4" [ $? = 4 ]
    check "$name: one line" [ "$(wc -l <"$WORK/err")" = 1 ]
    check "$name: names the file" grep -q "$WORK/$2: became shorter" "$WORK/err"
}
shorter 'the kernel became shorter' reset
shorter 'a module became shorter' module --initrd "$WORK/module"
finish
