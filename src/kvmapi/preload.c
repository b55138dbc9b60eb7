/*
 * The seam to the program: functions that the program calls in place of libc's. What is about /dev/kvm or one of our
 * descriptors is answered here; everything else is passed on untouched, errno included. Any thread.
 *
 * Nothing happens until the program opens /dev/kvm; and nothing at all if NESTBOX_KVM is 0 (settings.h).
 */
#include "kvmapi/api.h"
#include "kvmapi/cpuinfo.h"
#include "kvmapi/descriptor.h"
#include "kvmapi/irqfd.h"
#include "kvmapi/signals.h"
#include "kvmapi/stats.h"
#include "kvmapi/system.h"
#include "kvmapi/vm.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SEAM __attribute__((visibility("default")))
#define DEVICE "/dev/kvm"
#define DEVICE_ID makedev(10, 232)

/* Fortified forms have names of their own, and other prototypes are hidden by macros. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* libc's own function of that name. */
#define NEXT(name)                                                                                                     \
    ({                                                                                                                 \
        static __typeof__(&name) next_;                                                                                \
        if (!next_)                                                                                                    \
            next_ = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                                        \
        next_;                                                                                                         \
    })

static long result(long r)
{
    if (r >= 0)
        return r;
    errno = (int)-r;
    return -1;
}

static bool same_folder(int at, const char *folder)
{
    struct stat dev, s;
    int saved = errno;
    bool same = !NEXT(stat)("/dev", &dev) && !NEXT(fstatat)(at, folder, &s, 0) && dev.st_dev == s.st_dev &&
                dev.st_ino == s.st_ino;
    errno = saved;
    return same;
}

/* By any name: also as kvm in /dev. */
static bool is_device(int at, const char *path)
{
    const char *name = path ? strrchr(path, '/') : NULL;
    char folder[256] = ".";
    name = name ? name + 1 : path;
    if (!name || *name != 'k' || strcmp(name, "kvm") || !system_serves())
        return false;
    if (!strcmp(path, DEVICE))
        return true;
    size_t n = (size_t)(name - path);
    if (n >= sizeof(folder))
        return false;
    if (n) {
        memcpy(folder, path, n);
        folder[n] = 0;
    }
    return same_folder(at, folder);
}

static bool takes_mode(int flags)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

/* -- open -- */

#define MODE(flags)                                                                                                    \
    ({                                                                                                                 \
        mode_t mode_ = 0;                                                                                              \
        if (takes_mode(flags)) {                                                                                       \
            va_list list_;                                                                                             \
            va_start(list_, flags);                                                                                    \
            mode_ = va_arg(list_, mode_t);                                                                             \
            va_end(list_);                                                                                             \
        }                                                                                                              \
        mode_;                                                                                                         \
    })

/* True: the file is ours, and *fd what open returns. */
static bool opened(int at, const char *path, int flags, int *fd)
{
    bool device = is_device(at, path);
    if (!device && !cpuinfo_is_asked(path, flags))
        return false;
    *fd = (int)result(device ? system_open(flags) : cpuinfo_open(flags));
    return true;
}

SEAM int open(const char *path, int flags, ...)
{
    int fd;
    return opened(AT_FDCWD, path, flags, &fd) ? fd : NEXT(open)(path, flags, MODE(flags));
}

SEAM int open64(const char *path, int flags, ...)
{
    int fd;
    return opened(AT_FDCWD, path, flags, &fd) ? fd : NEXT(open64)(path, flags, MODE(flags));
}

SEAM int openat(int at, const char *path, int flags, ...)
{
    int fd;
    return opened(at, path, flags, &fd) ? fd : NEXT(openat)(at, path, flags, MODE(flags));
}

SEAM int openat64(int at, const char *path, int flags, ...)
{
    int fd;
    return opened(at, path, flags, &fd) ? fd : NEXT(openat64)(at, path, flags, MODE(flags));
}

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int at, const char *path, int flags);
int __openat64_2(int at, const char *path, int flags);

