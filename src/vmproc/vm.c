/*
 * The VM's life. The calling thread owns it: it starts the machine, sleeps in poll for what may end or reset it, and
 * acts. vCPU threads, the clock and the console only leave notes (struct notes) and wake it through an eventfd.
 *
 * Stopping all vCPUs: the life (life.h) takes a step, accel_ops.stop is called, and then each vCPU thread reports that
 * it is out of accel_ops.run. Only then may the machine be reset or destroyed. The owner waits for a reset in poll(),
 * so that whatever ends the VM comes first. At the end it waits for a while only: a VM with a vCPU that is stuck is
 * left as it is, and the process ends with it.
 */
#include "vmproc/vm.h"

#include "machine/pc.h"
#include "vmproc/buserror.h"
#include "vmproc/crash.h"
#include "vmproc/life.h"
#include "vmproc/ports.h"
#include "vmproc/signals.h"
#include "vmproc/trace.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum note {
    NOTE_RESET = BIT(0),
    NOTE_POWER_OFF = BIT(1),
    NOTE_DEBUG_EXIT = BIT(2),
    NOTE_TRIPLE_FAULT = BIT(3),
    NOTE_ERROR = BIT(4),
    NOTE_QUIT = BIT(5),
    NOTE_HANGUP = BIT(6),
    NOTE_POWER_BUTTON = BIT(7),
};

/* A guest that has a triple fault so soon after its start, so many times in a row, will never get further. */
#define FAULT_SOON_MS 10000
#define FAULTS_MAX 3

#define DESCRIPTION_MAX 1024

/* How long the end of a VM waits for vCPUs: each stops within milliseconds unless something is wrong. */
#define STOP_MS 2000
/* How often it looks for what ends the wait for a reader. */
#define LOOK_MS 250
/* After what time a wait for others is reported in a line, and how often it tries again. */
#define PATIENCE_MS 1000
#define RETRY_MS 50
/* How long a guest may run without using a device where the accelerator is hardly fit. */
#define FIT_MS 5000
/* After what time a Linux kernel that was not told of a serial port, and prints nothing, is mentioned in a line. */
#define SILENT_MS 3000

struct vm_process;

struct notes {
    u32 set; /* enum note */
    u32 debug_value, fault_cpu, error_cpu;
};

struct vcpu_thread {
    struct vm_process *vm;
    u32 index;
    pthread_t thread;
    bool running; /* [lock] inside accel_ops.run */
};

struct vm_process {
    const struct run_settings *settings;
    const struct accel_ops *accel;
    struct error accel_why; /* why that accelerator */
    struct boot boot;
    struct pc *pc;
    struct ports ports;
    struct trace trace;
    struct vcpu_thread *threads;
    u32 thread_count;
    int wake;
    struct signals signals;
    u64 deadline_ms; /* the host's monotonic time, as in the next four; 0: there is none */
    u64 fit_ms;      /* when the guest must have used a device; 0: it need not */
    u64 silent_ms;   /* when it is looked whether the guest has printed; 0: it is not */
    u64 hard_ms;     /* when SIGTERM ends a guest that does not power off; 0: SIGTERM did not come */
    u64 started_ms;  /* the last power-on or reset */
    u32 faults;      /* triple faults in a row, each soon after the reset before it */
    struct vm_end *end;
    bool cut; /* `end` is filled in: a wait before the start was cut short */
    struct {
        char what[320];
        u64 since_ms;
        bool said;
    } wait;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum life life;     /* [lock] changed by the owner, who reads it without */
    u64 starts;         /* [lock] times that vCPUs were let go */
    struct notes notes; /* [lock] */
};

/* -- life -- */

static void life_step(struct vm_process *vm, enum life_event event)
{
    pthread_mutex_lock(&vm->lock);
    vm->life = life_next(vm->life, event);
    vm->starts += event == LIFE_EVENT_GO;
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
}

/* -- notes -- */

static void wake(struct vm_process *vm)
{
    u64 one = 1;
    if (write(vm->wake, &one, sizeof(one)) < 0)
        return; /* the counter is full, so the owner is awake */
}

