/*
 * nestbox stats, events, logs, screenshot, view: what a VM does and did.
 */
#include "cli/print.h"
#include "cli/program.h"
#include "cli/vm.h"
#include "manager/life.h"
#include "worker/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct options {
    bool json, follow;
    const char *write;
};

#define AT(field) offsetof(struct options, field)
static const struct setting follow_row[] = {
    {"follow", SETTING_FLAG, AT(follow), NULL, "go on with what comes, until Ctrl-C"}, {0}};
static const struct setting write_row[] = {
    {"write", SETTING_TEXT, AT(write), "FILE", "where the picture goes (default VM.png)", .file = true}, {0}};

/* -- stats -- */

static void print_counters(const char *title, const json_t *counters)
{
    const char *name;
    json_t *value;
    if (!json_object_size(counters))
        return;
    printf("%s:\n", title);
    json_object_foreach ((json_t *)(uintptr_t)counters, name, value)
        printf("  %-32s %lld\n", name, (long long)json_integer_value(value));
}

static void print_stats(const json_t *stats)
{
    char bytes[32], cpu[48];
    const char *id;
    json_t *drive;
    printf("%s: %s\n", text_at(stats, "name"), text_at(stats, "state"));
    printf("  CPU time    %s\n", duration_text((u64)number_at(stats, "cpu_ms"), cpu, sizeof(cpu)));
    printf("  CPU use     %lld %% of the host\n", number_at(stats, "cpu_usage"));
    printf("  memory      %s\n", bytes_text((u64)number_at(stats, "memory"), bytes, sizeof(bytes)));
    if (*text_at(stats, "memory_status"))
        printf("  needs       %s (%s)\n", bytes_text((u64)number_at(stats, "memory_demand"), bytes, sizeof(bytes)),
               text_at(stats, "memory_status"));
    printf("  of the host %s\n", bytes_text((u64)number_at(stats, "resident"), bytes, sizeof(bytes)));
    printf("  hypervisor  %s\n", true_at(stats, "hypervisor_active") ? "active" : "none");
    json_object_foreach (json_object_get(stats, "drives"), id, drive)
        printf("  %-11s read %s, written %lld KiB\n", id,
               bytes_text((u64)number_at(drive, "rd_bytes"), bytes, sizeof(bytes)), number_at(drive, "wr_bytes") >> 10);
    print_counters("vCPUs", json_object_get(stats, "vcpu"));
    print_counters("VM", json_object_get(stats, "vm"));
}

static int ask_stats(struct store *store, const char *vm, json_t **answer, struct error *error)
{
    int e = life_ask(store, vm, json_pack("{s:s}", "do", "stats"), NULL, answer, error);
    if (!e)
        json_object_del(*answer, "ok");
    return e;
}

static int stats(const struct verb *verb, int argc, char **argv)
{
    return command_get(verb, argc, argv, ask_stats, print_stats);
}

const struct verb verb_stats = {
    .name = "stats",
    .summary = "What a running VM has used, and its exits by level",
    .usage = "VM [--json]",
    .options = {{json_rows}},
    .words = {{"VM", WORD_VM}},
    .about =
        "Prints what a running VM has used: CPU time, memory, drives, and the counters of its CPUs, among them the "
        "exits of each level where the engine runs it.",
    .run = stats,
};

/* -- events -- */

static int events(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    char text[4096];
    int status;
    ssize_t n;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int fd = life_events(store, word[0], &error);
    if (fd < 0)
        return command_end(store, fd, &error);
    for (;;) {
        poll(&(struct pollfd){fd, POLLIN}, 1, -1);
        n = read(fd, text, sizeof(text));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0 || fwrite(text, 1, (size_t)n, stdout) != (size_t)n || fflush(stdout))
            break;
    }
    close(fd);
    return command_end(store, 0, &error);
}

const struct verb verb_events = {
    .name = "events",
    .summary = "Prints what happens to a running VM, as JSON",
    .usage = "VM",
    .words = {{"VM", WORD_VM}},
    .about = "Prints an object of JSON per line for each event of a running VM, until it ends or Ctrl-C is pressed.",
    .run = events,
};

/* -- logs -- */

static int copy_out(int fd)
{
    char text[16384];
    ssize_t n;
    while ((n = read(fd, text, sizeof(text))) > 0)
        if (fwrite(text, 1, (size_t)n, stdout) != (size_t)n)
            return -EPIPE;
    return fflush(stdout) ? -EPIPE : 0;
}

