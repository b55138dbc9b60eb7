/*
 * Statements and expressions: what lines print.
 */
#include "unit/shell_lines.h"

static const struct line values[] = {
    {"1", "1"},
    {"1+2*3", "7"},
    {"(1+2)*3", "9"},
    {"7/2", "3.5"},
    {"6/2", "3"},
    {"7%4", "3"},
    {"-5 + 3", "-2"},
    {"2 - 1", "1"},
    {"0x1f", "31"},
    {"1KB; 1mb; 16GB; 1TB; 1PB", "1024\n1048576\n17179869184\n1099511627776\n1125899906842624"},
    {"1.5GB", "1610612736"},
    {"9223372036854775807 + 1", "9.223372036854776E+18"},
    {"'a' + 1", "a1"},
    {"1 + '2'", "3"},
    {"'ab' * 3", "ababab"},
    {"'it''s'", "it's"},
    {"\"a`tb`\"c\"", "a\tb\"c"},
    {"\"say \"\"x\"\"\"", "say \"x\""},
    {"\"$(1+1) and $true\"", "2 and True"},
    {"$a = 'x'; \"$a ${a}y $a.b `$a\"", "x xy x.b $a"},
    {"$true; $false; $null", "True\nFalse"},
    {"1,2,3", "1\n2\n3"},
    {"1..3", "1\n2\n3"},
    {"3..1", "3\n2\n1"},
    {"@(1,2).Count; @().Count; @(5).Length", "2\n0\n1"},
    {"(1,2,3)[1]; (1,2,3)[-1]", "2\n3"},
    {"(1,2,3)[0,2]", "1\n3"},
    {"'abc'.Length; 'abc'.ToUpper(); 'abc'.Substring(1); 'a-b'.Replace('-', '+')", "3\nABC\nbc\na+b"},
    {"'a,b'.Split(',')", "a\nb"},
    {"'  x '.Trim() + '|'", "x|"},
    {"'abc'.StartsWith('ab'); 'abc'.Contains('z')", "True\nFalse"},
    {"[int]'12' + 1; [string]5 + 1; [bool]'x'", "13\n51\nTrue"},
    {"[int]2.5; [int]3.5", "2\n4"},
    {"[math]::Max(3, 7); [math]::Round(2.567, 2); [string]::IsNullOrEmpty('')", "7\n2.57\nTrue"},
    {"@'\nline $x\n'@", "line $x"},
    {"$x = 5; @\"\nline $x\n\"@", "line 5"},
    {"007", "7"},
    {"5 -as [string]; 5 -is [int]; 'a' -isnot [int]", "5\nTrue\nTrue"},
    {"\xe2\x80\x9c"
     "curly\xe2\x80\x9d; \xe2\x80\x98single\xe2\x80\x99",
     "curly\nsingle"},
    {"5 \xe2\x80\x93 3", "2"},
    {"1 \xe2\x80\x93"
     "eq 1",
     "True"},
    {"(1) # a comment", "1"},
    {"<# long\ncomment #> 4", "4"},
    {"1 + `\n2", "3"},
    {"@{a = 1}.a; $h = @{'x y' = 2}; $h['x y']; $h.'x y'", "1\n2\n2"},
};