/* [lock] */
static void note_locked(struct vm_process *vm, u32 what, u32 *detail, u32 value)
{
    if (detail && !(vm->notes.set & what))
        *detail = value;
    vm->notes.set |= what;
}

static void note(struct vm_process *vm, u32 what, u32 *detail, u32 value)
{
    pthread_mutex_lock(&vm->lock);
    note_locked(vm, what, detail, value);
    pthread_mutex_unlock(&vm->lock);
    wake(vm);
}

/* A device was told to reset or end the VM: the guest runs no instruction behind that store, as on a real machine. */
static void note_last(struct vm_process *vm, u32 what, u32 *detail, u32 value)
{
    note(vm, what, detail, value);
    vm->accel->stop(pc_vm(vm->pc));
}

static void on_reset(void *opaque)
{
    note_last(opaque, NOTE_RESET, NULL, 0);
}

static void on_power_off(void *opaque)
{
    note_last(opaque, NOTE_POWER_OFF, NULL, 0);
}

static void on_debug_exit(void *opaque, u32 value)
{
    struct vm_process *vm = opaque;
    note_last(vm, NOTE_DEBUG_EXIT, &vm->notes.debug_value, value);
}

static bool on_serial_out(void *opaque, u32 index, u8 byte)
{
    struct vm_process *vm = opaque;
    return ports_put(&vm->ports, index, byte);
}

static void on_serial_room(void *opaque, u32 index)
{
    struct vm_process *vm = opaque;
    ports_room(&vm->ports, index);
}

static void on_key(void *opaque, enum escape_action action)
{
    struct vm_process *vm = opaque;
    switch (action) {
    case ESCAPE_QUIT: note(vm, NOTE_QUIT, NULL, 0); break;
    case ESCAPE_POWER: note(vm, NOTE_POWER_BUTTON, NULL, 0); break;
    case ESCAPE_RESET: note(vm, NOTE_RESET, NULL, 0); break;
    case ESCAPE_NMI: pc_nmi(vm->pc); break;
    case ESCAPE_STOP: kill(getpid(), SIGTSTP); break; /* the owner takes it */
    default: break;
    }
}

static void on_hangup(void *opaque)
{
    note(opaque, NOTE_HANGUP, NULL, 0);
}

static void on_continued(void *opaque)
{
    struct vm_process *vm = opaque;
    ports_continued(&vm->ports);
}

static void on_client(void *opaque)
{
    wake(opaque);
}

/* -- vCPU threads -- */

static void *vcpu_main(void *opaque)
{
    struct vcpu_thread *t = opaque;
    struct vm_process *vm = t->vm;
    char name[16];
    snprintf(name, sizeof(name), "vcpu%u", t->index & 0xffff);
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_TIMERSLACK, 1ul);

    pthread_mutex_lock(&vm->lock);
    while (vm->life != LIFE_ENDED) {
        if (vm->life != LIFE_RUNNING) {
            pthread_cond_wait(&vm->changed, &vm->lock);
            continue;
        }
        u64 start = vm->starts;
        t->running = true;
        pthread_mutex_unlock(&vm->lock);
        enum accel_exit exit = vm->accel->run(pc_vm(vm->pc), t->index);
        pthread_mutex_lock(&vm->lock);
        t->running = false;
        if (exit == ACCEL_SHUTDOWN)
            note_locked(vm, NOTE_TRIPLE_FAULT, &vm->notes.fault_cpu, t->index);
        else if (exit == ACCEL_ERROR)
            note_locked(vm, NOTE_ERROR, &vm->notes.error_cpu, t->index);
        pthread_cond_broadcast(&vm->changed);
        wake(vm);
        /* No vCPU goes on by itself: the owner will reset the machine or end the VM. */
        while (start == vm->starts && vm->life != LIFE_ENDED)
            pthread_cond_wait(&vm->changed, &vm->lock);
    }
    pthread_mutex_unlock(&vm->lock);
    return NULL;
}

/* [lock] */
static const struct vcpu_thread *first_running(const struct vm_process *vm)
{
    for (u32 i = 0; i < vm->thread_count; i++) {
        if (vm->threads[i].running)
            return &vm->threads[i];
    }
    return NULL;
}

