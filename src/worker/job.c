/*
 * What takes its time: shutting down, pausing, saving. While a job lasts, the VM is in a state that passes, whoever
 * asked gets a line of progress per second, and each job has a deadline. Turning off cuts any other job off.
 */
#include "process/spawn.h"
#include "worker/inside.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ANSWER_NS (30 * SECOND_NS) /* for QEMU to answer */
#define SHUT_DOWN_SECONDS 120      /* for the guest, if nobody says how long */
#define PRESS_AGAIN_SECONDS 5      /* a guest that was starting has missed the power button */
#define QUIT_SECONDS 5             /* for QEMU to end when asked */

static const char *const job_names[] = {
    [JOB_START] = "starting",
    [JOB_LOAD] = "reading the saved memory",
    [JOB_SHUT_DOWN] = "waiting for the guest to shut down",
    [JOB_TURN_OFF] = "turning off",
    [JOB_PAUSE] = "pausing",
    [JOB_RESUME] = "resuming",
    [JOB_SAVE] = "writing memory",
    [JOB_CHECKPOINT] = "taking a checkpoint",
};

static u32 seconds(const struct worker *w)
{
    return (u32)((w->loop.now_ns - w->job_began_ns) / SECOND_NS);
}

void job_begin(struct worker *w, enum job job, enum vm_state through, u64 patience_ns)
{
    if (!w->job)
        w->before = w->state;
    w->job = job;
    w->job_began_ns = w->loop.now_ns;
    w->deadline_ns = patience_ns ? w->loop.now_ns + patience_ns : NEVER;
    worker_set_state(w, through);
    loop_alarm(&w->loop, &w->tick, w->loop.now_ns + SECOND_NS);
}

void job_end(struct worker *w, enum vm_state next, const struct error *error)
{
    static const struct error none;
    bool failed = error && error->code;
    w->job = JOB_NONE;
    loop_alarm(&w->loop, &w->tick, 0);
    worker_set_state(w, failed ? w->before : next);
    if (failed)
        worker_log(w, "%s%s%s", error->text, error->hint[0] ? "; " : "", error->hint);
    for (u32 i = 0; i < w->askers; i++) {
        if (failed)
            control_answer_error(w->control, w->asker[i], error);
        else
            control_answer(w->control, w->asker[i], json_pack("{s:b, s:s}", "ok", 1, "state", vm_state_name(w->state)));
    }
    w->askers = 0;
    spawn_report(w->ready, failed ? error : &none);
    w->ready = -1;
    merge_begin(w);
}

int job_wait(struct worker *w, struct error *error)
{
    if (w->askers == ASKERS_MAX)
        return error_set(error, -EBUSY, "too many wait for VM %s", w->def.name);
    w->asker[w->askers++] = control_asker(w->control);
    return CONTROL_LATER;
}

static void step_answered(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct worker *w = container_of(call, struct worker, step);
    if (w->job == w->step_job && (!error || error->code != -EPIPE)) /* its end is another event */
        w->step_done(w, result, error);
}

void job_step(struct worker *w, const char *command, json_t *arguments,
              void (*done)(struct worker *w, json_t *result, const struct error *error))
{
    w->step.done = step_answered;
    w->step_done = done;
    w->step_job = w->job;
    qmp_send(w->qmp, command, arguments, &w->step);
}

/* -- each second -- */

static void report_progress(struct worker *w)
{
    char line[160] = "";
    if (w->console)
        console_last_line(w->console, line, sizeof(line));
    for (u32 i = 0; i < w->askers;) {
        json_t *progress =
            json_pack("{s:s, s:i, s:I, s:I, s:s%}", "what", job_names[w->job], "seconds", (int)seconds(w), "done",
                      (json_int_t)w->saved_bytes, "total", (json_int_t)w->total_bytes, "console", line, strlen(line));
        if (control_progress(w->control, w->asker[i], progress))
            i++;
        else
            w->asker[i] = w->asker[--w->askers];
    }
}

static void kill_qemu(struct worker *w)
{
    if (w->ended.fd >= 0)
        syscall(SYS_pidfd_send_signal, w->ended.fd, SIGKILL, NULL, 0);
}

static void fail_late(struct worker *w)
{
    struct error error;
    char line[160] = "";
    switch (w->job) {
    case JOB_SHUT_DOWN:
        if (w->console)
            console_last_line(w->console, line, sizeof(line));
        error_set(&error, -ETIMEDOUT, "VM %s did not shut down within %u seconds%s%.120s", w->def.name, seconds(w),
                  line[0] ? "; its console says: " : "", line);
        error_hint(&error, "`nestbox stop " SETTING(
                               "turn-off") "` is like pulling the plug; `nestbox console` shows what it does");
        job_end(w, w->before, &error);
        break;
    case JOB_PAUSE:
    case JOB_RESUME:
        error_set(&error, -ETIMEDOUT, "VM %s: QEMU does not answer", w->def.name);
        error_hint(&error, "`nestbox stop " SETTING("turn-off") "` ends it");
        job_end(w, w->before, &error);
        break;
    default: /* its end ends the job */ worker_log(w, "QEMU does not answer and is ended"); kill_qemu(w);
    }
}

static void press_power(struct worker *w)
{
    qmp_send(w->qmp, "system_powerdown", NULL, NULL);
}

