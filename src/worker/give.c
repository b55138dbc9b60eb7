/*
 * Files that QEMU gets while it runs. It writes to no file that it did not have when it started (confine.h), so the
 * worker opens them and passes descriptors, which QEMU finds as /dev/fdset/N. QEMU's locks of images do not go with
 * those: they would stay when it has let the image go. So the worker has them, until the node is deleted.
 */
#include "worker/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As QEMU has them, "Image locking": bytes that stand for what a user of the file does, and for what it lets no other
 * do. */
#define LOCK_DOES 100
#define LOCK_ALONE 200
#define BIT_READ 0
#define BIT_WRITE 1

bool give_file(struct worker *w, const char *path, const int *modes, u32 count, char name[static GIVEN_NAME])
{
    static u32 last;
    u32 set = ++last + (u32)getpid() % 1000000 * 1000; /* another worker may have given some */
    for (u32 i = 0; i < count; i++) {
        int fd = open(path, modes[i] | O_CLOEXEC | O_NOCTTY, 0600);
        if (fd < 0)
            return i > 0;
        qmp_send_fd(w->qmp, "add-fd", json_pack("{s:I}", "fdset-id", (json_int_t)set), fd, NULL);
        close(fd);
        snprintf(name, GIVEN_NAME, "/dev/fdset/%u", set);
    }
    return true;
}

static int lock_byte(int fd, off_t byte, bool test)
{
    struct flock lock = {.l_type = test ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (fcntl(fd, test ? F_OFD_GETLK : F_OFD_SETLK, &lock))
        return -errno;
    return test && lock.l_type != F_UNLCK ? -EAGAIN : 0;
}

/* What QEMU would take for a disk. */
static int lock_image(int fd)
{
    int e = lock_byte(fd, LOCK_DOES + BIT_READ, false);
    if (!e)
        e = lock_byte(fd, LOCK_DOES + BIT_WRITE, false);
    if (!e)
        e = lock_byte(fd, LOCK_ALONE + BIT_WRITE, false);
    if (!e)
        e = lock_byte(fd, LOCK_ALONE + BIT_WRITE, true);
    if (!e)
        e = lock_byte(fd, LOCK_DOES + BIT_WRITE, true);
    return e;
}

int give_image(struct worker *w, json_t *node, struct error *error)
{
    static const int modes[] = {O_RDWR, O_RDONLY};
    json_t *file = json_object_get(node, "file");
    const char *path = json_string_value(json_object_get(file, "filename"));
    const char *id = json_string_value(json_object_get(node, "node-name"));
    char folder[PATH_MAX], name[GIVEN_NAME];
    bool reads = json_is_true(json_object_get(node, "read-only"));
    int e = 0;
    if (path && path[0] == '/')
        e = confined_show(w->store, &w->def, w->qemu.pid, path, !reads, error);
    if (e || !path || !id || path[0] != '/' || reads)
        return e; /* what it only reads it opens by itself */
    e = store_vm_path(w->store, w->def.name, "", folder, sizeof(folder), error);
    size_t length = strlen(folder);
    if (e || (strncmp(path, folder, length) == 0 && path[length] == '/') || w->given_count == GIVEN_MAX)
        return e;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return 0; /* QEMU's error is the right one */
    e = lock_image(fd);
    if (e == -EAGAIN) {
        close(fd);
        return error_set(error, -EBUSY, "%.200s is in use: another VM or program has it open", path);
    }
    if (!give_file(w, path, modes, ARRAY_LEN(modes), name)) {
        close(fd);
        return 0;
    }
    (void)!json_object_set_new(file, "filename", json_string(name));
    (void)!json_object_set_new(file, "locking", json_string("off"));
    struct given *given = &w->given[w->given_count++];
    given->fd = fd;
    snprintf(given->node, sizeof(given->node), "%s", id);
    return 0;
}

void give_back(struct worker *w, const char *node)
{
    for (u32 i = 0; i < w->given_count; i++)
        if (!node || strcmp(w->given[i].node, node) == 0) {
            close(w->given[i].fd);
            w->given[i--] = w->given[--w->given_count];
        }
}