SEAM int __open_2(const char *path, int flags)
{
    int fd;
    return opened(AT_FDCWD, path, flags, &fd) ? fd : NEXT(__open_2)(path, flags);
}

SEAM int __open64_2(const char *path, int flags)
{
    int fd;
    return opened(AT_FDCWD, path, flags, &fd) ? fd : NEXT(__open64_2)(path, flags);
}

SEAM int __openat_2(int at, const char *path, int flags)
{
    int fd;
    return opened(at, path, flags, &fd) ? fd : NEXT(__openat_2)(at, path, flags);
}

SEAM int __openat64_2(int at, const char *path, int flags)
{
    int fd;
    return opened(at, path, flags, &fd) ? fd : NEXT(__openat64_2)(at, path, flags);
}

SEAM int creat(const char *path, mode_t mode)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    int fd;
    return opened(AT_FDCWD, path, flags, &fd) ? fd : NEXT(open)(path, flags, mode);
}

SEAM int creat64(const char *path, mode_t mode)
{
    return creat(path, mode);
}

SEAM FILE *fopen(const char *restrict path, const char *restrict mode)
{
    int fd, flags = (strchr(mode, '+') ? O_RDWR
                     : *mode == 'r'    ? O_RDONLY
                                       : O_WRONLY) |
                    (strchr(mode, 'e') ? O_CLOEXEC : 0);
    if (!opened(AT_FDCWD, path, flags, &fd))
        return NEXT(fopen)(path, mode);
    return fd >= 0 ? fdopen(fd, mode) : NULL;
}

SEAM FILE *fopen64(const char *restrict path, const char *restrict mode)
{
    return fopen(path, mode);
}

/* -- does it exist? -- */

static int device_access(int mode)
{
    return mode & X_OK ? (int)result(-EACCES) : 0;
}

SEAM int access(const char *path, int mode)
{
    return is_device(AT_FDCWD, path) ? device_access(mode) : NEXT(access)(path, mode);
}

SEAM int eaccess(const char *path, int mode)
{
    return is_device(AT_FDCWD, path) ? device_access(mode) : NEXT(eaccess)(path, mode);
}

SEAM int euidaccess(const char *path, int mode)
{
    return is_device(AT_FDCWD, path) ? device_access(mode) : NEXT(euidaccess)(path, mode);
}

SEAM int faccessat(int at, const char *path, int mode, int flags)
{
    return is_device(at, path) ? device_access(mode) : NEXT(faccessat)(at, path, mode, flags);
}

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "struct stat and struct stat64 have one layout");

static int device_stat(void *to)
{
    struct stat *s = to;
    *s = (struct stat){.st_mode = S_IFCHR | 0666, .st_nlink = 1, .st_rdev = DEVICE_ID, .st_blksize = 4096, .st_ino = 1};
    return 0;
}

SEAM int stat(const char *path, struct stat *s)
{
    return is_device(AT_FDCWD, path) ? device_stat(s) : NEXT(stat)(path, s);
}

SEAM int stat64(const char *path, struct stat64 *s)
{
    return is_device(AT_FDCWD, path) ? device_stat(s) : NEXT(stat64)(path, s);
}

SEAM int lstat(const char *path, struct stat *s)
{
    return is_device(AT_FDCWD, path) ? device_stat(s) : NEXT(lstat)(path, s);
}

SEAM int lstat64(const char *path, struct stat64 *s)
{
    return is_device(AT_FDCWD, path) ? device_stat(s) : NEXT(lstat64)(path, s);
}

SEAM int fstatat(int at, const char *path, struct stat *s, int flags)
{
    return is_device(at, path) ? device_stat(s) : NEXT(fstatat)(at, path, s, flags);
}

SEAM int fstatat64(int at, const char *path, struct stat64 *s, int flags)
{
    return is_device(at, path) ? device_stat(s) : NEXT(fstatat64)(at, path, s, flags);
}

