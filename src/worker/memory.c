/*
 * Dynamic memory, one step per pulse: QEMU is asked what the VM has and what the guest says, then told what it is to
 * have. Static memory is changed by commands (manager/resize.c) with the same two devices.
 */
#include "worker/memory.h"

#include "store/host.h"
#include "worker/hypervisor.h"
#include "worker/inside.h"
#include "worker/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OLD_SECONDS 10 /* what a guest said before that says nothing */
#define BALLOON "/machine/peripheral/balloon"

struct memory {
    struct worker *w;
    struct qmp_call balloon_call, devices_call, stats_call, vcpus_call;
    u32 open; /* answers that are not there yet */
    bool polls;
    u64 balloon, added, added_max, guest_total;
    struct memory_facts facts;
    struct memory_wish wish;
};

static const char *const status_names[] = {
    [MEMORY_UNKNOWN] = "", [MEMORY_OK] = "OK", [MEMORY_LOW] = "Low", [MEMORY_WARNING] = "Warning"};

static void host_memory(u64 *total, u64 *available)
{
    char line[128];
    unsigned long long kib;
    *total = *available = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "MemTotal: %llu", &kib) == 1)
            *total = kib << 10;
        else if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
            *available = kib << 10;
    }
    if (f)
        fclose(f);
}

u64 memory_of_host(void)
{
    return (u64)sysconf(_SC_PHYS_PAGES) * (u64)sysconf(_SC_PAGESIZE);
}

/* -- telling QEMU -- */

static void set(struct memory *m, const char *path, const char *property, u64 value)
{
    qmp_send(m->w->qmp, "qom-set",
             json_pack("{s:s, s:s, s:I}", "path", path, "property", property, "value", (json_int_t)value), NULL);
}

/* Beyond the start memory is added, below it is taken away. */
static void assign(struct memory *m, u64 total)
{
    u64 base = m->w->memory_started, more = total > base ? total - base : 0;
    if (m->added_max)
        set(m, "/machine/peripheral/" COMMAND_MEMORY_DEVICE, "requested-size",
            more < m->added_max ? more : m->added_max);
    /* A guest that does not give back what was added has that much more than it should. */
    qmp_send(m->w->qmp, "balloon", json_pack("{s:I}", "value", (json_int_t)(total < base ? total : base)), NULL);
}

/* -- what there is -- */

static void decide(struct memory *m)
{
    struct worker *w = m->w;
    u64 before = m->wish.target;
    /* A balloon that deflates before the guest runs out of memory is not taken off the guest's total. */
    u64 taken = w->memory_started > m->balloon ? w->memory_started - m->balloon : 0;
    m->facts.assigned = m->balloon + m->added;
    m->facts.guest_total = m->guest_total > taken ? m->guest_total - taken : 0;
    m->facts.limit = w->memory_started + m->added_max;
    host_memory(&m->facts.host_total, &m->facts.host_available);
    m->wish = memory_wish(&w->def.set, &m->facts);
    if (m->facts.guest_total)
        m->facts.silent_demand = m->wish.demand;
    if (w->state != VM_RUNNING || w->job || m->wish.target == m->facts.assigned)
        return;
    if (m->wish.target != before)
        worker_log(w, "memory %llu MiB, of which the guest %s %llu: %llu MiB",
                   (unsigned long long)m->facts.assigned >> 20,
                   m->facts.guest_total ? "needs" : "says nothing any more, and needed",
                   (unsigned long long)m->wish.demand >> 20, (unsigned long long)m->wish.target >> 20);
    assign(m, m->wish.target);
}

static void answered(struct memory *m)
{
    if (!--m->open)
        decide(m);
}

static void balloon_known(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct memory *m = container_of(call, struct memory, balloon_call);
    if (result)
        m->balloon = (u64)json_integer_value(json_object_get(result, "actual"));
    answered(m);
}

static void devices_known(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct memory *m = container_of(call, struct memory, devices_call);
    m->added_max = memory_added(result, &m->added);
    answered(m);
}

static void stats_known(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct memory *m = container_of(call, struct memory, stats_call);
    json_t *stats = json_object_get(result, "stats");
    double total = json_number_value(json_object_get(stats, "stat-total-memory")),
           available = json_number_value(json_object_get(stats, "stat-available-memory")),
           at = json_number_value(json_object_get(result, "last-update"));
    double age = (double)time(NULL) - at; /* less than nothing if the host's clock was set back */
    bool known =
        total > 0 && total < 0x1p60 && available > 0 && available < 0x1p60 && age < OLD_SECONDS && age > -OLD_SECONDS;
    m->guest_total = known ? (u64)total : 0;
    m->facts.guest_available = known ? (u64)available : 0;
    answered(m);
}

static void vcpus_known(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct memory *m = container_of(call, struct memory, vcpus_call);
    struct host_settings host;
    struct error ignored;
    m->facts.frozen =
        hypervisor_active(result) && !store_host(m->w->store, &host, &ignored) && host.profile != PROFILE_OPEN;
    answered(m);
}

void memory_restarted(struct memory *m)
{
    if (m)
        m->facts.silent_demand = 0;
}

void memory_beat(struct memory *m)
{
    struct worker *w = m->w;
    if (!w->def.set.dynamic_memory || w->state != VM_RUNNING || w->job || m->open)
        return;
    if (!m->polls)
        set(m, BALLOON, "guest-stats-polling-interval", PULSE_NS / SECOND_NS);
    m->polls = true;
    m->open = 4;
    qmp_send(w->qmp, "query-balloon", NULL, &m->balloon_call);
    qmp_send(w->qmp, "query-memory-devices", NULL, &m->devices_call);
    qmp_send(w->qmp, "qom-get", json_pack("{s:s, s:s}", "path", BALLOON, "property", "guest-stats"), &m->stats_call);
    qmp_send(w->qmp, "query-stats", json_pack("{s:s}", "target", "vcpu"), &m->vcpus_call);
}

void memory_report(const struct memory *m, json_t *reply)
{
    if (!m || m->wish.status == MEMORY_UNKNOWN)
        return;
    (void)!json_object_set_new(reply, "memory_demand", json_integer((json_int_t)m->wish.demand));
    (void)!json_object_set_new(reply, "memory_status", json_string(status_names[m->wish.status]));
    if (m->facts.frozen)
        (void)!json_object_set_new(reply, "memory_frozen", json_string("a hypervisor runs in the VM (rule R7)"));
}

struct memory *memory_new(struct worker *w)
{
    struct memory *m = calloc(1, sizeof(*m));
    if (m)
        *m = (struct memory){.w = w,
                             .balloon_call = {balloon_known},
                             .devices_call = {devices_known},
                             .stats_call = {stats_known},
                             .vcpus_call = {vcpus_known}};
    return m;
}

void memory_free(struct memory *m)
{
    free(m);
}
