/*
 * Opens what the trace needs before vCPUs run; they then write lines through stdio, whose lock keeps lines whole.
 */
#include "vmproc/trace.h"

#include "accel/symbols.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int trace_open(struct trace *t, const struct run_settings *settings, struct outputs *outputs, struct error *error)
{
    *t = (struct trace){.to = {.what = settings->trace, .to = stderr}};
    if (settings->symbols) {
        int e = symbols_load(settings->symbols, &t->symbols, error);
        if (e)
            return e;
        t->to.symbols = t->symbols;
    }
    if (!settings->trace_file)
        return 0;
    int fd = output_open(outputs, "trace-file", settings->trace_file, error);
    if (fd < 0)
        return fd;
    FILE *file = fdopen(fd, "w");
    if (!file) {
        close(fd);
        return error_memory(error);
    }
    t->to.to = file;
    return 0;
}

int trace_close(struct trace *t, struct error *error)
{
    int e = 0;
    if (t->to.to && t->to.to != stderr) {
        bool lost = ferror(t->to.to);
        errno = 0;
        if (fclose(t->to.to) || lost)
            e = errno ? -errno : -EIO;
    }
    symbols_free(t->symbols);
    *t = (struct trace){0};
    return e ? error_set(error, e, "lines of " SETTING("trace-file") " are lost: %s", strerror(-e)) : 0;
}
