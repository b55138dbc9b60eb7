#!/bin/bash
# Every verb and option is in the manual page and in each completion.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

files='man/nestbox.1 completions/nestbox.bash completions/_nestbox completions/nestbox.fish'
for verb in run doctor help version; do
    for file in $files; do
        check "verb $verb in $file" grep -qw -- "$verb" "$file"
    done
    for option in $("$NESTBOX" "$verb" --help | grep -o '^  --[a-z-]*' | sed 's/^  --//'); do
        [ "$option" = help ] && continue
        for file in $files; do
            check "--$option in $file" grep -qE -- "(--|-l )$option\b" "$file"
        done
    done
done
finish
