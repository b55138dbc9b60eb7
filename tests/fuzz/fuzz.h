/*
 * Fuzzing: what tests/fuzz/main.c and the targets share. A target makes inputs, which are lists of records, and feeds
 * them to the code. The code must not crash, hang, or break what the target checks with wrong(). Inputs that failed
 * once are lines of corpus.txt and are replayed in `make test`.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "base/types.h"

#include <stdbool.h>

#define RECORDS_MAX 40u
#define RECORD_MAX 4096u

struct record {
    u32 length;
    u8 byte[RECORD_MAX];
};

/* The target decides what a record is. Any bytes are an input. */
struct input {
    u32 records;
    struct record record[RECORDS_MAX];
};

struct fuzz_target {
    const char *name;
    u32 cases_per_fork; /* after so many a fresh process goes on */
    /* In each process, before the first case; may be NULL. */
    void (*begin)(void);
    void (*make)(struct input *input);
    /* Returns how many things (frames, requests) it has fed. */
    u32 (*run)(const struct input *input);
};

extern const struct fuzz_target fuzz_frames, fuzz_stream, fuzz_definitions, fuzz_control, fuzz_agent, fuzz_shell;

/* Says what does not hold, and ends the process. */
__attribute__((noreturn, format(printf, 1, 2))) void wrong(const char *format, ...);

/* Random numbers, the same for the same seed. */
u64 random_u64(void);
u32 below(u32 n); /* 0 to n - 1 */
bool one_in(u32 n);
/* Changes some bytes, the length, or the place of pieces; at most `room` bytes are there then. */
u32 mutate(u8 *bytes, u32 length, u32 room);
/* The next record of an input, or NULL if there are no more. */
struct record *record_add(struct input *input);

/* A folder in /dev/shm or /tmp, removed at the end of the program. */
extern char fuzz_folder[];

#endif
