/*
 * See guest_ga.h. Input is read to its end before the command begins, and output comes when it has ended.
 */
#include "manager/guest_ga.h"

#include "base/write.h"
#include "store/vm.h"
#include "worker/command.h"
#include "worker/ga.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIND_MS 2000u
#define INPUT_MAX (8u << 20)
#define WORDS_MAX_GA 512u

/* Takes the place of another error only if QEMU's agent answers. */
static int open_ga(struct store *store, const char *vm, struct ga *ga, char name[static NAME_MAX_LEN + 1],
                   struct error *error)
{
    struct vm_def def;
    struct error other;
    char path[PATH_MAX];
    int e = store_vm(store, vm, &def, &other);
    if (e)
        return error->code;
    strcpy(name, def.name);
    vm_def_free(&def);
    e = store_vm_socket(store, name, SOCKET_QGA, path, sizeof(path), &other);
    if (!e)
        e = ga_open(ga, path, name, FIND_MS, &other);
    return e ? error->code : 0;
}

static int needs_ours(const char *vm, const char *what, struct error *error)
{
    error_set(error, -EOPNOTSUPP, "VM %s: its guest has QEMU's agent only, which knows no %s", vm, what);
    return error_hint(error, "put nestbox-agent into the guest");
}

/* -- commands -- */

static int read_input(int fd, char **bytes, size_t *length, struct error *error)
{
    size_t size = 65536;
    *bytes = malloc(size);
    for (ssize_t n = 1; *bytes && n > 0;) {
        n = read(fd, *bytes + *length, size - *length);
        if (n > 0)
            *length += (size_t)n;
        if (*length < size)
            continue;
        char *bigger = size < INPUT_MAX ? realloc(*bytes, size *= 2) : NULL;
        if (!bigger)
            return error_set(error, -E2BIG, "more input than QEMU's agent in the guest takes");
        *bytes = bigger;
    }
    return *bytes ? 0 : error_memory(error);
}

/* The agent knows neither users nor folders: programs of the guest do. */
static int put_words(const struct agent_run *run, const char **word)
{
    u32 n = 0;
    if (run->user) {
        word[n++] = "runuser";
        word[n++] = "-u";
        word[n++] = run->user;
        word[n++] = "--";
    }
    if (run->folder) {
        word[n++] = "sh";
        word[n++] = "-c";
        word[n++] = "cd \"$1\" && shift && exec \"$@\"";
        word[n++] = "sh";
        word[n++] = run->folder;
    }
    for (const char *const *a = run->argument; *a; a++) {
        if (n == WORDS_MAX_GA)
            return -E2BIG;
        word[n++] = *a;
    }
    word[n] = NULL;
    return 0;
}

static int exec(struct ga *ga, const struct agent_run *run, struct error *error)
{
    static const char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                              "HOME=/root", "USER=root"};
    const char *word[WORDS_MAX_GA + 1], *variable[64];
    struct ga_result result = {0};
    char *input = NULL;
    size_t length = 0;
    u32 n = 0;
    for (; n < ARRAY_LEN(environment); n++)
        variable[n] = environment[n];
    for (const char *const *v = run->variable; v && *v && n < ARRAY_LEN(variable) - 1; v++)
        variable[n++] = *v;
    variable[n] = NULL;
    if (put_words(run, word))
        return error_set(error, -E2BIG, "too many arguments for QEMU's agent in the guest");
    int e = run->in >= 0 ? read_input(run->in, &input, &length, error) : 0;
    const struct ga_command command = {word, variable, input, length};
    if (!e)
        e = ga_exec(ga, &command, &result, error);
    int w = !e && run->out >= 0 ? write_all(run->out, result.output, result.output_length) : 0;
    if (!e && !w && run->error >= 0)
        w = write_all(run->error, result.errors, result.errors_length);
    if (w)
        e = error_set(error, w == -EPIPE ? w : -EIO, "cannot write the command's output: %s", strerror(-w));
    if (!e && result.cut)
        e = error_set(error, -EFBIG, "%s: QEMU's agent cut the output off after 16 MiB", ga->vm);
    free(input);
    free(result.output);
    free(result.errors);
    return e ? e : result.status;
}

int guest_ga_exec(struct store *store, const char *vm, const struct agent_run *run, struct error *error)
{
    char name[NAME_MAX_LEN + 1];
    struct ga ga;
    int e = open_ga(store, vm, &ga, name, error);
    if (e)
        return e;
    if (run->terminal || !run->argument[0])
        e = needs_ours(name, "terminals", error);
    else
        e = exec(&ga, run, error);
    ga_close(&ga);
    return e;
}

/* -- copies: files one by one -- */

/* A file into a folder keeps its name. */
static void name_in(const char *folder, const char *from, char *path, size_t size)
{
    const char *slash = strrchr(from, '/');
    snprintf(path, size, "%s/%s", folder, slash ? slash + 1 : from);
}

static int copy_out(struct ga *ga, const struct guest_copy *copy, struct error *error)
{
    char path[PATH_MAX], part[PATH_MAX + 16];
    struct stat st;
    snprintf(path, sizeof(path), "%s", copy->host_path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        name_in(copy->host_path, copy->guest_path, path, sizeof(path));
    snprintf(part, sizeof(part), "%s.%d.new", path, (int)getpid());
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_path(error, -errno, part);
    int e = ga_get(ga, copy->guest_path, fd, error);
    if (close(fd) && !e)
        e = error_path(error, -errno, part);
    if (!e && rename(part, path))
        e = error_path(error, -errno, path);
    if (e)
        unlink(part);
    return e;
}

static int copy_in(struct ga *ga, const struct guest_copy *copy, struct error *error)
{
    char path[PATH_MAX];
    struct stat st;
    size_t length = strlen(copy->guest_path);
    snprintf(path, sizeof(path), "%s", copy->guest_path);
    if (length && path[length - 1] == '/')
        name_in(copy->guest_path, copy->host_path, path, sizeof(path));
    int fd = open(copy->host_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_path(error, -errno, copy->host_path);
    int e = fstat(fd, &st) || !S_ISREG(st.st_mode) ? needs_ours(ga->vm, "folders", error) : ga_put(ga, fd, path, error);
    close(fd);
    return e;
}

int guest_ga_copy(struct store *store, const struct guest_copy *copy, struct error *error)
{
    char name[NAME_MAX_LEN + 1];
    struct ga ga;
    int e = open_ga(store, copy->vm, &ga, name, error);
    if (e)
        return e;
    if (copy->recursive || copy->user)
        e = needs_ours(name, copy->user ? "users" : "folders", error);
    else
        e = copy->to_guest ? copy_in(&ga, copy, error) : copy_out(&ga, copy, error);
    ga_close(&ga);
    return e;
}
