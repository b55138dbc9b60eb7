/*
 * The home folder and the run folder: where they are, that they belong to their user alone, the lock that commands hold
 * while they change something, and the logs of VMs.
 */
#include "store/store.h"

#include "rules/name.h"
#include "store/file.h"

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

#define LOG_MAX (1 << 20)
#define LOCK_WAIT_MS 45000u
#define LOCK_STEP_MS 10u

static bool join(char to[static PATH_MAX], const char *a, const char *b)
{
    return snprintf(to, PATH_MAX, "%s%s", a, b) < PATH_MAX;
}

/* -- folders -- */

/* Creates a folder and those above it. */
static int make_folders(const char *path, struct error *error)
{
    char part[PATH_MAX];
    for (const char *slash = path; slash;) {
        slash = strchr(slash + 1, '/');
        snprintf(part, sizeof(part), "%.*s", slash ? (int)(slash - path) : PATH_MAX - 1, path);
        if (mkdir(part, slash ? 0755 : 0700) && errno != EEXIST) {
            int e = error_path(error, -errno, part);
            return e == -EACCES || e == -EPERM || e == -EROFS
                       ? error_hint(error, "NESTBOX_HOME in the environment names another folder")
                       : e;
        }
    }
    return 0;
}

/* Who else may write there could have put anything there; a folder in /tmp may have been made by somebody else. */
static int check_owner(const char *path, struct error *error)
{
    struct stat st;
    char hint[sizeof(error->hint)];
    if (stat(path, &st))
        return error_path(error, -errno, path);
    if (!S_ISDIR(st.st_mode))
        return error_path(error, -ENOTDIR, path);
    if (st.st_uid != geteuid())
        return error_set(error, -EPERM, "%.200s belongs to another user", path);
    if (!(st.st_mode & 022))
        return 0;
    error_set(error, -EPERM, "%.200s: other users may write there", path);
    snprintf(hint, sizeof(hint), "chmod go-w %.100s", path);
    return error_hint(error, hint);
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool home_path(char to[static PATH_MAX])
{
    const char *own = variable("NESTBOX_HOME"), *data = variable("XDG_DATA_HOME"), *home = variable("HOME");
    if (own)
        return join(to, own, "");
    if (geteuid() == 0)
        return join(to, "/var/lib/nestbox", "");
    return data ? join(to, data, "/nestbox") : join(to, home ? home : "/", "/.local/share/nestbox");
}

static bool run_path(const char *home, char to[static PATH_MAX])
{
    const char *run = variable("XDG_RUNTIME_DIR");
    char own[64];
    struct stat st;
    if (variable("NESTBOX_HOME"))
        return join(to, home, "/run");
    if (geteuid() == 0)
        return join(to, "/run/nestbox", "");
    snprintf(own, sizeof(own), "/tmp/nestbox-%u", (unsigned)geteuid());
    if (!run && lstat(own, &st) == 0 && S_ISLNK(st.st_mode))
        return false; /* by somebody else, maybe to somewhere of ours */
    return run ? join(to, run, "/nestbox") : join(to, own, "");
}

/* A path that is given may be relative; processes that live longer have other working directories. */
static int make_absolute(char path[static PATH_MAX], struct error *error)
{
    char real[PATH_MAX];
    int e = make_folders(path, error);
    if (e)
        return e;
    if (!realpath(path, real))
        return error_path(error, -errno, path);
    strcpy(path, real);
    return check_owner(path, error);
}

static int make_below(const char *above, const char *const *names, struct error *error)
{
    char path[PATH_MAX];
    for (; *names; names++) {
        if (!join(path, above, *names))
            return error_path(error, -ENAMETOOLONG, above);
        if (mkdir(path, 0700) && errno != EEXIST)
            return error_path(error, -errno, path);
    }
    return 0;
}

static int make_all_below(const struct store *store, struct error *error)
{
    static const char *const homes[] = {"/switches", "/nats", "/vms", "/state", "/intents", "/images", "/locks", NULL};
    static const char *const runs[] = {"/switches", "/nics", "/logs", "/state", "/vms", NULL};
    int e = make_below(store->home, homes, error);
    return e ? e : make_below(store->run, runs, error);
}

int store_folders(const struct store *store, struct error *error)
{
    struct stat ours, there;
    if (fstat(store->folder, &ours) || stat(store->home, &there) || ours.st_ino != there.st_ino ||
        ours.st_dev != there.st_dev)
        return error_set(error, -ENOENT, "the folder %.200s is gone", store->home);
    int e = make_folders(store->run, error);
    return e ? e : make_all_below(store, error);
}

struct store *store_open(struct error *error)
{
    struct store *store = calloc(1, sizeof(*store));
    int e;
    if (!store) {
        error_memory(error);
        return NULL;
    }
    store->lock = store->folder = -1;
    if (!home_path(store->home)) {
        e = error_set(error, -ENAMETOOLONG, "the path of the home folder is too long");
    } else {
        e = make_absolute(store->home, error);
        if (!e && !run_path(store->home, store->run))
            e = error_set(error, -ENOENT,
                          "there is no folder for sockets; XDG_RUNTIME_DIR in the environment names one");
        if (!e)
            e = make_absolute(store->run, error);
        if (!e)
            e = make_all_below(store, error);
    }
    if (!e && (store->folder = open(store->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        e = error_path(error, -errno, store->home);
    if (!e)
        return store;
    store_close(store);
    return NULL;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store_unlock(store);
    if (store->folder >= 0)
        close(store->folder);
    free(store);
}

const char *store_home(const struct store *store)
{
    return store->home;
}

const char *store_run(const struct store *store)
{
    return store->run;
}

void store_notes_to(struct store *store, void (*note)(const struct error *note))
{
    store->note = note;
}

void store_note(const struct store *store, const struct error *note)
{
    if (store->note)
        store->note(note);
}

void store_tolerate(struct store *store, struct damage *damage)
{
    store->damage = damage;
}

/* -- lock and changes -- */

/* Whoever holds the lock may start a switch meanwhile, but does not wait for a person. */
static int wait_for_lock(int fd, struct error *error)
{
    for (unsigned waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB); waited_ms += LOCK_STEP_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_path(error, -errno, "lock");
        if (waited_ms > LOCK_WAIT_MS) {
            error_set(error, -EBUSY, "another command has been changing networks for %u seconds", LOCK_WAIT_MS / 1000);
            return error_hint(error, "it may have been stopped: continue or end it");
        }
        usleep(LOCK_STEP_MS * 1000);
    }
    return 0;
}

int store_lock(struct store *store, struct error *error)
{
    int fd = openat(store->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_path(error, -errno, store->home);
    int e = wait_for_lock(fd, error);
    if (!e)
        e = journal_replay(store->folder, error);
    if (e)
        close(fd);
    else
        store->lock = fd;
    return e;
}

int store_check(const struct store *store, struct error *error)
{
    return journal_check(store->folder, error);
}

void store_unlock(struct store *store)
{
    journal_drop(&store->journal);
    store->gathers = false;
    if (store->lock >= 0)
        close(store->lock);
    store->lock = -1;
}

void store_begin(struct store *store)
{
    journal_drop(&store->journal);
    store->gathers = true;
}

int store_commit(struct store *store, struct error *error)
{
    store->gathers = false;
    return journal_commit(&store->journal, store->folder, error);
}

int store_read(struct store *store, const char *path, json_t **object, struct error *error)
{
    const json_t *step = journal_find(&store->journal, path);
    if (!step)
        return file_read(store->folder, path, object, error);
    json_t *content = json_object_get(step, "content");
    *object = json_is_object(content) ? json_deep_copy(content) : NULL;
    return *object ? 0 : error_path(error, json_is_object(content) ? -ENOMEM : -ENOENT, path);
}

int store_write(struct store *store, const char *path, json_t *object, struct error *error)
{
    if (store->gathers)
        return journal_add(&store->journal, path, object, error);
    return object ? file_write(store->folder, path, object, error) : file_remove(store->folder, path, error);
}

/* -- paths and logs -- */

static int socket_path(const struct store *store, const char *folder, const char *name, char *path, size_t size,
                       struct error *error)
{
    int n = snprintf(path, size, "%s/%s/%s", store->run, folder, name);
    if (n >= 0 && (size_t)n < size && (size_t)n < sizeof(((struct sockaddr_un *)0)->sun_path))
        return 0;
    error_set(error, -ENAMETOOLONG, "the path of the socket %s/%s has %d characters, and at most %zu are possible",
              folder, name, n, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    return error_hint(error, "a shorter name, or a shorter path in NESTBOX_HOME, helps");
}

int store_card_socket(const struct store *store, const char *id, char *path, size_t size, struct error *error)
{
    return socket_path(store, "nics", id, path, size, error);
}

int store_switch_socket(const struct store *store, const char *name, char *path, size_t size, struct error *error)
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(name, folded);
    return socket_path(store, "switches", folded, path, size, error);
}

/* Of a switch, below the home or the run folder. */
static int switch_path(const char *above, const char *folder, const char *name, char *path, size_t size,
                       struct error *error)
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(name, folded);
    int n = snprintf(path, size, "%s/%s/%s", above, folder, folded);
    return n >= 0 && (size_t)n < size ? 0 : error_path(error, -ENAMETOOLONG, above);
}

int store_switch_file(const struct store *store, const char *name, char *path, size_t size, struct error *error)
{
    char file[NAME_MAX_LEN + sizeof(".json")];
    snprintf(file, sizeof(file), "%s.json", name);
    return switch_path(store->home, "switches", file, path, size, error);
}

int store_switch_lock(const struct store *store, const char *name, char *path, size_t size, struct error *error)
{
    return switch_path(store->home, "locks", name, path, size, error);
}

int store_switch_log(const struct store *store, const char *name, char *path, size_t size, struct error *error)
{
    return switch_path(store->run, "logs", name, path, size, error);
}

int store_switch_folders(const struct store *store, const char *name, char *state, char *run, size_t size,
                         struct error *error)
{
    int e = switch_path(store->home, "state", name, state, size, error);
    if (!e)
        e = switch_path(store->run, "state", name, run, size, error);
    if (!e && mkdir(state, 0700) && errno != EEXIST)
        e = error_path(error, -errno, state);
    if (!e && mkdir(run, 0700) && errno != EEXIST)
        e = error_path(error, -errno, run);
    return e;
}

void store_switch_forget(const struct store *store, const char *name)
{
    char state[PATH_MAX], run[PATH_MAX], log[PATH_MAX];
    struct error error;
    if (store_switch_folders(store, name, state, run, sizeof(state), &error))
        return;
    (void)!folder_remove(AT_FDCWD, state);
    (void)!folder_remove(AT_FDCWD, run);
    if (!store_switch_log(store, name, log, sizeof(log), &error))
        unlink(log);
}

void store_vm_log(const struct store *store, const char *vm, const char *line)
{
    char folded[NAME_MAX_LEN + 1], path[128], older[sizeof(path) + 2];
    struct stat st;
    struct tm tm;
    time_t now = time(NULL);
    name_fold(vm, folded);
    snprintf(path, sizeof(path), "vms/%s", folded);
    mkdirat(store->folder, path, 0700);
    snprintf(path, sizeof(path), "vms/%s/log", folded);
    if (fstatat(store->folder, path, &st, 0) == 0 && st.st_size > LOG_MAX) {
        snprintf(older, sizeof(older), "%s.1", path);
        renameat(store->folder, path, store->folder, older);
    }
    int fd = openat(store->folder, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return;
    localtime_r(&now, &tm);
    dprintf(fd, "%04d-%02d-%02d %02d:%02d:%02d %s\n", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
            tm.tm_min, tm.tm_sec, line);
    close(fd);
}