/* Makes all vCPUs leave, for a reset or for the end as `why` says, and does not wait for them. The owner is woken when
 * one has left; and now, because none may be running. */
static void vcpus_halt(struct vm_process *vm, enum life_event why)
{
    life_step(vm, why);
    vm->accel->stop(pc_vm(vm->pc));
    wake(vm);
}

/* For the end: makes all vCPUs leave, and waits for them, but not without end. */
static void vcpus_stop(struct vm_process *vm)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_MS / 1000;
    vcpus_halt(vm, LIFE_EVENT_END);
    pthread_mutex_lock(&vm->lock);
    const struct vcpu_thread *t;
    int timed_out = 0;
    while ((t = first_running(vm)) && !timed_out)
        timed_out = pthread_cond_clockwait(&vm->changed, &vm->lock, CLOCK_MONOTONIC, &until);
    if (t)
        fprintf(stderr, "nestbox: internal error: CPU %u does not stop; the VM ends without it\n", t->index);
    pthread_mutex_unlock(&vm->lock);
    life_step(vm, t ? LIFE_EVENT_LATE : LIFE_EVENT_OUT);
}

static void vcpus_go(struct vm_process *vm)
{
    vm->accel->resume(pc_vm(vm->pc));
    life_step(vm, LIFE_EVENT_GO);
}

/* Called when the life has ended, or no vCPU ever ran. */
static void vcpus_join(struct vm_process *vm)
{
    for (u32 i = 0; i < vm->thread_count; i++)
        pthread_join(vm->threads[i].thread, NULL);
    vm->thread_count = 0;
}

static int vcpus_create(struct vm_process *vm, struct vm_end *end)
{
    u32 count = vm->settings->cpus;
    char what[64];
    vm->threads = calloc(count, sizeof(*vm->threads));
    if (!vm->threads)
        return error_memory(&end->why);
    for (u32 i = 0; i < count; i++) {
        struct vcpu_thread *t = &vm->threads[i];
        t->vm = vm;
        t->index = i;
        int e = pthread_create(&t->thread, NULL, vcpu_main, t);
        if (e) {
            snprintf(what, sizeof(what), "the thread of CPU %u of %u", i, count);
            return error_thread(&end->why, -e, what);
        }
        vm->thread_count++;
    }
    return 0;
}

/* -- how it ends -- */

static u64 now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* Appends the registers of a vCPU, as far as there is room and the vCPU does not run. */
static void describe(struct vm_process *vm, u32 cpu, struct vm_end *end)
{
    size_t used = strlen(end->state), room = sizeof(end->state) - used;
    pthread_mutex_lock(&vm->lock);
    bool running = vm->threads[cpu].running;
    pthread_mutex_unlock(&vm->lock);
    if (running || room < DESCRIPTION_MAX)
        return;
    accel_describe(vm->accel, pc_vm(vm->pc), cpu, vm->trace.symbols, end->state + used, room);
}

static bool ended(struct vm_end *end, enum vm_end_kind kind, u32 code)
{
    end->kind = kind;
    end->code = code;
    return true;
}

/* Goes back to the kernel's entry, when all vCPUs are out. Returns true if that failed, and the VM has ended. */
static bool restart(struct vm_process *vm, struct vm_end *end)
{
    life_step(vm, LIFE_EVENT_OUT);
    if (pc_start(vm->pc, &vm->boot, &end->why)) {
        buserror_found(&end->why);
        return ended(end, VM_END_FAILED, 0);
    }
    vm->started_ms = now_ms();
    vcpus_go(vm);
    for (u32 i = 0; i < vm->ports.count; i++)
        ports_room(&vm->ports, i);
    return false;
}

static bool restart_begin(struct vm_process *vm)
{
    vcpus_halt(vm, LIFE_EVENT_RESET);
    return false;
}

