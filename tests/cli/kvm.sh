#!/bin/bash
# nestbox kvm and nestbox qemu: which programs they start, which they refuse and why, with what environment; a program
# that runs a VM on what it finds.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
[ -e "$(dirname "$NESTBOX")/libnestbox-kvm.so" ] ||
    { echo 'no library beside the program: this variant has none'; exit 77; }
here=$PWD nestbox=$(realpath "$NESTBOX")
engine=(kvm --accel engine)

# -- programs --
run 'a program starts' 0 '' "${engine[@]}" -- true
run 'its status is that of the program' 7 '' "${engine[@]}" -- sh -c 'exit 7'
run 'its options are its own' 0 '' "${engine[@]}" echo --nested --help
check 'its options reach it' [ "$(cat "$WORK/out")" = '--nested --help' ]
"$NESTBOX" "${engine[@]}" -- sh -c 'kill -USR1 $$' 2>"$WORK/err"
check 'it ends by its own signal' [ $? = $((128 + 10)) ]
"$NESTBOX" "${engine[@]}" -- sh -c 'echo $$' >"$WORK/pid" &
started=$!
wait $started
check 'no process stands between' [ "$(cat "$WORK/pid")" = $started ]
run 'no program' 2 'no program given' "${engine[@]}"
run 'no option' 2 "unknown option '--nseted'; did you mean '--nested'" kvm --nseted intel true
run 'an option of one dash' 2 "unexpected argument '-h'; the program comes behind the options: .* -- PROGRAM" kvm -h
run 'no such program' 127 'there is no program nosuchprogram' "${engine[@]}" nosuchprogram
run 'no such file' 127 'cannot execute /no/such/file: No such file' "${engine[@]}" /no/such/file
cp /bin/true "$WORK/plain"
chmod 644 "$WORK/plain"
run 'not executable' 126 'cannot execute .*/plain: Permission denied' "${engine[@]}" "$WORK/plain"
PATH=$WORK:$PATH run 'not executable, in PATH' 126 'cannot execute .*/plain: Permission denied' "${engine[@]}" plain
run 'a folder' 126 'cannot execute .*: Is a directory' "${engine[@]}" "$WORK"
printf '#!/no/such/interpreter\n' >"$WORK/script"
chmod 755 "$WORK/script"
run 'no interpreter' 127 'cannot open /no/such/interpreter' "${engine[@]}" "$WORK/script"
printf '#! %s\n' "$WORK/script" >"$WORK/loop"
printf '#!%s\n' "$WORK/loop" >"$WORK/script"
chmod 755 "$WORK/loop"
run 'interpreters without end' 126 'too many interpreters' "${engine[@]}" "$WORK/script"
printf '#!/bin/sh -e\nexit 5\n' >"$WORK/script"
run 'a script' 5 '' "${engine[@]}" "$WORK/script"

# -- programs that take no library --
static=$(command -v busybox)
if [ -n "$static" ] && ! ldd "$static" >/dev/null 2>&1; then
    run 'a static program' 126 'busybox is statically linked, so it cannot be given a /dev/kvm' "${engine[@]}" "$static"
    printf '#!%s sh\n' "$static" >"$WORK/script"
    run 'a script for a static program' 126 'statically linked' "${engine[@]}" "$WORK/script"
fi
cat >"$WORK/go.s" <<'EOT'
.section .note.go.buildid, "a", @note
.long 4, 4, 4
.asciz "Go\0"
.long 0
EOT
echo 'int main(void) { return 0; }' >"$WORK/go.c"
if gcc -o "$WORK/go" "$WORK/go.c" "$WORK/go.s" 2>/dev/null; then
    run 'a program in Go' 0 'is written in Go, which does not ask libc: only programs that it starts' \
        "${engine[@]}" "$WORK/go"
fi
{ printf '\177ELF\001\001\001'; head -c 100 /dev/zero; } >"$WORK/elf32"
chmod 755 "$WORK/elf32"
run 'a 32-bit program' 126 'is a 32-bit program' "${engine[@]}" "$WORK/elf32"
{ printf '\177ELF\002\001\001'; head -c 100 /dev/zero; } >"$WORK/elf64"
chmod 755 "$WORK/elf64"
run 'for another CPU' 126 'another kind of CPU' "${engine[@]}" "$WORK/elf64"
: >"$WORK/empty"
chmod 755 "$WORK/empty"
run 'no program at all' 126 'is neither an ELF program nor a script' "${engine[@]}" "$WORK/empty"
if [ "$(id -u)" = 0 ]; then
    cp /bin/true "$WORK/other"
    chown 65534 "$WORK/other"
    chmod 4755 "$WORK/other"
    run 'set-user-ID' 126 'is set-user-ID' "${engine[@]}" "$WORK/other"
    chown 0:65534 "$WORK/other"
    chmod 2755 "$WORK/other"
    run 'set-group-ID' 126 'is set-group-ID' "${engine[@]}" "$WORK/other"
