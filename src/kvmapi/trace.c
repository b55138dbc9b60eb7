/*
 * Lines for people: what NESTBOX_KVM_TRACE asks for. Called on any thread.
 */
#include "accel/exit_text.h"
#include "kvmapi/api.h"
#include "kvmapi/descriptor.h"
#include "kvmapi/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int where = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_file(void)
{
    const char *file = api_settings()->trace_file;
    if (file)
        where = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file && where < 0)
        fprintf(stderr, "nestbox kvm: the trace comes here: cannot open %s: %s\n", file, strerror(errno));
    where = where < 0 ? 2 : file_hide(where);
}

bool api_traced(u32 what)
{
    return api_settings()->trace & what;
}

void api_trace(u32 what, const char *format, ...)
{
    char line[512];
    va_list list;
    if (!api_traced(what))
        return;
    pthread_once(&once, open_file);
    int n = snprintf(line, sizeof(line), "nestbox kvm: ");
    va_start(list, format);
    n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, list);
    va_end(list);
    if (n > (int)sizeof(line) - 2)
        n = sizeof(line) - 2;
    line[n++] = '\n';
    if (syscall(SYS_write, where, line, (size_t)n) < 0) /* libc's write may end a thread that is cancelled */
        return;
}

/* -- of the engine: on the vCPU's thread, in KVM_RUN -- */

static void on_entry_failed(void *opaque, u32 index, u64 rip, const char *line)
{
    api_trace(TRACE_ENTRY, "CPU %u: %s, L1 at RIP %#llx", index, line, (unsigned long long)rip);
}

static void on_exit_seen(void *opaque, u32 index, const struct cpu_exit_seen *seen)
{
    struct api_host *h = opaque;
    char line[400];
    exit_line(cpu_vendor(h->vm), seen, line, sizeof(line));
    api_trace(TRACE_EXITS, "CPU %u: %s", index, line);
}

void api_trace_engine(struct api_host *h, struct vm *vm)
{
    h->vm = vm;
    h->ops.trace = api_traced(TRACE_ENTRY) ? on_entry_failed : NULL;
    h->ops.exited = api_traced(TRACE_EXITS) ? on_exit_seen : NULL;
}
