/*
 * The VM's life. The calling thread owns it: it starts the machine, sleeps in poll() for what may
 * end or reset it, and acts. vCPU threads, the clock and the console only leave notes (struct
 * notes) and wake it through an eventfd.
 *
 * Stopping all vCPUs: the life (life.h) takes a step, accel->stop is called, and then each vCPU thread reports that it
 * is out of accel->run. Only then may the machine be reset or destroyed. The owner waits for a reset in poll(), so that
 * whatever ends the VM comes first. At the end it waits for a while only: a VM with a vCPU that is stuck is left as it
 * is, and the process ends with it.
 */
#include "vmproc/vm.h"

#include "machine/pc.h"
#include "vmproc/buserror.h"
#include "vmproc/console.h"
#include "vmproc/life.h"
#include "vmproc/terminal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
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
};

/* A guest that has a triple fault so soon after its start, so many times in a row, never gets
 * anywhere. */
#define FAULT_SOON_MS 10000
#define FAULTS_MAX 3

#define DESCRIPTION_MAX 1024

/* How long the end of a VM waits for vCPUs: none takes milliseconds unless something is wrong. */
#define STOP_MS 2000
/* How often it looks for what ends the wait for a reader. */
#define LOOK_MS 250

struct vm_process;

struct notes {
    u32 set; /* enum note */
    u32 debug_value, fault_cpu, error_cpu;
};

struct vcpu_thread {
    struct vm_process *vm;
    u32 index;
    pthread_t thread;
    bool running; /* [lock] inside accel->run */
};

struct vm_process {
    const struct vm_settings *settings;
    const struct accel_ops *accel;
    struct error accel_why; /* why that one */
    struct boot boot;
    struct pc *pc;
    struct console *console;
    struct vcpu_thread *threads;
    u32 thread_count;
    int wake, signals;
    sigset_t outside; /* the signal mask of whoever called */
    u64 deadline_ms;  /* host monotonic; 0: none */
    u64 started_ms;   /* last power-on or reset */
    u32 faults;       /* triple faults in a row, each soon after the reset before it */

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
        return; /* full: the owner is awake */
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

static void on_reset(void *opaque)
{
    note(opaque, NOTE_RESET, NULL, 0);
}

static void on_power_off(void *opaque)
{
    note(opaque, NOTE_POWER_OFF, NULL, 0);
}

static void on_debug_exit(void *opaque, u32 value)
{
    struct vm_process *vm = opaque;
    note(vm, NOTE_DEBUG_EXIT, &vm->notes.debug_value, value);
}

static bool on_serial_out(void *opaque, u8 byte)
{
    struct vm_process *vm = opaque;
    return console_put(vm->console, byte);
}

static void on_serial_room(void *opaque)
{
    struct vm_process *vm = opaque;
    console_room(vm->console);
}

static unsigned on_input(void *opaque, const u8 *bytes, unsigned count)
{
    struct vm_process *vm = opaque;
    return pc_serial_in(vm->pc, bytes, count);
}

static void on_output_room(void *opaque)
{
    struct vm_process *vm = opaque;
    pc_serial_ready(vm->pc);
}

static void on_quit(void *opaque)
{
    note(opaque, NOTE_QUIT, NULL, 0);
}

static void on_hangup(void *opaque)
{
    note(opaque, NOTE_HANGUP, NULL, 0);
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
        /* This one cannot go on by itself; the owner will stop all and reset or end. */
        while (exit != ACCEL_STOPPED && start == vm->starts && vm->life != LIFE_ENDED)
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

/* Makes all vCPUs leave, `why` being a reset or the end; does not wait. Wakes the owner when one has left, and now,
 * should none be running. */
static void vcpus_halt(struct vm_process *vm, enum life_event why)
{
    life_step(vm, why);
    vm->accel->stop(pc_vm(vm->pc));
    wake(vm);
}

/* For the end: waits for all vCPUs, but not forever. */
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

/* The life has ended, or none of them ever ran. */
static void vcpus_join(struct vm_process *vm)
{
    for (u32 i = 0; i < vm->thread_count; i++)
        pthread_join(vm->threads[i].thread, NULL);
    vm->thread_count = 0;
}

static int vcpus_create(struct vm_process *vm, struct vm_end *end)
{
    u32 count = vm->settings->cpus;
    vm->threads = calloc(count, sizeof(*vm->threads));
    if (!vm->threads)
        return error_set(&end->why, -ENOMEM, "out of memory");
    for (u32 i = 0; i < count; i++) {
        struct vcpu_thread *t = &vm->threads[i];
        t->vm = vm;
        t->index = i;
        int e = pthread_create(&t->thread, NULL, vcpu_main, t);
        if (e) {
            error_set(&end->why, -e, "cannot start the thread of CPU %u of %u: %s", i, count, strerror(e));
            return error_hint(&end->why, "give less with " SETTING("cpus"));
        }
        vm->thread_count++;
    }
    return 0;
}

/* -- how it ends -- */

static sigset_t ending_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    return set;
}

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
    accel_describe(vm->accel, pc_vm(vm->pc), cpu, end->state + used, room);
}

