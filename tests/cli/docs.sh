#!/bin/bash
# The manual page and the completions say what the options are: they are derived anew and compared. Every setting that
# a message names is an option. Each shell reads its completion file.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

files='man/nestbox.1 completions/nestbox.bash completions/_nestbox completions/nestbox.fish'
check 'derived files are fresh' env NB="$NESTBOX" tools/derive.sh --check
check 'an underscore within a word stays one' grep -q 'KVM_RUN' man/nestbox.1
for verb in run kvm qemu doctor help version; do
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

options=$("$NESTBOX" run --help | grep -o '^  --[a-z-]*')
settings=$(grep -rhoE 'SETTING\("[a-z-]+"\)' src --include='*.c' | sed 's/.*"\(.*\)".*/\1/' | sort -u)
check 'messages name settings' [ -n "$settings" ]
for setting in $settings; do
    check "messages name $setting, which is an option" grep -qx -- "  --$setting" <<<"$options"
done

check 'below the command line no message names an option' [ -z "$(grep -rnE '"[^"]*--[a-z]' src --include='*.[ch]' |
    grep -v '^src/\(cli\|rules\)/')" ]
check 'help has its groups' [ "$("$NESTBOX" run --help | grep -cE '^(Machine|CPU|Console|Debugging):$')" = 4 ]
check 'help fits a terminal' [ "$("$NESTBOX" run --help | awk 'length > 100' | wc -l)" = 0 ]
offered() { # WORD...: what bash offers for the last word
    bash -c 'source completions/nestbox.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _nestbox 2>/dev/null
        echo "${COMPREPLY[*]}"' bash "$@"
}
check 'bash offers verbs' [ "$(offered nestbox d)" = doctor ]
check 'bash offers options' [ "$(offered nestbox run --me)" = --memory ]
check 'bash offers values of the verb' [ "$(offered nestbox kvm --accel '')" = 'auto engine' ]
check 'bash offers programs' grep -qw busybox <(offered nestbox kvm --accel engine busyb)
check 'bash offers values' [ "$(offered nestbox run --nested a)" = amd ]
check 'bash offers values after =' [ "$(offered nestbox run --accel = k)" = kvm ]
for shell in zsh fish; do
    command -v $shell >/dev/null || continue
    check "$shell reads its completions" $shell -n completions/*nestbox$([ $shell = fish ] && echo .fish)
done
# Commands in the docs: `nestbox VERB ...` to the end of the line, or of the quotation, has options of that verb only.
commands() {
    cat README.md ARCHITECTURE.md CONTRIBUTING.md SPEC.md docs/*.md |
        sed -e ':join' -e '/\\$/{N;s/\\\n *//;b join' -e '}' |
        grep -oE '\bnestbox [a-z]+ --[^`|]*'
}
check 'the docs have commands' [ "$(commands | wc -l)" -gt 5 ]
while read -r verb option; do
    check "docs: nestbox $verb $option" grep -q -- "^  $option\b" <("$NESTBOX" "$verb" --help)
done < <(commands | awk '{ for (i = 3; i <= NF && $i != "--"; i++) if (match($i, /^--[a-z][a-z-]*/))
    print $2, substr($i, 1, RLENGTH) }' | sort -u)
pages=$(grep -oE '\]\([A-Za-z./-]+\.md\)' README.md docs/*.md | sed -E 's/^([^:]*):\]\((.*)\)/\1:\2/')
check 'the docs have links' [ -n "$pages" ]
for page in $pages; do
    check "link $page" [ -e "$(dirname "${page%%:*}")/${page#*:}" ]
done
for option in -V --version; do
    check "$option" [ "$("$NESTBOX" $option)" = "$("$NESTBOX" version)" ]
done
check 'the version names build and compiler' \
    grep -qE '^nestbox [0-9.]+ \([a-z]+ build, compiled by .*(GCC|[Cc]lang) [0-9]' <("$NESTBOX" version)
check 'help says what a bare number for memory is' grep -q -- '--memory SIZE .* in MiB, or with K, M, G or T' \
    <("$NESTBOX" run --help)
variables() { # words of standard input
    grep -oE '\bNESTBOX_KVM_[A-Z_]+' | sort -u
}
check 'the table of variables is whole' cmp <(variables <src/cli/preload.c) \
    <(sed -n '/^| Variable/,/^$/p' docs/kvm-api.md | variables)
if [ -e build/release/nestbox ]; then
    make -s install DESTDIR="$WORK/root" >"$WORK/err" 2>&1
    check 'make install' [ -x "$WORK/root/usr/local/bin/nestbox" ]
    check 'the installed program finds its library' "$WORK/root/usr/local/bin/nestbox" kvm --accel engine -- true
    check 'so does the wrapper' "$WORK/root/usr/local/bin/nestbox-qemu-amd" --version
    make -s uninstall DESTDIR="$WORK/root" >"$WORK/err" 2>&1
    check 'make uninstall leaves no file' [ -z "$(find "$WORK/root" ! -type d)" ]
fi
make -s help >"$WORK/help"
targets=$(sed -n 's/^\.PHONY: all //p' Makefile | tr ' ' '\n' | grep -vx help)
check 'the Makefile names its targets' [ -n "$targets" ]
for target in $targets; do
    check "make help has $target" grep -q "make $target" "$WORK/help"
done
finish
