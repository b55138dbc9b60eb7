/*
 * What a worker answers about its VM. Most of it QEMU has to be asked for: a question is a list of commands whose
 * answers are gathered, and then the asker gets all at once.
 */
#include "process/spawn.h"
#include "worker/inside.h"

#include "worker/hypervisor.h"
#include "worker/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTS_MAX 5

struct question;

struct part {
    struct qmp_call call;
    struct question *question;
    json_t *result; /* NULL: an error */
    struct error error;
};

struct question {
    struct worker *w;
    u64 asker;
    json_t *reply;
    u32 open; /* parts that are not answered */
    struct part part[PARTS_MAX];
    /* Adds the results to the reply. Returns 0 or an error. */
    int (*finish)(struct question *q, struct error *error);
};

static void answered(struct question *q)
{
    struct error error;
    int e = q->finish(q, &error);
    if (e)
        control_answer_error(q->w->control, q->asker, &error);
    else
        control_answer(q->w->control, q->asker, json_incref(q->reply));
    json_decref(q->reply);
    for (u32 i = 0; i < PARTS_MAX; i++)
        json_decref(q->part[i].result);
    free(q);
}

static void part_done(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct part *p = container_of(call, struct part, call);
    struct question *q = p->question;
    p->result = json_incref(result);
    if (error)
        p->error = *error;
    if (!--q->open)
        answered(q);
}

static struct question *question_new(struct worker *w, json_t *reply, u32 parts,
                                     int (*finish)(struct question *, struct error *))
{
    struct question *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    *q = (struct question){
        .w = w, .asker = control_asker(w->control), .reply = json_incref(reply), .open = parts, .finish = finish};
    for (u32 i = 0; i < PARTS_MAX; i++)
        q->part[i] = (struct part){.call = {part_done}, .question = q};
    return q;
}

static void add_number(json_t *to, const char *key, u64 number)
{
    (void)!json_object_set_new(to, key, json_integer((json_int_t)number));
}

/* Per cent of the host's CPUs, as Hyper-V has it: since the pulse, or, when that has just been, at it. */
static u32 cpu_usage(const struct worker *w)
{
    struct cpu_use use = w->cpu;
    if (w->loop.now_ns - use.at_ns > SECOND_NS / 2)
        cpu_use_look(&use, w->loop.now_ns, process_cpu_ms(w->qemu.pid, NULL));
    u32 cpus = (u32)sysconf(_SC_NPROCESSORS_ONLN) * 10;
    return (use.per_mille + cpus / 2) / cpus;
}

/* What the VM has, and, where that is dynamic, what it needs. */
static void add_memory(struct question *q, const json_t *balloon, const json_t *devices)
{
    const json_t *size = json_object_get(balloon, "actual");
    u64 added = 0;
    memory_added(devices, &added);
    add_number(q->reply, "memory", (size ? (u64)json_integer_value(size) : q->w->memory_started) + added);
    memory_report(q->w->memory, q->reply);
}

/* -- show -- */

static const char *accelerator(const struct worker *w, char *text, size_t size)
{
    static const char mark[] = "accelerator ";
    char path[PATH_MAX], line[256] = "";
    struct error ignored;
    if (w->def.set.accel != ACCEL_AUTO)
        return w->def.set.accel == ACCEL_KVM ? "kvm" : "engine";
    FILE *log =
        store_vm_socket(w->store, w->def.name, "qemu.log", path, sizeof(path), &ignored) ? NULL : fopen(path, "re");
    const char *at = log && fgets(line, sizeof(line), log) ? strstr(line, mark) : NULL;
    if (log)
        fclose(log);
    snprintf(text, size, "%.*s", at ? (int)strcspn(at + sizeof(mark) - 1, " \n") : 0, at ? at + sizeof(mark) - 1 : "");
    return text;
}

