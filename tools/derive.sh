#!/bin/bash
# `make derive`: writes anew what is derived from the tables of options: the completions, and the list of options in the
# manual page, between its two marks. With --check: says what differs, and changes nothing.
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
"$nb" derive man >"$work/options" || exit 1
sed "/^\.\\\\\" options of run/r $work/options" man/nestbox.1 |
    awk -v lines="$(wc -l <"$work/options")" '
        /^\.\\" options of run/ { print; skip = 0; keep = lines; inside = 1; next }
        /^\.\\" end of options/ { inside = 0 }
        inside && keep > 0 { print; keep--; next }
        !inside' >"$work/nestbox.1"

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
