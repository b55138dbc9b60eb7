# shellcheck shell=bash
# A mirror of Debian: answers one HTTP request, from standard input to standard output; socat runs it for each
# connection. What FOLDER does not have below /debian comes, by apt's own means, from the mirror that FOLDER/uri names.
# usage: bash mirror.sh FOLDER
set -u
read -r method path _ || exit 0
while read -r -t 30 line && [ -n "${line%$'\r'}" ]; do :; done
path=$(printf '%b' "${path//%/\\x}")
file=$1$path
case $path in
*/../*) ;;
/debian/*)
    if [ ! -f "$file" ]; then
        mkdir -p "${file%/*}"
        exec 9>"${file%/*}/.lock"
        flock 9
        [ -f "$file" ] || { /usr/lib/apt/apt-helper -q download-file "$(<"$1/uri")${path#/debian}" "$file.part.$$" &&
            mv "$file.part.$$" "$file" || rm -f "$file.part.$$"; } >&2
        flock -u 9
    fi
    ;;
esac
if [ -f "$file" ] && [[ $path != */../* ]]; then
    printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\nConnection: close\r\n\r\n' "$(stat -Lc %s "$file")"
    [ "$method" = HEAD ] || cat "$file"
else
    printf 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
fi
