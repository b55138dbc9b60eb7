/*
 * Speaks the protocol of docs/network.md. A process that does not answer is an error after a while, never a command
 * that hangs.
 */
#include "manager/client.h"

#include "base/monotonic.h"
#include "process/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NS_PER_MS 1000000ull
#define ANSWER_MS 10000u
#define START_MS 20000u /* nftables, dnsmasq and a busy host may take their time */
#define STOP_MS 5000u

static void switch_peer(const char *name, struct ask_peer *peer)
{
    snprintf(peer->name, sizeof(peer->name), "switch %s", name);
    peer->hangs = "`nestbox switch stop` ends its process; the next command starts it again";
    peer->absent = "`nestbox switch start` starts it";
}

/* Opens what the process locks; -1: there is none. */
static int open_lock(const struct store *store, const char *name)
{
    char path[PATH_MAX];
    struct error error;
    return store_switch_lock(store, name, path, sizeof(path), &error) ? -1 : open(path, O_RDWR | O_CLOEXEC);
}

long client_holder(int lock)
{
    char text[80] = "";
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        flock(lock, LOCK_UN);
        return 0;
    }
    return errno == EWOULDBLOCK && pread(lock, text, sizeof(text) - 1, 0) > 0 ? atol(text) : 0;
}

long client_process(const struct store *store, const char *name)
{
    int lock = open_lock(store, name);
    long process = lock < 0 ? 0 : client_holder(lock);
    if (lock >= 0)
        close(lock);
    return process;
}

/* Adds the number of the process, if it is known. */
static int name_process(const struct store *store, const char *name, int e, struct error *error)
{
    long process = e == -ETIMEDOUT ? client_process(store, name) : 0;
    char number[40];
    if (process) {
        snprintf(number, sizeof(number), " (process %ld)", process);
        error_append(error, number, sizeof(number));
    }
    return e;
}

/* -- asking -- */

int client_connect(const struct store *store, const char *name, struct error *error)
{
    char path[PATH_MAX];
    struct ask_peer peer;
    int e = store_switch_socket(store, name, path, sizeof(path), error);
    switch_peer(name, &peer);
    return e ? e : ask_connect(path, &peer, error);
}

int client_ask_at(int fd, const char *name, const json_t *request, json_t **answer, struct error *error)
{
    static const struct ask how = {.wait_ms = ANSWER_MS};
    struct ask_peer peer;
    switch_peer(name, &peer);
    return ask(fd, &peer, &how, request, answer, error);
}

int client_request(const struct store *store, const char *name, json_t *request, json_t **answer, struct error *error)
{
    int fd = client_connect(store, name, error), e = fd;
    if (fd >= 0) {
        e = request ? client_ask_at(fd, name, request, answer, error) : error_memory(error);
        close(fd);
    }
    json_decref(request);
    return name_process(store, name, e, error);
}

int client_ask(const struct store *store, const char *name, const char *what, json_t **answer, struct error *error)
{
    return client_request(store, name, json_pack("{s:s}", "do", what), answer, error);
}

/* -- starting -- */

int client_start(const struct store *store, const char *name, struct error *error)
{
    const char *const argv[] = {"nestbox", "switch", "run", name, NULL};
    char log[PATH_MAX];
    struct ask_peer peer;
    switch_peer(name, &peer);
    int e = store_switch_log(store, name, log, sizeof(log), error);
    if (e)
        return e;
    /* Another process that has the lock may be starting, so that its socket comes, or ending, so that its lock goes. */
    for (u64 deadline = monotonic_ns() + START_MS * NS_PER_MS;; usleep(20000)) {
        json_t *answer = NULL;
        e = client_ask(store, name, "show", &answer, error); /* one that is being killed still takes connections */
        json_decref(answer);
        if (e != -ENOTCONN && e != -EPIPE)
            return e;
        e = spawn_self(argv, store_home(store), log, &peer, error);
        if (e != -EALREADY || monotonic_ns() > deadline)
            return e;
    }
}

static bool ends_within(int lock, u32 ms)
{
    for (u64 deadline = monotonic_ns() + ms * NS_PER_MS; flock(lock, LOCK_EX | LOCK_NB); usleep(10000))
        if (monotonic_ns() > deadline)
            return false;
    return true;
}

/* Ends who would start the process again. Returns false if there is nobody. */
static bool end_keeper(int lock)
{
    char text[80] = "";
    int keeper;
    u64 started;
    if (pread(lock, text, sizeof(text) - 1, 0) <= 0 || sscanf(text, "%*d %d %" SCNu64, &keeper, &started) != 2)
        return false;
    int fd = spawn_find(keeper, started);
    if (fd < 0)
        return false;
    syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    (void)ask_wait(fd, POLLIN, monotonic_ns() + STOP_MS * NS_PER_MS);
    close(fd);
    return true;
}

int client_stop(const struct store *store, const char *name, struct error *error)
{
    json_t *answer = NULL;
    int e = client_ask(store, name, "stop", &answer, error);
    json_decref(answer);
    if (e == -ENAMETOOLONG)
        return 0;
    if (e && e != -EPIPE && e != -ETIMEDOUT && e != -ENOTCONN)
        return e;
    int lock = open_lock(store, name);
    if (lock < 0)
        return e == -ETIMEDOUT ? e : 0;
    bool kept = e && end_keeper(lock);
    bool ended = (e == -ENOTCONN && !kept) || ((!e || e == -EPIPE) && ends_within(lock, STOP_MS));
    if (!ended) {
        end_keeper(lock);
        long process = client_holder(lock);
        if (process > 0)
            kill((pid_t)process, SIGKILL);
        ended = ends_within(lock, STOP_MS);
    }
    close(lock);
    struct ask_peer peer;
    switch_peer(name, &peer);
    return ended ? 0 : name_process(store, name, ask_no_answer(&peer, error), error);
}

int client_refresh(const struct store *store, const char *name, bool wanted, const char *about, struct error *error)
{
    json_t *answer = NULL, *note;
    size_t index;
    int e = client_request(store, name, json_pack("{s:s, s:s?}", "do", "reload", "about", about), &answer, error);
    json_array_foreach (json_object_get(answer, "notes"), index, note) {
        struct error other;
        ask_error(note, &other);
        store_note(store, &other);
    }
    json_decref(answer);
    if (e == -ESTALE) {
        e = client_stop(store, name, error);
        return e || !wanted ? e : client_start(store, name, error);
    }
    if (e == -ENAMETOOLONG && !wanted)
        e = 0; /* it never ran */
    if (e == -ENOTCONN || e == -EPIPE)
        e = wanted ? client_start(store, name, error) : 0;
    return e;
}
