/*
 * The lexer: no state but where it stands. Words of commands end at a space or one of the characters that mean
 * something there; what is quoted within a word is a token of its own without space before it, and the parser joins
 * them.
 */
#include "shell/lex.h"

#include "shell/value.h"

#include <ctype.h>
#include <string.h>

char lex_char(const struct lexer *lexer, u32 at, u32 *length)
{
    static const struct {
        char utf8[4], means;
    } same[] = {
        {"\xe2\x80\x93", '-'},  {"\xe2\x80\x94", '-'},  {"\xe2\x80\x95", '-'},  {"\xe2\x80\x9c", '"'},
        {"\xe2\x80\x9d", '"'},  {"\xe2\x80\x9e", '"'},  {"\xe2\x80\x98", '\''}, {"\xe2\x80\x99", '\''},
        {"\xe2\x80\x9a", '\''}, {"\xe2\x80\x9b", '\''}, {"\xc2\xa0", ' '},
    };
    *length = at < lexer->length;
    if (at >= lexer->length)
        return 0;
    if ((u8)lexer->text[at] < 0x80)
        return lexer->text[at];
    for (unsigned i = 0; i < ARRAY_LEN(same); i++) {
        u32 n = (u32)strlen(same[i].utf8);
        if (n <= lexer->length - at && !memcmp(lexer->text + at, same[i].utf8, n)) {
            *length = n;
            return same[i].means;
        }
    }
    return lexer->text[at];
}

static char now(const struct lexer *l, u32 *length)
{
    return lex_char(l, l->at, length);
}

/* The character that `ahead` ASCII characters come before; those of several bytes end the search. */
static char peek(const struct lexer *l, u32 ahead)
{
    u32 at = l->at, n;
    for (; ahead; ahead--) {
        lex_char(l, at, &n);
        at += n ? n : 1;
    }
    return lex_char(l, at, &n);
}

static bool is_name(char c)
{
    return isalnum((u8)c) || c == '_' || (u8)c >= 0x80;
}

static void skip_line(struct lexer *l)
{
    while (l->at < l->length && l->text[l->at] != '\n')
        l->at++;
}

static void skip_long_comment(struct lexer *l)
{
    const char *end = memmem(l->text + l->at, l->length - l->at, "#>", 2);
    l->at = end ? (u32)(end - l->text) + 2 : l->length;
    l->incomplete |= !end;
}

void lex_skip(struct lexer *l, bool lines)
{
    for (;;) {
        u32 n;
        char c = now(l, &n);
        if (!n)
            return;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' || (lines && c == '\n'))
            l->at += n;
        else if (c == '#')
            skip_line(l);
        else if (c == '<' && peek(l, 1) == '#')
            skip_long_comment(l);
        else if (c == '`' && peek(l, 1) == '\n')
            l->at += 2;
        else if (c == '`' && peek(l, 1) == '\r' && peek(l, 2) == '\n')
            l->at += 3;
        else if (c == '`' && l->at + 1 == l->length) {
            l->at++;
            l->incomplete = true;
        } else
            return;
    }
}

static void bad(struct lexer *l, struct token *t, const char *problem, bool incomplete)
{
    t->kind = TOKEN_BAD;
    l->problem = problem;
    l->incomplete |= incomplete;
}

/* Behind the dollar sign: where the name is. Returns its length, 0 if there is none. */
static u32 variable(struct lexer *l, u32 *name)
{
    u32 n;
    char c = now(l, &n);
    *name = l->at;
    if (c == '{') {
        u32 from = l->at + 1, to = from;
        while (to < l->length && l->text[to] != '}' && l->text[to] != '\n')
            to++;
        if (to == l->length || l->text[to] != '}' || to == from)
            return 0;
        *name = from;
        l->at = to + 1;
        return to - from;
    }
    if (c == '$' || c == '?' || c == '^') {
        l->at++;
        return 1;
    }
    while (l->at < l->length && (is_name(c = now(l, &n)) || (c == ':' && l->at > *name && is_name(peek(l, 1)))) &&
           (n == 1 || is_name(c)))
        l->at += n;
    return l->at - *name;
}

