/*
 * Starting waits for delays one after the other, in their order. Stopping has a process for each VM, because a guest
 * may take its time; each of them reports its error by a pipe.
 */
#include "manager/auto.h"

#include "base/monotonic.h"
#include "manager/life.h"
#include "manager/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND_NS 1000000ull

/* -- starting -- */

static bool is_to_start(struct store *store, const struct vm_def *def)
{
    if (def->set.template || def->set.auto_start == AUTO_START_NOTHING)
        return false;
    return def->set.auto_start == AUTO_START_ALWAYS || store_vm_marked(store, def->name);
}

/* Those whose definition is damaged keep no other from it, and are an error in the end. */
static int skipped(const struct error *damaged, struct error *error)
{
    if (damaged->code)
        *error = *damaged;
    return damaged->code;
}

static int by_delay(const void *a, const void *b)
{
    const struct vm_def *x = a, *y = b;
    return x->set.start_delay_ms < y->set.start_delay_ms   ? -1
           : x->set.start_delay_ms > y->set.start_delay_ms ? 1
                                                           : strcmp(x->name, y->name);
}

static void sleep_until(u64 ns)
{
    const u64 now = monotonic_ns();
    if (ns <= now)
        return;
    struct timespec left = {(time_t)((ns - now) / 1000000000ull), (long)((ns - now) % 1000000000ull)};
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

int auto_start(struct store *store, const struct auto_report *report, struct error *error)
{
    const u64 begin = monotonic_ns();
    struct vm_def *list;
    u32 count;
    struct error damaged;
    int first = 0, e = vm_read_all(store, &list, &count, &damaged, error);
    if (e)
        return e;
    if (count)
        qsort(list, count, sizeof(*list), by_delay);
    for (u32 i = 0; i < count; i++) {
        struct error failed = {0};
        json_t *result = NULL;
        if (!is_to_start(store, &list[i]))
            continue;
        sleep_until(begin + list[i].set.start_delay_ms * MILLISECOND_NS);
        e = life_start(store, list[i].name, NULL, &result, &failed);
        if (!e && json_is_true(json_object_get(result, "already"))) {
            json_decref(result);
            continue;
        }
        if (!e)
            failed.code = 0;
        report->one(report, list[i].name, "started", &failed);
        if (e && !first) {
            first = e;
            *error = failed;
        }
        json_decref(e ? NULL : result);
    }
    vm_defs_free(list, count);
    return first ? first : skipped(&damaged, error);
}

/* -- stopping -- */

struct stopping {
    char vm[NAME_MAX_LEN + 1];
    pid_t process;
    int verdict; /* the end of a pipe; -1: none */
    enum life_stop how;
};

static const char *const done[] = {
    [LIFE_SHUT_DOWN] = "shut down", [LIFE_TURN_OFF] = "turned off", [LIFE_SAVE] = "saved"};

static enum life_stop how_of(const struct vm_def *def, enum vm_state state)
{
    static const enum life_stop ways[] = {
        [AUTO_STOP_SAVE] = LIFE_SAVE, [AUTO_STOP_TURN_OFF] = LIFE_TURN_OFF, [AUTO_STOP_SHUT_DOWN] = LIFE_SHUT_DOWN};
    enum life_stop how = ways[def->set.auto_stop];
    return how == LIFE_SHUT_DOWN && state == VM_PAUSED ? LIFE_SAVE : how;
}

/* In a process of its own. What cannot be had is replaced by the next that may work. Returns what it was. */
static int stop_one(struct store *store, const char *vm, enum life_stop *how, u32 seconds, struct error *error)
{
    static const enum life_stop order[] = {LIFE_SAVE, LIFE_SHUT_DOWN, LIFE_TURN_OFF};
    struct error ignored;
    json_t *result = NULL;
    int e = -EPERM;
    if (!life_ask(store, vm, json_pack("{s:s}", "do", "wait"), NULL, &result, &ignored)) /* it may be starting */
        json_decref(result);
    result = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(order) && e; i++) {
        if (*how != order[i])
            continue;
        e = life_stop(store, vm, *how, seconds, NULL, &result, e == -EPERM ? error : &ignored);
        if (e && i + 1 < ARRAY_LEN(order))
            *how = order[i + 1];
    }
    json_decref(result);
    return e ? e : store_vm_mark(store, vm, true, error);
}

static int begin(struct store *store, struct stopping *s, u32 seconds)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return -errno;
    s->process = fork();
    if (s->process == 0) {
        struct {
            enum life_stop how;
            struct error error;
        } verdict = {s->how, {0}};
        int e = stop_one(store, s->vm, &verdict.how, seconds, &verdict.error);
        verdict.error.code = e;
        (void)!write(ends[1], &verdict, sizeof(verdict));
        _exit(0);
    }
    int e = s->process < 0 ? -errno : 0;
    close(ends[1]);
    s->verdict = ends[0];
    return e;
}

static void end(struct stopping *s, struct error *error)
{
    struct {
        enum life_stop how;
        struct error error;
    } verdict;
    if (s->verdict >= 0 && read(s->verdict, &verdict, sizeof(verdict)) == sizeof(verdict)) {
        *error = verdict.error;
        s->how = verdict.how;
    } else {
        error_set(error, -EIO, "VM %s: the process that was to stop it has ended", s->vm);
    }
    if (s->verdict >= 0)
        close(s->verdict);
    if (s->process > 0)
        waitpid(s->process, NULL, 0);
}

int auto_stop(struct store *store, u32 seconds, const struct auto_report *report, struct error *error)
{
    struct vm_def *list;
    u32 count, running = 0;
    struct error damaged;
    int first = 0, e = vm_read_all(store, &list, &count, &damaged, error);
    struct stopping *all = e ? NULL : calloc(count + 1, sizeof(*all));
    if (!all)
        return e ? e : error_memory(error);
    for (u32 i = 0; i < count; i++) {
        struct vm_now now;
        struct error ignored;
        struct stopping *s = &all[running];
        e = vm_now(store, &list[i], &now, &ignored);
        json_decref(now.report);
        if (!e && (now.state == VM_OFF || now.state == VM_SAVED))
            continue;
        *s = (struct stopping){.how = how_of(&list[i], now.state), .verdict = -1};
        strcpy(s->vm, list[i].name);
        (void)!begin(store, s, seconds);
        running++;
    }
    for (u32 i = 0; i < running; i++) {
        struct error failed = {0};
        end(&all[i], &failed);
        report->one(report, all[i].vm, done[all[i].how], &failed);
        if (failed.code && !first) {
            first = failed.code;
            *error = failed;
        }
    }
    free(all);
    vm_defs_free(list, count);
    return first ? first : skipped(&damaged, error);
}
