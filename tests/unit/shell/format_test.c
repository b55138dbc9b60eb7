/*
 * How objects are printed.
 */
#include "unit/shell_lines.h"

static const struct line printed[] = {
    {"[pscustomobject]@{Name='a'; Value=1}, [pscustomobject]@{Name='long'; Value=22}",
     "\nName Value\n---- -----\na        1\nlong    22\n"},
    {"[pscustomobject]@{A=1; B=2; C=3; D=4; E='x'}", "\nA : 1\nB : 2\nC : 3\nD : 4\nE : x\n"},
    {"[pscustomobject]@{A=1; LongName=2} | fl", "\nA        : 1\nLongName : 2\n"},
    {"[pscustomobject]@{A=1; B=2} | fl B", "\nB : 2\n"},
    {"[pscustomobject]@{Ab=1; Ac=2; B=3} | Format-List a*", "\nAb : 1\nAc : 2\n"},
    {"[pscustomobject]@{A=1; B=@(1,2)} | ft -AutoSize", "\nA B\n- -\n1 {1, 2}\n"},
    {"[pscustomobject]@{A=1; B=@(1,2,3,4,5,6)} | ft B", "\nB\n-\n{1, 2, 3, 4, ...}\n"},
    {"[pscustomobject]@{A=1; B=2} | ft -HideTableHeaders", "\n1 2\n"},
    {"[pscustomobject]@{A=1} | ft @{Label='Twice'; Expression={$_.A * 2}}", "\nTwice\n-----\n2\n"},
    {"[pscustomobject]@{A=1; B=2} | select B", "\nB\n-\n2\n"},
    {"[pscustomobject]@{A=1; B=2} | select -ExpandProperty b", "2"},
    {"[pscustomobject]@{A=1; B=2} | select * -ExcludeProperty A", "\nB\n-\n2\n"},
    {"[pscustomobject]@{A=1} | select A, Missing", "\nA Missing\n- -------\n1\n"},
    {"[pscustomobject]@{A=1} | Out-String", "\nA\n-\n1\n\n"},
    {"@{a=1}", "\nName Value\n---- -----\na    1\n"},
    {"1,'a' | ft", "1\na"},
    {"@{a=1; b='x'; c=@(1,$null,$true)} | ConvertTo-Json -Compress", "{\"a\":1,\"b\":\"x\",\"c\":[1,null,true]}"},
    {"('{\"a\":[1,2],\"b\":null}' | ConvertFrom-Json).a", "1\n2"},
    {"1..4 | Group-Object { $_ % 2 } | ft Name, Count", "\nName Count\n---- -----\n1        2\n0        2\n"},
    {"[pscustomobject]@{A='\x1b[2J'}", "\nA\n-\n?[2J\n"},
    {"'x' | ForEach-Object { [pscustomobject]@{A=$_} } | Sort-Object A", "\nA\n-\nx\n"},
    {"[pscustomobject]@{A=$true; B=$null}", "\nA    B\n-    -\nTrue\n"},
};

int main(void)
{
    TEST("tables and lists");
    shell_lines(printed, ARRAY_LEN(printed));

    TEST("what does not fit is cut");
    shell_open(&shell, stdout, stderr);
    shell.width = 20;
    shell_text("[pscustomobject]@{Name='abcdefghij'; Value='klmnopqrstuvwxyz'}");
    CHECK(strcmp(said, "\nName       Value\n----       -----\nabcdefghij klmnop...\n\n") == 0);
    shell_text("[pscustomobject]@{Name='abcdefghij'; Value='klmnopqrstuvwxyz'} | ft -Wrap");
    CHECK(strstr(said, "klmnopqrstuvwxyz\n") != NULL);
    shell_close(&shell);

    TEST("errors and values keep their order");
    shell_open(&shell, stdout, stderr);
    shell_text("[pscustomobject]@{A=1}; Write-Host 'x'; [pscustomobject]@{A=2}");
    CHECK(strcmp(said, "\nA\n-\n1\n\nx\n\nA\n-\n2\n\n") == 0);
    shell_close(&shell);
    free(said);
    free(complained);
    return TEST_END();
}