static void dollar(struct lexer *l, struct token *t)
{
    l->at++;
    if (peek(l, 0) == '(') {
        l->at++;
        t->kind = TOKEN_SUBEXPRESSION;
        return;
    }
    t->length = variable(l, &t->text);
    t->kind = TOKEN_VARIABLE;
    if (!t->length) { /* a dollar sign of a word */
        t->kind = TOKEN_WORD;
        t->text = t->start;
        t->length = 1;
    }
}

static void single_quoted(struct lexer *l, struct token *t)
{
    u32 n;
    now(l, &n);
    l->at += n;
    t->text = l->at;
    t->kind = TOKEN_QUOTE;
    for (char c; (c = now(l, &n)) || n;) {
        u32 at = l->at;
        l->at += n;
        if (c != '\'')
            continue;
        if (now(l, &n) != '\'') {
            t->length = at - t->text;
            return;
        }
        l->at += n;
    }
    bad(l, t, "the string is missing the terminator: '", true);
}

/* Behind @ and a quote: the rest of the line must be empty. */
static bool here_begins(const struct lexer *l, u32 at, u32 *text)
{
    while (at < l->length && (l->text[at] == ' ' || l->text[at] == '\t' || l->text[at] == '\r'))
        at++;
    *text = at + 1;
    return at < l->length && l->text[at] == '\n';
}

static void here_string(struct lexer *l, struct token *t, bool expands, u32 text)
{
    t->text = text;
    l->at = text;
    t->kind = expands ? TOKEN_DOUBLE_HERE : TOKEN_HERE;
    if (expands) {
        l->at = text - 1; /* its end may come at once */
        return;
    }
    for (u32 at = text - 1, n; at < l->length; at++)
        if (l->text[at] == '\n' && lex_char(l, at + 1, &n) == '\'' && at + 1 + n < l->length &&
            l->text[at + 1 + n] == '@') {
            t->length = at > text ? at - text : 0;
            l->at = at + 2 + n;
            return;
        }
    l->at = l->length;
    bad(l, t, "the string is missing the terminator: '@", true);
}

static bool at_sign(struct lexer *l, struct token *t)
{
    u32 n, text;
    char next = peek(l, 1);
    if (next == '(' || next == '{') {
        t->kind = next == '(' ? TOKEN_ARRAY : TOKEN_HASH;
        l->at += 2;
        return true;
    }
    if (next == '\'' || next == '"') {
        lex_char(l, l->at + 1, &n);
        if (!here_begins(l, l->at + 1 + n, &text))
            return false;
        here_string(l, t, next == '"', text);
        return true;
    }
    if (!isalpha((u8)next) && next != '_')
        return false;
    l->at++;
    t->length = variable(l, &t->text);
    t->kind = TOKEN_SPLAT;
    return true;
}

static bool redirect(struct lexer *l, struct token *t)
{
    u32 at = l->at;
    bool numbered = at + 1 < l->length && strchr("123456*", l->text[at]) && l->text[at + 1] == '>';
    if (!numbered && l->text[at] != '>')
        return false;
    at += numbered + 1;
    if (at < l->length && l->text[at] == '>')
        at++;
    else if (at + 1 < l->length && l->text[at] == '&' && l->text[at + 1] == '1')
        at += 2;
    t->kind = TOKEN_REDIRECT;
    l->at = at;
    return true;
}

