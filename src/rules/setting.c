/*
 * Reads values of settings from text, and writes their ranges as text. Whoever has options or fields for settings calls
 * it: the verbs of src/cli today.
 */
#include "rules/setting.h"

#include "base/spelling.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME SETTING("%s")

/* -- numbers -- */

static bool number(const char *text, u64 *value, const char **end)
{
    if (*text < '0' || *text > '9')
        return false;
    char *stop;
    errno = 0;
    *value = strtoull(text, &stop, 10);
    *end = stop;
    return errno == 0;
}

#define FRACTION_SCALE 1000000u /* six digits behind the point */

/* A number that may have a point: the value is (whole + fraction / scale). */
struct decimal {
    u64 whole, fraction, scale;
};

static bool decimal(const char *text, struct decimal *d, const char **end)
{
    const char *at;
    *d = (struct decimal){.scale = 1};
    if (!number(text, &d->whole, &at))
        return false;
    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9' && d->scale < FRACTION_SCALE; at++, d->scale *= 10)
            d->fraction = d->fraction * 10 + (u64)(*at - '0');
        if (d->scale == 1)
            return false;
    }
    *end = at;
    return true;
}

static bool decimal_times(const struct decimal *d, u64 unit, u64 *value)
{
    if (d->whole > UINT64_MAX / unit)
        return false;
    *value = d->whole * unit + (u64)((u128)d->fraction * unit / d->scale);
    return true;
}

bool setting_parse_size(const char *text, u64 *bytes)
{
    const char *end;
    struct decimal d;
    unsigned shift = 20;
    if (!decimal(text, &d, &end))
        return false;
    if (*end) {
        static const char letters[] = "kKmMgGtT";
        const char *at = strchr(letters, *end);
        if (!at)
            return false;
        shift = 10 * (unsigned)((at - letters) / 2 + 1);
        end++;
        if (end[0] == 'i' && end[1] == 'B')
            end += 2;
        else if (end[0] == 'B')
            end++;
    }
    return !*end && decimal_times(&d, BIT64(shift), bytes);
}

bool setting_parse_rate(const char *text, u64 *bits)
{
    const char *end;
    struct decimal d;
    u64 unit = 1;
    if (!decimal(text, &d, &end))
        return false;
    if (*end) {
        static const char letters[] = "kKmMgG";
        const char *at = strchr(letters, *end++);
        if (!at)
            return false;
        for (ptrdiff_t i = (at - letters) / 2; i >= 0; i--)
            unit *= 1000;
    }
    return !*end && decimal_times(&d, unit, bits);
}

bool setting_parse_seconds(const char *text, u64 *milliseconds)
{
    const char *end;
    u64 value, fraction = 0;
    if (!number(text, &value, &end) || value > UINT64_MAX / 1000 - 1)
        return false;
    if (*end == '.') {
        unsigned scale = 100;
        for (end++; *end >= '0' && *end <= '9'; end++, scale /= 10)
            fraction += (u64)(*end - '0') * scale;
    }
    if (*end)
        return false;
    *milliseconds = value * 1000 + fraction;
    return true;
}

/* -- ranges -- */

void setting_size_text(u64 bytes, char *text, size_t size)
{
    static const char letters[] = "KMGT";
    unsigned unit = 0;
    if (!bytes || bytes % 1024) {
        snprintf(text, size, bytes ? "%llu bytes" : "0", (unsigned long long)bytes);
        return;
    }
    for (bytes >>= 10; bytes >= 1024 && bytes % 1024 == 0 && unit < 3; bytes >>= 10)
        unit++;
    snprintf(text, size, "%llu%c", (unsigned long long)bytes, letters[unit]);
}

/* Writes a rate as a person would. */
static void rate_text(u64 bits, char *text, size_t size)
{
    static const char *const letters[] = {"", "K", "M", "G"};
    unsigned unit = 0;
    for (; bits >= 1000 && bits % 1000 == 0 && unit < 3; bits /= 1000)
        unit++;
    snprintf(text, size, "%llu%s", (unsigned long long)bits, letters[unit]);
}

