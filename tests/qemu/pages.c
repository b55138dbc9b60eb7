/*
 * Runs in a guest of tests/qemu: writes pages that carry their own checksums, in random order, and reads each back
 * before it is written again and all of them at times. A page that a migration or a saved state lost is an old one,
 * and its counter shows that.
 *
 *   pages MEGABYTES SECONDS    prints "pages N rounds right" at the end, or "pages WRONG ..." at once, exit status 1
 *
 * With 0 for SECONDS it runs until SIGTERM.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096
#define WORDS (PAGE / 8 - 3)

struct page {
    uint64_t number, counter;
    uint64_t words[WORDS];
    uint64_t sum;
};

static volatile sig_atomic_t ended;

static void end(int signal)
{
    ended = 1;
}

static uint64_t next(uint64_t *state) /* xorshift64* */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

static uint64_t sum(const struct page *page)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (const uint64_t *p = &page->number; p < &page->sum; p++)
        h = (h ^ *p) * 0x100000001b3ull;
    return h;
}

static void fill(struct page *page, uint64_t number, uint64_t counter)
{
    uint64_t state = (number << 32 | (uint32_t)counter) + 1;
    page->number = number;
    page->counter = counter;
    for (int i = 0; i < WORDS; i++)
        page->words[i] = next(&state);
    page->sum = sum(page);
}

static void check(const struct page *page, uint64_t number, uint64_t counter)
{
    if (page->number == number && page->counter == counter && page->sum == sum(page))
        return;
    printf("pages WRONG: page %lu at %p has number %lu, counter %lu instead of %lu, sum %s\n", number,
           (const void *)page, page->number, page->counter, counter, page->sum == sum(page) ? "right" : "wrong");
    exit(1);
}

int main(int argc, char **argv)
{
    size_t count = (argc > 1 ? strtoul(argv[1], NULL, 0) : 64) * 256;
    time_t stop = argc > 2 && atol(argv[2]) ? time(NULL) + atol(argv[2]) : 0;
    struct page *pages = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    /* The counters stand a second time elsewhere, so that a page and its counter do not get lost together. */
    uint64_t *counters = calloc(count, sizeof(*counters));
    if (pages == MAP_FAILED || !counters)
        return 2;
    signal(SIGTERM, end);
    for (size_t i = 0; i < count; i++)
        fill(&pages[i], i, 0);
    puts("pages started");
    fflush(stdout);
    uint64_t state = 88172645463325252ull, rounds = 0;
    while (!ended && (!stop || time(NULL) < stop)) {
        for (size_t n = 0; n < count && !ended; n++) {
            size_t i = next(&state) % count;
            check(&pages[i], i, counters[i]);
            fill(&pages[i], i, ++counters[i]);
        }
        for (size_t i = 0; i < count; i++)
            check(&pages[i], i, counters[i]);
        rounds++;
    }
    for (size_t i = 0; i < count; i++)
        check(&pages[i], i, counters[i]);
    printf("pages %lu rounds right\n", rounds);
    return 0;
}
