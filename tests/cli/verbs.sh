#!/bin/bash
# Each verb that the table has (`nestbox derive words`): its help, unknown options, words that are missing or too many,
# and names of nothing. A new verb is looked at by itself.
# limit: 300
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
own_home
cd "$WORK" || exit 1

# What else a verb needs before it looks at what its words name.
extra() {
    case $1 in
    set) echo --notes x ;;
    'memory set') echo --memory 1G ;;
    'disk set') echo --iops-maximum 1 ;;
    'nic set') echo --spoofing ;;
    'nic add') echo --switch nosuch ;;
    'switch set') echo --notes x ;;
    'nat set') echo --dns off ;;
    'nat map') echo --external 80 --internal 10.1.1.2:80 ;;
    'nat unmap') echo --external 80 ;;
    exec) echo -- true ;;
    esac
}
# A word that is right as it is written and names nothing.
word_of() { # KIND NAME
    case $2 in
    SIZE) echo 1G ;;
    'ADDRESS|MAC') echo 10.1.1.2 ;;
    FROM) echo nosuch:/file ;;
    FOLDER) echo "$WORK" ;;
    *) [ "$1" = profiles ] && echo nosuch-profile || echo nosuch ;;
    esac
}
# one NAME STATUS... -- PATTERN ARGUMENT...: one line on standard error, nothing on standard output
one() {
    local name=$1 want=() pattern got
    shift
    while [ "$1" != -- ]; do want+=("$1") && shift; done
    pattern=$2
    shift 2
    timeout 60 "$NESTBOX" "$@" >out 2>err </dev/null
    got=$?
    if [[ " ${want[*]} " != *" $got "* ]]; then
        fail "$name" "status $got, not ${want[*]}" "$(head -3 err)"
    elif [ -s out ]; then
        fail "$name" "printed: $(head -3 out)"
    elif [ "$(wc -l <err)" != 1 ]; then
        fail "$name" "$(wc -l <err) lines, not one:" "$(head -5 err)"
    elif ! grep -qE -- "^nestbox: .*$pattern" err; then
        fail "$name" "no '$pattern' in: $(head -3 err)"
    else
        pass "$name"
    fi
}
help_of() { # TITLE: from --help
    local title=$1
    shift
    "$NESTBOX" "$@" --help >out 2>err
    check "help of $title" [ $? = 0 ]
    check "help of $title is a usage" grep -q "^Usage: nestbox $title" out
    check "help of $title says no more" [ ! -s err ]
    check "help of $title fits" [ -z "$(awk 'length > 100' out)" ]
    "$NESTBOX" help "$@" >out2
    check "nestbox help $title is that" cmp out out2
}

"$NESTBOX" derive words >table
check 'there is a table' [ "$(wc -l <table)" -gt 60 ]
for verb in $(cut -f 1 table | grep ' ' | cut -d ' ' -f 1 | sort -u); do
    help_of "$verb" "$verb"
    one "$verb without a verb" 2 -- "$verb needs a verb" "$verb"
    one "$verb and what is no verb of it" 2 -- "unknown verb '$verb xyzzy'" "$verb" xyzzy
done
while IFS=$'\t' read -r title words options <&3; do
    read -ra verb <<<"$title"
    [ "$words" = - ] && words=''
    read -ra words <<<"$words"
    help_of "$title" "${verb[@]}"
    for option in $options; do
        check "help of $title has $option" grep -q -- "^  $option" out
    done
    one "$title --xyzzy" 2 -- "unknown option '--xyzzy'.*see nestbox $title --help" "${verb[@]}" --xyzzy
    given=() required=0
    for word in "${words[@]}"; do
        name=${word%=*} kind=${word##*=}
        case $kind in
        *\?) continue ;;
        esac
        one "$title without $name" 2 -- "$title without ${name//[|[]/.}" "${verb[@]}" "${given[@]}"
        given+=("$(word_of "$kind" "$name")")
        required=$((required + 1))
    done
    case $title in
    run | kvm | qemu | shell | exec | ssh) ;; # a program's words may be any
    *)
        many=("${given[@]}") most=5
        [[ "${words[*]}" = *+* ]] && most=65
        while [ ${#many[@]} -lt $most ]; do many+=(nosuch); done
        one "$title with words too many" 2 -- 'unexpected argument' "${verb[@]}" "${many[@]}"
        ;;
    esac
    # what is made, and what looks at all that there is, needs nothing that is there
    case $title in
    run | kvm | qemu | shell | completion | create | 'switch create' | 'nat create' | 'disk create') continue ;;
    esac
    [[ $required -gt 0 && $title != image\ build ]] || continue
    read -ra more < <(extra "$title")
    one "$title of nothing" 4 125 -- "nosuch|$WORK" "${verb[@]}" "${given[@]}" "${more[@]}"
done 3<table
for verb in start stop restart pause resume save; do
    one "$verb without a VM" 2 -- "$verb without a VM; --all takes all" $verb
    one "$verb of nothing" 4 -- 'there is no VM nosuch' $verb nosuch
done
MANY_LINES=1 run 'many that are not there' 4 'no VM a' start a b c d e
check 'each is complained of, in order' [ "$(sed -n 's/.*no VM \(.\).*/\1/p' "$WORK/err" | tr -d '\n')" = abcde ]
check 'nothing was made' [ -z "$(find "$NESTBOX_HOME" -name '*.json')" ]
finish
