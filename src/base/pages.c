/*
 * Large areas of memory from the host.
 */
#include "base/pages.h"

#include <sys/mman.h>

#define LARGE_PAGE (2ull << 20)

void *pages_map(size_t size, int prot, bool large)
{
    size_t spare = large ? LARGE_PAGE : 0;
    u8 *p = mmap(NULL, size + spare, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (!large)
        return p;
    size_t before = -(uintptr_t)p & (LARGE_PAGE - 1);
    if (before)
        munmap(p, before);
    p += before;
    if (spare > before)
        munmap(p + ((size + PAGE_MASK) & ~PAGE_MASK), spare - before);
    madvise(p, size, MADV_HUGEPAGE); /* a hint */
    return p;
}

void *pages_map_file(size_t size, int prot, int fd)
{
    u8 *p = pages_map(size, PROT_NONE, true);
    if (!p || mmap(p, size, prot, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) == MAP_FAILED)
        return NULL;
    madvise(p, size, MADV_HUGEPAGE); /* a hint */
    return p;
}
