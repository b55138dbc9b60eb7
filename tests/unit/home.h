/*
 * A home folder of the test's own in NESTBOX_HOME, removed at the end.
 */
#ifndef TESTS_UNIT_HOME_H
#define TESTS_UNIT_HOME_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char home[64];

static inline int home_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove(path);
}

static inline void home_remove(void)
{
    nftw(home, home_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void home_make(void)
{
    snprintf(home, sizeof(home), "/tmp/nestbox-unit-XXXXXX");
    if (!mkdtemp(home))
        abort();
    setenv("NESTBOX_HOME", home, 1);
    atexit(home_remove);
}

/* Writes a file below it. */
static inline void home_write(const char *path, const char *text)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", home, path);
    FILE *f = fopen(whole, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        abort();
}

static inline int home_has(const char *path)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", home, path);
    return access(whole, F_OK) == 0;
}

#endif