/* The log is moved away when it is long, and then there is a new one of that name. */
static int follow(const char *path, int fd)
{
    for (;;) {
        struct stat here, there;
        int e = copy_out(fd);
        if (e)
            return e;
        usleep(200000);
        if (fstat(fd, &here) || stat(path, &there) || here.st_ino == there.st_ino)
            continue;
        int next = open(path, O_RDONLY | O_CLOEXEC);
        if (next < 0)
            continue;
        e = copy_out(fd);
        dup3(next, fd, O_CLOEXEC);
        close(next);
    }
}

static int logs(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    struct vm_def def;
    char path[PATH_MAX];
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int e = store_vm(store, word[0], &def, &error);
    if (e)
        return command_end(store, e, &error);
    e = store_vm_path(store, def.name, "log", path, sizeof(path), &error);
    int fd = e ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (!e && fd < 0 && errno != ENOENT)
        e = error_path(&error, -errno, path);
    if (!e && fd < 0 && o.follow)
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (!e && fd >= 0 && o.follow)
        (void)!follow(path, fd);
    else if (!e && fd >= 0)
        (void)!copy_out(fd);
    if (fd >= 0)
        close(fd);
    vm_def_free(&def);
    return command_end(store, e, &error);
}

const struct verb verb_logs = {
    .name = "logs",
    .summary = "Prints the log of a VM",
    .usage = "VM [--follow]",
    .options = {{follow_row}},
    .words = {{"VM", WORD_VM}},
    .run = logs,
};

/* -- pictures -- */

static int screenshot(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    char name[NAME_MAX_LEN + 8], folder[PATH_MAX] = "", path[2 * PATH_MAX];
    json_t *answer = NULL;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    snprintf(name, sizeof(name), "%.64s.png", word[0]);
    const char *to = o.write ? o.write : name;
    if (to[0] != '/' && !getcwd(folder, sizeof(folder)))
        folder[0] = 0;
    snprintf(path, sizeof(path), "%s%s%s", folder, folder[0] ? "/" : "", to);
    int e = life_ask(store, word[0], json_pack("{s:s, s:s}", "do", "screenshot", "path", path), NULL, &answer, &error);
    json_decref(answer);
    if (!e && o.json)
        command_json(json_pack("{s:s}", "path", path));
    else if (!e)
        printf("%s\n", path);
    return command_end(store, e, &error);
}

const struct verb verb_screenshot = {
    .name = "screenshot",
    .summary = "Writes the display of a VM to a PNG file",
    .usage = "VM [--write FILE] [--json]",
    .options = {{write_row}, {json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}},
    .run = screenshot,
};

/* Viewers that take the path of a socket, and how. */
static const struct {
    const char *program, *prefix;
} viewers[] = {{"remote-viewer", "vnc+unix://"}, {"gvncviewer", ""}, {"vncviewer", ""}, {"xtigervncviewer", ""}};

static int become_viewer(const char *socket, struct error *error)
{
    char program[PROGRAM_PATH_MAX], hint[sizeof(error->hint)], url[PATH_MAX];
    for (unsigned i = 0; i < ARRAY_LEN(viewers); i++) {
        if (program_find(viewers[i].program, program, error))
            continue;
        snprintf(url, sizeof(url), "%s%s", viewers[i].prefix, socket);
        execl(program, viewers[i].program, url, (char *)NULL);
        return error_set(error, -errno, "cannot execute %s: %s", program, strerror(errno));
    }
    error_set(error, -ENOENT, "no viewer is installed; VNC is at the socket %.200s", socket);
    snprintf(hint, sizeof(hint), "as root: apt-get install virt-viewer");
    return error_hint(error, hint);
}

static int view(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    struct vm_def def;
    struct vm_now now = {0};
    char path[PATH_MAX];
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int e = store_vm(store, word[0], &def, &error);
    if (e)
        return command_end(store, e, &error);
    e = vm_now(store, &def, &now, &error);
    if (!e && !now.report) {
        error_set(&error, -ENOTCONN, "VM %s does not run", def.name);
        e = error_hint(&error, "`nestbox start` starts it");
    }
    json_decref(now.report);
    if (!e && def.set.display == DISPLAY_NONE)
        e = error_set(&error, -EINVAL, "VM %s has no display: " SETTING("display") " none", def.name);
    if (!e)
        e = store_vm_socket(store, def.name, SOCKET_VNC, path, sizeof(path), &error);
    if (!e)
        e = become_viewer(path, &error);
    vm_def_free(&def);
    return command_end(store, e, &error);
}

const struct verb verb_view = {
    .name = "view",
    .summary = "Shows the display of a running VM in a viewer",
    .usage = "VM",
    .words = {{"VM", WORD_VM}},
    .about = "Starts the viewer for VNC that is installed (virt-viewer, or TigerVNC) on the display of a running VM.",
    .run = view,
};
