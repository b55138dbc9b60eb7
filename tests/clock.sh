# shellcheck shell=bash
# Sourced by scripts that set the host's clock, for nestbox only: `clocked` once, then `clock SECONDS`, from what it is.

clocked() {
    export CLOCK_FILE=$work/clock
    ${CC:-gcc} -shared -fPIC -O1 -D_GNU_SOURCE -o "$work/clock.so" tests/clock.c || exit 1
    printf '%-4095s\n' 0 >"$CLOCK_FILE"
    chmod 644 "$CLOCK_FILE"
    printf '#!/bin/sh\nLD_PRELOAD=%q exec %q "$@"\n' "$work/clock.so" "$NB" >"$work/clocked"
    chmod 755 "$work/clocked"
    NB=$work/clocked
}
clock() { printf '%-20s' "$1" 1<>"$CLOCK_FILE"; }
