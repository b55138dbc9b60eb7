/*
 * Large areas of zeroed memory from the host, taken when touched.
 */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include "base/types.h"

/*
 * `size` bytes with `prot` (PROT_* of mmap), private, without reservation of swap. At a multiple of 2 MiB, and in large
 * pages where the host has them, if `large`: for what is used densely, or is worth the memory. NULL with errno if the
 * host has no room. To be released by munmap.
 */
void *pages_map(size_t size, int prot, bool large);
/* The same of a file from its start on, shared and large. */
void *pages_map_file(size_t size, int prot, int fd);

#endif
