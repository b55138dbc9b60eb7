/*
 * Preloaded into the program under test: a host that runs out of memory. Guest memory, told by its size, has nothing
 * behind it from SHORT_MEMORY_KEEP on, but for its last page, so that an access there raises SIGBUS.
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

void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
    char *p = (char *)syscall(SYS_mmap, address, length, prot, flags, fd, offset);
    size_t keep = number("SHORT_MEMORY_KEEP");
    if (p != MAP_FAILED && fd < 0 && length == number("SHORT_MEMORY_SIZE"))
        syscall(SYS_mmap, p + keep, length - 4096 - keep, prot, MAP_SHARED | MAP_FIXED,
                memfd_create("nothing", MFD_CLOEXEC), 0);
    return p;
}
