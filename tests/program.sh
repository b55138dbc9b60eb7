# shellcheck shell=bash
# Sourced by tests whose guests run programs of the host.

# Copies program $1 and its libraries below the root directory $2, to the places where it looks for them.
install_program() {
    local file
    mkdir -p "$2"
    for file in "$1" $(ldd "$1" | grep -o '/[^ ]*' | sort -u); do
        cp -L --parents "$file" "$2"
    done
}
