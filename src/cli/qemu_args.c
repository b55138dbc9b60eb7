/*
 * Completes QEMU's command line: see qemu_args.h. QEMU takes options with one dash or two, and their values as the next
 * argument.
 */
#include "cli/qemu_args.h"

#include "rules/run_settings.h"
#include "x86/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDED 9 /* the program, -accel kvm, -cpu host, -object, -machine for shared memory */

#define QEMU_MEMORY 128 /* MiB, without -m */

/* Is it that option of QEMU's? */
static bool is(const char *arg, const char *option)
{
    return *arg == '-' && strcmp(arg + 1 + (arg[1] == '-'), option) == 0;
}

/* Returns the value of that name in a list of NAME=VALUE,..., or NULL. */
static const char *find(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p; p = strchr(p, ','), p += !!p)
        if (strncmp(p, name, n) == 0 && p[n] == '=')
            return p + n + 1;
    return NULL;
}

static bool begins(const char *list, const char *word)
{
    size_t n = strcspn(list, ",");
    return strlen(word) == n && strncmp(list, word, n) == 0;
}

/* What must be known of the command line before anything is added. */
struct command {
    unsigned count;
    const char *accel; /* the accelerator that QEMU tries first, up to a comma or colon; NULL: none is named */
    bool cpu, no_machine;
    const char *memory; /* of -m; NULL: not given */
    bool has_memory;    /* some memory is named that is not QEMU's own, or no size that is known here */
    bool no_spawn;      /* its sandbox forbids processes */
};

/* Returns the size in MiB that -m names, 0 if this is not a plain number of MiB or GiB. */
static unsigned long long mebibytes(const char *text)
{
    char *end;
    const char *number = find(text, "size") ? find(text, "size") : text;
    unsigned long long n = strtoull(number, &end, 10);
    bool gibi = *end == 'G' || *end == 'g';
    end += gibi || *end == 'M' || *end == 'm';
    return *end && *end != ',' ? 0 : gibi ? n << 10 : n;
}

/* Options by which QEMU has memory of another kind, or that may name some. */
static bool names_memory(const char *arg, const char *value)
{
    static const char *const all[] = {"mem-path", "mem-prealloc", "numa", "readconfig", NULL};
    for (unsigned i = 0; all[i]; i++)
        if (is(arg, all[i]))
            return true;
    return value && (((is(arg, "machine") || is(arg, "M")) && find(value, "memory-backend")) ||
                     (is(arg, "object") && strstr(value, "memory-backend")));
}

static struct command look(char **argv)
{
    struct command c = {0};
    for (; argv[c.count]; c.count++) {
        const char *arg = argv[c.count], *value = argv[c.count + 1];
        const char *accel = is(arg, "enable-kvm") ? "kvm" : is(arg, "accel") ? value ? value : "kvm" : NULL;
        if (accel && !c.accel)
            c.accel = find(accel, "accel") ? find(accel, "accel") : accel;
        if (is(arg, "cpu"))
            c.cpu = true;
        if (is(arg, "m"))
            c.memory = value;
        c.has_memory |= names_memory(arg, value);
        if (is(arg, "sandbox") && value && find(value, "spawn"))
            c.no_spawn = begins(find(value, "spawn"), "deny");
        if ((is(arg, "machine") || is(arg, "M")) && value) {
            if (find(value, "accel"))
                c.accel = find(value, "accel");
            c.no_machine |= begins(value, "none") || strstr(value, "type=none");
        }
    }
    return c;
}

static bool tries_kvm(const struct command *c)
{
    return !c->accel || (strncmp(c->accel, "kvm", 3) == 0 && strchr(",:", c->accel[3]));
}

bool qemu_args_accel(char **argv, char *name, size_t size)
{
    struct command c = look(argv);
    snprintf(name, size, "%.*s", c.accel ? (int)strcspn(c.accel, ",:") : 0, c.accel ? c.accel : "");
    return tries_kvm(&c);
}

bool qemu_args_no_processes(char **argv)
{
    return look(argv).no_spawn;
}

const char *qemu_args_misplaced(char **argv)
{
    static const char *const too[] = {"accel", "cpu", "trace", NULL}; /* QEMU has them, too */
    for (char **a = argv; *a; a++) {
        if (strncmp(*a, "--", 2) != 0)
            continue;
        size_t length = strcspn(*a + 2, "=");
        const struct setting *s = setting_find(kvm_settings_table, *a + 2, length);
        for (unsigned i = 0; s && too[i]; i++)
            if (strcmp(s->name, too[i]) == 0)
                s = NULL;
        if (s || !length)
            return *a;
    }
    return NULL;
}

/* Returns the value of -cpu, or NULL if there is no memory. */
static char *cpu_value(const char *model, const char *vendor, bool engine)
{
    char *text = NULL, family[96] = "", name[32] = "";
    bool of_host = begins(model, "host") || begins(model, "max"), amd = vendor && strcmp(vendor, "amd") == 0;
    bool width = engine && of_host && !find(model, "phys-bits") && !find(model, "host-phys-bits-limit");
    if (vendor && !find(model, "vendor") && !begins(model, "help") && !begins(model, "?")) {
        u32 s = amd ? SIGNATURE_AMD : SIGNATURE_INTEL;
        snprintf(name, sizeof(name), ",vendor=%s", amd ? "AuthenticAMD" : "GenuineIntel");
        if (of_host && !find(model, "family"))
            snprintf(family, sizeof(family), ",family=%u,model=%u,stepping=%u,model-id=nestbox virtual CPU",
                     SIGNATURE_FAMILY(s), SIGNATURE_MODEL(s), SIGNATURE_STEPPING(s));
    }
    if (asprintf(&text, "%s%s%s%s", model, name, family, width ? ",host-phys-bits-limit=40" : "") < 0)
        return NULL;
    return text;
}

char **qemu_args(const char *program, char **argv, const char *vendor, bool engine, bool shared)
{
    struct command c = look(argv);
    bool kvm = tries_kvm(&c);
    unsigned long long size = c.memory ? mebibytes(c.memory) : QEMU_MEMORY;
    unsigned n = 0;
    char **args = calloc(c.count + ADDED + 1, sizeof(*args));
    if (!args)
        return NULL;
    args[n++] = strdup(program);
    if (!c.accel) {
        args[n++] = strdup("-accel");
        args[n++] = strdup("kvm");
    }
    if (kvm && !c.cpu && !c.no_machine) {
        args[n++] = strdup("-cpu");
        args[n++] = cpu_value("host", vendor, engine);
    }
    if (kvm && shared && size && !c.has_memory && !c.no_machine) {
        /* By the names that QEMU's own memory has: in saved states and migrations the two are the same. */
        args[n++] = strdup("-object");
        if (asprintf(&args[n++],
                     "memory-backend-memfd,id=pc.ram,size=%lluM,share=on,x-use-canonical-path-for-ramblock-id=off",
                     size) < 0)
            args[n - 1] = NULL;
        args[n++] = strdup("-machine");
        args[n++] = strdup("memory-backend=pc.ram");
    }
    for (unsigned i = 0; i < c.count; i++)
        args[n++] = kvm && i && is(argv[i - 1], "cpu") ? cpu_value(argv[i], vendor, engine) : strdup(argv[i]);
    for (unsigned i = 0; i < n; i++) {
        if (args[i])
            continue;
        for (i = 0; i < n; i++)
            free(args[i]);
        free(args);
        return NULL;
    }
    return args;
}

void qemu_args_free(char **args)
{
    for (char **a = args; a && *a; a++)
        free(*a);
    free(args);
}
