/*
 * Growing texts, and how names are compared.
 */
#include "shell/text.h"

#include "shell/heap.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void make_room(struct text *to, size_t length)
{
    if (to->used + length + 1 <= to->room)
        return;
    to->room = (to->used + length + 1) * 2;
    to->at = memory_resize(to->at, to->room);
}

void text_put(struct text *to, const char *from, size_t length)
{
    make_room(to, length);
    memcpy(to->at + to->used, from, length);
    to->used += length;
    to->at[to->used] = 0;
}

void text_puts(struct text *to, const char *from)
{
    text_put(to, from, strlen(from));
}

void text_char(struct text *to, char c)
{
    text_put(to, &c, 1);
}

void text_format(struct text *to, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length > 0) {
        make_room(to, (size_t)length);
        vsnprintf(to->at + to->used, (size_t)length + 1, format, again);
        to->used += (size_t)length;
    }
    va_end(again);
}

void text_pad(struct text *to, size_t from, size_t columns)
{
    for (; from < columns; from++)
        text_char(to, ' ');
}

const char *text_get(const struct text *text)
{
    return text->at ? text->at : "";
}

void text_free(struct text *text)
{
    free(text->at);
    *text = (struct text){0};
}

size_t text_columns(const char *text, size_t length)
{
    size_t columns = 0;
    for (size_t i = 0; i < length; i++)
        columns += (text[i] & 0xc0) != 0x80;
    return columns;
}

bool text_same(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

bool text_begins(const char *text, const char *with)
{
    return strncasecmp(text, with, strlen(with)) == 0;
}

static int folded(char c, bool exact)
{
    return exact ? (u8)c : tolower((u8)c);
}

/* A set behind its bracket. Returns what is behind it, NULL if it does not end. */
static const char *match_set(const char *set, char c, bool exact, bool *matches)
{
    int wanted = folded(c, exact);
    *matches = false;
    do {
        int low = folded(*set, exact), high = low;
        if (!*set)
            return NULL;
        if (set[1] == '-' && set[2] && set[2] != ']') {
            high = folded(set[2], exact);
            set += 2;
        }
        *matches |= wanted >= low && wanted <= high;
        set++;
    } while (*set != ']');
    return set + 1;
}

/* Matches one element of a pattern other than *. Returns what is behind the element, or NULL. */
static const char *match_one(const char *pattern, char c, bool exact)
{
    bool matches;
    const char *behind = *pattern == '[' ? match_set(pattern + 1, c, exact, &matches) : NULL;
    if (behind)
        return matches ? behind : NULL;
    if (*pattern == '`' && pattern[1])
        pattern++;
    else if (*pattern == '?')
        return pattern + 1;
    return folded(*pattern, exact) == folded(c, exact) ? pattern + 1 : NULL;
}

bool text_like(const char *text, const char *pattern, bool exact)
{
    const char *star = NULL, *from = NULL; /* the last star, and where the text behind it begins */
    while (*text) {
        const char *behind;
        if (*pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (*pattern && (behind = match_one(pattern, *text, exact))) {
            pattern = behind;
            text++;
        } else if (star) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool text_has_wildcards(const char *pattern)
{
    return strpbrk(pattern, "*?[") != NULL;
}

bool text_listed(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (; list && *list; list += strcspn(list, "|"), list += *list == '|')
        if (strcspn(list, "|") == length && !strncasecmp(list, word, length))
            return true;
    return false;
}
