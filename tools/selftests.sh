#!/bin/bash
# The kernel's own tests of KVM, from Debian's linux-source-6.1, on the KVM API of the engine, with VT-x and with AMD-V.
# The table tests/selftests/programs.txt says of each program whether it must pass or what it would need. Builds them
# into build/selftests once; needs no network beyond Debian's packages. Logs go there too.
# usage: selftests.sh [-q] [PATTERN]   (-q: those that the table marks as quick; PATTERN: a regex on names)
set -u
here=$(dirname "$0")
. "$here/need.sh"
quick=
[ "${1:-}" = -q ] && quick=1 && shift
pattern=${1:-.}
NB=${NB:-build/release/nestbox}
table=tests/selftests/programs.txt
dir=$PWD/build/selftests
archive=/usr/src/linux-source-6.1.tar.xz

# The sources expect the kernel's own headers; those of Debian's linux-libc-dev are of the same version. The first flag
# names a macro as the rest of that version does, the second one includes what a header forgets.
build() {
    need linux-source-6.1 linux-libc-dev gcc make xz-utils
    say "building the kernel's KVM selftests"
    rm -rf "$dir"
    mkdir -p "$dir/src" "$dir/bin"
    local parts=()
    for part in scripts/subarch.include tools/{build,lib,include,arch/x86,scripts,testing/selftests}; do
        parts+=("linux-source-6.1/$part")
    done
    tar x -J -f "$archive" -C "$dir/src" --strip-components=1 "${parts[@]}" || return 1
    make -k -j2 -C "$dir/src/tools/testing/selftests/kvm" ARCH=x86_64 OUTPUT="$dir/bin" \
        EXTRA_CFLAGS='-DTEST_ASSERT_EQ=ASSERT_EQ -I/usr/include -include linux/stddef.h' >"$dir/build.log" 2>&1
    rm -rf "$dir/src"
    touch "$dir/done"
}
[ -e "$dir/done" ] || build || die "cannot unpack $archive"

# Columns of the table: program, seconds, verdict with VT-x, verdict with AMD-V, reason.
passed=0 failed=0 left=0
declare -A listed=()
while read -r program limit intel amd reason; do
    [[ $program == '#'* || -z $program ]] && continue
    listed[$program]=1
    [[ $program =~ $pattern ]] || continue
    for vendor in intel amd; do
        verdict=${!vendor}
        [ -n "$quick" ] && [ "$verdict" != quick ] && continue
        if [ "$verdict" = - ]; then
            left=$((left + 1))
            [ -n "$quick" ] || printf '%-44s %-6s left out: %s\n' "$program" "$vendor" "$reason"
            continue
        fi
        log=$dir/${program//\//.}.$vendor.log
        start=$SECONDS
        timeout -k 5 "$limit" "$NB" kvm --accel engine --nested "$vendor" -- "$dir/bin/$program" >"$log" 2>&1 </dev/null
        status=$?
        if [ "$status" = 0 ]; then
            passed=$((passed + 1)) word=ok
        else
            failed=$((failed + 1)) word="FAILED ($status)"
            tail -n 5 "$log" | sed 's/^/    /'
        fi
        printf '%-44s %-6s %s, %d s\n' "$program" "$vendor" "$word" $((SECONDS - start))
    done
done <"$table"
for path in "$dir"/bin/*_test "$dir"/bin/x86_64/*; do
    program=${path#"$dir/bin/"}
    [[ -x $path && -f $path && -z ${listed[$program]:-} ]] || continue
    say "$program is not in $table"
    failed=$((failed + 1))
done
echo "$passed passed, $failed failed, $left left out"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
