/*
 * The lock and the socket of a switch's process: see place.h. The lock is a file that names the process, so that
 * commands know whom to end if it does not answer, and its keeper with the time of the keeper's start.
 */
#include "vswitch/place.h"

#include "process/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNDEFINED_LOOKS 5u /* one per second */

/* Returns true if a process serves the socket: one whose lock was removed, and which has not noticed yet. */
static bool is_served(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    strcpy(address.sun_path, path);
    bool served = fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return served;
}

static int runs_already(const struct place *place, struct error *error)
{
    return error_set(error, -EALREADY, "switch %s: its process runs already", place->name);
}

static int lock(struct place *place, struct error *error)
{
    int fd = open(place->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_path(error, -errno, place->lock_path);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int e = errno == EWOULDBLOCK ? runs_already(place, error) : error_path(error, -errno, place->lock_path);
        close(fd);
        return e;
    }
    if (ftruncate(fd, 0) ||
        dprintf(fd, "%d %d %" PRIu64 "\n", (int)getpid(), place->keeper, place->keeper_started) < 0) {
        int e = error_path(error, -errno, place->lock_path);
        close(fd);
        return e;
    }
    if (place->lock >= 0)
        close(place->lock);
    place->lock = fd;
    return 0;
}

int place_take(struct place *place, const char *name, int keeper, struct error *error)
{
    *place = (struct place){.store = store_open(error), .lock = -1, .keeper = keeper};
    int e = place->store ? 0 : error->code;
    snprintf(place->name, sizeof(place->name), "%s", name);
    if (keeper)
        place->keeper_started = spawn_started(keeper);
    if (!e)
        e = store_switch_file(place->store, name, place->file_path, sizeof(place->file_path), error);
    if (!e)
        e = store_switch_lock(place->store, name, place->lock_path, sizeof(place->lock_path), error);
    if (!e)
        e = store_switch_socket(place->store, name, place->socket_path, sizeof(place->socket_path), error);
    if (!e)
        e = lock(place, error);
    if (!e && is_served(place->socket_path))
        e = runs_already(place, error);
    return e;
}

void place_leave(struct place *place)
{
    if (place->store && place->lock >= 0)
        close(place->lock);
    store_close(place->store);
    place->store = NULL;
}

static bool is_missing(void)
{
    return errno == ENOENT || errno == ENOTDIR;
}

void place_socket(struct place *place)
{
    struct stat st;
    place->socket = stat(place->socket_path, &st) ? 0 : st.st_ino;
}

/* Somebody removed the definition, and has not replaced it by another one. */
static bool is_undefined(struct place *place, struct error *error)
{
    struct stat st;
    place->undefined = stat(place->file_path, &st) && is_missing() ? place->undefined + 1 : 0;
    if (place->undefined < UNDEFINED_LOOKS)
        return false;
    error_set(error, -ENOENT, "there is no switch %s any more: %.200s was removed", place->name, place->file_path);
    return true;
}

/* What cannot be looked at for other reasons, as a disk that fails, is not gone. */
enum place_state place_check(struct place *place, struct error *error)
{
    struct stat own, there;
    if (is_undefined(place, error))
        return PLACE_LOST;
    if (fstat(place->lock, &own))
        return PLACE_FINE;
    bool missing = stat(place->lock_path, &there) != 0;
    if (missing && !is_missing())
        return PLACE_FINE;
    if (missing || own.st_ino != there.st_ino || own.st_dev != there.st_dev) {
        int e = store_folders(place->store, error);
        if (!e)
            e = lock(place, error);
        if (e == -EALREADY || e == -ENOENT)
            return PLACE_LOST;
    }
    if (!place->socket)
        return PLACE_FINE;
    missing = stat(place->socket_path, &there) != 0;
    if (missing ? !is_missing() : there.st_ino == place->socket)
        return PLACE_FINE;
    if (missing && store_folders(place->store, error))
        return error->code == -ENOENT ? PLACE_LOST : PLACE_FINE;
    return PLACE_NO_SOCKET;
}