int __xstat(int version, const char *path, struct stat *s);
int __xstat64(int version, const char *path, struct stat64 *s);

SEAM int __xstat(int version, const char *path, struct stat *s)
{
    return is_device(AT_FDCWD, path) ? device_stat(s) : NEXT(__xstat)(version, path, s);
}

SEAM int __xstat64(int version, const char *path, struct stat64 *s)
{
    return is_device(AT_FDCWD, path) ? device_stat(s) : NEXT(__xstat64)(version, path, s);
}

SEAM int statx(int at, const char *path, int flags, unsigned mask, struct statx *s)
{
    if (!is_device(at, path))
        return NEXT(statx)(at, path, flags, mask, s);
    *s = (struct statx){.stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK,
                        .stx_mode = S_IFCHR | 0666,
                        .stx_nlink = 1,
                        .stx_blksize = 4096,
                        .stx_rdev_major = major(DEVICE_ID),
                        .stx_rdev_minor = minor(DEVICE_ID)};
    return 0;
}

static bool is_open_device(int fd)
{
    struct api_file *f = file_get(fd);
    bool device = f && f->kind == FILE_SYSTEM;
    if (f)
        file_put(f);
    return device;
}

SEAM int fstat(int fd, struct stat *s)
{
    return is_open_device(fd) ? device_stat(s) : NEXT(fstat)(fd, s);
}

SEAM int fstat64(int fd, struct stat64 *s)
{
    return is_open_device(fd) ? device_stat(s) : NEXT(fstat64)(fd, s);
}

int __fxstat(int version, int fd, struct stat *s);
int __fxstat64(int version, int fd, struct stat64 *s);

SEAM int __fxstat(int version, int fd, struct stat *s)
{
    return is_open_device(fd) ? device_stat(s) : NEXT(__fxstat)(version, fd, s);
}

SEAM int __fxstat64(int version, int fd, struct stat64 *s)
{
    return is_open_device(fd) ? device_stat(s) : NEXT(__fxstat64)(version, fd, s);
}

/* -- descriptors -- */

/* What has another type is for the descriptor itself, such as FIOCLEX. */
static bool api_ioctl(int fd, u32 request, u64 arg, long *r)
{
    if (_IOC_TYPE(request) != KVMIO || fd < 0)
        return false;
    int saved = errno, state;
    signals_enter();
    /* For KVM_RUN a signal is enough; it takes long, and calls nothing of libc's that would end the thread. */
    if (request != KVM_RUN)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    struct api_file *f = file_get(fd);
    *r = f ? 0 : system_adopt(fd);
    if (!f && !*r)
        f = file_get(fd);
    if (f) {
        *r = api_dispatch(f, request, arg);
        file_put(f);
    }
    if (request != KVM_RUN)
        pthread_setcancelstate(state, NULL);
    signals_leave();
    errno = saved;
    return f || *r == -EIO;
}

SEAM int ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    long r;
    va_start(list, request);
    u64 arg = va_arg(list, u64);
    va_end(list);
    if (unlikely((u32)request == UFFDIO_REGISTER))
        vms_watched();
    return api_ioctl(fd, (u32)request, arg, &r) ? (int)result(r) : NEXT(ioctl)(fd, request, arg);
}

/* The object of a descriptor that is gone may end by it. */
static void let_go(struct api_file *f)
{
    int saved = errno, state;
    if (!f)
        return;
    signals_enter();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    file_put(f);
    pthread_setcancelstate(state, NULL);
    signals_leave();
    errno = saved;
}

SEAM int close(int fd)
{
    if (file_is_hidden(fd))
        return (int)result(-EBADF);
    struct api_file *f = file_take(fd);
    int r = NEXT(close)(fd);
    let_go(f);
    return r;
}

SEAM int fclose(FILE *f)
{
    struct api_file *file = f ? file_take(fileno(f)) : NULL;
    int r = NEXT(fclose)(f);
    let_go(file);
    return r;
}