static json_t *facts(const struct worker *w)
{
    char line[160] = "", accel[32];
    if (w->console)
        console_last_line(w->console, line, sizeof(line));
    return json_pack("{s:s, s:s, s:I, s:I, s:i, s:i, s:s, s:s%, s:I, s:o, s:o, s:o}", "name", w->def.name, "state",
                     vm_state_name(w->state), "since", (json_int_t)w->since, "started", (json_int_t)w->started,
                     "worker", (int)getpid(), "qemu", (int)w->qemu.pid, "accelerator",
                     accelerator(w, accel, sizeof(accel)), "console", line, strlen(line), "memory_started",
                     (json_int_t)w->memory_started, "problem",
                     w->problem.code ? control_error_json(&w->problem) : json_null(), "merging", merge_json(w),
                     "confined", confined_json(w->confined));
}

static int show_finish(struct question *q, struct error *error)
{
    json_t *vcpus = q->part[0].result, *balloon = q->part[1].result;
    json_t *own = facts(q->w);
    if (!own || json_object_update(q->reply, own))
        return error_memory(error);
    json_decref(own);
    guest_report(q->w->guest, q->reply);
    (void)!json_object_set_new(q->reply, "hypervisor_active", json_boolean(hypervisor_active(vcpus)));
    add_number(q->reply, "uptime_ms", spawn_age_ms(q->w->qemu.started));
    add_number(q->reply, "cpu_usage", cpu_usage(q->w));
    if (q->w->limits_note[0])
        (void)!json_object_set_new(q->reply, "limits_note", json_string(q->w->limits_note));
    (void)!json_object_set_new(
        q->reply, "machine",
        machine_of(q->part[2].result, q->part[3].result, q->w->def.set.generation, q->w->memory_limit));
    add_memory(q, balloon, q->part[3].result);
    return 0;
}

int report_show(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    struct question *q = question_new(w, reply, 4, show_finish);
    if (!q)
        return error_memory(error);
    if (w->job || !w->qmp) { /* QEMU may be slow to answer now */
        q->open = 0;
        int e = show_finish(q, error);
        json_decref(q->reply);
        free(q);
        return e;
    }
    qmp_send(w->qmp, "query-stats", json_pack("{s:s}", "target", "vcpu"), &q->part[0].call);
    qmp_send(w->qmp, "query-balloon", NULL, &q->part[1].call);
    qmp_send(w->qmp, "query-pci", NULL, &q->part[2].call);
    qmp_send(w->qmp, "query-memory-devices", NULL, &q->part[3].call);
    return CONTROL_LATER;
}

/* -- stats -- */

json_t *report_drives(const json_t *blocks)
{
    static const char *const keys[] = {"rd_bytes", "wr_bytes", "rd_operations", "wr_operations"};
    json_t *drives = json_object(), *block;
    size_t i;
    json_array_foreach ((json_t *)(uintptr_t)blocks, i, block) {
        const char *name = json_string_value(json_object_get(block, "qdev")), *id = name;
        const char *slash = name ? strstr(name, "/peripheral/") : NULL;
        char word[ID_TEXT_MAX];
        if (slash)
            id = slash + sizeof("/peripheral/") - 1;
        snprintf(word, sizeof(word), "%.*s", id ? (int)strcspn(id, "/") : 0, id ? id : "");
        if (!word[0])
            continue;
        json_t *drive = json_object();
        for (u32 k = 0; k < ARRAY_LEN(keys); k++)
            (void)!json_object_set(drive, keys[k], json_object_get(json_object_get(block, "stats"), keys[k]));
        (void)!json_object_set_new(drives, word, drive);
    }
    return drives;
}

