/*
 * Preloaded into the program under test: a host that runs out of memory. Guest memory is known by its size when the
 * program asks for large pages. From SHORT_MEMORY_KEEP on it has nothing behind it, so that an access there raises
 * SIGBUS; but for its end, where the machine puts the ACPI tables and the ROM before the guest starts.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define END_KEPT (0x10000 + 0x1000)

static size_t number(const char *name)
{
    const char *value = getenv(name);
    return value ? strtoul(value, NULL, 0) : 0;
}

int madvise(void *address, size_t length, int advice)
{
    size_t keep = number("SHORT_MEMORY_KEEP");
    if (length == number("SHORT_MEMORY_SIZE"))
        mmap((char *)address + keep, length - END_KEPT - keep, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             memfd_create("nothing", MFD_CLOEXEC), 0);
    return (int)syscall(SYS_madvise, address, length, advice);
}
