#!/bin/bash
# `make lint`: layering of includes, file sizes, what the freestanding core may call, scripts. Prints each violation;
# exit status 1 if there is one.
set -u
bad=0
complain() {
    printf '%s\n' "$*"
    bad=1
}

layer_of() {
    case $1 in
    base) echo 0 ;;
    x86) echo 1 ;;
    mem) echo 2 ;;
    cpu) echo 3 ;;
    accel | dev) echo 4 ;;
    machine) echo 5 ;;
    vmproc) echo 6 ;;
    cli) echo 7 ;;
    *) echo none ;;
    esac
}

# A file includes its own folder and lower layers only, by the path from src/.
while IFS=: read -r file number include; do
    name=${include#*\"}
    name=${name%\"*}
    own=$(cut -d/ -f2 <<<"$file")
    other=${name%%/*}
    [ "$own" = "$other" ] && continue
    from=$(layer_of "$own") to=$(layer_of "$other")
    if [ "$to" = none ]; then
        complain "$file:$number: include \"$name\" is not by path from src/"
    elif [ "$from" = none ] || [ "$to" -ge "$from" ]; then
        complain "$file:$number: $own must not include $other (layer $from to $to)"
    fi
done < <(grep -rnE '^#[[:space:]]*include[[:space:]]+"' src --include='*.[chS]')

# The core is freestanding: no header of the C library.
while IFS=: read -r file number include; do
    case $include in
    *stdbool.h* | *stddef.h* | *stdint.h* | *stdarg.h* | *cpuid.h* | *errno.h*) ;;
    *Zydis* | *Zycore*) ;;
    *) complain "$file:$number: the core includes ${include##*include }" ;;
    esac
done < <(grep -rnE '^#[[:space:]]*include[[:space:]]+<' src/cpu src/x86)

while read -r lines file; do
    limit=800
    [[ $file == tests/* ]] && limit=1000
    [ "$lines" -gt $limit ] && complain "$file: $lines lines, more than $limit"
done < <(find src tests tools \( -name '*.[chS]' -o -name '*.sh' \) -exec wc -l {} + | grep -v ' total$')
while read -r place; do
    complain "$place: more than 120 columns"
done < <(find src tests tools \( -name '*.[chS]' -o -name '*.sh' \) \
    -exec awk 'length > 120 {print FILENAME ":" FNR}' {} +)
[ "$(wc -l <Makefile)" -le 300 ] || complain "Makefile: more than 300 lines"
while read -r file; do
    complain "$file: a name that says nothing"
done < <(find src tests -name '*util*' -o -name '*common*' -o -name '*helper*' -o -name '*misc*')

# Undefined symbols of the core's objects: each other's, Zydis, and nothing else.
objects=$(find build/release/src/cpu -name '*.o' 2>/dev/null)
if [ -n "$objects" ]; then
    # shellcheck disable=SC2086
    defined=$(nm --defined-only -g $objects 2>/dev/null | awk 'NF == 3 {print $3}' | sort -u)
    for object in $objects; do
        for symbol in $(nm -u "$object" | awk '{print $2}'); do
            case $symbol in
            Zydis* | Zyan* | _GLOBAL_OFFSET_TABLE_) continue ;;
            esac
            grep -qxF "$symbol" <<<"$defined" || complain "$object: the core calls $symbol"
        done
    done
else
    echo "no objects of a release build: symbols of the core are not checked"
fi

for script in tools/*.sh tests/*/*.sh; do
    [ -e "$script" ] || continue
    if grep -q '^#!/bin/bash' "$script"; then bash -n "$script" || bad=1; else sh -n "$script" || bad=1; fi
done
if command -v shellcheck >/dev/null; then
    shellcheck -S warning -e SC1090,SC1091,SC2034,SC2046,SC2154,SC1007 tools/*.sh $(find tests -name '*.sh') || bad=1
fi
# Its false alarms are many, so this one only tells: CPPCHECK=1 make lint.
if [ -n "${CPPCHECK:-}" ]; then
    cppcheck -q --std=c11 --enable=warning,portability --inline-suppr -j 2 -Isrc -D__x86_64__ \
        --suppress=missingIncludeSystem src 2>&1
fi
exit $bad
