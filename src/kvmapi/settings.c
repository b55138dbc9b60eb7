/*
 * The environment of the library: see settings.h.
 */
#include "kvmapi/settings.h"

#include "kvmapi/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct api_settings settings;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct {
    const char *name;
    u32 bit;
} traces[] = {{"entry", TRACE_ENTRY},
              {"exits", TRACE_EXITS},
              {"ioctl", API_TRACE_IOCTL},
              {"unknown", API_TRACE_UNKNOWN},
              {"run", API_TRACE_RUN}};

static void read_nested(const char *text)
{
    settings.amd = host_vendor() == VENDOR_AMD;
    settings.nested = true;
    if (!text || !*text)
        return;
    if (!strcmp(text, "off")) {
        settings.nested = false;
    } else if (!strcmp(text, "intel") || !strcmp(text, "amd")) {
        settings.amd = *text == 'a';
    } else {
        error_set(&settings.error, -EINVAL, "NESTBOX_KVM_NESTED is '%s'; it must be intel, amd or off", text);
    }
}

static void read_direct(const char *text)
{
    static const char *const names[] = {[CPU_DIRECT_OFF] = "off", [CPU_DIRECT_AUTO] = "auto", [CPU_DIRECT_ON] = "on"};
    for (unsigned i = 0; text && i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], text) == 0) {
            settings.direct = (enum cpu_direct)i;
            return;
        }
    if (text && *text)
        error_set(&settings.error, -EINVAL, "NESTBOX_KVM_DIRECT is '%s'; it must be off, auto or on", text);
}

static void read_trace(const char *text)
{
    while (text && *text) {
        size_t length = strcspn(text, ",");
        u32 bit = 0;
        for (unsigned i = 0; i < ARRAY_LEN(traces); i++)
            if (strlen(traces[i].name) == length && !strncmp(traces[i].name, text, length))
                bit = traces[i].bit;
        if (!bit && length)
            error_set(&settings.error, -EINVAL,
                      "NESTBOX_KVM_TRACE has '%.*s'; there is entry, exits, ioctl, unknown, run", (int)length, text);
        settings.trace |= bit;
        text += length + (text[length] == ',');
    }
}

static void read_all(void)
{
    const char *serve = getenv("NESTBOX_KVM");
    settings.serve = !serve || strcmp(serve, "0") != 0;
    settings.cpu = getenv("NESTBOX_KVM_CPU");
    settings.trace_file = getenv("NESTBOX_KVM_TRACE_FILE");
    settings.stats_file = getenv("NESTBOX_KVM_STATS");
    settings.symbols = getenv("NESTBOX_KVM_SYMBOLS");
    settings.perf_map = getenv("NESTBOX_KVM_PERF_MAP");
    read_nested(getenv("NESTBOX_KVM_NESTED"));
    read_direct(getenv("NESTBOX_KVM_DIRECT"));
    read_trace(getenv("NESTBOX_KVM_TRACE"));
}

const struct api_settings *api_settings(void)
{
    pthread_once(&once, read_all);
    return &settings;
}