fi

# -- the environment --
environment() { # VARIABLE, ARG...
    timeout 60 "$NESTBOX" kvm "${@:2}" -- sh -c "echo \$$1" 2>"$WORK/err"
}
library=$(dirname "$nestbox")/libnestbox-kvm.so
check 'the library' [ "$(environment LD_PRELOAD --accel engine)" = "$library" ]
check 'other libraries stay' [ "$(LD_PRELOAD=libm.so.6 environment LD_PRELOAD --accel engine)" = "$library:libm.so.6" ]
check 'the library is named once' [ "$(LD_PRELOAD=$library environment LD_PRELOAD --accel engine)" = "$library" ]
check 'the library is told to serve' [ "$(environment NESTBOX_KVM --accel engine)" = 1 ]
check 'a vendor' [ "$(environment NESTBOX_KVM_NESTED --accel engine --nested amd)" = amd ]
host=$(grep -q -m 1 AuthenticAMD /proc/cpuinfo && echo amd || echo intel)
check "the host's vendor" [ "$(environment NESTBOX_KVM_NESTED --accel engine)" = "$host" ]
check 'a default by the environment' [ "$(NESTBOX_KVM_NESTED=off environment NESTBOX_KVM_NESTED --accel engine)" = off ]
check 'an option goes before that default' \
    [ "$(NESTBOX_KVM_NESTED=off environment NESTBOX_KVM_NESTED --nested intel --accel engine)" = intel ]
check 'files have full names' [ "$(environment NESTBOX_KVM_STATS --stats build/y)" = "$here/build/y" ]
rm -f build/y
check 'what to trace' [ "$(environment NESTBOX_KVM_TRACE --trace run,entry)" = entry,run ]
check 'why the engine' grep -q '^nestbox: accelerator engine (--trace needs it)$' "$WORK/err"
LD_PRELOAD=$library run 'within itself' 0 'accelerator engine \(this runs within nestbox kvm\)' kvm true
check 'the library alone serves' env LD_PRELOAD="$library" test -c /dev/kvm
check 'the library does not serve if the environment forbids it' \
    [ "$(LD_PRELOAD=$library NESTBOX_KVM=0 stat -c %Y /dev/kvm 2>/dev/null)" = "$(stat -c %Y /dev/kvm 2>/dev/null)" ]
run 'no place for counters' 4 '--stats /no/such/file: No such file or directory' kvm --stats /no/such/file true
run 'counters in a folder' 4 '--stats /tmp: Is a directory' kvm --stats /tmp true
run 'no place for the trace' 4 '--trace-file /no/such/file: No such file' \
    kvm --trace run --trace-file /no/such/file true
run 'counters without a name' 2 '--stats without the name of a file' kvm --stats '' true
run 'a model without a name' 2 '--cpu without the name of a model' kvm --cpu '' true
NESTBOX_KVM_NESTED=vax run 'a wrong variable' 2 "--nested: 'vax' is not one of" kvm true
run 'a wrong model' 2 "CPU model" kvm --cpu foo true
run 'what KVM has not' 2 '--trace needs the engine, and --accel is kvm; --accel auto takes' \
    kvm --accel kvm --trace run true
LD_PRELOAD=$library run 'KVM, whosever it is' 0 '' kvm --accel kvm --nested off test -c /dev/kvm
run 'a file for a trace of nothing' 2 '--trace-file without --trace: .*; name what' kvm --trace-file "$WORK/t" true
mkdir "$WORK/alone"
cp "$nestbox" "$WORK/alone"
NESTBOX=$WORK/alone/nestbox run 'no library' 4 'the library .*/libnestbox-kvm.so is missing' "${engine[@]}" true
mkdir "$WORK/a b"
cp "$nestbox" "$library" "$WORK/a b"
NESTBOX="$WORK/a b/nestbox" run 'a library below a folder with a space' 4 'has a space or a colon' "${engine[@]}" true

# -- a VM --
guest "$WORK/off" "$POWER_OFF$HANG"
run 'doctor tries it' 0 '' doctor
check 'doctor finds that it works' grep -q '^  nestbox kvm    works' "$WORK/out"
run 'nestbox run on it' 0 '' "${engine[@]}" -- "$nestbox" run --accel kvm --memory 16M --kernel "$WORK/off"

