/*
 * Settings of the host's kernel: see host_setting.h. The file has a line with the boot and one per setting, with the
 * value that it had. Switches are processes, so they take turns by a lock on a file beside it.
 */
#include "vswitch/host_setting.h"

#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LINE_MAX_LEN 160
#define LINES_MAX 64

struct settings {
    int lock;
    char path[PATH_MAX];
    char boot[64];
    char line[LINES_MAX][LINE_MAX_LEN]; /* "net/ipv4/ip_forward 0" */
    u32 lines;
};

/* Reads the first word of a file. Returns false if there is none. */
static bool read_word(const char *path, char *word, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, word, size - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    word[n] = 0;
    word[strcspn(word, " \t\n")] = 0;
    return word[0] != 0;
}

static int write_word(const char *path, const char *word)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = write(fd, word, strlen(word)) < 0 ? -errno : 0;
    close(fd);
    return err;
}

static void setting_path(const char *name, char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, "/proc/sys/%s", name);
}

static void take_line(struct settings *s, const char *line, size_t length)
{
    if (length && length < LINE_MAX_LEN && s->lines < LINES_MAX && memchr(line, ' ', length))
        snprintf(s->line[s->lines++], LINE_MAX_LEN, "%.*s", (int)length, line);
}

/* Waits for other switches, and reads what they changed. */
static int open_settings(struct settings *s, const char *shared, struct error *error)
{
    struct error ignored;
    char *text;
    *s = (struct settings){.lock = -1};
    snprintf(s->path, sizeof(s->path), "%s/host-settings.lock", shared);
    s->lock = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock < 0 || flock(s->lock, LOCK_EX) < 0)
        return error_set(error, -errno, "%s: %s", s->path, strerror(errno));
    snprintf(s->path, sizeof(s->path), "%s/host-settings", shared);
    if (!read_word("/proc/sys/kernel/random/boot_id", s->boot, sizeof(s->boot)))
        s->boot[0] = 0;
    if (file_read_text(AT_FDCWD, s->path, &text, &ignored))
        return 0;
    const char *line = text;
    size_t length = strcspn(line, "\n");
    bool ours = length == strlen(s->boot) && strncmp(line, s->boot, length) == 0;
    while (ours && line[length]) {
        line += length + 1;
        length = strcspn(line, "\n");
        take_line(s, line, length);
    }
    free(text);
    return 0;
}

static void close_settings(struct settings *s)
{
    if (s->lock >= 0)
        close(s->lock);
}

static int save(const struct settings *s, struct error *error)
{
    char text[sizeof(s->line) + sizeof(s->boot) + LINES_MAX];
    int used = snprintf(text, sizeof(text), "%s\n", s->boot);
    for (u32 i = 0; i < s->lines; i++)
        used += snprintf(text + used, sizeof(text) - (size_t)used, "%s\n", s->line[i]);
    return file_write_text(AT_FDCWD, s->path, text, error);
}

static bool is_ours(const struct settings *s, const char *name)
{
    size_t length = strlen(name);
    for (u32 i = 0; i < s->lines; i++)
        if (strncmp(s->line[i], name, length) == 0 && s->line[i][length] == ' ')
            return true;
    return false;
}

static int want(struct settings *s, const char *name, const char *value, struct error *error)
{
    char path[PATH_MAX], now[64];
    setting_path(name, path);
    if (!read_word(path, now, sizeof(now)))
        return error_set(error, -ENOENT, "%s cannot be read", path);
    if (strcmp(now, value) == 0)
        return is_ours(s, name);
    if (!is_ours(s, name)) {
        if (s->lines == LINES_MAX)
            return error_set(error, -ENOSPC, "too many settings of the host are changed");
        snprintf(s->line[s->lines++], LINE_MAX_LEN, "%.90s %s", name, now);
        int err = save(s, error);
        if (err)
            return err;
    }
    int err = write_word(path, value);
    return err ? error_set(error, err, "%s cannot be set to %s: %s", path, value, strerror(-err)) : 1;
}

bool host_setting_is(const char *name, const char *value)
{
    char path[PATH_MAX], now[64];
    setting_path(name, path);
    return read_word(path, now, sizeof(now)) && strcmp(now, value) == 0;
}

int host_setting_want(const char *shared, const char *name, const char *value, struct error *error)
{
    struct settings s;
    int result = open_settings(&s, shared, error);
    if (!result)
        result = want(&s, name, value, error);
    close_settings(&s);
    return result;
}

/* The last that was changed is put back first. */
void host_settings_restore(const char *shared)
{
    struct settings s;
    struct error ignored;
    char path[PATH_MAX];
    if (open_settings(&s, shared, &ignored) == 0) {
        while (s.lines) {
            char *line = s.line[--s.lines], *space = strchr(line, ' ');
            *space = 0;
            setting_path(line, path);
            write_word(path, space + 1);
        }
        unlink(s.path);
    }
    close_settings(&s);
}
