/*
 * Lines for the shell. A record is its kind and its text: lines of the documents and of scripts, changed at random, are
 * parsed and completed only, as they may name any program; a row of words from a list that does no harm is run, too.
 */
#include "fuzz.h"

#include "shell/interactive.h"
#include "shell/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARSED, RUN };

static const char *const lines[] = {
    "Set-VMProcessor -VMName <VMName> -ExposeVirtualizationExtensions $true",
    "Get-VMNetworkAdapter -VMName \"x\" | Set-VMNetworkAdapter -MacAddressSpoofing On",
    "New-NetNat \xe2\x80\x93Name LocalNAT \xe2\x80\x93InternalIPInterfaceAddressPrefix "
    "\xe2\x80\x9c"
    "192.168.100.0/24\xe2\x80\x9d",
    "Invoke-Command -VMName \"D\" -ScriptBlock { Enable-WindowsOptionalFeature -FeatureName X -Online; "
    "Restart-Computer }",
    "$CPU = Get-WmiObject -Class Win32_Processor | Select-Object Name, Manufacturer, NumberOfCores\n$CPU",
    "Restore-VMSnapshot -VMName \"L\" -Name \"B\" -Confirm:$false # comment",
    "if ($a -eq 1) { 'a' } elseif ($b) { \"b $($c.d[0]) `n\" } else { @{x = 1; y = @(1, 2)} }",
    "foreach ($i in 1..3) { try { throw $i } catch [System.Exception] { $_ } finally { <# x #> } }",
    "function F { [CmdletBinding()] param([Parameter(Mandatory = $true)][string[]]$Name = 'x', [switch]$On) process { "
    "} }",
    "switch (1) { 1 { 'one' } { $_ -gt 2 } { 2 } default { } }",
    "$x = @'\nline\n'@; $y = @\"\n$x $(1)\n\"@",
    "for ($i = 0; $i -lt 3; $i++) { [math]::Max($i, 0x1f) -f 1.5GB }",
    "netsh interface ip add dnsserver \"a b\" address=1.2.3.4 2>$null >> file",
    "& { param($a) $a } -a:5 @splat; . ./x.ps1; do { } until (!$x -and -not $y)",
    "1,2 | ? { $_ } | % Name | sort -Descending:$false",
};

static const char *const words[] = {
    "1",
    "2",
    "3",
    "1.5",
    "'a'",
    "\"$x b\"",
    "\"$(1)\"",
    "$x",
    "$y",
    "$_",
    "$null",
    "$true",
    "@(",
    "(",
    ")",
    "@{",
    "}",
    "{",
    "[",
    "]",
    "[int]",
    "[string]",
    "[math]::",
    "Max",
    ".",
    ".Count",
    ".ToUpper()",
    ".Split('a')",
    "=",
    "+=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "..",
    "-eq",
    "-ne",
    "-like",
    "-match",
    "-replace",
    "-split",
    "-join",
    "-f",
    "-and",
    "-not",
    "-contains",
    "-is",
    ",",
    ";",
    "\n",
    "|",
    "if",
    "else",
    "foreach",
    "in",
    "switch",
    "default",
    "return",
    "throw",
    "try",
    "catch",
    "finally",
    "break",
    "continue",
    "Write-Output",
    "ForEach-Object",
    "Where-Object",
    "Select-Object",
    "-First",
    "Sort-Object",
    "Group-Object",
    "Measure-Object",
    "-Sum",
    "Format-Table",
    "Format-List",
    "Out-String",
    "ConvertTo-Json",
    "ConvertFrom-Json",
    "Get-Member",
    "Get-Help",
    "Get-Alias",
    "Select-String",
    "&",
    "[pscustomobject]",
    "x",
    "-Property",
    "-Name",
    "*",
    "$x.a",
    "$x[0]",
    "++",
    "--",
    "Write-Host",
    "Write-Error",
    "-ErrorAction",
    "Stop",
    "Out-Null",
    "Set-Variable",
    "Get-Variable",
};

static void make(struct input *input)
{
    struct record *r = record_add(input);
    r->byte[0] = one_in(2) ? RUN : PARSED;
    if (r->byte[0] == RUN) {
        r->length = 1 + below(40);
        for (u32 i = 1; i < r->length; i++)
            r->byte[i] = (u8)below(ARRAY_LEN(words));
        return;
    }
    const char *line = lines[below(ARRAY_LEN(lines))];
    u32 length = (u32)strlen(line);
    memcpy(r->byte + 1, line, length);
    r->length = 1 + mutate(r->byte + 1, length, 600);
}

static void offered(const char *word, void *opaque)
{
    (void)word;
    ++*(u32 *)opaque;
}

static void parse(struct shell *shell, const struct record *r)
{
    struct parse_error error;
    u32 length = r->length - 1, words_offered = 0;
    struct source *source = source_parse("fuzz", (const char *)r->byte + 1, length, &error);
    if (!source->top && (!error.text[0] || error.start > error.end || error.end > length))
        wrong("an error at %u to %u of %u says '%s'", error.start, error.end, length, error.text);
    source_free(source);
    char *line = memory_copy((const char *)r->byte + 1, length);
    if (completion_find(shell, line, offered, &words_offered) > strlen(line))
        wrong("the word to complete begins behind the line");
    free(line);
}

static void run_words(struct shell *shell, const struct record *r)
{
    struct text text = {0};
    for (u32 i = 1; i < r->length; i++)
        text_format(&text, "%s%s", words[r->byte[i] % ARRAY_LEN(words)], r->byte[i] & 1 ? " " : "");
    int status = shell_run(shell, NULL, text_get(&text), text.used);
    if (status < 0 || status > 255)
        wrong("status %d", status);
    text_free(&text);
}

static u32 run(const struct input *input)
{
    struct shell shell;
    char *said = NULL, *complained = NULL;
    size_t length[2];
    FILE *out = open_memstream(&said, &length[0]), *err = open_memstream(&complained, &length[1]);
    if (!out || !err)
        abort();
    shell_open(&shell, out, err);
    for (u32 i = 0; i < input->records; i++)
        if (input->record[i].length > 1 && input->record[i].byte[0] == RUN)
            run_words(&shell, &input->record[i]);
        else if (input->record[i].length > 1)
            parse(&shell, &input->record[i]);
    shell_close(&shell);
    fclose(out);
    fclose(err);
    free(said);
    free(complained);
    return input->records;
}

static void begin(void)
{
    setenv("PATH", "/nonexistent", 1);
    setenv("NESTBOX_HOME", fuzz_folder, 1);
}

const struct fuzz_target fuzz_shell = {"shell", 2000, begin, make, run};