void job_tick(struct alarm *alarm)
{
    struct worker *w = container_of(alarm, struct worker, tick);
    struct error none = {.code = -EINPROGRESS};
    if (!w->job)
        return;
    if (w->job == JOB_LOAD) {
        spawn_report(w->ready, &none);
        w->ready = -1;
    }
    if (w->loop.now_ns >= w->deadline_ns) {
        fail_late(w);
    } else {
        report_progress(w);
        if (w->job == JOB_SHUT_DOWN && seconds(w) % PRESS_AGAIN_SECONDS == 0)
            press_power(w);
    }
    if (w->job)
        loop_alarm(&w->loop, &w->tick, w->loop.now_ns + SECOND_NS);
}

/* -- requests -- */

/* What the state makes of a request: 0: go on; 1: nothing is to do, and the reply says so; or an error. */
static int may(struct worker *w, enum vm_request what, json_t *reply, struct error *error)
{
    /* A checkpoint is taken in a state that stays. */
    if (w->job && !vm_state_passes(w->state) && what != VM_TURN_OFF) {
        error_set(error, -EBUSY, "VM %s is busy: %s", w->def.name, job_names[w->job]);
        return error_hint(error, "try again when it has ended");
    }
    if (w->given_up && w->state == VM_PAUSED && what != VM_TURN_OFF && what != VM_PAUSE) {
        *error = w->problem;
        return error->code;
    }
    switch (vm_step(w->state, what).answer) {
    case VM_ALLOWED: return 0;
    case VM_ALREADY:
        (void)!json_object_set_new(reply, "already", json_true());
        (void)!json_object_set_new(reply, "state", json_string(vm_state_name(w->state)));
        return 1;
    default: return vm_refuse(w->def.name, w->state, what, error);
    }
}

static void turn_off(struct worker *w)
{
    job_begin(w, JOB_TURN_OFF, VM_STOPPING, QUIT_SECONDS * SECOND_NS);
    w->quitting = true;
    qmp_send(w->qmp, "quit", NULL, NULL);
}

int job_stop(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    const char *how = json_string_value(json_object_get(request, "how"));
    json_int_t limit = json_integer_value(json_object_get(request, "seconds"));
    bool off = how && strcmp(how, "turn-off") == 0, save = how && strcmp(how, "save") == 0;
    enum vm_request what = off ? VM_TURN_OFF : save ? VM_SAVE : VM_SHUT_DOWN;
    int e = w->state == VM_STARTING && off ? 0 : may(w, what, reply, error);
    if (e && w->job != JOB_SHUT_DOWN)
        return e > 0 ? 0 : e;
    if (e < 0)
        return e;
    if (off) {
        turn_off(w);
    } else if (save) {
        save_begin(w);
    } else if (!e) {
        job_begin(w, JOB_SHUT_DOWN, VM_STOPPING, (u64)(limit > 0 ? limit : SHUT_DOWN_SECONDS) * SECOND_NS);
        guest_shut_down(w->guest, false);
        press_power(w);
    }
    return job_wait(w, error);
}

static void paused(struct worker *w, json_t *result, const struct error *error)
{
    job_end(w, VM_PAUSED, error);
}

int job_pause(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    int e = may(w, VM_PAUSE, reply, error);
    if (e)
        return e > 0 ? 0 : e;
    job_begin(w, JOB_PAUSE, VM_PAUSING, ANSWER_NS);
    job_step(w, "stop", NULL, paused);
    return job_wait(w, error);
}

static void resumed(struct worker *w, json_t *result, const struct error *error)
{
    job_end(w, VM_RUNNING, error);
    guest_set_clock(w->guest);
}

int job_resume(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    int e = may(w, VM_RESUME, reply, error);
    if (e)
        return e > 0 ? 0 : e;
    w->stopped_by_disk = false;
    error_begin(&w->problem, 0);
    job_begin(w, JOB_RESUME, VM_RESUMING, ANSWER_NS);
    job_step(w, "cont", NULL, resumed);
    return job_wait(w, error);
}

static int say_state(const struct worker *w, json_t *reply, struct error *error)
{
    return json_object_set_new(reply, "state", json_string(vm_state_name(w->state))) ? error_memory(error) : 0;
}

/* A guest that KVM gave up begins anew: QEMU lets its CPUs run after a reset, which is an event of its own. */
static int reset_given_up(struct worker *w, struct error *error)
{
    job_begin(w, JOB_RESUME, VM_RESUMING, ANSWER_NS);
    qmp_send(w->qmp, "system_reset", NULL, NULL);
    return job_wait(w, error);
}

void job_was_reset(struct worker *w)
{
    if (!w->given_up)
        return;
    w->given_up = false;
    error_begin(&w->problem, 0);
    if (w->job == JOB_RESUME)
        job_step(w, "cont", NULL, resumed);
}

int job_reset(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    if (w->given_up && w->state == VM_PAUSED && !w->job)
        return reset_given_up(w, error);
    int e = may(w, VM_RESTART, reply, error);
    if (e)
        return e > 0 ? 0 : e;
    qmp_send(w->qmp, "system_reset", NULL, NULL);
    return say_state(w, reply, error);
}

int job_wait_request(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    struct worker *w = opaque;
    if (w->job)
        return job_wait(w, error);
    return say_state(w, reply, error);
}
