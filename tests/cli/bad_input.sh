#!/bin/bash
# Bad input gets one clear line and the documented exit status, and nothing is left behind.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

guest "$WORK/good" "$HANG"
mkdir "$WORK/dir"
: >"$WORK/empty"
echo 'not a kernel' >"$WORK/text"
head -c 4096 /dev/zero >"$WORK/zeros"
{ head -c 56 /dev/zero; printf 'ARM\144'; head -c 4096 /dev/zero; } >"$WORK/arm64"
{
    printf '\177ELF\002\001\001\000\000\000\000\000\000\000\000\000\002\000\267\000'
    head -c 4096 /dev/zero
} >"$WORK/arm64.elf"
head -c 100 "$NESTBOX" >"$WORK/short.elf"
gzip -c "$WORK/good" | head -c 40 >"$WORK/short.gz"
# A Linux header that promises more than there is.
{
    head -c 497 /dev/zero
    printf '\004\000\000\000\020\000\000\000\000\000\000\000\000\125\252\353\152HdrS\017\002'
    head -c 9 /dev/zero
    printf '\001\000\000\000\000\020'
    head -c 600 /dev/zero
} >"$WORK/short.bz"

# A kernel for 64-bit CPUs.
poke() { # shellcheck disable=SC2059
    printf "$3" | dd of="$1" bs=1 seek=$(($2)) conv=notrunc status=none
}
head -c 8192 /dev/zero >"$WORK/amd64"
poke "$WORK/amd64" 0x1f1 '\001\000\000\300\001\000\000'
poke "$WORK/amd64" 0x1fe '\125\252\353\152HdrS\017\002'
poke "$WORK/amd64" 0x211 '\001\000\000\000\000\020'
poke "$WORK/amd64" 0x236 '\001\000\377\007'
poke "$WORK/amd64" 0x258 '\000\000\000\001'

# A boot loader in the shape of a bzImage looks like this: it has no 32-bit code.
{
    head -c 497 /dev/zero
    printf '\004\000\000\000\000\000\000\000\000\000\000\000\000\125\252\353\152HdrS\003\002'
    head -c 9 /dev/zero
    printf '\001'
    head -c 3000 /dev/zero
} >"$WORK/loader"
{ head -c 510 /dev/zero; printf '\125\252'; head -c 4096 /dev/zero; } >"$WORK/disk"
install -m 0 "$WORK/good" "$WORK/secret"

cd "$WORK" || exit 1
NESTBOX=$(realpath "$OLDPWD/$NESTBOX" 2>/dev/null || realpath "$NESTBOX")

run 'no kernel given' 2 'no kernel given' run
run 'kernel that is not there' 4 'nothing: No such file' run --kernel nothing
run 'kernel that is a directory' 4 'dir: is a directory' run --kernel dir
run 'kernel that is empty' 4 'empty: is empty' run --kernel empty
run 'kernel that is text' 4 'text: ' run --kernel text
run 'kernel that is zeros' 4 'zeros: not a kernel' run --kernel zeros
run 'truncated bzImage' 4 'short.bz: truncated' run --kernel short.bz
run 'truncated ELF' 4 'short.elf: truncated' run --kernel short.elf
run 'truncated gzip' 4 'short.gz: .*truncated' run --kernel short.gz
run 'arm64 Image' 4 'arm64: .*arm64' run --kernel arm64
run 'arm64 ELF' 4 'arm64.elf: .*arm64' run --kernel arm64.elf
run 'a program is no kernel' 4 'neither a multiboot header nor' run --kernel "$NESTBOX"
run 'boot loader in the shape of a bzImage' 4 'loader: .*takes a BIOS' run --kernel loader
run 'image of a disk' 4 'disk: .*takes a BIOS' run --kernel disk
run 'amd64 kernel on a CPU without long mode' 4 'amd64: .*no long mode.*--cpu' \
    run --accel engine --kernel amd64 --cpu legacy32
run 'amd64 kernel on a CPU that lost it' 4 'amd64: .*no long mode' run --accel engine --kernel amd64 --cpu max,-lm
run 'device that never ends' 4 '/dev/zero: is a device' run --kernel /dev/zero
run 'kernel without a name' 2 'no kernel given' run --kernel ''
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    # The program may lie where only root gets.
    install -m 755 "$NESTBOX" /tmp/nestbox.$$
    chmod 755 .
    setpriv --reuid 65534 --clear-groups /tmp/nestbox.$$ run --kernel secret 2>err
    check 'kernel that may not be read' [ $? = 4 ]
    check 'what is said of it' grep -q 'secret: Permission denied' err
    rm -f /tmp/nestbox.$$
fi
run 'initrd that never ends' 4 '/dev/zero: is a device' run --kernel good --initrd /dev/zero
run 'initrd without a name' 4 'without the name' run --kernel good --initrd ''
run 'initrd that is not there' 4 'nothing: No such file' run --kernel good --initrd nothing
run 'initrd that is a directory' 4 'dir: is a directory' run --kernel good --initrd dir

run 'no memory' 2 "'0' is not a size" run --kernel good --memory 0
run 'absurd memory' 2 'is not a size from 2M' run --kernel good --memory 999999T
run 'more memory than the host has' 2 'the host has' run --kernel good --memory 4T
run 'memory that is no size' 2 'is not a size' run --kernel good --memory lots
run 'no CPUs' 2 'from 1 to 256' run --kernel good --cpus 0
run 'absurd number of CPUs' 2 'from 1 to 256' run --kernel good --cpus 100000
run 'negative number of CPUs' 2 'from 1 to 256' run --kernel good --cpus -1
run 'unknown CPU model' 2 'nosuchcpu' run --kernel good --cpu nosuchcpu
run 'unknown CPU feature' 2 'nosuchfeature' run --kernel good --cpu max,+nosuchfeature
run 'CPU feature without a sign' 2 'needs a . or -' run --kernel good --cpu max,bogus
run 'nothing to trace' 2 "'' is not known" run --kernel good --trace ''
run 'unknown to trace' 2 "'nonsense' is not known" run --kernel good --trace nonsense
MANY_LINES=1
run 'CPU 256 of Linux' 4 'Linux uses 255 of 256 CPUs' run --kernel nothing --cpus 256
MANY_LINES=0