static bool triple_fault(struct vm_process *vm, u32 cpu, struct vm_end *end)
{
    describe(vm, cpu, end);
    vm->faults = now_ms() - vm->started_ms < FAULT_SOON_MS ? vm->faults + 1 : 1;
    bool last = vm->settings->no_reboot || vm->faults == FAULTS_MAX;
    error_set(&end->why, 0, "the guest's CPU %u had a triple fault%s", cpu,
              !last                     ? ": reset"
              : vm->settings->no_reboot ? ""
                                        : ", again and again: given up");
    if (last)
        return ended(end, VM_END_TRIPLE_FAULT, 0);
    fprintf(stderr, "nestbox: %s\n%s", end->why.text, end->state);
    error_begin(&end->why, 0);
    end->state[0] = 0;
    return restart_begin(vm);
}

/* Acts on the notes; what comes first here decides. Returns true if the VM has ended. */
static bool act(struct vm_process *vm, const struct notes *notes, struct vm_end *end)
{
    if (notes->set & NOTE_QUIT)
        return ended(end, VM_END_USER, 0);
    if (notes->set & NOTE_HANGUP)
        return ended(end, VM_END_SIGNAL, SIGPIPE);
    if (notes->set & NOTE_DEBUG_EXIT)
        return ended(end, VM_END_DEBUG_EXIT, notes->debug_value);
    if (notes->set & NOTE_POWER_OFF)
        return ended(end, VM_END_POWER_OFF, 0);
    if (notes->set & NOTE_ERROR) {
        u32 cpu = notes->error_cpu;
        const struct error *why = vm->accel->error(pc_vm(vm->pc), cpu);
        error_set(&end->why, why->code, "CPU %u cannot go on: %s", cpu, why->text);
        error_hint(&end->why, why->hint);
        describe(vm, cpu, end);
        return ended(end, VM_END_FAILED, 0);
    }
    if (notes->set & NOTE_POWER_BUTTON)
        pc_power_button(vm->pc);
    if (vm->life == LIFE_RESETTING)
        return false; /* one reset is enough for resets and triple faults of several CPUs */
    if (notes->set & NOTE_TRIPLE_FAULT)
        return triple_fault(vm, notes->fault_cpu, end);
    if (notes->set & NOTE_RESET) {
        if (!vm->settings->no_reboot)
            return restart_begin(vm);
        error_set(&end->why, 0, "the guest asked for a reset");
        return ended(end, VM_END_RESET, 0);
    }
    return false;
}

static bool passed(u64 time_ms)
{
    return time_ms && now_ms() >= time_ms;
}

static bool timed_out(struct vm_process *vm, struct vm_end *end)
{
    u64 ms = vm->settings->timeout_ms;
    if (!passed(vm->deadline_ms))
        return false;
    error_set(&end->why, 0, "the guest did not end within %llu.%03llu seconds (" SETTING("timeout") ")",
              (unsigned long long)ms / 1000, (unsigned long long)ms % 1000);
    return ended(end, VM_END_TIMEOUT, 0);
}

/* The guest did not heed SIGTERM's power button. */
static bool shutdown_late(struct vm_process *vm, struct vm_end *end)
{
    u64 ms = vm->settings->shutdown_ms;
    if (!passed(vm->hard_ms))
        return false;
    error_set(&end->why, 0, "the guest did not power off within %llu.%03llu seconds (" SETTING("shutdown-timeout") ")",
              (unsigned long long)ms / 1000, (unsigned long long)ms % 1000);
    return ended(end, VM_END_SIGNAL, SIGTERM);
}

static bool nothing_runs(struct vm_process *vm, struct vm_end *end)
{
    if (!passed(vm->fit_ms))
        return false;
    vm->fit_ms = 0;
    if (pc_accesses(vm->pc))
        return false;
    error_set(&end->why, -EIO, "the guest used no device within %d seconds: %s", FIT_MS / 1000, vm->accel_why.text);
    error_hint(&end->why, vm->accel_why.hint);
    return ended(end, VM_END_FAILED, 0);
}

/* Linux prints on a serial port only if its command line names one, which newcomers do not know. */
static bool needs_console(const struct vm_process *vm)
{
    const struct boot *b = &vm->boot;
    const struct setting_list *serial = &vm->settings->serial;
    bool is_linux = b->kind == BOOT_KIND_LINUX || (b->kind == BOOT_KIND_PVH && b->pvh_linux);
    bool wanted = !serial->count || strcmp(serial->item[0], "none") != 0;
    return is_linux && wanted && !strstr(b->append, "console=ttyS");
}

