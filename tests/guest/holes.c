/*
 * A program's pages go one by one, every second of 260 MiB: where pages are mapped at host addresses in long runs
 * (docs/mapped.md), each leaves a hole, and the host allows so many mappings and no more. One page beside makes their
 * number even or odd.
 */
#include "runtime.h"

#define BASE 0x4000000000ull
#define PAGES 66560u
#define PHYS 0x8000000ull
#define ALL (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define RUN 16u /* pages that are mapped at once */

struct range {
    u64 la, count, step;
};
static USER_DATA struct range range;

USER_TEXT static void touch(void *p)
{
    const struct range *r = p;
    u64 at = r->la;
    for (u64 i = 0; i < r->count; i++, at += r->step)
        *(volatile u64 *)at += 1;
}

static bool touched(u64 la, u64 count, u64 step)
{
    range = (struct range){la, count, step};
    return !catch_user(touch, &range).raised;
}

static void pages_set(u64 count)
{
    for (u64 i = 0; i < count; i++)
        *pte_of(pml4, BASE + i * 4096, 1) = (PHYS + i % PAGES * 4096) | ALL;
    for (u64 i = 0; i < count; i += 512) {
        *pte_of(pml4, BASE + i * 4096, 2) |= PTE_A;
        *pte_of(pml4, BASE + i * 4096, 3) |= PTE_A;
    }
    *pte_of(pml4, BASE, 4) |= PTE_A | PTE_U;
    write_cr3(read_cr3());
}

int main(void)
{
    users_fit();
    for (u64 beside = 0; beside < 2; beside++) {
        pages_set(PAGES + beside);
        check(touched(BASE, (PAGES + beside + RUN - 1) / RUN, RUN * 4096), "all pages, one of each run");
        for (u64 i = 1; i < PAGES; i += 2)
            invlpg(BASE + i * 4096);
        check(touched(BASE, PAGES, 4096), "all pages after every second one was invalidated");
    }
    finish();
}
