/*
 * Counters of VMs and vCPUs: as text for people when a VM ends, and as KVM_GET_STATS_FD gives them. Such a descriptor
 * is a memfd that holds header, descriptors and data; the data are brought up to date when the program reads.
 *
 * Called on any thread. Source: Linux, Documentation/virt/kvm/api.rst, "KVM_GET_STATS_FD".
 */
#include "kvmapi/stats.h"

#include "accel/exit_text.h"
#include "accel/perf_map.h"
#include "accel/symbols.h"
#include "kvmapi/descriptor.h"
#include "kvmapi/settings.h"
#include "kvmapi/vm.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME_SIZE 48 /* the kernel's */
#define VALUES_MAX 1024

struct values {
    u32 count;
    struct {
        char name[NAME_SIZE];
        u64 value;
        bool instant; /* it goes up and down; the others only grow */
    } row[VALUES_MAX];
};

static void add(struct values *s, const char *name, u64 value, bool instant)
{
    if (s->count == VALUES_MAX)
        return;
    char *to = s->row[s->count].name;
    snprintf(to, NAME_SIZE, "%s", name);
    for (; *to; to++)
        *to = isalnum((unsigned char)*to) ? (char)tolower((unsigned char)*to) : '_';
    s->row[s->count].value = value;
    s->row[s->count++].instant = instant;
}

/* Adds one row per level and reason that has a name of its own. */
static void add_exits(struct values *s, struct api_vm *vm)
{
    for (unsigned level = 2; level <= CPU_EXIT_LEVEL_MAX; level++)
        for (unsigned i = 0; i < CPU_EXIT_SLOTS; i++) {
            char reason[NAME_SIZE], name[NAME_SIZE + 16];
            u64 code, count = cpu_exit_count(vm->cpus, level, i, &code);
            exit_name(cpu_vendor(vm->cpus), code, reason, sizeof(reason));
            snprintf(name, sizeof(name), "l%u_exits_%s", level, reason);
            if (strncmp(reason, "reason ", 7))
                add(s, name, count, false);
        }
}

static void add_called(struct values *s, struct api_vm *vm)
{
    const char *handler;
    u64 count;
    for (unsigned i = 0; (handler = cpu_called(vm->cpus, i, &count)); i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof(name), "called %s", handler);
        add(s, name, count, false);
    }
}

static void collect(struct values *s, struct api_vm *vm, struct api_vcpu *v)
{
    s->count = 0;
    if (v) {
        const char *text;
        u64 value;
        add(s, "exits", v->exits, false);
        for (unsigned row = 0; (text = cpu_counter(v->cpu, row, &value)); row++)
            add(s, text, value, false);
        add(s, "hypervisor_active", cpu_hypervisor_active(v->cpu), true);
        return;
    }
    struct cpu_cache_use c;
    cpu_cache_use(vm->cpus, &c);
    add(s, "code_blocks", c.blocks, true);
    add(s, "code_bytes", c.hot + c.cold, true);
    add(s, "code_flushes", c.flushes, false);
    add_called(s, vm);
    add_exits(s, vm);
}

/* -- KVM_GET_STATS_FD -- */

struct stats_file {
    int fd;
    struct api_vm *vm;
    struct api_vcpu *vcpu; /* NULL: of the VM */
    u32 data_offset;
};

struct stats_desc {
    struct kvm_stats_desc head;
    char name[NAME_SIZE];
};
_Static_assert(sizeof(struct stats_desc) == sizeof(struct kvm_stats_desc) + NAME_SIZE, "no gap");

static bool put(int fd, const void *from, size_t size, size_t at)
{
    return pwrite(fd, from, size, (off_t)at) == (ssize_t)size;
}

static bool data_write(const struct stats_file *f, const struct values *s)
{
    u64 data[VALUES_MAX];
    for (u32 i = 0; i < s->count; i++)
        data[i] = s->row[i].value;
    return put(f->fd, data, s->count * sizeof(data[0]), f->data_offset);
}

