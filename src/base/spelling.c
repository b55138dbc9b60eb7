/*
 * Suggestions for mistyped words.
 */
#include "base/spelling.h"

#include "base/types.h"

#include <string.h>
#include <strings.h>

#define WORD_MAX 31

static bool same(char a, char b)
{
    return !strncasecmp(&a, &b, 1);
}

/* Optimal string alignment distance: insertions, deletions, substitutions, neighbours swapped; without case. */
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
            u8 best = (u8)(d[i - 1][j - 1] + !same(a[i - 1], b[j - 1]));
            if (d[i - 1][j] + 1 < best)
                best = (u8)(d[i - 1][j] + 1);
            if (d[i][j - 1] + 1 < best)
                best = (u8)(d[i][j - 1] + 1);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) && d[i - 2][j - 2] + 1 < best)
                best = (u8)(d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *spelling_closest(const char *word, const char *(*next)(const void *opaque, unsigned index),
                             const void *opaque)
{
    const char *best = NULL, *name;
    size_t length = strlen(word);
    unsigned limit = length < 2 ? 0 : length < 5 ? 1 : 2, best_distance = limit + 1;
    for (unsigned i = 0; (name = next(opaque, i)); i++) {
        unsigned d = distance(word, name);
        if (d > limit && length >= 3 && !strncasecmp(name, word, length))
            d = limit; /* an abbreviation */
        if (d < best_distance) {
            best = name;
            best_distance = d;
        }
    }
    return best;
}