static void look_for_output(struct vm_process *vm)
{
    struct error hint;
    char line[sizeof(hint.text) + 16];
    if (!passed(vm->silent_ms))
        return;
    vm->silent_ms = 0;
    if (ports_printed(&vm->ports))
        return;
    error_set(&hint, 0,
              "the guest has printed nothing yet: Linux prints here with " SETTING("append") " console=ttyS0");
    error_format(&hint, "--", line, sizeof(line));
    fprintf(stderr, "nestbox: %s\n", line);
}

static int poll_timeout(const struct vm_process *vm)
{
    const u64 times[] = {vm->deadline_ms, vm->fit_ms, vm->silent_ms, vm->hard_ms};
    u64 now = now_ms(), least = UINT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        u64 left = times[i] > now ? times[i] - now : 0;
        if (times[i] && left < least)
            least = left;
    }
    return least == UINT64_MAX ? -1 : least > 1000000 ? 1000000 : (int)least;
}

static bool signalled(struct vm_process *vm, struct vm_end *end)
{
    int number = signals_next(&vm->signals);
    return number && ended(end, VM_END_SIGNAL, (u32)number);
}

/* While the guest runs: SIGTERM may leave it some time. */
static bool signalled_running(struct vm_process *vm, struct vm_end *end)
{
    int number = signals_next(&vm->signals);
    if (number == SIGTERM && vm->settings->shutdown_ms && !vm->hard_ms) {
        vm->hard_ms = now_ms() + vm->settings->shutdown_ms;
        pc_power_button(vm->pc);
        return false;
    }
    return number && ended(end, VM_END_SIGNAL, (u32)number);
}

static void supervise(struct vm_process *vm, struct vm_end *end)
{
    for (;;) {
        struct pollfd woken = {vm->wake, POLLIN, 0};
        if (signals_poll(&woken, 1, poll_timeout(vm)) < 0) {
            error_set(&end->why, -errno, "poll: %s", strerror(errno));
            ended(end, VM_END_FAILED, 0);
            return;
        }
        if (signalled_running(vm, end))
            return;
        u64 count;
        if (woken.revents && read(vm->wake, &count, sizeof(count)) < 0)
            continue;
        pthread_mutex_lock(&vm->lock);
        struct notes notes = vm->notes;
        vm->notes.set = 0;
        bool out = !first_running(vm);
        pthread_mutex_unlock(&vm->lock);
        if (buserror_found(&end->why)) {
            ended(end, VM_END_FAILED, 0);
            return;
        }
        bool ready = vm->life == LIFE_RESETTING && out;
        look_for_output(vm);
        if (act(vm, &notes, end) || timed_out(vm, end) || shutdown_late(vm, end) || nothing_runs(vm, end) ||
            (ready && restart(vm, end)))
            return;
    }
}

static bool quit(struct vm_process *vm, struct vm_end *end)
{
    pthread_mutex_lock(&vm->lock);
    bool asked = vm->notes.set & NOTE_QUIT;
    pthread_mutex_unlock(&vm->lock);
    return asked && ended(end, VM_END_USER, 0);
}

/* Output of a guest that ended by itself is written, as that of any program, however long its reader takes, until the
 * user or the time-out ends the wait. Every other end leaves that to console_close, which is less patient. */
static void wait_for_reader(struct vm_process *vm, struct vm_end *end)
{
    bool by_guest = end->kind == VM_END_POWER_OFF || end->kind == VM_END_DEBUG_EXIT || end->kind == VM_END_RESET ||
                    end->kind == VM_END_TRIPLE_FAULT;
    if (!by_guest || vm->life != LIFE_ENDED)
        return;
    signals_block();
    while (!ports_drained(&vm->ports, LOOK_MS) && !signalled(vm, end) && !quit(vm, end)) {
        if (passed(vm->deadline_ms))
            break;
    }
    signals_end_at_once();
}

/* -- creation -- */

