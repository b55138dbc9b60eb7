/*
 * SIGBUS, on any thread. An access cannot be undone where it happens: it may be a copied instruction, a handler of the
 * core, a device, or the loader of kernels. So other memory takes the place of the page, the access goes on with wrong
 * data, and the owner of the VM, woken by the eventfd, ends it before anything else. Guest memory gets the same spare
 * page wherever it is lost; that page is made at the start, when there is memory. The rest of a file reads as zeros,
 * which cost no memory.
 *
 * Whatever else raises SIGBUS is a crash. Rejected: reading files instead of mapping them (a big initrd would count
 * twice), and touching all guest memory at the start (a VM would cost its whole memory at once).
 */
#include "vmproc/buserror.h"

#include "vmproc/crash.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    struct pc *const *pc;
    const struct boot *boot;
    int wake, spare;
    bool claimed; /* [a] by the thread that lost a page first, which fills in the next two */
    u64 gpa;
    const char *file; /* NULL: guest memory */
    bool noted;       /* [a] these two are final */
} lost;

static bool stand_in(u8 *page, u64 *gpa, const char **file)
{
    const struct boot_file *mapped = boot_file_at(lost.boot, page, file);
    if (mapped)
        return mmap(page, (size_t)(mapped->data + mapped->size - page), PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
    return *lost.pc && pc_ram_at(*lost.pc, page, gpa) &&
           mmap(page, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, lost.spare, 0) != MAP_FAILED;
}

static void on_bus_error(int signal_number, siginfo_t *info, void *context)
{
    int saved = errno;
    u8 *page = (u8 *)((uintptr_t)info->si_addr & ~PAGE_MASK);
    u64 gpa = 0, one = 1;
    const char *file = NULL;
    bool sent = info->si_code <= 0;
    if (!sent && lost.pc && stand_in(page, &gpa, &file)) {
        if (!__atomic_exchange_n(&lost.claimed, true, __ATOMIC_SEQ_CST)) {
            lost.gpa = gpa;
            lost.file = file;
            __atomic_store_n(&lost.noted, true, __ATOMIC_SEQ_CST);
            (void)!write(lost.wake, &one, sizeof(one));
        }
        errno = saved;
        return;
    }
    if (!sent)
        fprintf(stderr, "nestbox: internal error: bus error, address %p\n", info->si_addr);
    crash_undo();
    signal(SIGBUS, SIG_DFL);
    if (sent)
        raise(SIGBUS); /* a fault comes again by itself */
}

int buserror_watch(struct pc *const *pc, const struct boot *boot, int wake)
{
    lost.spare = memfd_create("nestbox spare page", MFD_CLOEXEC);
    if (lost.spare < 0 || ftruncate(lost.spare, PAGE_SIZE) < 0 || pwrite(lost.spare, "", 1, 0) != 1)
        return -errno;
    lost.boot = boot;
    lost.wake = wake;
    lost.pc = pc;
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

void buserror_unwatch(void)
{
    lost.pc = NULL;
    if (lost.spare > 0)
        close(lost.spare);
    lost.spare = -1;
}

bool buserror_found(struct error *error)
{
    if (!__atomic_load_n(&lost.noted, __ATOMIC_SEQ_CST))
        return false;
    if (lost.file)
        error_set(error, -EIO, "%s: became shorter while the VM used it", lost.file);
    else
        error_set(error, -ENOMEM,
                  "the host has no memory for guest address %#llx: out of memory, or a memory or swap error",
                  (unsigned long long)lost.gpa);
    return true;
}
