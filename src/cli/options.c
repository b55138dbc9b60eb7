/*
 * The option parser.
 */
#include "cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 31
#define MARKED SETTING("%s")

/* Optimal string alignment distance: insertions, deletions, substitutions, neighbours swapped. */
static unsigned distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    u8 d[WORD_MAX + 2][WORD_MAX + 2];
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (u8)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (u8)j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            u8 best = (u8)(d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (d[i - 1][j] + 1 < best)
                best = (u8)(d[i - 1][j] + 1);
            if (d[i][j - 1] + 1 < best)
                best = (u8)(d[i][j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = (u8)(d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *options_closest(const char *word, const char *(*next)(const void *opaque, unsigned index),
                            const void *opaque)
{
    const char *best = NULL, *name;
    unsigned limit = strlen(word) < 5 ? 1 : 2, best_distance = limit + 1;
    for (unsigned i = 0; (name = next(opaque, i)); i++) {
        unsigned d = distance(word, name);
        if (*word && strncmp(word, name, strlen(word)) == 0 && d > limit && strlen(word) >= 3)
            d = limit; /* an abbreviation */
        if (d < best_distance) {
            best = name;
            best_distance = d;
        }
    }
    return best;
}

static const char *option_name(const void *opaque, unsigned index)
{
    const struct option *options = opaque;
    return options[index].name;
}

static const char *choice_name(const void *opaque, unsigned index)
{
    const char *const *choices = opaque;
    return choices[index];
}

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

bool options_size(const char *text, u64 *bytes)
{
    const char *end;
    u64 value;
    unsigned shift = 20;
    if (!number(text, &value, &end))
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
    if (*end || value > UINT64_MAX >> shift)
        return false;
    *bytes = value << shift;
    return true;
}

bool options_seconds(const char *text, u64 *milliseconds)
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

static int hint_close(struct error *error, const char *close, const char *mark)
{
    char hint[sizeof(error->hint)];
    if (!close)
        return error->code;
    snprintf(hint, sizeof(hint), "did you mean '%s%s'?", mark, close);
    return error_hint(error, hint);
}

static int fail_choice(const struct option *o, const char *text, struct error *error)
{
    char list[160] = "";
    size_t used = 0;
    for (unsigned i = 0; o->choices[i] && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", o->choices[i]);
    error_set(error, -EINVAL, MARKED ": '%s' is not one of %s", o->name, text, list);
    return hint_close(error, options_closest(text, choice_name, o->choices), "");
}

/* A size as a person writes it. */
static void size_text(u64 bytes, char *text, size_t size)
{
    static const char letters[] = "KMGT";
    unsigned unit = 0;
    for (bytes >>= 10; bytes >= 1024 && bytes % 1024 == 0 && unit < 3; bytes >>= 10)
        unit++;
    snprintf(text, size, "%llu%c", (unsigned long long)bytes, letters[unit]);
}

static int fail_range(const struct option *o, const char *text, struct error *error)
{
    char min[32], max[32];
    if (o->kind == OPTION_SIZE) {
        size_text(o->min, min, sizeof(min));
        size_text(o->max, max, sizeof(max));
    } else if (o->kind == OPTION_SECONDS) {
        snprintf(min, sizeof(min), "%g", (double)o->min / 1000);
        snprintf(max, sizeof(max), "%llu", (unsigned long long)o->max / 1000);
    } else {
        snprintf(min, sizeof(min), "%llu", (unsigned long long)o->min);
        snprintf(max, sizeof(max), "%llu", (unsigned long long)o->max);
    }
    const char *what = o->kind == OPTION_SIZE ? "size" : o->kind == OPTION_SECONDS ? "number of seconds" : "number";
    return error_set(error, -EINVAL, MARKED ": '%s' is not a %s from %s to %s", o->name, text, what, min, max);
}

static int set_value(const struct option *o, const char *text, void *into, struct error *error)
{
    void *to = (char *)into + o->offset;
    const char *end;
    u64 value = 0;
    bool good;
    switch (o->kind) {
    case OPTION_STRING: *(const char **)to = text; return 0;
    case OPTION_LIST: {
        struct option_list *list = to;
        if (list->count == OPTION_LIST_MAX)
            return error_set(error, -EINVAL, MARKED ": given more than %u times", o->name, OPTION_LIST_MAX);
        list->item[list->count++] = text;
        return 0;
    }
    case OPTION_CHOICE:
        for (int i = 0; o->choices[i]; i++) {
            if (strcmp(text, o->choices[i]) == 0) {
                *(int *)to = i;
                return 0;
            }
        }
        return fail_choice(o, text, error);
    case OPTION_NUMBER: good = number(text, &value, &end) && !*end; break;
    case OPTION_SIZE: good = options_size(text, &value); break;
    case OPTION_SECONDS: good = options_seconds(text, &value); break;
    default: good = false; break;
    }
    if (!good || value < o->min || value > o->max)
        return fail_range(o, text, error);
    *(u64 *)to = value;
    return 0;
}

static const struct option *find(const struct option *options, const char *name, size_t length)
{
    for (const struct option *o = options; o->name; o++) {
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
            return o;
    }
    return NULL;
}

static int fail_unknown(const struct option *options, const char *name, size_t length, struct error *error)
{
    char word[64];
    snprintf(word, sizeof(word), "%.*s", (int)(length < 60 ? length : 60), name);
    error_set(error, -EINVAL, "unknown option '--%s'", word);
    return hint_close(error, options_closest(word, option_name, options), "--");
}

int options_parse(const struct option *options, int argc, char **argv, void *into, struct error *error)
{
    for (int i = 0; i < argc; i++) {
        const char *arg = strcmp(argv[i], "-h") == 0 ? "--help" : argv[i];
        if (strncmp(arg, "--", 2) != 0 || !arg[2])
            return error_set(error, -EINVAL, "unexpected argument '%s'", arg);
        const char *name = arg + 2, *equals = strchr(name, '=');
        size_t length = equals ? (size_t)(equals - name) : strlen(name);
        const struct option *o = find(options, name, length);
        if (!o)
            return fail_unknown(options, name, length, error);
        if (o->kind == OPTION_FLAG || o->kind == OPTION_HELP) {
            if (equals)
                return error_set(error, -EINVAL, MARKED " takes no value", o->name);
            *(bool *)((char *)into + o->offset) = true;
            if (o->kind == OPTION_HELP)
                return 0;
            continue;
        }
        const char *value = equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (!value)
            return error_set(error, -EINVAL, MARKED " needs a value: " MARKED " %s", o->name, o->name, o->value);
        int e = set_value(o, value, into, error);
        if (e)
            return e;
    }
    return 0;
}