# -- a program whose CPU has another vendor than the extensions that it is offered --
${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -Wall -Wextra -o "$WORK/vendor" tests/cli/vendor.c || exit 1
run 'VT-x for an AMD CPU' 0 '^nestbox kvm: .* AuthenticAMD, .* VT-x .*-cpu host,vendor=GenuineIntel.* nestbox qemu' \
    "${engine[@]}" --nested intel -- "$WORK/vendor" AuthenticAMD
run 'AMD-V for an Intel CPU' 0 '^nestbox kvm: .* GenuineIntel, .* AMD-V .*-cpu host,vendor=AuthenticAMD' \
    "${engine[@]}" --nested amd -- "$WORK/vendor" GenuineIntel
run 'a CPU of the vendor that is offered' 0 '' "${engine[@]}" --nested amd -- "$WORK/vendor" AuthenticAMD
run 'an AMD CPU without extensions' 0 '' "${engine[@]}" --nested off -- "$WORK/vendor" AuthenticAMD
run 'an Intel CPU without extensions' 0 '' "${engine[@]}" --nested off -- "$WORK/vendor" GenuineIntel

# -- what programs look at to find out whether there is KVM --
run 'the device' 0 '' "${engine[@]}" -- test -c /dev/kvm -a -r /dev/kvm -a -w /dev/kvm
for flag in intel:vmx amd:svm; do
    run "the CPU's flag ${flag#*:}" 0 '' "${engine[@]}" --nested "${flag%:*}" -- grep -qw "${flag#*:}" /proc/cpuinfo
done
if command -v virt-host-validate >/dev/null; then
    "$NESTBOX" "${engine[@]}" -- virt-host-validate qemu >"$WORK/out" 2>&1
    for line in 'hardware virtualization' '/dev/kvm exists' '/dev/kvm is accessible'; do
        check "virt-host-validate: $line" grep -qE "$line +: PASS" "$WORK/out"
    done
fi

# -- QEMU --
cat >"$WORK/qemu-system-x86_64" <<'EOT'
#!/bin/sh
echo "$NESTBOX_KVM_NESTED $*"
EOT
chmod 755 "$WORK/qemu-system-x86_64"
PATH=$WORK:$PATH
other=$([ "$host" = amd ] && echo intel || echo amd)
run 'QEMU' 0 '' qemu --accel engine -m 1G --nographic
check 'its command line' [ "$(cat "$WORK/out")" = \
    "$host -accel kvm -cpu host,host-phys-bits-limit=40 -m 1G --nographic" ]
run 'another vendor' 0 '' qemu --accel engine --nested "$other" -- -cpu EPYC
check 'goes with each CPU' grep -qE "^$other -accel kvm -cpu EPYC,vendor=(GenuineIntel|AuthenticAMD)\$" "$WORK/out"
for tcg in '-accel tcg' '-machine q35,accel=tcg' '-accel tcg,thread=multi -accel kvm' '-M accel=tcg:kvm'; do
    # shellcheck disable=SC2086
    run "QEMU with $tcg" 0 '^nestbox: QEMU is to use tcg: it starts as it is' qemu --nested "$other" $tcg -cpu max
    check "the command line with $tcg is unchanged" [ "$(cat "$WORK/out")" = " $tcg -cpu max" ]
done
run "QEMU's list of accelerators" 0 '' qemu -accel help
run "QEMU's options with two dashes" 2 "unknown option '--version'; QEMU's own options have one dash here, or" \
    qemu --version
run "QEMU's options behind --" 0 '' qemu --accel engine -- --version
check 'options behind -- reach QEMU' grep -q -- '--version$' "$WORK/out"
run 'our options behind those of QEMU' 2 "'--nested' stands where all is QEMU's" qemu -m 1G --nested intel
run "-- behind QEMU's options" 2 "'--' stands where all is QEMU's" qemu -m 1G -- -smp 2
run 'an option that QEMU has, too' 0 '' qemu --accel engine -m 1G --cpu max --accel kvm
mkdir "$WORK/bin"
cp "$nestbox" "$library" tools/nestbox-qemu "$WORK/bin"
for name in intel amd; do
    ln -s nestbox-qemu "$WORK/bin/nestbox-qemu-$name"
    timeout 60 "$WORK/bin/nestbox-qemu-$name" -S >"$WORK/out" 2>"$WORK/err"
    check "the wrapper for $name" grep -q "^$name -accel kvm -cpu host" "$WORK/out"
done
finish