static int stats_finish(struct question *q, struct error *error)
{
    u64 resident, cpu_ms = process_cpu_ms(q->w->qemu.pid, &resident);
    add_number(q->reply, "cpu_ms", cpu_ms);
    add_number(q->reply, "resident", resident);
    add_number(q->reply, "cpu_usage", cpu_usage(q->w));
    (void)!json_object_set_new(q->reply, "name", json_string(q->w->def.name));
    (void)!json_object_set_new(q->reply, "state", json_string(vm_state_name(q->w->state)));
    (void)!json_object_set_new(q->reply, "started", json_integer(q->w->started));
    (void)!json_object_set_new(q->reply, "cpus", json_integer(q->w->def.set.cpus));
    (void)!json_object_set_new(q->reply, "hypervisor_active", json_boolean(hypervisor_active(q->part[0].result)));
    (void)!json_object_set_new(q->reply, "vcpu", hypervisor_counters(q->part[0].result));
    (void)!json_object_set_new(q->reply, "vm", hypervisor_counters(q->part[1].result));
    (void)!json_object_set_new(q->reply, "drives", report_drives(q->part[2].result));
    add_memory(q, q->part[3].result, q->part[4].result);
    return 0;
}

int report_stats(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    struct question *q = question_new(w, reply, 5, stats_finish);
    if (!q)
        return error_memory(error);
    qmp_send(w->qmp, "query-stats", json_pack("{s:s}", "target", "vcpu"), &q->part[0].call);
    qmp_send(w->qmp, "query-stats", json_pack("{s:s}", "target", "vm"), &q->part[1].call);
    qmp_send(w->qmp, "query-blockstats", NULL, &q->part[2].call);
    qmp_send(w->qmp, "query-balloon", NULL, &q->part[3].call);
    qmp_send(w->qmp, "query-memory-devices", NULL, &q->part[4].call);
    return CONTROL_LATER;
}

/* -- one command of QEMU's -- */

static int qmp_finish(struct question *q, struct error *error)
{
    if (!q->part[0].result) {
        *error = q->part[0].error;
        return error->code;
    }
    return json_object_set(q->reply, "return", q->part[0].result) ? error_memory(error) : 0;
}

int report_qmp(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    const char *command = json_string_value(json_object_get(request, "execute"));
    json_t *arguments = json_object_get(request, "arguments");
    if (!command)
        return error_set(error, -EINVAL, "\"execute\" is no command");
    if (w->state == VM_SAVING && strncmp(command, "query-", 6) != 0 && strncmp(command, "qom-", 4) != 0)
        return error_set(error, -EBUSY, "VM %s is %s", w->def.name, vm_state_name(w->state));
    arguments = arguments ? json_deep_copy(arguments) : NULL;
    int e = strcmp(command, "blockdev-add") == 0 ? give_image(w, arguments, error) : 0;
    struct question *q = e ? NULL : question_new(w, reply, 1, qmp_finish);
    if (!q) {
        json_decref(arguments);
        return e ? e : error_memory(error);
    }
    if (strcmp(command, "blockdev-del") == 0)
        give_back(w, json_string_value(json_object_get(arguments, "node-name")));
    qmp_send(w->qmp, command, arguments, &q->part[0].call);
    return CONTROL_LATER;
}

static int screenshot_finish(struct question *q, struct error *error)
{
    if (q->part[0].result)
        return 0;
    *error = q->part[0].error;
    if (q->w->def.set.display == DISPLAY_NONE)
        error_hint(error, "the VM has no display: " SETTING("display") " none");
    return error->code;
}

int report_screenshot(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    const char *path = json_string_value(json_object_get(request, "path"));
    char name[PATH_MAX];
    if (!path || path[0] != '/')
        return error_set(error, -EINVAL, "\"path\" is no absolute path");
    struct question *q = question_new(w, reply, 1, screenshot_finish);
    if (!q)
        return error_memory(error);
    if (!give_file(w, path, (int[]){O_WRONLY | O_CREAT | O_TRUNC}, 1, name))
        snprintf(name, sizeof(name), "%s", path);
    qmp_send(w->qmp, "screendump", json_pack("{s:s, s:s}", "filename", name, "format", "png"), &q->part[0].call);
    return CONTROL_LATER;
}
