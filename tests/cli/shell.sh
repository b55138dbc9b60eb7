#!/bin/bash
# nestbox shell: how it is called, what it returns, and a terminal.
# limit: 120
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
NESTBOX=$(realpath "$NESTBOX")
export NESTBOX_HOME=$WORK/home HOME=$WORK/user
unset XDG_STATE_HOME
mkdir -p "$HOME"
${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -Wall -Wextra -o "$WORK/pty" tests/cli/pty.c || exit 1

says() { # NAME STATUS TEXT ARGUMENT...: all that it prints
    local name=$1 want=$2 text=$3 got
    shift 3
    timeout 60 "$NESTBOX" shell "$@" >"$WORK/out" 2>"$WORK/err" </dev/null
    got=$?
    [ $got = "$want" ] && [ "$(cat "$WORK/out")" = "$text" ] && pass "$name" && return
    fail "$name" "status $got: $(cat "$WORK/out")" "$(head -3 "$WORK/err")"
}
MANY_LINES=1
says 'one text' 0 3 -c '1+2'
says 'by the long option' 0 3 --command '1+2'
says 'the exit status' 7 '' -c 'exit 7'
says 'a statement that failed last' 1 '' -c '1/0'
says 'one that failed before' 0 on -c '1/0; "on"'
run 'what cannot be parsed' 1 'ParserError' shell -c 'if ('
run 'two texts' 2 'takes one line' shell -c 1 2
run 'a script that is not there' 1 'nosuch.ps1' shell nosuch.ps1
cat >"$WORK/a script.ps1" <<'END'
param([string]$Name, [switch]$Loud, [int]$Count = 1)
if ($Count -gt 5) { exit 9 }
1..$Count | ForEach-Object { if ($Loud) { $Name.ToUpper() } else { $Name } }
END
says 'a script with its parameters' 0 $'IT\'S\nIT\'S' "$WORK/a script.ps1" -Name "it's" -Loud -Count 2
says 'by position' 0 me "$WORK/a script.ps1" me
says 'its exit status' 9 '' "$WORK/a script.ps1" -Count 6
run 'a wrong parameter' 1 'NamedParameterNotFound' shell "$WORK/a script.ps1" -Nothing
says 'exit ends the script, and not what called it' 0 $'9\nnext' \
    -c "& '$WORK/a script.ps1' -Count 6; \$LASTEXITCODE; 'next'"
check 'standard input' [ "$(echo '"in"; exit 0' | "$NESTBOX" shell)" = in ]
says 'programs of the host' 0 $'x y\n3' -c "printf '%s\n' 'x y'; sh -c 'exit 3'; \$LASTEXITCODE"
says 'their lines' 0 2 -c "(printf 'a\nb\n' | Measure-Object).Count"
says 'lines for them' 0 1 -c "'b','a' | grep -c a"
says 'redirection' 0 'a' -c "'a' > '$WORK/file'; Get-Content '$WORK/file'"
run 'other addresses are refused' 1 'nothing is fetched from the network' \
    shell -c 'Invoke-WebRequest https://example.org/x'
says 'who cannot be asked says no' 1 '' -c 'New-VMSwitch x -SwitchType Private | Out-Null; Remove-VMSwitch x'
check 'the switch is there' [ "$("$NESTBOX" switch list | grep -c '^x ')" = 1 ]
says 'without the question' 0 '' -c 'Remove-VMSwitch x -Confirm:$false'
says 'what would be done' 0 'What if: Performing the operation "New-VMSwitch" on target "y".' \
    -c 'New-VMSwitch y -SwitchType Private -WhatIf'
check 'is not done' [ "$("$NESTBOX" switch list | grep -c '^y ')" = 0 ]

# A terminal: history, completion, a statement over two lines, Ctrl-C, Ctrl-D.
terminal() { # NAME STATUS STEP...
    local name=$1 want=$2 got
    shift 2
    TERM=xterm timeout 100 "$WORK/pty" "expect:nestbox> " "$@" -- "$NESTBOX" shell >"$WORK/out" 2>"$WORK/err"
    got=$?
    [ $got = "$want" ] && pass "$name" && return
    fail "$name" "status $got" "$(cat "$WORK/err")" "$(tail -c 600 "$WORK/out" | cat -v)"
}
terminal 'a line and its end' 0 $'send:40+2\r' 'expect:42' 'expect:nestbox> ' $'send:\x04'
terminal 'exit' 5 $'send:exit 5\r'
check 'lines are kept' grep -q 'exit' "$HOME/.nestbox_history"
check 'for their typist only' [ "$(stat -c %a "$HOME/.nestbox_history")" = 600 ]
terminal 'several lines' 0 $'send:if (1) {\r' 'expect:>> ' $'send:"in" + "side"\r' 'expect:>> ' $'send:}\r' \
    'expect:inside' 'expect:nestbox> ' $'send:\x04'
terminal 'completion' 0 $'send:Get-Locat\t| foreach { "at " + $_.Path }\r' 'expect:at /' 'expect:nestbox> ' \
    $'send:$CPU = 6\r' 'expect:nestbox> ' $'send:"is " + $CP\t\r' 'expect:is 6' 'expect:nestbox> ' $'send:\x04'
mkdir -p "$WORK/docs/inner"
echo inside >"$WORK/docs/inner/text"
terminal 'completion of files' 0 "send:Get-Content -Pa '$WORK/do"$'\tin\tte\t\r' 'expect:inside' 'expect:nestbox> ' \
    $'send:\x04'
"$NESTBOX" create completed --memory 64M
terminal 'completion of VMs, parameters and values' 0 $'send:(Get-VM "comp\t).Name.Length\r' 'expect:9' \
    'expect:nestbox> ' $'send:Set-VM completed -AutomaticStopA\tSh\t-NewV\tnamed\r' 'expect:nestbox> ' \
    $'send:(Get-VM -VMN named).AutomaticStopAction + "!"\r' 'expect:ShutDown!' 'expect:nestbox> ' $'send:\x04'
terminal 'Ctrl-C ends what runs' 0 $'send:while ($true) { }\r' 'pause:500' $'send:\x03' 'expect:stopped by Ctrl-C' \
    'expect:nestbox> ' $'send:6*7\r' 'expect:42' 'expect:nestbox> ' $'send:\x04'
terminal 'Ctrl-C ends what is typed' 0 'send:Get-' 'pause:300' $'send:\x03' 'expect:nestbox> ' $'send:6*7\r' \
    'expect:42' 'expect:nestbox> ' $'send:\x04'
terminal 'a question' 0 $'send:New-VMSwitch q -SwitchType Private | Out-Null\r' 'expect:nestbox> ' \
    $'send:Remove-VMSwitch q\r' 'expect:Are you sure' 'expect:"Y"): ' $'send:N\r' 'expect:nestbox> ' \
    $'send:(Get-VMSwitch q).Name + "!"\r' 'expect:q!' 'expect:nestbox> ' $'send:\x04'
finish
