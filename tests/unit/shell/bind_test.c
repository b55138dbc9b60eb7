/*
 * Binding: names, prefixes, positions, switches, conversions, the pipeline; and the tables of cmdlets.
 */
#include "shell/cmdlet.h"
#include "shell/parse.h"
#include "unit/shell_lines.h"

static const struct line bound[] = {
    {"Write-Output -InputObject 1", "1"},
    {"write-output -inputobject 1", "1"},
    {"Write-Output -In 1", "1"},
    {"Write-Output \xe2\x80\x93InputObject \xe2\x80\x9cx y\xe2\x80\x9d", "x y"},
    {"echo a b", "a\nb"},
    {"1..5 | select -f 2", "1\n2"},
    {"1..5 | select -Last 2", "4\n5"},
    {"1..5 | select -Skip 3", "4\n5"},
    {"'b','a' | sort", "a\nb"},
    {"'b','a','c' | sort -Descending:$true", "c\nb\na"},
    {"'b','a' | sort -Descending:$false", "a\nb"},
    {"'a' | Select-Object -First '1'", "a"},
    {"1..3 | where { $_ -ge 2 }", "2\n3"},
    {"@{n=1}, @{n=2} | where n -gt 1 | foreach n", "2"},
    {"[pscustomobject]@{Name='Get-Alias'} | Get-Command | foreach Name", "Get-Alias"},
    {"'ft' | Get-Alias | foreach Definition", "Format-Table"},
    {"1,2 | ForEach-Object -Begin { 'b' } -Process { $_ } -End { 'e' }", "b\n1\n2\ne"},
    {"'abc' | foreach Length", "3"},
    {"'abc' | % ToUpper", "ABC"},
    {"Get-Date -Format 'x'", "x"},
    {"Test-Path / -Verbose", "True"},
    {"Write-Error 'x' 2>$null; 'on'", "on"},
    {"Write-Output 007 8", "7\n8"},
    {"Write-Host 'a' 1 -Separator '-'", "a-1"},
    {"Write-Host a -NoNewline; Write-Host b", "ab"},
};

static const struct line refused[] = {
    {"Write-Output -Nothing 1", "NamedParameterNotFound,Write-Output"},
    {"Get-Command -N x", "AmbiguousParameter,Get-Command"},
    {"Get-Alias a b c", "PositionalParameterNotFound,Get-Alias"},
    {"Get-Alias -Name", "MissingArgument,Get-Alias"},
    {"Get-Alias -Name a -Name b", "ParameterAlreadyBound,Get-Alias"},
    {"1 | Select-Object -First x", "CannotConvertArgument,Select-Object"},
    {"Write-Host x -ForegroundColor Rosa", "CannotConvertArgument,Write-Host"},
    {"Test-Path", "MissingMandatoryParameter,Test-Path"},
    {"1 | where", "MissingMandatoryParameter,Where-Object"},
    {"1 | where -FilterScript { 1 } -eq", "AmbiguousParameterSet,Where-Object"},
    {"1 | ConvertTo-Json -Depth 1000", "ParameterArgumentValidationError,ConvertTo-Json"},
    {"1 | sort -Descending:x", "CannotConvertArgument,Sort-Object"},
};

static bool has_duplicates(const struct cmdlet *c)
{
    for (const struct parameter *p = c->parameters; p->name; p++)
        for (const struct parameter *q = p + 1; q->name; q++)
            if (text_same(p->name, q->name) || text_listed(q->aliases, p->name) || text_listed(p->aliases, q->name))
                return true;
    return false;
}

static bool has_parameter(const struct parameter *table, const char *name)
{
    for (const struct parameter *p = table; p->name; p++)
        if (text_same(p->name, name) || text_listed(p->aliases, name))
            return true;
    return false;
}

/* Are all commands of a tree ours, with parameters that they have, in full? */
static bool commands_known(const struct node *node, unsigned *count)
{
    bool good = true;
    for (; node; node = node->next) {
        const char *name = node->kind == NODE_COMMAND && node->left ? node->left->literal->text : NULL;
        const struct cmdlet *c = name ? cmdlet_find(name) : NULL;
        *count += c != NULL;
        good &= !name || c;
        for (const struct node *a = c && !c->raw ? node->list : NULL; a; a = a->next)
            good &= a->kind != NODE_ARGUMENT || !a->name || has_parameter(c->parameters, a->name) ||
                    has_parameter(common_parameters, a->name) ||
                    (c->impact && has_parameter(confirm_parameters, a->name));
        if (c && text_same(c->name, "Invoke-Command")) /* its block is bash's */
            continue;
        good &=
            commands_known(node->left, count) && commands_known(node->list, count) && commands_known(node->body, count);
    }
    return good;
}

/* Can the examples be typed, and do they show the cmdlet? */
static void check_examples(const struct cmdlet *c)
{
    for (const char *at = c->examples; at && *at; at += strcspn(at, "\n"), at += *at == '\n') {
        struct parse_error error;
        unsigned count = 0;
        char line[300];
        snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
        struct source *source = source_parse(NULL, line, strlen(line), &error);
        if (!source->top || !commands_known(source->top->list, &count) || !count || !strstr(line, c->name)) {
            test_bad++;
            printf("# the example '%s' of %s\n", line, c->name);
        }
        source_free(source);
    }
}

int main(void)
{
    setenv("LC_ALL", "C", 1);
    TEST("words find their parameters");
    shell_lines(bound, ARRAY_LEN(bound));
    TEST("refusals have their identifiers");
    shell_refusals(refused, ARRAY_LEN(refused));

    TEST("the tables");
    for (const struct cmdlet *const *table = cmdlet_tables; *table; table++)
        for (const struct cmdlet *c = *table; c->name; c++) {
            unsigned count = 0;
            CHECK(c->summary && c->summary[strlen(c->summary) - 1] != '.');
            CHECK(c->process || c->end || c->begin);
            CHECK(cmdlet_find(c->name) == c);
            CHECK(c->examples || c->impact == IMPACT_NONE);
            check_examples(c);
            if (!c->raw)
                CHECK(!has_duplicates(c));
            for (const struct parameter *p = c->parameters; p->name; p++, count++) {
                CHECK(p->help != NULL);
                CHECK(p->kind != PARAMETER_CHOICE || p->words);
                CHECK(p->kind != PARAMETER_OBJECT || p->words);
                if (!p->help)
                    printf("# %s -%s\n", c->name, p->name);
            }
            CHECK(count < PARAMETERS_MAX);
        }
    free(said);
    free(complained);
    return TEST_END();
}
