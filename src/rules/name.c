/*
 * Which names are allowed. They come from command lines and become names of files and parts of paths, so the set of
 * characters is small, and no locale changes what a letter is.
 */
#include "rules/name.h"

#include "base/spelling.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

int name_check(const char *what, const char *name, struct error *error)
{
    size_t length = strlen(name);
    if (!length)
        return error_set(error, -EINVAL, "the name of %s is empty", what);
    if (length > NAME_MAX_LEN)
        return error_set(error, -EINVAL, "%.20s...: the name of %s has at most %u characters", name, what,
                         NAME_MAX_LEN);
    for (size_t i = 0; i < length; i++) {
        bool inside = i && i + 1 < length;
        if (!is_plain(name[i]) && !(inside && strchr("._- ", name[i]))) {
            error_set(error, -EINVAL, "'%s' is no name for %s", name, what);
            return error_hint(error, "letters, digits, and between them . _ - and spaces are possible");
        }
    }
    return 0;
}

const char *name_word(const char *name, char word[static NAME_WORD_MAX])
{
    const char *quote = strchr(name, ' ') ? "'" : "";
    snprintf(word, NAME_WORD_MAX, "%s%.*s%s", quote, NAME_MAX_LEN, name, quote);
    return word;
}

const char *name_words(const char *vm, const char *part, char word[static NAME_WORD_MAX])
{
    const char *quote = strchr(vm, ' ') || strchr(part, ' ') ? "'" : "";
    snprintf(word, NAME_WORD_MAX, "%s%.*s/%.*s%s", quote, NAME_MAX_LEN, vm, NAME_MAX_LEN, part, quote);
    return word;
}

void name_fold(const char *name, char folded[static NAME_MAX_LEN + 1])
{
    size_t i;
    for (i = 0; name[i] && i < NAME_MAX_LEN; i++)
        folded[i] = fold(name[i]);
    folded[i] = 0;
}

bool name_equal(const char *a, const char *b)
{
    for (; *a && fold(*a) == fold(*b); a++, b++)
        ;
    return fold(*a) == fold(*b);
}

/* Names in lower case, one behind the other. */
#define SHOWN_MAX (2 * NAME_MAX_LEN + 2)
struct folded {
    char (*name)[SHOWN_MAX];
    unsigned count;
};

static void fold_shown(const char *name, char to[static SHOWN_MAX])
{
    size_t i;
    for (i = 0; name[i] && i < SHOWN_MAX - 1; i++)
        to[i] = fold(name[i]);
    to[i] = 0;
}

static const char *folded_name(const void *opaque, unsigned index)
{
    const struct folded *f = opaque;
    return index < f->count ? f->name[index] : NULL;
}

const char *name_closest(const char *name, const char *(*names)(const void *opaque, unsigned index), const void *opaque)
{
    struct folded f = {0};
    char word[SHOWN_MAX];
    const char *close = NULL;
    while (names(opaque, f.count))
        f.count++;
    f.name = calloc(f.count + 1, sizeof(*f.name));
    for (unsigned i = 0; f.name && i < f.count; i++)
        fold_shown(names(opaque, i), f.name[i]);
    fold_shown(name, word);
    if (f.name)
        close = spelling_closest(word, folded_name, &f);
    unsigned index = close ? (unsigned)((close - f.name[0]) / (ptrdiff_t)sizeof(*f.name)) : 0;
    free(f.name);
    return close ? names(opaque, index) : NULL;
}
