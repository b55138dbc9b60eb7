/*
 * Reads the head of a qcow2 file: QEMU, docs/interop/qcow2.txt, "Header".
 */
#include "store/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC 0x514649fbu
#define AT_VERSION 4
#define AT_BACKING 8
#define AT_BACKING_LENGTH 16
#define AT_SIZE 24
#define AT_FEATURES 72 /* incompatible ones, from version 3 on */
#define HEAD_BYTES 80
#define FEATURE_DATA_FILE BIT(2)

static u64 big(const u8 *bytes, unsigned count)
{
    u64 value = 0;
    while (count--)
        value = value << 8 | *bytes++;
    return value;
}

static int parse(int fd, struct qcow2_head *head)
{
    u8 b[HEAD_BYTES];
    ssize_t n = pread(fd, b, sizeof(b), 0);
    if (n < 0)
        return -errno;
    if (n < (ssize_t)sizeof(b) || big(b, 4) != MAGIC)
        return -EBADMSG;
    u64 at = big(b + AT_BACKING, 8), length = big(b + AT_BACKING_LENGTH, 4);
    memset(head, 0, sizeof(*head));
    head->size = big(b + AT_SIZE, 8);
    head->data_file = big(b + AT_VERSION, 4) >= 3 && big(b + AT_FEATURES, 8) & FEATURE_DATA_FILE;
    if (!at)
        return 0;
    if (length >= sizeof(head->backing) || at > INT64_MAX - length)
        return -EBADMSG;
    n = pread(fd, head->backing, length, (off_t)at);
    return n < 0 ? -errno : n == (ssize_t)length ? 0 : -EBADMSG;
}

int qcow2_read(int folder, const char *path, struct qcow2_head *head)
{
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int e = parse(fd, head);
    close(fd);
    return e;
}

bool qcow2_go_below(char *path, size_t size)
{
    struct qcow2_head head;
    char below[2 * PATH_MAX], real[PATH_MAX];
    if (qcow2_read(AT_FDCWD, path, &head) || !head.backing[0])
        return false;
    const char *slash = strrchr(path, '/');
    if (head.backing[0] == '/')
        snprintf(below, sizeof(below), "%s", head.backing);
    else
        snprintf(below, sizeof(below), "%.*s/%s", (int)(slash ? slash - path : 1), slash ? path : ".", head.backing);
    return realpath(below, real) && (size_t)snprintf(path, size, "%s", real) < size;
}
