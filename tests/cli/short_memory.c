/*
 * Preloaded into the program under test: a host that runs out of memory. Guest memory is known by its size when the
 * program asks for large pages. From SHORT_MEMORY_KEEP on it has nothing behind it, but for its last page, so that an
 * access there raises SIGBUS.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t number(const char *name)
{
    const char *value = getenv(name);
    return value ? strtoul(value, NULL, 0) : 0;
}

int madvise(void *address, size_t length, int advice)
{
    size_t keep = number("SHORT_MEMORY_KEEP");
    if (length == number("SHORT_MEMORY_SIZE"))
        mmap((char *)address + keep, length - 4096 - keep, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             memfd_create("nothing", MFD_CLOEXEC), 0);
    return (int)syscall(SYS_madvise, address, length, advice);
}
