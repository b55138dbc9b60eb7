#!/bin/bash
# The manual page and the completions say what the options are: they are derived anew and compared. Every setting that
# a message names is an option. Each shell reads its completion file.
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh

offered() { # WORD...: what bash offers for the last word
    bash -c 'source completions/nestbox.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _nestbox 2>/dev/null
        echo "${COMPREPLY[*]}"' bash "$@"
}
files='man/nestbox.1 completions/nestbox.bash completions/_nestbox completions/nestbox.fish'
check 'derived files are fresh' env NB="$NESTBOX" tools/derive.sh --check
check 'an underscore within a word stays one' grep -q 'KVM_RUN' man/nestbox.1
verbs() { # [VERB]: the names in the list of verbs
    "$NESTBOX" ${1:+"$1"} --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}
all=()
for verb in $(verbs); do
    within=$(verbs "$verb")
    [ -n "$within" ] || all+=("$verb")
    for own in $within; do all+=("$verb $own"); done
done
check 'there are verbs, and verbs of verbs' [ ${#all[@]} -gt 20 ]
options_of() { # VERB...: with two dashes
    "$NESTBOX" "$@" --help | grep -o '^  --[a-z0-9-]*' | tr -d ' '
}
for verb in "${all[@]}"; do
    # shellcheck disable=SC2086 # a verb of a verb is two words
    set -- $verb
    for file in $files; do
        check "verb $verb in $file" grep -qw -- "${!#}" "$file"
    done
    check "bash offers the options of $verb" [ "$(offered nestbox "$@" --hel)" = --help ]
    for option in $(options_of "$@" | sed 's/^--//'); do
        [ "$option" = help ] && continue
        for file in $files; do
            check "--$option in $file" grep -qE -- "(--|-l )$option\b" "$file"
        done
    done
done

options=$(for verb in "${all[@]}"; do
    # shellcheck disable=SC2086
    options_of $verb
done | sort -u)
settings=$(grep -rhoE 'SETTING\("[a-z-]+"\)' src --include='*.c' | sed 's/.*"\(.*\)".*/\1/' | sort -u)
check 'messages name settings' [ -n "$settings" ]
for setting in $settings; do
    check "messages name $setting, which is an option" grep -qx -- "--$setting" <<<"$options"
done

# Other programs' options excepted, and whole commands to copy.
check 'below the command line no message names an option' [ -z "$(grep -rnE '"[^"]*--[a-z]' src --include='*.[ch]' |
    grep -vE '^src/(cli|rules|agent/guest)/|["`]nestbox [a-z]+ ' |
    grep -vE '^[^:]*/(kernel_nat|dnsmasq|child|program|qemu_img|command|image_build|disk_image)\.c:' |
    grep -vE '^[^:]*/(export|import|cmdlets_guest|advice)\.c:')" ]
check 'help has its groups' [ "$("$NESTBOX" run --help | grep -cE '^(Machine|CPU|Console|Debugging):$')" = 4 ]
check 'help fits a terminal' [ "$("$NESTBOX" run --help | awk 'length > 100' | wc -l)" = 0 ]
check 'bash offers verbs' [ "$(offered nestbox doc)" = doctor ]
check 'bash offers options' [ "$(offered nestbox run --me)" = --memory ]
check 'bash offers values of the verb' [ "$(offered nestbox kvm --nested '')" = 'off intel amd host' ]
check 'bash offers programs' grep -qw busybox <(offered nestbox kvm --accel engine busyb)
check 'bash offers values' [ "$(offered nestbox run --nested a)" = amd ]
check 'bash offers verbs of a verb' [ "$(offered nestbox nic se)" = set ]
check 'bash offers values there' [ "$(offered nestbox switch create x --type pri)" = private ]
bin=$(dirname "$(realpath "$NESTBOX")")
names() { PATH=$bin:$PATH NESTBOX_HOME=$WORK/home "$@"; }
names nestbox switch create Lan
check 'bash offers names, in any case' [ "$(names offered nestbox switch show la)" = Lan ]
check 'bash offers names as values' [ "$(names offered nestbox nic add x --switch L)" = Lan ]
check 'bash offers values after =' [ "$(offered nestbox run --accel = k)" = kvm ]
names nestbox create lab --disk 1M
names nestbox create 'Two words'
names nestbox checkpoint create lab --name 'Before it' >/dev/null
names nestbox share add lab "$WORK" --tag work
next() { names nestbox derive next "$@" 2>/dev/null | tr '\n' '|'; } # WORD...: what may follow
check 'a VM' [ "$(next checkpoint show)" = 'lab|Two words|' ]
check 'then its checkpoint' [ "$(next checkpoint apply --force lab)" = 'Before it|' ]
check 'nothing behind the last word' [ "$(next checkpoint show lab 'Before it')$(next checkpoint rename lab x)" = '' ]
check 'as a value' [ "$(next export lab "$WORK/x" --checkpoint)" = 'Before it|' ]
check 'shares' [ "$(next share remove lab)" = 'work|' ]
check 'files' [ "$(next share add lab)$(next disk add lab)$(next disk convert lab)$(next export lab)" = '/|/|/|/|' ]
check 'drives and files' [ "$(next disk check)" = 'lab/disk0|/|' ]
check 'VMs with a path, and files' [ "$(next copy)" = 'lab:|Two words:|/|' ]
check 'not in the middle of one, and again behind it' [ "$(next copy lab :)$(next copy lab : /etc)" = "$(next copy)" ]
check 'several' [ "$(next start lab --wait --timeout 3)" = 'lab|Two words|' ]
check 'the value of an option' [ "$(next nic add lab --switch =)$(next nic add lab --mac)" = 'Lan|' ]
for interface in /sys/class/net/[!l]*; do
    [ ! -e "$interface" ] || check 'interfaces of the host' \
        grep -qwF "${interface##*/}" <<<"$(next switch create x --interface)"
done
check 'what is no verb' [ "$(next nosuch)$(next checkpoint nosuch)$(next checkpoint)" = '' ]
check 'bash offers checkpoints' [ "$(names offered nestbox checkpoint show lab be)" = 'Before\ it' ]
check 'bash offers shares' [ "$(names offered nestbox share remove lab w)" = work ]
mkdir "$WORK/aFolder"
check 'bash offers folders' [ "$(names offered nestbox share add lab "$WORK/aFo")" = "$WORK/aFolder" ]
in_fish() { names fish -c 'source completions/nestbox.fish; complete -C $argv[1]' "$1" | cut -f 1; } # LINE
if command -v fish >/dev/null; then
    check 'fish offers checkpoints' [ "$(in_fish 'nestbox checkpoint show lab B')" = 'Before it' ]
    check 'fish offers switches' [ "$(in_fish 'nestbox nic add lab --switch L')" = Lan ]
    check 'fish offers folders' [ "$(in_fish "nestbox share add lab $WORK/aFo")" = "$WORK/aFolder/" ]
fi
in_zsh() { # VERB WORD...: which names zsh adds behind them
    # shellcheck disable=SC2016 # zsh expands them
    names timeout 20 zsh -fc "$(sed -n '/^_nestbox_names/,/^}/p' completions/_nestbox)"'
        compadd() { print -l -- ${@:#-*} }; _files() { print / }
        verb=$1; words=($1 "${@[2,-1]}" ""); CURRENT=$#words; _nestbox_names' zsh "$@" | tr '\n' '|'
}
if command -v zsh >/dev/null; then
    check 'zsh offers checkpoints' [ "$(in_zsh 'checkpoint show' lab | tr -s '|')" = '|Before it|' ]
    check 'zsh offers VMs with a path, and files' grep -qF '/|lab:|Two words:|' <<<"$(in_zsh copy)"
fi
for shell in zsh fish; do
    command -v $shell >/dev/null || continue
    check "$shell reads its completions" $shell -n completions/*nestbox$([ $shell = fish ] && echo .fish)
done
# Commands in the docs: `nestbox VERB ...` to the end of the line, or of the quotation, has options of that verb only.
commands() {
    cat README.md ARCHITECTURE.md CONTRIBUTING.md SPEC.md docs/*.md |
        sed -e ':join' -e '/\\$/{N;s/\\\n *//;b join' -e '}' |
        grep -oE '\bnestbox ([a-z]+ --|(switch|nat|nic) [a-z]+ )[^`|#]*'
}
check 'the docs have commands' [ "$(commands | wc -l)" -gt 5 ]
while read -r verb own option; do
    # shellcheck disable=SC2086
    check "docs: nestbox $verb $own $option" grep -q -- "^  $option\b" <("$NESTBOX" $verb ${own#-} --help)
done < <(commands | awk '{ own = $3 ~ /^-/ ? "-" : $3
    for (i = 3; i <= NF && $i != "--"; i++) if (match($i, /^--[a-z][a-z0-9-]*/))
    print $2, own, substr($i, 1, RLENGTH) }' | sort -u)
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