run 'unknown verb' 2 "did you mean 'run'" rnu
run 'unknown option' 2 "unknown option '--bogus'" run --bogus
run 'mistyped option' 2 "did you mean '--kernel'" run --kernle good
run 'option without its value' 2 'needs a value' run --kernel
run 'flag with a value' 2 'takes no value' run --kernel good --stats=yes
run 'stray argument' 2 "unexpected argument 'good'" run good
run "QEMU's options" 2 "unexpected argument '-m'; options begin with two dashes" run -m 1G
run 'a trace of nothing' 2 '--trace-file without --trace: .*; name what to report' run --kernel good --trace-file trace
run 'unknown nesting' 2 "did you mean 'intel'" run --kernel good --nested intle
run 'unknown accelerator' 2 'is not one of auto' run --kernel good --accel qemu
run 'time-out of nothing' 2 'seconds from 0.001' run --kernel good --timeout 0
run 'serial port nowhere' 4 'nodir/file: No such' run --kernel good --accel "$ACCEL" --serial nodir/file
run 'serial port on a directory' 4 'dir: Is a directory' run --kernel good --accel "$ACCEL" --serial dir
run 'serial port without a name' 2 '--serial without stdio, none' run --kernel good --serial ''
run 'a terminal twice' 2 'there is one terminal' run --kernel good --serial stdio --serial stdio
run 'three serial ports' 2 'more than twice' run --kernel good --serial none --serial none --serial none
run 'log without a name' 2 '--serial-log without' run --kernel good --serial-log ''
for word in tcp:1234 mon:stdio telnet::44 chardev:c null vc stdout unx:s stdoi unix: file: unix:s,server=on; do
    run "serial port $word" 2 "serial.*" run --kernel good --serial "$word"
done
run 'serial socket nowhere' 4 'nodir/s: No such' run --kernel good --accel "$ACCEL" --serial unix:nodir/s
run 'serial socket on a folder' 4 'unix:dir: there is a folder' run --kernel good --accel "$ACCEL" --serial unix:dir
run 'serial socket on a file' 4 'unix:text: there is a file' run --kernel good --accel "$ACCEL" --serial unix:text

(
    ulimit -v 3000000
    run 'no memory left' 4 'no room for|[Cc]annot allocate|out of memory' run --kernel good --accel "$ACCEL" --memory 4G
    echo "$passed $failed" >counts
)
read -r passed failed <counts
rm counts

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    install -m 755 "$NESTBOX" /tmp/nestbox.$$
    chmod 644 good
    (
        ulimit -u 1
        setpriv --reuid 61234 --clear-groups /tmp/nestbox.$$ run --kernel good --accel "$ACCEL" 2>err
    )
    check 'no more threads' [ $? = 4 ]
    check 'what is said of it' grep -qE 'no more threads; raise ulimit -u' err
    rm -f /tmp/nestbox.$$
fi
printf -v odd 'a\033[31m\tb\302\233c\303\251'
run 'control characters in a name' 4 'a.x1b.31m.x09b.xc2.x9bc.*: No such file' run --kernel "$odd"
check 'they do not reach the terminal' [ "$(tr -d '\n' <err | LC_ALL=C grep -c '[[:cntrl:]]')" = 0 ]
run 'control characters in a word' 2 'a.x1b' "$odd"
run 'help of two verbs' 2 "unexpected argument 'doctor'" help run doctor
for verb in help version doctor; do
    timeout 60 "$NESTBOX" $verb >/dev/full 2>err
    check "$verb on a full disk" [ $? = 4 ]
    check 'what is said of that' grep -q 'cannot write the output: No space left' err
done

run 'help' 0 '' help
run 'help of a verb' 0 '' run --help
run 'help of a verb, the other way' 0 '' help run
run 'version' 0 '' version

# Output never goes to a file that another option reads, or to a disk.
cp good kept
cp good initrd
ln -s kept link
ln kept hard
for name in kept ./kept link hard file:kept; do
    run "serial port in the kernel's file: $name" 4 'is the file of --kernel' run --kernel kept --accel "$ACCEL" \
        --serial "$name"
done
run 'serial port in the initrd' 4 'is the file of --initrd' run --kernel good --initrd 'initrd with arguments' \
    --accel "$ACCEL" --serial initrd
run 'log in the kernel' 4 '--serial-log kept: is the file of --kernel' run --kernel kept --accel "$ACCEL" \
    --serial none --serial-log kept
run 'two ports in one file' 4 'both: is the file of --serial,' run --kernel good --accel "$ACCEL" --serial both \
    --serial file:./both
check 'the kernel is what it was' cmp good kept
check 'the initrd is what it was' cmp good initrd
rm kept initrd link hard both
disk=$(losetup -f 2>/dev/null)
[ -b "$disk" ] && run 'serial port on a disk' 4 'is a disk' run --kernel good --accel "$ACCEL" --serial "$disk"

rm -f out err
left=$(echo *)
want='amd64 arm64 arm64.elf dir disk empty good loader secret short.bz short.elf short.gz text zeros'
check 'nothing left behind' [ "$left" = "$want" ]
finish