/* Characters that mean the same in both modes. */
static bool punctuation(struct lexer *l, struct token *t, char c)
{
    static const struct {
        char c;
        enum token_kind kind;
    } kinds[] = {{'\n', TOKEN_NEWLINE}, {';', TOKEN_NEWLINE},      {'|', TOKEN_PIPE},       {',', TOKEN_COMMA},
                 {'(', TOKEN_OPEN},     {')', TOKEN_CLOSE},        {'{', TOKEN_OPEN_BRACE}, {'}', TOKEN_CLOSE_BRACE},
                 {'$', TOKEN_VARIABLE}, {'"', TOKEN_DOUBLE_QUOTE}, {'\'', TOKEN_QUOTE},     {'&', TOKEN_AMPERSAND}};
    if (redirect(l, t))
        return true;
    if (c == '<') {
        l->at++;
        bad(l, t, "the '<' operator is reserved for future use; replace what stands in angle brackets, too", false);
        return true;
    }
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        u32 n;
        if (kinds[i].c != c)
            continue;
        t->kind = kinds[i].kind;
        if (c == '$') {
            dollar(l, t);
        } else if (c == '\'') {
            single_quoted(l, t);
        } else {
            now(l, &n);
            l->at += n;
        }
        return true;
    }
    return c == '@' && at_sign(l, t);
}

/* Up to what ends a word. Back-ticks stay in it; the parser takes them out. */
static void word(struct lexer *l, struct token *t, const char *ends)
{
    u32 n;
    char c;
    t->kind = TOKEN_WORD;
    t->text = l->at;
    while ((c = now(l, &n)) || n) {
        if (c == '`' && l->at + 1 < l->length) {
            u32 more;
            l->at += n;
            now(l, &more);
            l->at += more;
            continue;
        }
        if (!c || isspace((u8)c) || strchr(ends, c))
            break;
        l->at += n;
    }
    t->length = l->at - t->text;
}

static void argument(struct lexer *l, struct token *t, char c)
{
    u32 n;
    now(l, &n);
    char next = peek(l, 1);
    if (c == '-' && (isalpha((u8)next) || next == '_' || next == '?')) {
        t->kind = TOKEN_PARAMETER;
        l->at += n;
        t->text = l->at;
        for (char d; ((d = now(l, &n)) || n) && !isspace((u8)d) && d && !strchr("{}();,|&.[:\"'$<>", d);)
            l->at += n;
        t->length = l->at - t->text;
        t->colon = peek(l, 0) == ':';
        l->at += t->colon;
        return;
    }
    if (punctuation(l, t, c))
        return;
    word(l, t, "{}();,|&<>\"'$");
    if (!t->length) { /* a zero byte */
        l->at++;
        bad(l, t, "a character that no command has", false);
    }
}

static bool number(struct lexer *l, struct token *t)
{
    u32 end = l->at;
    s64 whole_number;
    double real;
    bool whole;
    while (end < l->length &&
           (isalnum((u8)l->text[end]) || (l->text[end] == '.' && end + 1 < l->length && isdigit((u8)l->text[end + 1]))))
        end++;
    if (!number_read(l->text + l->at, end - l->at, &whole_number, &real, &whole))
        return false;
    t->kind = TOKEN_NUMBER;
    t->text = l->at;
    t->length = end - l->at;
    l->at = end;
    return true;
}

static bool symbol(struct lexer *l, struct token *t)
{
    static const char *const symbols[] = {"+=", "-=", "*=", "/=", "%=", "++", "--", "..",
                                          "=",  "+",  "-",  "*",  "/",  "%",  "!"};
    for (unsigned i = 0; i < ARRAY_LEN(symbols); i++) {
        u32 at = l->at, n;
        const char *s = symbols[i];
        while (*s && lex_char(l, at, &n) == *s) {
            at += n;
            s++;
        }
        if (*s)
            continue;
        l->at = at;
        t->kind = TOKEN_OPERATOR;
        t->operator= symbols[i];
        return true;
    }
    return false;
}

