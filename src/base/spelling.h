/*
 * What somebody may have meant by a mistyped word.
 */
#ifndef BASE_SPELLING_H
#define BASE_SPELLING_H

/* The candidate closest to `word`, or NULL when none is close. next() returns NULL after the last candidate. */
const char *spelling_closest(const char *word, const char *(*next)(const void *opaque, unsigned index),
                             const void *opaque);

#endif