static const struct line comparisons[] = {
    {"1 -eq 1; 1 -ne 1; 2 -gt 1; 1 -ge 2; 1 -lt 2; 2 -le 1", "True\nFalse\nTrue\nFalse\nTrue\nFalse"},
    {"'A' -eq 'a'; 'A' -ceq 'a'", "True\nFalse"},
    {"10 -gt '9'", "True"},
    {"'Server01' -like 'serv*'; 'x' -notlike '?'", "True\nFalse"},
    {"'ab12' -match '^([a-z]+)(\\d+)$'; $Matches[2]", "True\n12"},
    {"'abc' -notmatch 'b'", "False"},
    {"1,2,3 -contains 2; 5 -in 1,2; 5 -notin 1,2", "True\nFalse\nTrue"},
    {"(1,2,3) -gt 1", "2\n3"},
    {"$true -and $false; $true -or $false; -not $true; !$false; $true -xor $true", "False\nTrue\nFalse\nTrue\nFalse"},
    {"6 -band 3; 6 -bor 1; 6 -bxor 2; 1 -shl 4", "2\n7\n4\n16"},
    {"'a-b-c' -replace '-', '+'; 'x1' -replace '(\\d)', '<$1>'", "a+b+c\nx<1>"},
    {"'a b  c' -split '\\s+'", "a\nb\nc"},
    {"'a','b' -join '-'; -join (1,2)", "a-b\n12"},
    {"'{0:N1}|{1,4}|{2,-3}|{3:X}' -f 1234.56, 7, 'a', 255", "1,234.6|   7|a  |FF"},
    {"$null -eq $null; '' -eq $null; 0 -eq $null", "True\nFalse\nFalse"},
};

static const struct line statements[] = {
    {"$x = 3; $x += 4; $x", "7"},
    {"$x = 1; $x++; $x--; $x++; $x", "2"},
    {"$a, $b = 1, 2, 3; \"$a|$b\"", "1|2 3"},
    {"if (1 -gt 2) { 'a' } elseif ($true) { 'b' } else { 'c' }", "b"},
    {"if ($false) { 'a' }\nelse { 'b' }", "b"},
    {"foreach ($i in 1..3) { if ($i -eq 2) { continue }; $i }", "1\n3"},
    {"for ($i = 0; $i -lt 3; $i++) { $i }", "0\n1\n2"},
    {"$i = 0; while ($true) { $i++; if ($i -eq 3) { break } }; $i", "3"},
    {"$i = 0; do { $i++ } while ($i -lt 5); $i; do { $i-- } until ($i -eq 2); $i", "5\n2"},
    {"switch ('b') { 'a' { 1 } 'B' { 2 } default { 3 } }", "2"},
    {"switch (9) { 1 { 1 } default { 'd' } }", "d"},
    {"function f($a, $b = 2) { \"$a-$b\" }; f 1; f -b 5 -a 4", "1-2\n4-5"},
    {"function f { param([string]$Name, [switch]$On) \"$Name $On\" }; f x -On; f -Name:y", "x True\ny False"},
    {"function f { return 1; 2 }; f", "1"},
    {"function f { $args.Count }; f a b c", "3"},
    {"function f { process { $_ * 2 } }; 1,2 | f", "2\n4"},
    {"$x = 1; function f { $x = 2; $script:y = 3 }; f; \"$x $y\"", "1 3"},
    {"& { param($a) $a + 1 } 4", "5"},
    {"$b = { 'ran' }; & $b", "ran"},
    {"try { throw 'bad' } catch { \"got $_\" } finally { 'end' }", "got bad\nend"},
    {"try { 1/0 } catch { $_.Exception.Message }", "division by zero"},
    {"try { Get-Nothing } catch { $_.FullyQualifiedErrorId }", "CommandNotFoundException"},
    {"try { Write-Error 'x' -ErrorAction Stop } catch { 'caught' }", "caught"},
    {"Write-Error 'x' -ErrorAction SilentlyContinue; $?; $Error[0].Exception.Message", "False\nx"},
    {"$x = (1,2,3 | Measure-Object -Sum).Sum; $x", "6"},
    {"($y = 5); $y", "5\n5"},
    {"$null = 5; [void](6)", ""},
    {"$o = [pscustomobject]@{A = 1}; $o.A = 2; $o.A", "2"},
    {"$a = 1,2; $a[1] = 5; $a", "1\n5"},
    {"$env:SHELL_TEST = 'v'; $env:SHELL_TEST", "v"},
    {"1..100 | Select-Object -First 2", "1\n2"},
    {"& { while ($true) { Write-Output 1 } } | Select-Object -First 2", "1\n1"},
    {"'a' | ForEach-Object { \"$_\" }; \"[$_]\"", "a\n[]"},
    {"$p = @{Name = 'x'}; function f($Name) { $Name }; f @p", "x"},
    {"if (1) { 'x' } 'y'", "x\ny"},
    {"Invoke-Expression '1+1'", "2"},
};