/* A wait for others before the guest starts: see struct patience. */
static int on_wait(void *opaque, int fd, short events, const char *what, struct error *error)
{
    struct vm_process *vm = opaque;
    struct pollfd there = {fd, events, 0};
    if (strcmp(vm->wait.what, what) != 0) {
        snprintf(vm->wait.what, sizeof(vm->wait.what), "%s", what);
        vm->wait.since_ms = now_ms();
        vm->wait.said = false;
    }
    for (;;) {
        int ready = signals_poll(&there, 1, RETRY_MS);
        if (signalled(vm, vm->end)) {
            vm->cut = true;
            return error_begin(error, -ECANCELED);
        }
        if (ready > 0 && there.revents)
            return 0;
        if (passed(vm->deadline_ms)) {
            u64 ms = vm->settings->timeout_ms;
            vm->cut = ended(vm->end, VM_END_TIMEOUT, 0);
            return error_set(error, -ECANCELED, "there was not %s within %llu.%03llu seconds (" SETTING("timeout") ")",
                             what, (unsigned long long)ms / 1000, (unsigned long long)ms % 1000);
        }
        if (!vm->wait.said && now_ms() - vm->wait.since_ms >= PATIENCE_MS) {
            vm->wait.said = true;
            char plain[sizeof(vm->wait.what)];
            error_plain(what, plain, sizeof(plain));
            fprintf(stderr, "nestbox: waiting for %s\n", plain);
        }
        if (fd < 0)
            return 0;
    }
}

/* Waits for the clients without whom the guest does not start. */
static int wait_for_clients(struct vm_process *vm, struct error *error)
{
    const char *where;
    char what[300];
    u64 count;
    int e = 0;
    while (!e && (where = ports_waited_for(&vm->ports))) {
        snprintf(what, sizeof(what), "a client of %.256s", where);
        e = on_wait(vm, vm->wake, POLLIN, what, error);
        if (!e && read(vm->wake, &count, sizeof(count)) == sizeof(count) && quit(vm, vm->end)) {
            vm->cut = true;
            return error_begin(error, -ECANCELED);
        }
    }
    wake(vm); /* other notes may have been left, too */
    return e;
}

static int choose_accel(struct vm_process *vm, struct vm_end *end)
{
    char line[sizeof(vm->accel_why.text) + sizeof(vm->accel_why.hint) + 64];
    if (vm->accel)
        return 0;
    vm->accel = accel_select(vm->settings->accel, vm->settings->nested, NULL, &vm->accel_why);
    if (!vm->accel) {
        end->why = vm->accel_why;
        return end->why.code;
    }
    error_format(&vm->accel_why, "--", line, sizeof(line));
    if (vm->accel_why.code)
        fprintf(stderr, "nestbox: warning: %s\n", line);
    else if (vm->settings->accel == ACCEL_AUTO)
        fprintf(stderr, "nestbox: accelerator %s (%s%s)\n", vm->accel->name, line,
                vm->accel == &accel_kvm ? "" : ": see nestbox doctor");
    return 0;
}

static int create_pc(struct vm_process *vm, struct vm_end *end)
{
    const struct pc_config config = {.accel = vm->accel, .settings = vm->settings};
    const struct pc_events events = {
        .reset = on_reset,
        .power_off = on_power_off,
        .debug_exit = on_debug_exit,
        .serial_out = on_serial_out,
        .serial_room = on_serial_room,
        .opaque = vm,
    };
    int e = pc_create(&vm->pc, &config, &events, &end->why);
    return e ? e : pc_start(vm->pc, &vm->boot, &end->why);
}

static int create(struct vm_process *vm, struct vm_end *end)
{
    const struct patience patience = {on_wait, vm};
    const struct ports_events events = {.key = on_key, .hangup = on_hangup, .client = on_client, .opaque = vm};
    int e = boot_open(&vm->boot, vm->settings, &patience, &end->why);
    if (!e)
        e = choose_accel(vm, end);
    if (!e)
        e = create_pc(vm, end);
    if (!e)
        e = ports_open(&vm->ports, vm->settings, &patience, &end->why);
    if (!e)
        e = trace_open(&vm->trace, vm->settings, &vm->ports.outputs, &end->why);
    if (!e && vm->settings->trace && vm->accel->trace)
        vm->accel->trace(pc_vm(vm->pc), &vm->trace.to);
    if (!e)
        e = vcpus_create(vm, end);
    if (!e)
        e = ports_start(&vm->ports, vm->pc, &events, &end->why);
    return e ? e : wait_for_clients(vm, &end->why);
}

