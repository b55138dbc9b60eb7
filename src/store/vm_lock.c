/*
 * The lock of a VM: a file in the run folder, locked by flock(2), that has who holds it. The kernel releases it with
 * the process, so none is stale. What an ended command left of its operation is finished or undone by who locks next.
 * The file of a VM that is not there goes: who holds it removes it, and who waited for it then takes another one.
 */
#include "store/vm.h"

#include "base/monotonic.h"
#include "store/definition.h"
#include "store/intent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define STEP_MS 10u
#define NOTE_MS 1000u /* a wait that lasts so long is reported */

static int run_path(const struct store *store, const char *vm, const char *what, char *path, size_t size,
                    struct error *error)
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(vm, folded);
    int n = snprintf(path, size, "%s/vms/%s%s%s", store->run, folded, *what ? "/" : "", what);
    if (n < 0 || (size_t)n >= size)
        return error_set(error, -ENAMETOOLONG, "the paths of VM %s are too long", vm);
    return 0;
}

int store_vm_socket(const struct store *store, const char *vm, const char *what, char *path, size_t size,
                    struct error *error)
{
    char folder[PATH_MAX];
    int e = run_path(store, vm, "", folder, sizeof(folder), error);
    if (!e)
        e = run_path(store, vm, what, path, size, error);
    if (e)
        return e;
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        error_set(error, -ENAMETOOLONG,
                  "the path of the socket %s of VM %s has %zu characters, and at most %zu are possible", what, vm,
                  strlen(path), sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
        return error_hint(error, "a shorter name, or a shorter path in NESTBOX_HOME, helps");
    }
    return mkdir(folder, 0700) && errno != EEXIST ? error_path(error, -errno, folder) : 0;
}

/* -- who holds it -- */

struct holder {
    long process;
    long long since;
    char what[32];
};

static void holder_write(int fd, const char *what)
{
    char text[80];
    int n = snprintf(text, sizeof(text), "%ld %lld %s\n", (long)getpid(), (long long)time(NULL), what);
    if (n > 0 && pwrite(fd, text, (size_t)n, 0) == n)
        (void)!ftruncate(fd, n);
}

static struct holder holder_read(int fd)
{
    struct holder holder = {.what = "command"};
    char text[80];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%ld %lld %31s", &holder.process, &holder.since, holder.what) < 3)
        snprintf(holder.what, sizeof(holder.what), "command");
    return holder;
}

static void describe(int fd, const char *vm, const char *begin, struct error *error)
{
    struct holder holder = holder_read(fd);
    long long seconds = holder.since ? (long long)time(NULL) - holder.since : 0;
    error_set(error, -EBUSY, "%s '%s' (process %ld), which has been at work on VM %s for %lld seconds", begin,
              holder.what, holder.process, vm, seconds > 0 ? seconds : 0);
}

/* -- locking -- */

static int open_lock(const struct store *store, const char *name, char path[static PATH_MAX], struct error *error)
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(name, folded);
    if (snprintf(path, PATH_MAX, "%s/vms/.%s.lock", store->run, folded) >= PATH_MAX)
        return error_set(error, -ENAMETOOLONG, "the paths of VM %s are too long", name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? error_path(error, -errno, path) : fd;
}

static int wait_lock(struct store *store, int fd, const char *name, u32 wait_ms, struct error *error)
{
    const u64 begin = monotonic_ns();
    bool told = false;
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        const u64 waited = (monotonic_ns() - begin) / 1000000;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_path(error, -errno, "lock");
        if (waited >= wait_ms) {
            describe(fd, name, "it is the turn of", error);
            return error_hint(error, "try again when it has ended; if it hangs, end that process");
        }
        if (waited >= NOTE_MS && !told) {
            struct error note;
            describe(fd, name, "waiting for", &note);
            store_note(store, &note);
            told = true;
        }
        usleep(STEP_MS * 1000);
    }
    return 0;
}

/* False if the file that was locked has been removed meanwhile. */
static bool holds(int fd, const char *path)
{
    struct stat own, there;
    return !fstat(fd, &own) && !lstat(path, &there) && own.st_ino == there.st_ino && own.st_dev == there.st_dev;
}

static int lock_file(struct store *store, const char *name, u32 wait_ms, struct error *error)
{
    char path[PATH_MAX];
    for (;;) {
        int fd = open_lock(store, name, path, error);
        int e = fd < 0 ? fd : wait_lock(store, fd, name, wait_ms, error);
        if (!e && holds(fd, path))
            return fd;
        if (fd >= 0)
            close(fd);
        if (e)
            return e;
    }
}

void store_vm_unlock(struct store *store, const char *name, int lock)
{
    char path[PATH_MAX], file[DEFINITION_PATH_MAX], folded[NAME_MAX_LEN + 1];
    name_fold(name, folded);
    definition_path("vms", name, "/vm.json", file);
    if (faccessat(store->folder, file, F_OK, 0) && errno == ENOENT &&
        snprintf(path, sizeof(path), "%s/vms/.%s.lock", store->run, folded) < PATH_MAX)
        unlink(path);
    close(lock);
}

/* What others left, as far as it waits for nobody. */
static void recover_other(struct store *store, const char *vm)
{
    char path[PATH_MAX];
    struct error ignored;
    int fd = open_lock(store, vm, path, &ignored);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) || !holds(fd, path)) {
        close(fd);
        return;
    }
    holder_write(fd, "recover");
    (void)!intent_recover(store, vm, &ignored);
    store_vm_unlock(store, vm, fd);
}

int store_vm_lock(struct store *store, const char *name, const char *what, u32 wait_ms, struct error *error)
{
    int e = name_check("a VM", name, error);
    int fd = e ? e : lock_file(store, name, wait_ms, error);
    if (fd < 0)
        return fd;
    holder_write(fd, what);
    e = intent_recover(store, name, error);
    if (e) {
        store_vm_unlock(store, name, fd);
        return e;
    }
    intents_each(store, recover_other);
    return fd;
}
