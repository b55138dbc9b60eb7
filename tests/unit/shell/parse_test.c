/*
 * Trees: which text becomes which, what is refused where, and what may go on in another line.
 */
#include "shell/parse.h"
#include "shell/text.h"
#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {
    [NODE_LITERAL] = "literal",
    [NODE_STRING] = "string",
    [NODE_VARIABLE] = "variable",
    [NODE_LIST] = "list",
    [NODE_SUBEXPRESSION] = "sub",
    [NODE_ARRAY] = "array",
    [NODE_PAREN] = "paren",
    [NODE_HASH] = "hash",
    [NODE_PAIR] = "pair",
    [NODE_BLOCK] = "block",
    [NODE_MEMBER] = "member",
    [NODE_STATIC] = "static",
    [NODE_CALL] = "call",
    [NODE_INDEX] = "index",
    [NODE_UNARY] = "unary",
    [NODE_POSTFIX] = "postfix",
    [NODE_BINARY] = "binary",
    [NODE_CAST] = "cast",
    [NODE_TYPE] = "type",
    [NODE_SPLAT] = "splat",
    [NODE_BODY] = "body",
    [NODE_PIPELINE] = "pipeline",
    [NODE_COMMAND] = "command",
    [NODE_ARGUMENT] = "argument",
    [NODE_REDIRECT] = "redirect",
    [NODE_ASSIGN] = "assign",
    [NODE_IF] = "if",
    [NODE_WHILE] = "while",
    [NODE_DO_WHILE] = "do-while",
    [NODE_DO_UNTIL] = "do-until",
    [NODE_FOR] = "for",
    [NODE_FOREACH] = "foreach",
    [NODE_SWITCH] = "switch",
    [NODE_FUNCTION] = "function",
    [NODE_PARAMETER] = "parameter",
    [NODE_RETURN] = "return",
    [NODE_THROW] = "throw",
    [NODE_EXIT] = "exit",
    [NODE_BREAK] = "break",
    [NODE_CONTINUE] = "continue",
    [NODE_TRY] = "try",
    [NODE_CATCH] = "catch",
    [NODE_STATEMENTS] = "statements",
};

static void put_list(const struct node *node, struct text *to);

/* A node as (kind name operator children...), and a literal as its value. */
static void put(const struct node *node, struct text *to)
{
    if (to->used && to->at[to->used - 1] != '(')
        text_char(to, ' ');
    if (node->kind == NODE_LITERAL) {
        value_put(node->literal, to);
        return;
    }
    if (node->kind == NODE_BODY && !node->parameters && !node->begin && !node->process && !node->end_block) {
        text_char(to, '{');
        if (node->list) {
            put_list(node->list, to);
            text_char(to, ' ');
        }
        text_char(to, '}');
        return;
    }
    text_format(to, "(%s", kinds[node->kind]);
    if (node->flag)
        text_char(to, ':');
    if (node->type)
        text_format(to, " [%s]", node->type);
    if (node->name)
        text_format(to, " %s", node->name);
    if (node->operator)
        text_format(to, " %s", node->operator);
    const struct node *const lists[] = {node->parameters, node->left,     node->condition, node->right,
                                        node->list,       node->body,     node->otherwise, node->begin,
                                        node->process,    node->end_block};
    for (unsigned i = 0; i < ARRAY_LEN(lists); i++)
        put_list(lists[i], to);
    text_char(to, ')');
}

static void put_list(const struct node *node, struct text *to)
{
    for (; node; node = node->next)
        put(node, to);
}

static void is(const char *line, const char *want)
{
    struct parse_error error;
    struct text text = {0};
    struct source *source = source_parse(NULL, line, strlen(line), &error);
    if (source->top)
        put_list(source->top->list, &text);
    else
        text_format(&text, "error: %s", error.text);
    if (strcmp(text_get(&text), want) != 0) {
        test_bad++;
        printf("# '%s' is %s, not %s\n", line, text_get(&text), want);
    }
    text_free(&text);
    source_free(source);
}

/* The error's place, marked in the text, and whether more lines may help. */
static void fails(const char *line, u32 start, bool incomplete)
{
    struct parse_error error;
    struct source *source = source_parse(NULL, line, strlen(line), &error);
    if (source->top || !error.text[0] || error.start != start || error.incomplete != incomplete ||
        error.end < error.start || error.end > strlen(line)) {
        test_bad++;
        printf("# '%s': %s, '%s' at %u to %u%s\n", line, source->top ? "parsed" : "refused", error.text, error.start,
               error.end, error.incomplete ? ", incomplete" : "");
    }
    source_free(source);
}

