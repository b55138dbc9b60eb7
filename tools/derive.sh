#!/bin/bash
# `make derive`: writes anew what is derived from the tables of options: the completions, and the lists of options in
# the manual page, each between its two marks. With --check: says what differs, and changes nothing.
# usage: NB=build/release/nestbox derive.sh [--check]
set -u
cd "$(dirname "$0")/.." || exit 1
nb=${NB:-build/release/nestbox}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

"$nb" derive bash >"$work/nestbox.bash" || exit 1
"$nb" derive zsh >"$work/_nestbox" || exit 1
"$nb" derive fish >"$work/nestbox.fish" || exit 1
cp man/nestbox.1 "$work/nestbox.1"
for verb in $(sed -n 's/^\.\\" options of \([a-z]*\):.*/\1/p' man/nestbox.1); do
    "$nb" derive man $verb >"$work/options" || exit 1
    awk -v verb=$verb -v options="$work/options" '
        /^\.\\" end of options/ { inside = 0 }
        !inside
        $0 ~ "^\\.\\\\\" options of " verb ":" {
            inside = 1
            while ((getline line <options) > 0)
                print line
        }' "$work/nestbox.1" >"$work/new"
    mv "$work/new" "$work/nestbox.1"
done

for file in completions/nestbox.bash completions/_nestbox completions/nestbox.fish man/nestbox.1; do
    new=$work/$(basename "$file")
    cmp -s "$new" "$file" && continue
    if [ "${1:-}" = --check ]; then
        echo "$file is not what the options say; run make derive"
        diff "$file" "$new" | head -20
        bad=1
    else
        cat "$new" >"$file"
    fi
done
exit $bad