static const struct line errors[] = {
    {"1/0", "RuntimeException"},
    {"'x' - 1", "InvalidCastFromStringToInteger"},
    {"throw 'my error'", "my error"},
    {"$true = 1", "VariableNotWritable"},
    {"$null.Foo()", "InvokeMethodOnNull"},
    {"'a'.Foo()", "MethodNotFound"},
    {"nosuchcommand -x", "CommandNotFoundException"},
    {"./nosuch.ps1", "CommandNotFoundException"},
    {"'a' -match '('", "InvalidRegularExpression"},
    {"function f { f }; f", "CallDepthOverflow"},
    {"if (", "ParserError"},
    {"'open", "ParserError"},
    {"1 +", "ParserError"},
    {"Get-Alias <x>", "ParserError"},
    {"| ft", "ParserError"},
};

int main(void)
{
    TEST("values");
    shell_lines(values, ARRAY_LEN(values));
    TEST("comparisons and operators");
    shell_lines(comparisons, ARRAY_LEN(comparisons));
    TEST("statements");
    shell_lines(statements, ARRAY_LEN(statements));
    TEST("errors have their identifiers");
    shell_refusals(errors, ARRAY_LEN(errors));

    TEST("an error ends its statement only");
    shell_open(&shell, stdout, stderr);
    CHECK(shell_text("1/0; 'next'") == 0);
    CHECK(strcmp(said, "next\n") == 0);
    CHECK(strstr(complained, "At line:1 char:1\n+ 1/0; 'next'\n+ ~~~\n") != NULL);
    CHECK(strstr(complained, "    + CategoryInfo          : NotSpecified: () [], RuntimeException\n") != NULL);

    TEST("a place counts characters and lines");
    shell_text("'x'\n  “ä” | Get-Nothing");
    CHECK(strstr(complained, "At line:2 char:9\n+   “ä” | Get-Nothing\n+         ~~~~~~~~~~~\n") != NULL);

    TEST("throw ends everything");
    CHECK(shell_text("throw 'x'; 'next'") == 1);
    CHECK(strcmp(said, "") == 0);
    CHECK(shell_text("$ErrorActionPreference = 'Stop'; 1/0; 'next'") == 1);
    CHECK(strcmp(said, "") == 0);
    shell_close(&shell);

    TEST("exit");
    shell_open(&shell, stdout, stderr);
    CHECK(shell_text("'a'; exit 7; 'b'") == 7);
    CHECK(shell.exited);
    CHECK(strcmp(said, "a\n") == 0);

    TEST("variables stay between texts");
    shell_text("$keep = 'me'; function g { \"got $args\" }");
    shell_text("g $keep");
    CHECK(strcmp(said, "got me\n") == 0);

    TEST("memory that nobody reaches is freed");
    shell_text("$x = 'seed'; for ($i = 0; $i -lt 3000; $i++) { $y = 'x' * 20000 }; \"$x $i\"");
    CHECK(strcmp(said, "seed 3000\n") == 0);
    CHECK(shell.heap.bytes < (32u << 20));
    shell_close(&shell);

    TEST("statements that go on");
    const char *unfinished[] = {"if ($x) {", "foo |", "'open", "\"open $(", "1 +",
                                "@'",        "f `",   "@{",    "<# x",      "foo -a 1,"};
    for (size_t i = 0; i < ARRAY_LEN(unfinished); i++)
        if (shell_whole(unfinished[i], strlen(unfinished[i]))) {
            test_bad++;
            printf("# '%s' is taken for whole\n", unfinished[i]);
        }
    CHECK(shell_whole("if (1) { 2 }", 12));
    CHECK(shell_whole("foo }", 5));
    free(said);
    free(complained);
    return TEST_END();
}
