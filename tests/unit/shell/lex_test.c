/*
 * Tokens: what a text is as arguments of a command, and as an expression.
 */
#include "shell/lex.h"
#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

/* The kinds of tokens as letters, those with text in brackets. */
static const char *tokens(const char *text, enum lex_mode mode)
{
    static const char letters[] = {
        [TOKEN_END] = '.',          [TOKEN_NEWLINE] = ';',       [TOKEN_PIPE] = '|',          [TOKEN_COMMA] = ',',
        [TOKEN_OPEN] = '(',         [TOKEN_CLOSE] = ')',         [TOKEN_OPEN_BRACE] = '{',    [TOKEN_CLOSE_BRACE] = '}',
        [TOKEN_OPEN_BRACKET] = '[', [TOKEN_CLOSE_BRACKET] = ']', [TOKEN_SUBEXPRESSION] = 'E', [TOKEN_ARRAY] = 'A',
        [TOKEN_HASH] = 'H',         [TOKEN_SPLAT] = 'S',         [TOKEN_VARIABLE] = '$',      [TOKEN_QUOTE] = 'q',
        [TOKEN_DOUBLE_QUOTE] = 'Q', [TOKEN_HERE] = 'h',          [TOKEN_DOUBLE_HERE] = 'd',   [TOKEN_NUMBER] = 'n',
        [TOKEN_WORD] = 'w',         [TOKEN_PARAMETER] = '-',     [TOKEN_DASH_WORD] = 'o',     [TOKEN_DOT] = ':',
        [TOKEN_COLONS] = 'C',       [TOKEN_OPERATOR] = '=',      [TOKEN_REDIRECT] = '>',      [TOKEN_AMPERSAND] = '&',
        [TOKEN_BAD] = '!',
    };
    static char said[400];
    struct lexer lexer = {.text = text, .length = (u32)strlen(text)};
    struct token t;
    size_t used = 0;
    do {
        lex_token(&lexer, mode, &t);
        said[used++] = letters[t.kind];
        if (t.length)
            used += (size_t)sprintf(said + used, "[%.*s]", (int)t.length, text + t.text);
        if (t.colon)
            said[used++] = ':';
    } while (t.kind != TOKEN_END && t.kind != TOKEN_BAD && used < 300);
    said[used] = 0;
    return said;
}

static void check(const char *text, enum lex_mode mode, const char *want)
{
    const char *got = tokens(text, mode);
    if (strcmp(got, want) != 0) {
        test_bad++;
        printf("# '%s' is %s, not %s\n", text, got, want);
    }
}

int main(void)
{
    TEST("arguments");
    check("fl *", LEX_ARGUMENT, "w[fl]w[*].");
    check("a-b 16GB 192.168.1.0/24", LEX_ARGUMENT, "w[a-b]w[16GB]w[192.168.1.0/24].");
    check("-Name x -Confirm:$false", LEX_ARGUMENT, "-[Name]w[x]-[Confirm]:$[false].");
    check("--isolation=hyperv -1", LEX_ARGUMENT, "w[--isolation=hyperv]w[-1].");
    check("a|b;c&d,e", LEX_ARGUMENT, "w[a]|w[b];w[c]&w[d],w[e].");
    check("# nothing", LEX_ARGUMENT, ".");
    check("a#b <# x #> c", LEX_ARGUMENT, "w[a#b]w[c].");
    check("a `\n b", LEX_ARGUMENT, "w[a]w[b].");
    check("@p @(1) @{", LEX_ARGUMENT, "S[p]Aw[1])H.");
    check("x > f 2>$null 2>&1", LEX_ARGUMENT, "w[x]>w[f]>$[null]>.");

    TEST("expressions");
    check("2*$a-eq 0x1f", LEX_EXPRESSION, "n[2]=$[a]o[eq]n[0x1f].");
    check("$a.b[1]::c", LEX_EXPRESSION, "$[a]:w[b][n[1]]Cw[c].");
    check("1..3", LEX_EXPRESSION, "n[1]=n[3].");
    check("$x++ += 1.5", LEX_EXPRESSION, "$[x]==n[1.5].");
    check("${a b} $env:PATH $script:x $? $_", LEX_EXPRESSION, "$[a b]$[env:PATH]$[script:x]$[?]$[_].");

    TEST("quotes and dashes of word processors");
    check("\xe2\x80\x93Name \xe2\x80\x98x y\xe2\x80\x99", LEX_ARGUMENT, "-[Name]q[x y].");
    check("\xe2\x80\x9cx", LEX_ARGUMENT, "Qw[x].");
    check("1 \xe2\x80\x94"
          "eq 2",
          LEX_EXPRESSION, "n[1]o[eq]n[2].");
    check("a\xc2\xa0"
          "b",
          LEX_ARGUMENT, "w[a]w[b].");

    TEST("here-strings");
    check("@'\na 'b'\n'@ x", LEX_EXPRESSION, "h[a 'b']w[x].");
    check("@'\n'@", LEX_EXPRESSION, "h.");

    TEST("what cannot be");
    check("'open", LEX_ARGUMENT, "!");
    check("a <b>", LEX_ARGUMENT, "w[a]!");
    struct lexer lexer = {.text = "'x", .length = 2};
    struct token t;
    lex_token(&lexer, LEX_ARGUMENT, &t);
    CHECK(lexer.incomplete && lexer.problem);
    return TEST_END();
}
