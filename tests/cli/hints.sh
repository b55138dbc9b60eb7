#!/bin/bash
# What a newcomer is told: of a Linux kernel that prints nothing, because nothing names its console.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

# linux FILE CODE: a bzImage whose 32-bit code is CODE (escapes for printf), loaded and entered at 1 MiB
linux() {
    local poke
    poke() { # shellcheck disable=SC2059
        printf "$2" | dd of="$file" bs=1 seek=$(($1)) conv=notrunc status=none
    }
    file=$1
    head -c 8192 /dev/zero >"$file"
    poke 0x1f1 '\001'                             # one sector of set-up code
    poke 0x1f4 '\000\001'                         # 100h paragraphs of 32-bit code
    poke 0x1fe '\125\252\353\152HdrS\006\002'     # protocol 2.06
    poke 0x211 '\001'                             # loaded high
    poke 0x214 '\000\000\020\000'                 # at 1 MiB
    poke 0x22c '\377\377\377\077'                 # the initrd's highest address
    poke 0x238 '\377\007'                         # length of the command line
    poke 0x400 "$2"
}

linux "$WORK/silent" "$HANG"
linux "$WORK/speaks" "$PRINT_A$HANG"
vm=(run --accel "$ACCEL" --memory 32M --timeout 4)
hint='^nestbox: the guest has printed nothing yet: .*--append console=ttyS0$'
MANY_LINES=1
run 'a kernel without a console' 8 "$hint" "${vm[@]}" --kernel "$WORK/silent"
check 'it is said once' [ "$(grep -c 'printed nothing' "$WORK/err")" = 1 ]
run 'with words that name none' 8 "$hint" "${vm[@]}" --kernel "$WORK/silent" --append quiet
silence() { # NAME ARG...
    run "$1" 8 'did not end' "${vm[@]}" "${@:2}"
    check "nothing is said of it" [ "$(grep -c 'printed nothing' "$WORK/err")" = 0 ]
}
silence 'a kernel with a console' --kernel "$WORK/silent" --append quiet --append console=ttyS0
silence 'a kernel that prints' --kernel "$WORK/speaks"
silence 'a port that nobody looks at' --kernel "$WORK/silent" --serial none
guest "$WORK/other" "$HANG"
silence 'no Linux kernel' --kernel "$WORK/other"
finish