static bool ended(struct vm_end *end, enum vm_end_kind kind, u32 code)
{
    end->kind = kind;
    end->code = code;
    return true;
}

/* Back to the kernel's entry, all vCPUs being out. True: that failed, and the VM has ended. */
static bool restart(struct vm_process *vm, struct vm_end *end)
{
    life_step(vm, LIFE_EVENT_OUT);
    if (pc_start(vm->pc, &vm->boot, &end->why)) {
        buserror_found(&end->why);
        return ended(end, VM_END_FAILED, 0);
    }
    vm->started_ms = now_ms();
    vcpus_go(vm);
    console_room(vm->console);
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

/* What the guest did, in the order of what decides. True: the VM has ended. */
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
    if (vm->life == LIFE_RESETTING)
        return false; /* that does for other CPUs' resets and triple faults, too */
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

static bool timed_out(struct vm_process *vm, struct vm_end *end)
{
    if (!vm->deadline_ms || now_ms() < vm->deadline_ms)
        return false;
    error_set(&end->why, 0, "the guest did not end within %llu.%03llu seconds (" SETTING("timeout") ")",
              (unsigned long long)vm->settings->timeout_ms / 1000, (unsigned long long)vm->settings->timeout_ms % 1000);
    return ended(end, VM_END_TIMEOUT, 0);
}

static int poll_timeout(const struct vm_process *vm)
{
    if (!vm->deadline_ms)
        return -1;
    u64 now = now_ms(), left = now < vm->deadline_ms ? vm->deadline_ms - now : 0;
    return left > 1000000 ? 1000000 : (int)left;
}

static bool signalled(struct vm_process *vm, struct vm_end *end)
{
    struct signalfd_siginfo info;
    if (read(vm->signals, &info, sizeof(info)) != sizeof(info))
        return false;
    return ended(end, VM_END_SIGNAL, info.ssi_signo);
}

static void supervise(struct vm_process *vm, struct vm_end *end)
{
    for (;;) {
        struct pollfd fds[2] = {{vm->wake, POLLIN, 0}, {vm->signals, POLLIN, 0}};
        if (poll(fds, 2, poll_timeout(vm)) < 0 && errno != EINTR) {
            error_set(&end->why, -errno, "poll: %s", strerror(errno));
            ended(end, VM_END_FAILED, 0);
            return;
        }
        if (fds[1].revents && signalled(vm, end))
            return;
        u64 count;
        if (fds[0].revents && read(vm->wake, &count, sizeof(count)) < 0)
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
        if (act(vm, &notes, end) || timed_out(vm, end) || (ready && restart(vm, end)))
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

/* A guest that ended by itself gets its output read, as any program does, however long the reader takes: until the user
 * or the time-out ends that. Every other end leaves that to console_close, which is less patient. */
static void wait_for_reader(struct vm_process *vm, struct vm_end *end)
{
    bool by_guest = end->kind == VM_END_POWER_OFF || end->kind == VM_END_DEBUG_EXIT || end->kind == VM_END_RESET ||
                    end->kind == VM_END_TRIPLE_FAULT;
    if (!by_guest || vm->life != LIFE_ENDED)
        return;
    sigset_t endings = ending_signals();
    pthread_sigmask(SIG_BLOCK, &endings, NULL);
    while (!console_drained(vm->console, LOOK_MS) && !signalled(vm, end) && !quit(vm, end)) {
        if (vm->deadline_ms && now_ms() >= vm->deadline_ms)
            break;
    }
    terminal_end_by(SIGINT);
    terminal_end_by(SIGTERM);
}

/* -- creation -- */

static int choose_accel(struct vm_process *vm, struct vm_end *end)
{
    if (vm->accel)
        return 0;
    vm->accel = accel_select(vm->settings->accel, vm->settings->nested, &vm->accel_why);
    if (vm->accel)
        return 0;
    end->why = vm->accel_why;
    return end->why.code;
}

static int create(struct vm_process *vm, struct vm_end *end)
{
    const struct vm_settings *settings = vm->settings;
    /* Files may be pipes whose other end nobody opens: signals end this as they end any program. */
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, &vm->outside, &blocked);
    int e = boot_open(&vm->boot, settings, &end->why);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    if (e)
        return e;
    e = choose_accel(vm, end);
    if (e)
        return e;
    const struct pc_config config = {.accel = vm->accel, .settings = settings};
    const struct pc_events events = {
        .reset = on_reset,
        .power_off = on_power_off,
        .debug_exit = on_debug_exit,
        .serial_out = on_serial_out,
        .serial_room = on_serial_room,
        .opaque = vm,
    };
    e = pc_create(&vm->pc, &config, &events, &end->why);
    if (e)
        return e;
    e = pc_start(vm->pc, &vm->boot, &end->why);
    if (e)
        return e;
    pthread_sigmask(SIG_SETMASK, &vm->outside, NULL);
    e = console_open(&vm->console, settings->serial, &end->why);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    if (e)
        return e;
    e = vcpus_create(vm, end);
    if (e)
        return e;
    /* Before the terminal is raw. */
    if (vm->accel_why.text[0] && settings->accel == ACCEL_AUTO)
        fprintf(stderr, "nestbox: accelerator %s\n", vm->accel_why.text);
    const struct console_events console = {
        .input = on_input, .room = on_output_room, .quit = on_quit, .hangup = on_hangup, .opaque = vm};
    e = console_start(vm->console, &console);
    if (e)
        error_set(&end->why, e, "cannot start the console: %s", strerror(-e));
    return e;
}

static void console_end(struct vm_process *vm, struct vm_end *end)
{
    int e = console_close(vm->console);
    if (!e || end->kind == VM_END_FAILED)
        return;
    error_set(&end->why, e, "output of the guest is lost: " SETTING("serial") " %s: %s", vm->settings->serial,
              strerror(-e));
    ended(end, VM_END_FAILED, 0);
}

static void destroy(struct vm_process *vm, struct vm_end *end)
{
    vcpus_join(vm);
    if (vm->console)
        console_end(vm, end);
    buserror_unwatch();
    if (vm->pc)
        pc_destroy(vm->pc);
    boot_close(&vm->boot);
    free(vm->threads);
}

static void collect_stats(struct vm_process *vm, struct vm_end *end)
{
    vm->accel->stats(pc_vm(vm->pc), end->stats, sizeof(end->stats));
    size_t used = strnlen(end->stats, sizeof(end->stats) - 1);
    pc_stats(vm->pc, end->stats + used, sizeof(end->stats) - used);
}

static void run(struct vm_process *vm, struct vm_end *end)
{
    int e = buserror_watch(&vm->pc, &vm->boot, vm->wake);
    if (e) {
        error_set(&end->why, e, "cannot watch for lost memory: %s", strerror(-e));
        return;
    }
    if (create(vm, end)) {
        buserror_found(&end->why);
        ended(end, VM_END_FAILED, 0);
        life_step(vm, LIFE_EVENT_END);
        life_step(vm, LIFE_EVENT_OUT);
        return;
    }
    if (vm->settings->timeout_ms)
        vm->deadline_ms = now_ms() + vm->settings->timeout_ms;
    vm->started_ms = now_ms();
    vcpus_go(vm);
    supervise(vm, end);
    terminal_end_by(SIGINT);
    terminal_end_by(SIGTERM);
    vcpus_stop(vm);
    for (u32 i = 0; end->kind == VM_END_TIMEOUT && i < vm->settings->cpus; i++)
        describe(vm, i, end);
    if (vm->settings->stats)
        collect_stats(vm, end);
    wait_for_reader(vm, end);
}

void vm_run(const struct vm_settings *settings, const struct accel_ops *accel, struct vm_end *end)
{
    struct vm_process *vm = calloc(1, sizeof(*vm));
    memset(end, 0, sizeof(*end));
    ended(end, VM_END_FAILED, 0);
    if (!vm) {
        error_set(&end->why, -ENOMEM, "out of memory");
        return;
    }
    vm->settings = settings;
    vm->accel = accel;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->changed, NULL);

    sigset_t endings = ending_signals();
    pthread_sigmask(SIG_BLOCK, &endings, &vm->outside);
    /* Reads and writes report these; the console decides. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    vm->signals = signalfd(-1, &endings, SFD_CLOEXEC | SFD_NONBLOCK);
    vm->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vm->signals < 0 || vm->wake < 0)
        error_set(&end->why, -errno, "cannot create event descriptors: %s", strerror(errno));
    else
        run(vm, end);
    if (vm->life == LIFE_STUCK) {
        console_leave(vm->console);
        return;
    }
    destroy(vm, end);
    if (vm->wake >= 0)
        close(vm->wake);
    if (vm->signals >= 0)
        close(vm->signals);
    pthread_sigmask(SIG_SETMASK, &vm->outside, NULL);
    pthread_cond_destroy(&vm->changed);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}
