#!/bin/bash
# Part of `make lint`: names in comments and docs that no longer exist. Prints each, and ends with 1 if there is one.
#
# Looked at: in comments of C, words with an underscore, words followed by () and names of files; in the Markdown pages,
# the same within backquotes. Such a word must occur in the code outside comments, or begin something that does if it
# ends in an underscore (PREFIX_), or stand in tools/names.txt, which has the manuals' and other programs' names.
set -u
cd "$(dirname "$0")/.." || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

find src tests \( -name '*.[chS]' \) | sort >"$work/sources"
find ./*.md docs -name '*.md' | sed 's|^\./||' | sort >"$work/pages"

# Splits C into its code and its comments, each line with its place.
split_c() { # code|comments
    xargs awk -v want="$1" '
        FNR == 1 { inside = 0 }
        {
            line = $0; code = ""
            while (line != "") {
                if (inside) {
                    end = index(line, "*/")
                    text = end ? substr(line, 1, end - 1) : line
                    line = end ? substr(line, end + 2) : ""
                    inside = !end
                    if (want == "comments") print FILENAME ":" FNR ": " text
                } else {
                    start = index(line, "/*")
                    code = code (start ? substr(line, 1, start - 1) " " : line)
                    line = start ? substr(line, start + 2) : ""
                    inside = start > 0
                }
            }
            if (want == "code") print code
        }' <"$work/sources"
}

{
    split_c code
    cat Makefile tests/guest/guests.mk tests/guest/table completions/* .ci/run
    find tools tests -name '*.sh' -exec cat {} +
} | grep -oE '[A-Za-z_][A-Za-z0-9_]*' | sort -u >"$work/known"
grep -v '^#' tools/names.txt >>"$work/known"
find . -path ./build -prune -o -path ./.git -prune -o -type f -printf '/%P\n' >"$work/files"

{
    split_c comments
    xargs awk '{
        n = split($0, part, "`")
        for (i = 2; i <= n; i += 2) print FILENAME ":" FNR ": " part[i]
    }' <"$work/pages"
} >"$work/text"

place='^[^ ]+:[0-9]+:' file='[A-Za-z0-9_/.-]+\.(c|h|S|sh|mk|md|ld)\b' function='\b[a-z][a-z0-9_]*\(\)'
grep -oE "$place|$file|[A-Za-z_][A-Za-z0-9]*_[A-Za-z0-9_]*|$function" "$work/text" | awk -v dir="$work" '
    function begins(prefix,   name) {
        for (name in known) if (index(name, prefix) == 1) return 1
        for (name in files) if (index(name, "/" prefix)) return 1
        return 0
    }
    function is_file(name,   path) { # by any number of folders before its name
        for (path in files) if (substr(path, length(path) - length(name)) == "/" name) return 1
        return 0
    }
    BEGIN {
        while ((getline line < (dir "/known")) > 0) known[line] = 1
        while ((getline line < (dir "/files")) > 0) files[line] = 1
    }
    /^[^ ]+:[0-9]+:$/ { place = $0; next }
    {
        name = $0; sub(/\(\)$/, "", name)
        if (!(name in seen))
            seen[name] = name in known || (name ~ /\.(c|h|S|sh|mk|md|ld)$/ && is_file(name)) ||
                (name ~ /_$/ && begins(name))
        if (!seen[name]) print place " there is no " $0
    }' >"$work/bad"
# Tests that SPEC.md names.
grep -oE '`unit/[a-z0-9_/]+`' SPEC.md | tr -d '\`' | while read -r test; do
    [ -e "tests/${test}_test.c" ] || echo "SPEC.md: there is no test $test"
done >>"$work/bad"
cat "$work/bad"
! [ -s "$work/bad" ]