static void expression(struct lexer *l, struct token *t, char c)
{
    u32 n;
    now(l, &n);
    if (c == '-' && isalpha((u8)peek(l, 1))) {
        t->kind = TOKEN_DASH_WORD;
        l->at += n;
        t->text = l->at;
        while (isalnum((u8)peek(l, 0)))
            l->at++;
        t->length = l->at - t->text;
        return;
    }
    if ((isdigit((u8)c) || (c == '.' && isdigit((u8)peek(l, 1)))) && number(l, t))
        return;
    if (symbol(l, t) || punctuation(l, t, c))
        return;
    if (c == '[' || c == ']' || c == '.' || (c == ':' && peek(l, 1) == ':')) {
        t->kind = c == '[' ? TOKEN_OPEN_BRACKET : c == ']' ? TOKEN_CLOSE_BRACKET : c == '.' ? TOKEN_DOT : TOKEN_COLONS;
        l->at += c == ':' ? 2 : 1;
        return;
    }
    word(l, t, "{}()[];,|&<>\"'$.:=+*/%!@-");
    if (!t->length) {
        l->at += n;
        bad(l, t, "a character that no expression has", false);
    }
}

void lex_token(struct lexer *l, enum lex_mode mode, struct token *t)
{
    u32 before = l->at, n;
    lex_skip(l, false);
    *t = (struct token){.mode = mode, .start = l->at, .spaced = l->at != before};
    char c = now(l, &n);
    if (!n)
        t->kind = TOKEN_END;
    else if (mode == LEX_ARGUMENT)
        argument(l, t, c);
    else
        expression(l, t, c);
    t->end = l->at;
}

static void piece_char(struct lexer *l, struct piece *p, u32 count)
{
    p->kind = PIECE_TEXT;
    p->count = count;
    memcpy(p->bytes, l->text + l->at, count);
    l->at += count;
}

static void escape(struct lexer *l, struct piece *p)
{
    static const char names[] = "0abfnrtve", means[] = {0, 7, 8, 12, 10, 13, 9, 11, 27};
    u32 n;
    l->at++;
    lex_char(l, l->at, &n);
    if (l->at + 1 < l->length && l->text[l->at] == '\r' && l->text[l->at + 1] == '\n')
        n = 2;
    const char *found = l->at < l->length && l->text[l->at] ? strchr(names, l->text[l->at]) : NULL;
    piece_char(l, p, n);
    if (found)
        p->bytes[0] = means[found - names];
    else if (p->bytes[0] == '\n' || p->bytes[0] == '\r')
        p->count = 0; /* the line goes on */
}

/* An end of line, a quote and @: *length is theirs. */
static bool ends_here(const struct lexer *l, u32 *length)
{
    u32 quote, sign;
    if (l->text[l->at] != '\n' || lex_char(l, l->at + 1, &quote) != '"' || lex_char(l, l->at + 1 + quote, &sign) != '@')
        return false;
    *length = 1 + quote + sign;
    return true;
}

void lex_piece(struct lexer *l, bool here, struct piece *p)
{
    u32 n, more;
    char c = now(l, &n);
    *p = (struct piece){.kind = PIECE_BAD, .start = l->at};
    if (!n) {
        l->problem = here ? "the string is missing the terminator: \"@" : "the string is missing the terminator: \"";
        l->incomplete = true;
    } else if (here && ends_here(l, &more)) {
        l->at += more;
        p->kind = PIECE_END;
    } else if (!here && c == '"') {
        l->at += n;
        bool twice = now(l, &more) == '"';
        if (twice)
            piece_char(l, p, more);
        else
            p->kind = PIECE_END;
    } else if (c == '`') {
        escape(l, p);
    } else if (c == '$' && peek(l, 1) == '(') {
        l->at += 2;
        p->kind = PIECE_SUBEXPRESSION;
    } else if (c == '$') {
        l->at++;
        p->length = variable(l, &p->text);
        p->kind = PIECE_VARIABLE;
        if (!p->length) {
            l->at = p->start;
            piece_char(l, p, 1);
        }
    } else {
        piece_char(l, p, n);
    }
    p->end = l->at;
}
