/*
 * Looks at what the VM uses every ten seconds, if its settings say so, and whenever somebody asks. Sums go to the disk
 * every half minute: a worker that is killed loses what memory was in between, and no counter.
 */
#include "worker/meter.h"

#include "process/ask.h"
#include "store/file.h"
#include "store/store.h"
#include "worker/inside.h"
#include "worker/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_BEATS 5
#define WRITE_LOOKS 3
#define SWITCH_MS 200 /* a switch that does not answer in that time is left out this time */

struct meter {
    struct worker *w;
    json_t *sums; /* NULL: not read yet */
    u64 last_ns;  /* of the last look */
    u32 looks, open;
    u64 asker[ASKERS_MAX];
    u32 askers;
    bool resets;
    struct qmp_call blocks, balloon, devices;
    json_t *look;
    u64 memory;
};

static void file_path(const struct worker *w, char path[static PATH_MAX])
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(w->def.name, folded);
    snprintf(path, PATH_MAX, "vms/%s/" METER_FILE, folded);
}

static void read_sums(struct meter *m)
{
    char path[PATH_MAX];
    struct error ignored;
    file_path(m->w, path);
    if (file_read(m->w->store->folder, path, &m->sums, &ignored))
        m->sums = meter_new(NULL, time(NULL));
}

static void write_sums(struct meter *m)
{
    char path[PATH_MAX];
    struct error error;
    file_path(m->w, path);
    if (m->sums && file_write(m->w->store->folder, path, m->sums, &error))
        worker_log(m->w, "%s", error.text);
}

/* -- the network: switches count what their ports pass -- */

static void add_ports(struct meter *m, const json_t *report, json_t *nics)
{
    size_t i;
    json_t *port;
    json_array_foreach (json_object_get(report, "ports"), i, port) {
        const char *id = json_string_value(json_object_get(port, "id"));
        for (u32 c = 0; id && c < m->w->card_count; c++)
            if (strcmp(m->w->cards[c].id, id) == 0) /* what goes into a switch comes out of the VM */
                (void)!json_object_set_new(nics, id,
                                           json_pack("{s:O, s:O}", "in_bytes", json_object_get(port, "bytes_out"),
                                                     "out_bytes", json_object_get(port, "bytes_in")));
    }
}

static void look_at_switches(struct meter *m, json_t *nics)
{
    const struct worker *w = m->w;
    static const struct ask how = {.wait_ms = SWITCH_MS};
    for (u32 c = 0; c < w->card_count; c++) {
        const char *name = w->cards[c].set.switch_name;
        struct ask_peer peer = {.hangs = "", .absent = ""};
        char path[PATH_MAX];
        struct error ignored;
        bool asked = !*name;
        json_t *report = NULL, *request = json_pack("{s:s}", "do", "show");
        for (u32 d = 0; d < c; d++)
            asked |= name_equal(w->cards[d].set.switch_name, name);
        int fd = asked || store_switch_socket(w->store, name, path, sizeof(path), &ignored)
                     ? -1
                     : ask_connect(path, &peer, &ignored);
        if (fd >= 0 && !ask(fd, &peer, &how, request, &report, &ignored))
            add_ports(m, report, nics);
        if (fd >= 0)
            close(fd);
        json_decref(report);
        json_decref(request);
    }
}

/* -- a look -- */

static void look_done(struct meter *m)
{
    struct worker *w = m->w;
    char run[48];
    if (--m->open)
        return;
    snprintf(run, sizeof(run), "%d %llu", (int)w->qemu.pid, (unsigned long long)w->qemu.started);
    (void)!json_object_set_new(m->look, "run", json_string(run));
    (void)!json_object_set_new(m->look, "cpu_ms", json_integer((json_int_t)process_cpu_ms(w->qemu.pid, NULL)));
    (void)!json_object_set_new(m->look, "memory", json_integer((json_int_t)m->memory));
    json_t *nics = json_object();
    look_at_switches(m, nics);
    (void)!json_object_set_new(m->look, "nics", nics);
    if (!m->sums)
        read_sums(m);
    meter_add(m->sums, m->look, m->last_ns ? (double)(w->loop.now_ns - m->last_ns) / 1e9 : 0);
    m->last_ns = w->loop.now_ns;
    json_decref(m->look);
    m->look = NULL;
    if (m->resets) {
        json_t *fresh = meter_new(m->sums, time(NULL));
        json_decref(m->sums);
        m->sums = fresh;
    }
    if (m->resets || m->askers || !(++m->looks % WRITE_LOOKS))
        write_sums(m);
    for (u32 i = 0; i < m->askers; i++)
        control_answer(w->control, m->asker[i], json_pack("{s:b, s:O}", "ok", 1, "meter", m->sums));
    m->askers = 0;
    m->resets = false;
}

static void blocks_known(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct meter *m = container_of(call, struct meter, blocks);
    (void)!json_object_set_new(m->look, "disks", report_drives(result));
    look_done(m);
}

static void balloon_known(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct meter *m = container_of(call, struct meter, balloon);
    m->memory += result ? (u64)json_integer_value(json_object_get(result, "actual")) : m->w->memory_started;
    look_done(m);
}

static void devices_known(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct meter *m = container_of(call, struct meter, devices);
    u64 added = 0;
    memory_added(result, &added);
    m->memory += added;
    look_done(m);
}

static void look(struct meter *m)
{
    struct worker *w = m->w;
    if (m->open)
        return;
    m->look = json_object();
    m->memory = 0;
    m->open = 3;
    qmp_send(w->qmp, "query-blockstats", NULL, &m->blocks);
    qmp_send(w->qmp, "query-balloon", NULL, &m->balloon);
    qmp_send(w->qmp, "query-memory-devices", NULL, &m->devices);
}

void meter_beat(struct meter *m)
{
    struct worker *w = m->w;
    if (!w->def.set.metering)
        m->last_ns = 0; /* time that is not metered */
    else if (!w->job && (!m->last_ns || !(w->beats % LOOK_BEATS)))
        look(m);
}

int meter_ask(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    struct meter *m = w->meter;
    if (!m || w->job)
        return error_set(error, -EBUSY, "VM %s is busy", w->def.name);
    if (m->askers == ASKERS_MAX)
        return error_set(error, -EBUSY, "too many ask for VM %s", w->def.name);
    m->resets |= json_is_true(json_object_get(request, "reset"));
    m->asker[m->askers++] = control_asker(w->control);
    look(m);
    return CONTROL_LATER;
}

struct meter *meter_begin(struct worker *w)
{
    struct meter *m = calloc(1, sizeof(*m));
    if (m)
        *m = (struct meter){.w = w, .blocks = {blocks_known}, .balloon = {balloon_known}, .devices = {devices_known}};
    return m;
}

void meter_end(struct meter *m)
{
    if (!m)
        return;
    if (m->w->def.set.metering)
        write_sums(m);
    json_decref(m->sums);
    json_decref(m->look);
    free(m);
}
