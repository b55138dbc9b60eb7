#!/bin/bash
# tools/need.sh: installing packages is one line of progress, with each of them once; what apt-get says comes after a
# failure only.
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
expect() { # NAME, WANT; the text is on standard input
    local got
    got=$(sed -E 's/[0-9]+ s$/N s/')
    [ "$got" = "$2" ] && echo "ok $1" && return
    printf 'not ok %s\n%s\n' "$1" "$got"
    failed=1
}

cat >"$work/apt-get" <<'EOT'
#!/bin/sh
echo "Reading package lists..."
case "$*" in *nothing) echo 'E: Unable to locate package nothing' >&2 && exit 100 ;; esac
for percent in 0 40.5 100; do echo "dlstatus:1:$percent:Retrieving file 1 of 1" >&4; done
for percent in 0 50 80 100.0000; do echo "pmstatus:some:$percent:Installing: some" >&4; done
EOT
# All packages are missing and known, and root asks for them.
for program in dpkg-query apt-cache id; do printf '#!/bin/sh\necho 0\n' >"$work/$program"; done
chmod 755 "$work"/{apt-get,dpkg-query,apt-cache,id}
PATH=$work:$PATH
for shell in sh bash; do
    $shell -c '. tools/need.sh; apt_get "installing some" 50 install some' 2>"$work/out"
    expect "$shell: progress" 'installing some: 10 % 20 % 30 % 40 % 50 % 60 % 70 % 80 % 90 % done, N s' <"$work/out"
    $shell -c '. tools/need.sh; apt_get "installing nothing" 50 install nothing || say "status $?"' 2>"$work/out"
    expect "$shell: failure" 'installing nothing: failed
Reading package lists...
E: Unable to locate package nothing
status 1' <"$work/out"
    $shell -c '. tools/need.sh; need some more some' 2>"$work/out"
    expect "$shell: once" 'installing some more: 10 % 20 % 30 % 40 % 50 % 60 % 70 % 80 % 90 % done, N s' <"$work/out"
done
exit $failed