/* The parts between hidden descriptors. To set close-on-exec changes nothing here. */
SEAM int close_range(unsigned first, unsigned last, int flags)
{
    int r = 0;
    if (flags & ~CLOSE_RANGE_UNSHARE || first > last)
        return NEXT(close_range)(first, last, flags);
    for (int fd = file_next((int)(first > 0x7fffffff ? 0x7fffffff : first)); fd >= 0 && (unsigned)fd <= last;
         fd = file_next(fd + 1)) {
        if (!file_is_hidden(fd)) {
            let_go(file_take(fd));
            continue;
        }
        if (first < (unsigned)fd)
            r |= NEXT(close_range)(first, (unsigned)fd - 1, flags);
        first = (unsigned)fd + 1;
    }
    return first <= last ? r | NEXT(close_range)(first, last, flags) : r;
}

SEAM void closefrom(int first)
{
    close_range((unsigned)(first < 0 ? 0 : first), ~0u, 0);
}

static int copied(int fd, int copy)
{
    if (copy >= 0 && copy != fd) {
        let_go(file_take(copy));
        file_copied(fd, copy);
    }
    return copy;
}

SEAM int dup(int fd)
{
    return copied(fd, NEXT(dup)(fd));
}

SEAM int dup2(int fd, int copy)
{
    if (file_is_hidden(copy))
        return (int)result(-EBUSY);
    return copied(fd, NEXT(dup2)(fd, copy));
}

SEAM int dup3(int fd, int copy, int flags)
{
    if (file_is_hidden(copy))
        return (int)result(-EBUSY);
    return copied(fd, NEXT(dup3)(fd, copy, flags));
}

SEAM int fcntl(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    void *arg = va_arg(list, void *);
    va_end(list);
    int r = NEXT(fcntl)(fd, command, arg);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, r) : r;
}

SEAM int fcntl64(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    void *arg = va_arg(list, void *);
    va_end(list);
    int r = NEXT(fcntl64)(fd, command, arg);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, r) : r;
}

/* -- mapping -- */

/* The kernel lets dirty rings be mapped shared only, and never executable. */
static bool maps_wrongly(int fd, int protection, int flags, off64_t at)
{
    bool right = flags & MAP_SHARED && !(protection & PROT_EXEC);
    if (right || fd < 0 || flags & MAP_ANONYMOUS || at < (off64_t)(API_PAGE_RING * PAGE_SIZE))
        return false;
    int saved = errno;
    struct api_file *f = file_get(fd);
    bool wrong = f && f->kind == FILE_VCPU;
    if (f)
        file_put(f);
    errno = wrong ? EINVAL : saved;
    return wrong;
}

/* By the system call: an allocator may ask for memory before the dynamic linker can look up a function. */
static void *map(void *to, size_t size, int protection, int flags, int fd, off64_t at)
{
    if (maps_wrongly(fd, protection, flags, at))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, to, size, protection, flags, fd, at);
}

SEAM void *mmap(void *to, size_t size, int protection, int flags, int fd, off_t at)
{
    return map(to, size, protection, flags, fd, at);
}

SEAM void *mmap64(void *to, size_t size, int protection, int flags, int fd, off64_t at)
{
    return map(to, size, protection, flags, fd, at);
}

/* -- reading statistics -- */

static void reads(int fd)
{
    struct api_file *f = file_get(fd);
    if (!f)
        return;
    int saved = errno;
    if (f->kind == FILE_STATS)
        stats_refresh(f->object);
    file_put(f);
    errno = saved;
}

SEAM ssize_t read(int fd, void *to, size_t size)
{
    reads(fd);
    return NEXT(read)(fd, to, size);
}

SEAM ssize_t write(int fd, const void *from, size_t size)
{
    if (size == sizeof(u64) && irqfd_write(fd, from))
        return sizeof(u64);
    return NEXT(write)(fd, from, size);
}
SEAM ssize_t pread(int fd, void *to, size_t size, off_t at)
{
    reads(fd);
    return NEXT(pread)(fd, to, size, at);
}