static void choices_text(const char *const *choices, const char *last, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (unsigned i = 0; choices[i] && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", !i ? "" : choices[i + 1] ? ", " : last, choices[i]);
}

static const char *const on_off[] = {"off", "on", NULL};

void setting_range(const struct setting *s, char *text, size_t size)
{
    char min[32], max[32];
    text[0] = 0;
    switch (s->kind) {
    case SETTING_NUMBER:
        snprintf(text, size, "%llu to %llu", (unsigned long long)s->min, (unsigned long long)s->max);
        break;
    case SETTING_SIZE:
        setting_size_text(s->min, min, sizeof(min));
        setting_size_text(s->max, max, sizeof(max));
        snprintf(text, size, "%s to %s", min, max);
        break;
    case SETTING_RATE:
        rate_text(s->min, min, sizeof(min));
        rate_text(s->max, max, sizeof(max));
        snprintf(text, size, "%s to %s", min, max);
        break;
    case SETTING_SECONDS:
        snprintf(text, size, "%g to %llu", (double)s->min / 1000, (unsigned long long)s->max / 1000);
        break;
    case SETTING_CHOICE:
    case SETTING_SET: choices_text(s->choices, " or ", text, size); break;
    case SETTING_ON_OFF: choices_text(on_off, " or ", text, size); break;
    case SETTING_FLAG:
    case SETTING_TEXT:
    case SETTING_LIST: break;
    }
}

static int fail_range(const struct setting *s, const char *text, struct error *error)
{
    char range[96];
    const char *what = s->kind == SETTING_SIZE      ? "size"
                       : s->kind == SETTING_RATE    ? "number of bits per second"
                       : s->kind == SETTING_SECONDS ? "number of seconds"
                                                    : "number";
    setting_range(s, range, sizeof(range));
    return error_set(error, -EINVAL, NAME ": '%s' is not a %s from %s", s->name, text, what, range);
}

/* -- words -- */

static const char *choice_name(const void *opaque, unsigned index)
{
    const char *const *choices = opaque;
    return choices[index];
}

static int choice_index(const char *const *choices, const char *word)
{
    for (int i = 0; choices[i]; i++)
        if (strcmp(word, choices[i]) == 0)
            return i;
    return -1;
}

static int hint_choice(const char *const *choices, const char *word, struct error *error)
{
    const char *close = spelling_closest(word, choice_name, choices);
    char hint[64];
    if (!close)
        return error->code;
    snprintf(hint, sizeof(hint), "did you mean '%s'?", close);
    return error_hint(error, hint);
}

/* Returns the index of what `text` names, or -EINVAL. */
static int parse_choice(const struct setting *s, const char *const *choices, const char *text, struct error *error)
{
    int index = choice_index(choices, text);
    if (index < 0) {
        char list[160];
        choices_text(choices, ", ", list, sizeof(list));
        error_set(error, -EINVAL, NAME ": '%s' is not one of %s", s->name, text, list);
        return hint_choice(choices, text, error);
    }
    return index;
}

static int parse_set(const struct setting *s, const char *text, u32 *to, struct error *error)
{
    u32 set = 0;
    do {
        char word[32];
        size_t n = strcspn(text, ",");
        snprintf(word, sizeof(word), "%.*s", n < sizeof(word) ? (int)n : (int)sizeof(word), text);
        int index = choice_index(s->choices, word);
        if (index < 0) {
            char list[160];
            choices_text(s->choices, ", ", list, sizeof(list));
            return error_set(error, -EINVAL, NAME ": '%s' is not known; there is %s", s->name, word, list);
        }
        set |= BIT(index);
        text += n + (text[n] == ',');
    } while (*text);
    *to = set;
    return 0;
}

/* -- rows -- */

const struct setting *setting_find(const struct setting *table, const char *name, size_t length)
{
    for (const struct setting *s = table; s->name; s++) {
        if (strlen(s->name) == length && memcmp(s->name, name, length) == 0)
            return s;
    }
    return NULL;
}

const struct setting *setting_find_letter(const struct setting *table, char letter)
{
    for (const struct setting *s = table; s->name; s++)
        if (s->letter && s->letter == letter)
            return s;
    return NULL;
}

void setting_defaults(const struct setting *table, void *into)
{
    struct error error;
    for (const struct setting *s = table; s->name; s++) {
        if (s->def && setting_parse(s, s->def, into, &error))
            abort(); /* the table is wrong: its test says so */
    }
}

bool setting_set_number(const struct setting *s, u64 value, void *into)
{
    void *to = (char *)into + s->offset;
    if (value < s->min || value > s->max)
        return false;
    if (s->kind == SETTING_NUMBER)
        *(u32 *)to = (u32)value;
    else
        *(u64 *)to = value;
    return true;
}

u64 setting_get_number(const struct setting *s, const void *from)
{
    const void *at = (const char *)from + s->offset;
    return s->kind == SETTING_NUMBER ? *(const u32 *)at : *(const u64 *)at;
}

int setting_parse(const struct setting *s, const char *text, void *into, struct error *error)
{
    void *to = (char *)into + s->offset;
    const char *end;
    u64 value = 0;
    bool good = false;
    int index;
    switch (s->kind) {
    case SETTING_FLAG: *(bool *)to = true; return 0;
    case SETTING_ON_OFF:
        index = text ? parse_choice(s, on_off, text, error) : true;
        if (index >= 0)
            *(bool *)to = index;
        return index < 0 ? index : 0;
    case SETTING_TEXT: *(const char **)to = text; return 0;
    case SETTING_LIST: {
        struct setting_list *list = to;
        if (list->count == SETTING_LIST_MAX)
            return error_set(error, -EINVAL, NAME ": given more than %u times", s->name, SETTING_LIST_MAX);
        list->item[list->count++] = text;
        return 0;
    }
    case SETTING_CHOICE:
        index = parse_choice(s, s->choices, text, error);
        if (index >= 0)
            *(u32 *)to = (u32)index;
        return index < 0 ? index : 0;
    case SETTING_SET: return parse_set(s, text, to, error);
    case SETTING_NUMBER: good = number(text, &value, &end) && !*end; break;
    case SETTING_SIZE: good = setting_parse_size(text, &value); break;
    case SETTING_RATE: good = setting_parse_rate(text, &value); break;
    case SETTING_SECONDS: good = setting_parse_seconds(text, &value); break;
    }
    if (!good || !setting_set_number(s, value, into))
        return fail_range(s, text, error);
    return 0;
}

int setting_texts_copy(const struct setting *table, void *into)
{
    bool failed = false;
    for (const struct setting *s = table; s->name; s++) {
        const char **at = (const char **)(void *)((char *)into + s->offset);
        if (s->kind != SETTING_TEXT || !*at)
            continue;
        const char *copy = **at && !failed ? strdup(*at) : NULL;
        failed |= **at && !copy;
        *at = copy;
    }
    if (failed)
        setting_texts_free(table, into);
    return failed ? -ENOMEM : 0;
}

void setting_texts_free(const struct setting *table, void *into)
{
    for (const struct setting *s = table; s->name; s++) {
        char **at = (char **)(void *)((char *)into + s->offset);
        if (s->kind != SETTING_TEXT)
            continue;
        free(*at);
        *at = NULL;
    }
}
