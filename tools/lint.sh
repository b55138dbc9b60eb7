#!/bin/bash
# `make lint`: layering of includes, file sizes, what the freestanding core may call, scripts. Prints each violation;
# exit status 1 if there is one.
set -u
bad=0
complain() {
    printf '%s\n' "$*"
    bad=1
}

# The house: folder, layer. A file includes its own folder and lower layers only, by the path from src/.
layers="base 0 x86 1 rules 1 bus 2 ram 2 net 2 process 2 agent 3 cpu 3 accel 4 dev 4 kvmapi 5 machine 5 store 5 vmproc 6
worker 6 vswitch 6 manager 7 shell 8 cli 9"
# The rooms of src/cpu, bottom up. cpu.c and cpu.h, the engine's face, are above them all.
rooms="core 0 mmu 1 event 2 insn 3 vmx 4 svm 4 jit 5 direct 6 face 7"

while read -r complaint; do
    complain "$complaint"
done < <(grep -rnE '^#[[:space:]]*include[[:space:]]+"' src --include='*.[chS]' |
    awk -v layers="$layers" -v rooms="$rooms" '
    function room(path,   part) { return split(path, part, "/") == 3 ? part[2] : "face" }
    BEGIN {
        n = split(layers, a, /[ \n]+/); for (i = 1; i < n; i += 2) layer[a[i]] = a[i + 1]
        n = split(rooms, a, " "); for (i = 1; i < n; i += 2) floor[a[i]] = a[i + 1]
    }
    {
        split($0, q, "\""); name = q[2]
        split($0, p, ":"); file = p[1]; sub(/^src\//, "", file)
        split(file, f, "/"); split(name, t, "/")
        where = "src/" file ":" p[2] ": "
        if (!(t[1] in layer))
            print where "include \"" name "\" is not by path from src/"
        else if (f[1] != t[1]) {
            if (!(f[1] in layer) || layer[t[1]] >= layer[f[1]])
                print where f[1] " must not include " t[1] " (layer " layer[f[1]] " to " layer[t[1]] ")"
        } else if (f[1] == "cpu" && room(file) != room(name) && floor[room(name)] >= floor[room(file)])
            print where "room " room(file) " must not include room " room(name)
    }')

# Of the engine others see its face, and the state of a vCPU.
while IFS=: read -r file number include; do
    complain "$file:$number: the engine's own header ${include#*\"}: others see cpu/cpu.h and cpu/core/state.h"
done < <(grep -rnE '^#[[:space:]]*include[[:space:]]+"cpu/' src --include='*.[chS]' |
    grep -vE '^src/cpu/|"cpu/(cpu|core/state)\.h"')

# The core is freestanding: no header of the C library.
while IFS=: read -r file number include; do
    case $include in
    *stdbool.h* | *stddef.h* | *stdint.h* | *stdarg.h* | *cpuid.h* | *errno.h*) ;;
    *Zydis* | *Zycore*) ;;
    *) complain "$file:$number: the core includes ${include##*include }: it may use no library" ;;
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
    complain "$file: a name that says nothing: name it after what it holds"
done < <(find src tests -name '*util*' -o -name '*common*' -o -name '*helper*' -o -name '*misc*')

# Undefined symbols of the core's objects: those of its own room and lower ones, Zydis, and nothing else.
objects=$(find build/release/src/cpu -name '*.o' 2>/dev/null)
if [ -n "$objects" ]; then
    while read -r complaint; do
        complain "$complaint"
    done < <(for object in $objects; do nm -g "$object" | sed "s|^|$object |"; done | awk -v rooms="$rooms" '
        function room(path,   part) { return split(path, part, "/") == 6 ? part[5] : "face" }
        BEGIN { n = split(rooms, a, " "); for (i = 1; i < n; i += 2) floor[a[i]] = a[i + 1] }
        $2 == "U" { used[$1 " " $3] = 1; next }
        { home[$NF] = $1 }
        END {
            for (use in used) {
                split(use, u, " ")
                if (u[2] ~ /^(Zydis|Zyan|_GLOBAL_OFFSET_TABLE_)/)
                    continue
                if (!(u[2] in home))
                    print u[1] ": the core calls " u[2]
                else if (room(u[1]) != room(home[u[2]]) && floor[room(home[u[2]])] >= floor[room(u[1])])
                    print u[1] ": room " room(u[1]) " must not use " u[2] " of room " room(home[u[2]])
            }
        }')
else
    echo "no objects of a release build: symbols of the core are not checked"
fi

# The style of .clang-format; the version that Debian 12 has.
if command -v clang-format >/dev/null; then
    while read -r complaint; do
        complain "$complaint"
    done < <(find src tests -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run -Werror 2>&1 |
        sed -n 's/error: code should be clang-formatted.*/not as clang-format wants it/p' | sort -u -t: -k1,1)
else
    echo "no clang-format: the style is not checked"
fi

for script in tools/*.sh src/*/*.sh tests/*/*.sh; do
    [ -e "$script" ] || continue
    shell='sh'
    grep -qE '^#!/bin/bash|^# shellcheck shell=bash' "$script" && shell='bash'
    $shell -n "$script" || bad=1
done
if command -v shellcheck >/dev/null; then
    shellcheck -S warning -e SC1090,SC1091,SC2034,SC2046,SC2154,SC1007 tools/*.sh \
        $(find src tests -name '*.sh') || bad=1
fi
# Its false alarms are many, so this one only tells: CPPCHECK=1 make lint.
if [ -n "${CPPCHECK:-}" ]; then
    cppcheck -q --std=c11 --enable=warning,portability --inline-suppr -j 2 -Isrc -D__x86_64__ \
        --suppress=missingIncludeSystem src 2>&1
fi
tools/names.sh || bad=1
exit $bad