SEAM ssize_t pread64(int fd, void *to, size_t size, off64_t at)
{
    reads(fd);
    return NEXT(pread64)(fd, to, size, at);
}

ssize_t __read_chk(int fd, void *to, size_t size, size_t room);
ssize_t __pread_chk(int fd, void *to, size_t size, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *to, size_t size, off64_t at, size_t room);

SEAM ssize_t __read_chk(int fd, void *to, size_t size, size_t room)
{
    reads(fd);
    return NEXT(__read_chk)(fd, to, size, room);
}

SEAM ssize_t __pread_chk(int fd, void *to, size_t size, off_t at, size_t room)
{
    reads(fd);
    return NEXT(__pread_chk)(fd, to, size, at, room);
}

SEAM ssize_t __pread64_chk(int fd, void *to, size_t size, off64_t at, size_t room)
{
    reads(fd);
    return NEXT(__pread64_chk)(fd, to, size, at, room);
}

/* -- signals -- */

SEAM int sigaction(int sig, const struct sigaction *restrict act, struct sigaction *restrict old)
{
    return signals_action(sig, act, old);
}

int __sigaction(int sig, const struct sigaction *restrict act, struct sigaction *restrict old);
SEAM int __sigaction(int sig, const struct sigaction *restrict act, struct sigaction *restrict old)
{
    return signals_action(sig, act, old);
}

static __sighandler_t set_handler(int sig, __sighandler_t handler, int flags)
{
    struct sigaction act = {.sa_handler = handler, .sa_flags = flags}, old;
    sigemptyset(&act.sa_mask);
    if (flags & SA_RESTART)
        sigaddset(&act.sa_mask, sig);
    return signals_action(sig, &act, &old) ? SIG_ERR : old.sa_handler;
}

SEAM __sighandler_t signal(int sig, __sighandler_t handler)
{
    return set_handler(sig, handler, SA_RESTART);
}

__sighandler_t bsd_signal(int sig, __sighandler_t handler);
SEAM __sighandler_t bsd_signal(int sig, __sighandler_t handler)
{
    return set_handler(sig, handler, SA_RESTART);
}

SEAM __sighandler_t ssignal(int sig, __sighandler_t handler)
{
    return set_handler(sig, handler, SA_RESTART);
}

SEAM __sighandler_t sysv_signal(int sig, __sighandler_t handler)
{
    return set_handler(sig, handler, (int)SA_RESETHAND | SA_NODEFER);
}

SEAM __sighandler_t __sysv_signal(int sig, __sighandler_t handler)
{
    return set_handler(sig, handler, (int)SA_RESETHAND | SA_NODEFER);
}

SEAM int sigignore(int sig)
{
    const struct sigaction act = {.sa_handler = SIG_IGN};
    return signals_action(sig, &act, NULL);
}

#define HOLD ((__sighandler_t)2) /* of sigset: the signal is blocked */

SEAM __sighandler_t sigset(int sig, __sighandler_t handler)
{
    const struct sigaction act = {.sa_handler = handler};
    struct sigaction old;
    sigset_t one, before;
    sigemptyset(&one);
    if (sigaddset(&one, sig) || signals_action(sig, handler == HOLD ? NULL : &act, &old) ||
        sigprocmask(handler == HOLD ? SIG_BLOCK : SIG_UNBLOCK, &one, &before))
        return SIG_ERR;
    return sigismember(&before, sig) ? HOLD : old.sa_handler;
}

SEAM int pthread_cancel(pthread_t thread)
{
    signals_cancel_begin(NEXT(pthread_cancel));
    return NEXT(pthread_cancel)(thread);
}

SEAM int sigaltstack(const stack_t *restrict stack, stack_t *restrict old)
{
    return signals_stack(stack, old);
}