int main(void)
{
    TEST("commands, expressions, statements");
    is("Get-VM lab", "(pipeline (command Get-VM (argument lab)))");
    is("Get-VMProcessor -VMName x | fl *",
       "(pipeline (command Get-VMProcessor (argument VMName) (argument x)) (command fl (argument *)))");
    is("Restore-VMSnapshot -Name 'B' -Confirm:$false",
       "(pipeline (command Restore-VMSnapshot (argument Name) (argument B) (argument: Confirm "
       "(variable false))))");
    is("1 + 2 * 3", "(pipeline (binary + 1 (binary * 2 3)))");
    is("(1 + 2) * 3", "(pipeline (binary * (paren (pipeline (binary + 1 2))) 3))");
    is("-1 .. 3, 4", "(pipeline (binary .. (unary - 1) (list 3 4)))");
    is("$a = 1; $a += 2", "(assign = (variable a) (pipeline 1)) (assign += (variable a) (pipeline 2))");
    is("\"a $b $(c)\"", "(pipeline (string a  (variable b)   (sub (pipeline (command c)))))");
    is("@{x = 1; y = 2}", "(pipeline (hash (pair x (pipeline 1)) (pair y (pipeline 2))))");
    is("@(1, 2).Count", "(pipeline (member (array (pipeline (list 1 2))) Count))");
    is("$x.a[0].Trim('b')", "(pipeline (call (member (index (member (variable x) a) 0) Trim) b))");
    is("[math]::Max(1, 2)", "(pipeline (call (static (type math) Max) 1 2))");
    is("[int] '3'", "(pipeline (cast int 3))");
    is("if (1) { 2 } elseif (3) { 4 } else { 5 }",
       "(if (pipeline 1) (statements (pipeline 2)) (if (pipeline 3) (statements (pipeline 4)) "
       "(statements (pipeline 5))))");
    is("foreach ($i in 1..3) { $i }",
       "(foreach (variable i) (pipeline (binary .. 1 3)) (statements (pipeline (variable i))))");
    is("for ($i = 0; $i -lt 3; $i++) { $i }",
       "(for (assign = (variable i) (pipeline 0)) (pipeline (binary lt (variable i) 3)) (pipeline "
       "(postfix ++ (variable i))) (statements (pipeline (variable i))))");
    is("while ($true) { break }", "(while (pipeline (variable true)) (statements (break)))");
    is("do { 1 } until ($x)", "(do-until (pipeline (variable x)) (statements (pipeline 1)))");
    is("switch (1) { 1 { 'a' } default { 'b' } }",
       "(switch (pipeline 1) (pair 1 (statements (pipeline a))) (pair (statements (pipeline b))))");
    is("function f($a = 1) { $a }", "(function f (body (parameter a 1) (pipeline (variable a))))");
    is("function g { param([string[]]$Name, [switch]$On) process { $_ } }",
       "(function g (body (parameter [string[]] Name) (parameter [switch] On) (statements (pipeline "
       "(variable _)))))");
    is("try { throw 1 } catch { $_ } finally { 2 }",
       "(try (catch (statements (pipeline (variable _)))) (statements (throw (pipeline 1))) "
       "(statements (pipeline 2)))");
    is("Invoke-Command -ScriptBlock { a; b }",
       "(pipeline (command Invoke-Command (argument ScriptBlock) (argument (block { (pipeline (command "
       "a)) (pipeline (command b)) }))))");
    is("& $x 1", "(pipeline (command (variable x) (argument 1)))");
    is(". ./f.ps1 -a b", "(pipeline (command: ./f.ps1 (argument a) (argument b)))");
    is("a > f 2>$null", "(pipeline (command a (redirect > f) (redirect 2> (variable null))))");
    is("a @p", "(pipeline (command a (argument (splat p))))");
    is("-not $a -and $b -eq 1", "(pipeline (binary and (unary not (variable a)) (binary eq (variable b) 1)))");
    is("$a -is [string]", "(pipeline (binary is (variable a) (type string)))");
    is("!$a", "(pipeline (unary ! (variable a)))");
    is("$i++", "(pipeline (postfix ++ (variable i)))");
    is("return 1", "(return (pipeline 1))");
    is("Set-VM x -MemoryStartupBytes 16GB",
       "(pipeline (command Set-VM (argument x) (argument MemoryStartupBytes) (argument 17179869184)))");
    is("New-NetNat \xe2\x80\x93Name \xe2\x80\x9cL N\xe2\x80\x9d",
       "(pipeline (command New-NetNat (argument Name) (argument L N)))");
    is("netsh interface ip add dnsserver \xe2\x80\x9c"
       "a b\xe2\x80\x9d address=1.2.3.4",
       "(pipeline (command netsh (argument interface) (argument ip) (argument add) (argument "
       "dnsserver) (argument a b) (argument address=1.2.3.4)))");
    is("# x", "");
    is("a |\n b", "(pipeline (command a) (command b))");
    is("a;;b", "(pipeline (command a)) (pipeline (command b))");

    TEST("errors have their place, and lines that go on are known");
    fails("if (1) {", 8, true);
    fails("'a", 0, true);
    fails("@{x = 1", 7, true);
    fails("(1", 2, true);
    fails("a |", 3, true);
    fails("1 +", 3, true);
    fails("1 + )", 4, false);
    fails("}", 0, false);
    fails("if 1", 3, false);
    fails("foreach ($i of 1) { }", 12, false);
    fails("$x = ", 5, true);
    fails("function { }", 9, false);
    fails("@'\nx", 0, true);
    fails("try { 1 }", 9, true);
    fails("[int", 1, false);
    fails("switch (1) { 1 }", 15, false);
    fails("1 2", 2, false);
    fails("$a.", 3, true);

    TEST("what is deep does not end the program");
    char deep[20001];
    memset(deep, '(', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = 0;
    struct parse_error error;
    struct source *source = source_parse(NULL, deep, strlen(deep), &error);
    CHECK(!source->top && error.text[0]);
    source_free(source);

    TEST("nodes have their line and column, by characters");
    const char *text = "1\n  Get-VM \xe2\x80\x9cx\xe2\x80\x9d; y";
    u32 line, column;
    source = source_parse("a.ps1", text, strlen(text), &error);
    const struct node *second = source->top ? source->top->list->next : NULL;
    CHECK(second && second->next);
    node_place(second->list, &line, &column);
    CHECK(line == 2 && column == 3);
    node_place(second->next->list, &line, &column);
    CHECK(line == 2 && column == 15);
    source_free(source);
    return TEST_END();
}