static bool image_write(struct stats_file *f, const struct values *s)
{
    char id[NAME_SIZE] = "";
    struct kvm_stats_header h = {.name_size = NAME_SIZE, .num_desc = s->count, .id_offset = sizeof(h)};
    h.desc_offset = h.id_offset + NAME_SIZE;
    h.data_offset = f->data_offset = h.desc_offset + s->count * (u32)sizeof(struct stats_desc);
    if (f->vcpu)
        snprintf(id, sizeof(id), "kvm-%d/vcpu-%u", f->vm->pid, f->vcpu->id);
    else
        snprintf(id, sizeof(id), "kvm-%d", f->vm->pid);
    bool ok = put(f->fd, &h, sizeof(h), 0) && put(f->fd, id, sizeof(id), h.id_offset) && data_write(f, s);
    for (u32 i = 0; i < s->count && ok; i++) {
        struct stats_desc d = {.head = {.size = 1, .offset = i * 8}};
        d.head.flags = (s->row[i].instant ? KVM_STATS_TYPE_INSTANT : KVM_STATS_TYPE_CUMULATIVE) | KVM_STATS_UNIT_NONE |
                       KVM_STATS_BASE_POW10;
        memcpy(d.name, s->row[i].name, NAME_SIZE);
        ok = put(f->fd, &d, sizeof(d), h.desc_offset + i * sizeof(d));
    }
    return ok;
}

void stats_refresh(void *object)
{
    const struct stats_file *f = object;
    struct values *s = malloc(sizeof(*s));
    if (!s)
        return;
    collect(s, f->vm, f->vcpu);
    if (!data_write(f, s))
        api_trace(API_TRACE_UNKNOWN, "statistics are not up to date");
    free(s);
}

static void release(void *object)
{
    struct stats_file *f = object;
    vm_put(f->vm);
    free(f);
}

static long stats_open(struct api_vm *vm, struct api_vcpu *v)
{
    struct stats_file *f = malloc(sizeof(*f));
    struct values *s = malloc(sizeof(*s));
    int fd = memfd_create("kvm-stats", MFD_CLOEXEC);
    long r = fd < 0 ? -errno : 0;
    if (!r && f && s) {
        *f = (struct stats_file){.fd = fd, .vm = vm, .vcpu = v};
        collect(s, vm, v);
        r = image_write(f, s) ? 0 : -ENOMEM;
    } else if (!r) {
        r = -ENOMEM;
    }
    free(s);
    if (!r) {
        vm_get(vm);
        r = file_add(fd, FILE_STATS, f, release, NULL);
        if (r < 0)
            release(f);
        return r;
    }
    free(f);
    if (fd >= 0)
        close(fd);
    return r;
}

static long vm_stats(struct api_vm *vm, struct api_arg *arg)
{
    return stats_open(vm, NULL);
}

static long vcpu_stats(struct api_vcpu *v, struct api_arg *arg)
{
    return stats_open(v->vm, v);
}

static const struct api_ioctl ioctls[] = {
    API_VM(KVM_GET_STATS_FD, vm_stats),
    API_VCPU(KVM_GET_STATS_FD, vcpu_stats),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_BINARY_STATS_FD, 1),
    {0},
};

const struct api_part stats_part = {.name = "stats", .ioctls = ioctls, .caps = caps};

/* -- text -- */

static void print(FILE *to, const char *head, const struct values *s)
{
    fprintf(to, "%s:", head);
    for (u32 i = 0; i < s->count; i++)
        if (s->row[i].value)
            fprintf(to, " %s %llu", s->row[i].name, (unsigned long long)s->row[i].value);
    fprintf(to, "\n");
}

static void map_write(struct api_vm *vm)
{
    static bool append; /* a process may have several VMs */
    const char *file = api_settings()->symbols;
    struct symbols *symbols = NULL;
    struct error error = {0};
    int e = file ? symbols_load(file, &symbols, &error) : 0;
    if (!e)
        e = perf_map_write(vm->cpus, symbols, append, &error);
    append = true;
    symbols_free(symbols);
    if (e)
        fprintf(stderr, "nestbox kvm: no names for perf: %s\n", error.text);
}

void stats_write(struct api_vm *vm)
{
    if (vm->vcpu_count && api_settings()->perf_map)
        map_write(vm);
    const char *file = vm->vcpu_count ? api_settings()->stats_file : NULL;
    FILE *to = file ? fopen(file, "ae") : NULL;
    struct values *s = to ? malloc(sizeof(*s)) : NULL;
    char head[32];
    bool done = s;
    if (s) {
        collect(s, vm, NULL);
        snprintf(head, sizeof(head), "VM of process %d", vm->pid);
        print(to, head, s);
        for (u32 i = 0; i < vm->vcpu_count; i++) {
            collect(s, vm, vm->vcpu[i]);
            snprintf(head, sizeof(head), "vCPU %u", vm->vcpu[i]->id);
            print(to, head, s);
        }
        free(s);
    }
    if (to)
        done &= fclose(to) == 0;
    if (file && !done)
        fprintf(stderr, "nestbox kvm: cannot write %s: %s\n", file, strerror(errno));
}
