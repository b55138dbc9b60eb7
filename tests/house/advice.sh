#!/bin/bash
# Each command that a hint of the manager names has a row in the shell's table (src/shell/advice.c), with the cmdlet
# that does the same or the statement that none does.
cd "$(dirname "$0")/../.." || exit 1
mapfile -t rows < <(sed -nE 's/^ *\{"([^"]*)", .*\},$/\1/p' src/shell/advice.c)
[ ${#rows[@]} -gt 20 ] || { echo "src/shell/advice.c has ${#rows[@]} rows" && exit 1; }
patterns=()
for row in "${rows[@]}"; do
    row=${row//'*'/[^ ]+}
    row=${row//@/[^ ]+}
    patterns+=("^${row//'$'/.+}\$")
done
# Literals are joined over lines and SETTING(); names of VMs and files are X.
mapfile -t commands < <(find src/rules src/store src/worker src/manager src/net src/vswitch src/process -name '*.c' \
    -exec cat {} + | tr '\n' ' ' | sed -E 's/" *SETTING\( *"([^"]*)"\) *"/--\1/g; s/" *SETTING\( *"([^"]*)"\)/--\1"/g
        s/" *"//g' | grep -oE '`nestbox [^`"]+`|"nestbox [^"]+"' |
    sed -E "s/^.nestbox //; s/.\$//; s/%[.0-9]*[sc]/X/g" | sort -u)
[ ${#commands[@]} -gt 40 ] || { echo "${#commands[@]} commands" && exit 1; }
failed=0
for command in "${commands[@]}"; do
    case $command in
    'X list' | 'X X' | 'switch run'*) continue ;; # of names.c: nouns that have rows; a process
    esac
    found=''
    for pattern in "${patterns[@]}"; do [[ $command =~ $pattern ]] && found=1; done
    [ -n "$found" ] || { echo "no row for: nestbox $command" && failed=1; }
done
echo "${#commands[@]} commands, ${#rows[@]} rows"
exit $failed
