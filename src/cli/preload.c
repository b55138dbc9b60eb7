/*
 * The preloaded library: where it is, and the environment that gives a program its settings (kvmapi/settings.h reads
 * the variables).
 */
#include "cli/preload.h"

#include "accel/hostcpu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIBRARY "libnestbox-kvm.so"
#define TRY_SECONDS 10

/* A setting and its variable. The name of a file becomes a full path: the program may be elsewhere when it opens it. */
static const struct {
    const char *name, *variable;
} variables[] = {
    {"nested", "NESTBOX_KVM_NESTED"},   {"accel", "NESTBOX_KVM_ACCEL"},       {"cpu", "NESTBOX_KVM_CPU"},
    {"trace", "NESTBOX_KVM_TRACE"},     {"stats", "NESTBOX_KVM_STATS"},       {"trace-file", "NESTBOX_KVM_TRACE_FILE"},
    {"symbols", "NESTBOX_KVM_SYMBOLS"}, {"perf-map", "NESTBOX_KVM_PERF_MAP"}, {"direct", "NESTBOX_KVM_DIRECT"},
};

int preload_find(char path[PRELOAD_PATH_MAX], struct error *error)
{
    static const char *const places[] = {"", "../lib/nestbox/"};
    char self[PRELOAD_PATH_MAX - 64], first[PRELOAD_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return error_set(error, -errno, "cannot read /proc/self/exe: %s", strerror(errno));
    self[n] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        slash[1] = 0;
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(path, PRELOAD_PATH_MAX, "%s%s" LIBRARY, self, places[i]);
        if (access(path, R_OK) == 0)
            return strpbrk(path, " :") ? error_set(error, -EINVAL,
                                                   "the name of %s has a space or a colon: ld.so cannot "
                                                   "be told to load it",
                                                   path)
                                       : 0;
        if (i == 0)
            memcpy(first, path, sizeof(first));
    }
    return error_set(error, -ENOENT, "the library %s is missing, and so is %s", first, path);
}

bool preload_is_here(void)
{
    const char *list = getenv("LD_PRELOAD");
    return list && strstr(list, LIBRARY);
}

int preload_settings(struct run_settings *settings, struct error *error)
{
    for (unsigned i = 0; i < ARRAY_LEN(variables); i++) {
        const char *value = getenv(variables[i].variable), *name = variables[i].name;
        if (value && *value &&
            setting_parse(setting_find(kvm_settings_table, name, strlen(name)), value, settings, error))
            return error_hint(error, "the environment has that value"), error->code;
    }
    return 0;
}

/* -- the environment -- */

static const char *set_text(const struct setting *s, u32 set, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (unsigned i = 0; s->choices[i] && used < size; i++)
        if (set & BIT(i))
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "," : "", s->choices[i]);
    return used ? text : NULL;
}

static const char *full_path(const char *file, char *text, size_t size)
{
    char folder[PRELOAD_PATH_MAX];
    if (*file == '/' || !getcwd(folder, sizeof(folder)))
        return file;
    snprintf(text, size, "%s/%s", folder, file);
    return text;
}

/* Returns the value as text, or NULL if it is not set. */
static const char *value_text(const struct run_settings *settings, const struct setting *s, char *text, size_t size)
{
    const void *at = (const char *)settings + s->offset;
    switch (s->kind) {
    case SETTING_CHOICE: return s->choices[*(const u32 *)at];
    case SETTING_SET: return set_text(s, *(const u32 *)at, text, size);
    case SETTING_FLAG: return *(const bool *)at ? "1" : NULL;
    default: break;
    }
    const char *value = *(const char *const *)at;
    return value && s->file ? full_path(value, text, size) : value;
}

/* LD_PRELOAD keeps what it held, behind the library. */
static int name_library(const char *path)
{
    const char *others = getenv("LD_PRELOAD");
    if (!others || !*others)
        return setenv("LD_PRELOAD", path, 1);
    if (strstr(others, path))
        return 0;
    char *list;
    if (asprintf(&list, "%s:%s", path, others) < 0)
        return -1;
    int e = setenv("LD_PRELOAD", list, 1);
    free(list);
    return e;
}

int preload_environment(const struct run_settings *settings, const char *path, struct error *error)
{
    char text[2 * PRELOAD_PATH_MAX];
    int e = name_library(path) || setenv("NESTBOX_KVM", "1", 1);
    for (unsigned i = 0; !e && i < ARRAY_LEN(variables); i++) {
        const char *name = variables[i].name;
        const struct setting *s = setting_find(kvm_settings_table, name, strlen(name));
        const char *value = value_text(settings, s, text, sizeof(text));
        e = value ? setenv(variables[i].variable, value, 1) : unsetenv(variables[i].variable);
    }
    return e ? error_set(error, -errno, "cannot set the environment: %s", strerror(errno)) : 0;
}

/* -- trying it -- */

static _Noreturn void child(const char *library, int output)
{
    struct run_settings settings = {.accel = ACCEL_ENGINE};
    struct hostcpu cpu;
    struct error error;
    hostcpu_read(&cpu);
    settings.nested = cpu.amd ? NESTED_AMD : NESTED_INTEL;
    if (preload_environment(&settings, library, &error) || dup2(output, STDOUT_FILENO) < 0)
        _exit(1);
    alarm(TRY_SECONDS);
    execl("/proc/self/exe", "nestbox", "probe", (char *)NULL);
    _exit(1);
}

bool preload_works(struct error *why)
{
    char library[PRELOAD_PATH_MAX];
    int ends[2], status;
    if (preload_find(library, why))
        return false;
    pid_t pid = pipe2(ends, O_CLOEXEC) < 0 ? -1 : fork();
    if (pid < 0) {
        error_set(why, -errno, "cannot try it: %s", strerror(errno));
        return false;
    }
    if (pid == 0)
        child(library, ends[1]);
    close(ends[1]);
    char line[sizeof(why->text)] = "";
    FILE *from = fdopen(ends[0], "r");
    if (!from || !fgets(line, sizeof(line), from))
        line[0] = 0;
    if (from)
        fclose(from);
    waitpid(pid, &status, 0);
    line[strcspn(line, "\n")] = 0;
    bool works = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    error_set(why, works ? 0 : -EIO, "%s", *line ? line : "a program with the library ended before it said anything");
    return works;
}
