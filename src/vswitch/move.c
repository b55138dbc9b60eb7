/*
 * Addresses and routes that move: see move.h. The journal has one word per line: the boot, the two interfaces, and the
 * netlink messages that make addresses and routes, in hexadecimal.
 */
#include "vswitch/move.h"

#include "store/file.h"
#include "vswitch/link.h"
#include "vswitch/link_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct journal {
    char boot[64], from[IFNAME_MAX], to[IFNAME_MAX];
    struct link_config config;
};

static void read_boot(char boot[static 64])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, boot, 63);
    if (fd >= 0)
        close(fd);
    boot[n > 0 ? n : 0] = 0;
    boot[strcspn(boot, "\n")] = 0;
}

static int write_journal(const char *path, const struct journal *j, struct error *error)
{
    size_t size = j->config.size * 2 + 128, used;
    char *text = malloc(size);
    if (!text)
        return error_set(error, -ENOMEM, "no memory for the addresses of %s", j->from);
    used = (size_t)snprintf(text, size, "%s\n%s\n%s\n", j->boot, j->from, j->to);
    for (size_t i = 0; i < j->config.size; i++)
        used += (size_t)snprintf(text + used, size - used, "%02x", j->config.bytes[i]);
    snprintf(text + used, size - used, "\n");
    int err = file_write_text(AT_FDCWD, path, text, error);
    free(text);
    return err;
}

static bool take_word(const char **text, char *word, size_t size)
{
    size_t length = strcspn(*text, "\n");
    if (!length || length >= size || (*text)[length] != '\n')
        return false;
    memcpy(word, *text, length);
    word[length] = 0;
    *text += length + 1;
    return true;
}

static bool take_bytes(const char *text, struct link_config *config)
{
    size_t length = strcspn(text, "\n");
    unsigned byte;
    config->bytes = malloc(length / 2 + 1);
    if (!config->bytes || length % 2)
        return false;
    for (; config->size < length / 2; config->size++) {
        if (sscanf(text + config->size * 2, "%2x", &byte) != 1)
            return false;
        config->bytes[config->size] = (u8)byte;
    }
    return true;
}

static bool parse(const char *text, struct journal *j)
{
    *j = (struct journal){0};
    return take_word(&text, j->boot, sizeof(j->boot)) && take_word(&text, j->from, sizeof(j->from)) &&
           take_word(&text, j->to, sizeof(j->to)) && take_bytes(text, &j->config);
}

int move_config(const char *path, const char *from, const char *to, struct error *error)
{
    struct journal j = {0};
    int from_index = link_index(from), to_index = link_index(to), err;
    if (!from_index || !to_index)
        return error_set(error, -ENODEV, "addresses cannot move from %s to %s: one of them is gone", from, to);
    read_boot(j.boot);
    snprintf(j.from, sizeof(j.from), "%s", from);
    snprintf(j.to, sizeof(j.to), "%s", to);
    err = link_config_get(from_index, &j.config);
    if (err)
        return error_set(error, err, "the addresses of %s cannot be read: %s", from, strerror(-err));
    err = write_journal(path, &j, error);
    if (!err) {
        err = link_config_clear(from_index, &j.config);
        if (!err)
            err = link_config_set(to_index, &j.config);
        if (err) {
            error_set(error, err, "the addresses of %s cannot move to %s: %s", from, to, strerror(-err));
            if (link_config_clear(to_index, &j.config) || link_config_set(from_index, &j.config))
                error_hint(error, "the next start of the switch tries again");
            else
                unlink(path);
        } else
            unlink(path);
    }
    link_config_free(&j.config);
    return err;
}

int move_finish(const char *path, struct error *error)
{
    struct journal j;
    char *text, boot[64];
    int err = file_read_text(AT_FDCWD, path, &text, error);
    if (err)
        return err == -ENOENT ? 0 : err;
    read_boot(boot);
    if (parse(text, &j) && strcmp(boot, j.boot) == 0) {
        int from = link_index(j.from), to = link_index(j.to);
        if (from && to)
            err = link_config_clear(from, &j.config);
        if (!err && (from || to))
            err = link_config_set(to ? to : from, &j.config);
        if (err)
            error_set(error, err, "the addresses of %s cannot be put back: %s", j.from, strerror(-err));
    }
    if (!err)
        unlink(path);
    link_config_free(&j.config);
    free(text);
    return err;
}