static void ports_end(struct vm_process *vm, struct vm_end *end)
{
    struct error why;
    if ((ports_close(&vm->ports, &why) | trace_close(&vm->trace, &why)) && end->kind != VM_END_FAILED) {
        end->why = why;
        ended(end, VM_END_FAILED, 0);
    }
}

static void destroy(struct vm_process *vm, struct vm_end *end)
{
    vcpus_join(vm);
    ports_end(vm, end);
    buserror_unwatch();
    if (vm->pc)
        pc_destroy(vm->pc);
    boot_close(&vm->boot);
    free(vm->threads);
}

static void collect_stats(struct vm_process *vm, struct vm_end *end)
{
    pc_stats(vm->pc, end->stats, sizeof(end->stats));
    size_t used = strnlen(end->stats, sizeof(end->stats) - 1);
    if (vm->boot.kind == BOOT_KIND_LINUX) {
        snprintf(end->stats + used, sizeof(end->stats) - used, "%-28s %s\n", "kernel unpacked by",
                 vm->boot.unpacked ? "the host" : "itself");
        used = strnlen(end->stats, sizeof(end->stats) - 1);
    }
    vm->accel->stats(pc_vm(vm->pc), end->stats + used, sizeof(end->stats) - used);
}

static void run(struct vm_process *vm, struct vm_end *end)
{
    struct error why;
    crash_watch();
    int e = buserror_watch(&vm->pc, &vm->boot, vm->wake);
    if (e) {
        error_set(&end->why, e, "cannot watch for lost memory: %s", strerror(-e));
        return;
    }
    if (create(vm, end)) {
        if (buserror_found(&end->why) || !vm->cut)
            ended(end, VM_END_FAILED, 0);
        life_step(vm, LIFE_EVENT_END);
        life_step(vm, LIFE_EVENT_OUT);
        return;
    }
    vm->started_ms = now_ms();
    if (vm->accel_why.code)
        vm->fit_ms = vm->started_ms + FIT_MS;
    if (needs_console(vm))
        vm->silent_ms = vm->started_ms + SILENT_MS;
    vcpus_go(vm);
    supervise(vm, end);
    signals_end_at_once();
    vcpus_stop(vm);
    for (u32 i = 0; end->kind == VM_END_TIMEOUT && i < vm->settings->cpus; i++)
        describe(vm, i, end);
    if (vm->settings->perf_map && vm->accel->perf_map && vm->accel->perf_map(pc_vm(vm->pc), vm->trace.symbols, &why) &&
        end->kind != VM_END_FAILED) {
        end->why = why;
        ended(end, VM_END_FAILED, 0);
    }
    if (vm->settings->stats)
        collect_stats(vm, end);
    wait_for_reader(vm, end);
}

void vm_run(const struct run_settings *settings, const struct accel_ops *accel, struct vm_end *end)
{
    struct vm_process *vm = calloc(1, sizeof(*vm));
    memset(end, 0, sizeof(*end));
    ended(end, VM_END_FAILED, 0);
    if (!vm) {
        error_memory(&end->why);
        return;
    }
    vm->settings = settings;
    vm->accel = accel;
    vm->end = end;
    vm->deadline_ms = settings->timeout_ms ? now_ms() + settings->timeout_ms : 0;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->changed, NULL);

    signals_open(&vm->signals, on_continued, vm);
    vm->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vm->wake < 0)
        error_set(&end->why, -errno, "cannot create an event descriptor: %s", strerror(errno));
    else
        run(vm, end);
    if (vm->life == LIFE_STUCK) {
        ports_leave(&vm->ports);
        return;
    }
    destroy(vm, end);
    if (vm->wake >= 0)
        close(vm->wake);
    signals_close(&vm->signals);
    pthread_cond_destroy(&vm->changed);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}
