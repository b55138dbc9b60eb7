/*
 * Lines for people: what NESTBOX_KVM_TRACE asks for. Any thread.
 */
#include "kvmapi/api.h"
#include "kvmapi/settings.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static int where = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_file(void)
{
    const char *file = api_settings()->trace_file;
    if (file)
        where = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (where < 0)
        where = 2;
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
    if (write(where, line, (size_t)n) < 0)
        return;
}
