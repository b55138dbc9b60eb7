/*
 * Regular expressions for -match, -replace, -split and Select-String.
 */
#include "shell/pattern.h"

#include "shell/failure.h"

#include <ctype.h>
#include <regex.h>
#include <string.h>

#define GROUPS 10

/* The C library knows \w and \s, and not \d; within brackets it knows none of them. */
static void translate(const char *pattern, struct text *to)
{
    bool set = false;
    for (; *pattern; pattern++) {
        if (*pattern == '[' && !set)
            set = true;
        else if (*pattern == ']')
            set = false;
        if (*pattern != '\\' || !pattern[1]) {
            if (strncmp(pattern, "(?:", 3) == 0) { /* a group without a number: one more group does no harm here */
                text_char(to, '(');
                pattern += 2;
            } else {
                text_char(to, *pattern);
            }
            continue;
        }
        pattern++;
        const char *class = *pattern == 'd'   ? "[0-9]"
                            : *pattern == 'D' ? "[^0-9]"
                            : *pattern == 't' ? "\t"
                            : *pattern == 'n' ? "\n"
                            : *pattern == 'r' ? "\r"
                                              : NULL;
        if (set && *pattern == 'd')
            text_puts(to, "0-9");
        else if (set && *pattern == 'w')
            text_puts(to, "[:alnum:]_");
        else if (set && *pattern == 's')
            text_puts(to, "[:space:]");
        else if (class)
            text_puts(to, class);
        else if (set)
            text_char(to, *pattern);
        else {
            text_char(to, '\\');
            text_char(to, *pattern);
        }
    }
}

static enum flow compile(struct shell *shell, const struct node *node, const char *pattern, bool exact, regex_t *regex)
{
    struct text text = {0};
    char why[100];
    translate(pattern, &text);
    int e = regcomp(regex, text_get(&text), REG_EXTENDED | (exact ? 0 : REG_ICASE));
    text_free(&text);
    if (!e)
        return FLOW_NEXT;
    regerror(e, regex, why, sizeof(why));
    const struct failure f = {INVALID_OPERATION, "InvalidRegularExpression", "RuntimeException", .target = pattern,
                              .node = node};
    return failure_throw(shell, &f, "'%s' is no regular expression: %s", pattern, why);
}

enum flow pattern_match(struct shell *shell, const struct node *node, const char *pattern, const char *text, bool exact,
                        struct value **groups)
{
    regex_t regex;
    regmatch_t at[GROUPS];
    enum flow flow = compile(shell, node, pattern, exact, &regex);
    *groups = &value_null;
    if (flow != FLOW_NEXT)
        return flow;
    if (!regexec(&regex, text, GROUPS, at, 0)) {
        *groups = value_object(&shell->heap, "Hashtable");
        for (int i = 0; i < GROUPS; i++) {
            char name[2] = {(char)('0' + i), 0};
            if (at[i].rm_so >= 0)
                object_set(*groups, name,
                           value_text_n(&shell->heap, text + at[i].rm_so, (size_t)(at[i].rm_eo - at[i].rm_so)));
        }
    }
    regfree(&regex);
    return FLOW_NEXT;
}

static void put_replacement(const char *by, const char *text, const regmatch_t *at, struct text *to)
{
    for (; *by; by++) {
        if (*by == '$' && by[1] == '$') {
            text_char(to, *++by);
        } else if (*by == '$' && isdigit((u8)by[1])) {
            const regmatch_t *m = &at[*++by - '0'];
            if (m->rm_so >= 0)
                text_put(to, text + m->rm_so, (size_t)(m->rm_eo - m->rm_so));
        } else {
            text_char(to, *by);
        }
    }
}

enum flow pattern_replace(struct shell *shell, const struct node *node, const char *pattern, const char *text,
                          const char *by, bool exact, struct value **result)
{
    regex_t regex;
    regmatch_t at[GROUPS];
    struct text to = {0};
    enum flow flow = compile(shell, node, pattern, exact, &regex);
    if (flow != FLOW_NEXT)
        return flow;
    for (int flags = 0; !regexec(&regex, text, GROUPS, at, flags); flags = REG_NOTBOL) {
        text_put(&to, text, (size_t)at[0].rm_so);
        put_replacement(by, text, at, &to);
        if (at[0].rm_eo == at[0].rm_so) { /* it matches nothing: the next character stays */
            if (!text[at[0].rm_eo]) {
                text += at[0].rm_eo;
                break;
            }
            text_char(&to, text[at[0].rm_eo]);
            text += at[0].rm_eo + 1;
        } else {
            text += at[0].rm_eo;
        }
    }
    text_puts(&to, text);
    regfree(&regex);
    *result = value_text_take(&shell->heap, &to);
    return FLOW_NEXT;
}

enum flow pattern_split(struct shell *shell, const struct node *node, const char *pattern, const char *text,
                        size_t most, struct value **parts)
{
    regex_t regex;
    regmatch_t at[1];
    enum flow flow = compile(shell, node, pattern, false, &regex);
    if (flow != FLOW_NEXT)
        return flow;
    *parts = value_array(&shell->heap);
    while ((!most || (*parts)->array.count + 1 < most) && *text && !regexec(&regex, text, 1, at, 0)) {
        size_t length = (size_t)(at[0].rm_so ? at[0].rm_so : at[0].rm_eo > 0 ? 0 : 1);
        array_add(*parts, value_text_n(&shell->heap, text, length));
        text += at[0].rm_eo > 0 ? at[0].rm_eo : 1;
    }
    array_add(*parts, value_text(&shell->heap, text));
    regfree(&regex);
    return FLOW_NEXT;
}
