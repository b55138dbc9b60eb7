/*
 * Text of the verbs on VMs: sizes, times, progress, questions.
 */
#include "cli/vm.h"

#include "cli/status_line.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *bytes_text(u64 bytes, char *text, size_t size)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    for (; value >= 1024 && unit < ARRAY_LEN(units) - 1; value /= 1024)
        unit++;
    snprintf(text, size, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

const char *duration_text(u64 milliseconds, char *text, size_t size)
{
    u64 seconds = milliseconds / 1000;
    if (seconds >= 86400)
        snprintf(text, size, "%llud %lluh", (unsigned long long)(seconds / 86400),
                 (unsigned long long)(seconds / 3600 % 24));
    else if (seconds >= 3600)
        snprintf(text, size, "%lluh %llum", (unsigned long long)(seconds / 3600),
                 (unsigned long long)(seconds / 60 % 60));
    else if (seconds >= 60)
        snprintf(text, size, "%llum %llus", (unsigned long long)(seconds / 60), (unsigned long long)(seconds % 60));
    else
        snprintf(text, size, "%llus", (unsigned long long)seconds);
    return text;
}

bool confirmed(const char *question)
{
    char line[16];
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return false;
    status_line_clear();
    fprintf(stderr, "%s [y/N] ", question);
    if (!fgets(line, sizeof(line), stdin))
        return false;
    line[strcspn(line, "\n")] = 0;
    return strcmp(line, "y") == 0 || strcmp(line, "Y") == 0 || strcmp(line, "yes") == 0;
}

static void report(const struct progress *progress, const char *what, u64 done, u64 total)
{
    if (total)
        status_line_show("%s: %3llu %%", what, (unsigned long long)(done * 100 / total));
    else
        status_line_show("%s ...", what);
}

const struct progress terminal_progress = {report};

int on_each_vm(struct store *store, const char *pattern,
               int (*each)(struct store *store, const char *name, void *opaque, struct error *error), void *opaque,
               bool as_json)
{
    struct error error;
    int e = vm_each(store, pattern, each, opaque, &error);
    return command_done(store, e, &error, as_json);
}

int show_vm(struct store *store, const char *name)
{
    struct error error;
    json_t *object;
    int e = vm_show(store, name, &object, &error);
    if (!e)
        command_json(object);
    return command_end(store, e, &error);
}
