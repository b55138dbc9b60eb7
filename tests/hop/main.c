/*
 * `nestbox run` whose vCPUs move all the time: at random moments all of them stop, their whole state is taken, and they
 * go on from it, in the same VM after a reset, or in a new one. A guest must not notice. The accelerator is the engine
 * or /dev/kvm (--accel kvm) with this in front of it; device models, memory and command line are those of nestbox. The
 * interrupt controllers that KVM has in the kernel do not move with the vCPUs, so its guests must do without.
 *
 *     hop run OPTION...    HOP_US: mean time between two moves, more where vCPUs get little of it; HOP_NEW: one move in
 *                          so many makes a new VM; HOP_LOG: a file that gets the numbers of moves, of new VMs, and of
 *                          moves in L2
 *
 * vCPU threads wait for each other in move(); the last one does the work. Messages of devices wait for it meanwhile, so
 * that none is lost with the old VM.
 */
#include "accel/accel.h"
#include "base/monotonic.h"
#include "cli/verb.h"
#include "vmproc/vm.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VCPUS 16

struct accel_vm {
    struct accel_vm *inner;
    const struct run_settings *settings;
    struct machine machine;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_rwlock_t messages; /* write: inner changes */
    pthread_t hopper;
    bool moving, stop, ended; /* [lock] */
    u32 inside, arrived;      /* [lock] vCPU threads in run(), and how many of these wait for the move */
    u64 moves, renewals, in_l2, mean_us, every;
    bool intr;
    bool ignne; /* the level of IGNNE# */
    u64 given;  /* the groups of registers that the accelerator has */
    struct error error;
    struct cpu_state state[VCPUS];
    u64 taken[VCPUS]; /* host TSC at that time */
    u64 clock;        /* the VM's clock, less the host's */
};

static const struct accel_ops *inner = &accel_engine;

static u64 host_tsc(void)
{
    return __builtin_ia32_rdtsc();
}

static void give_up(const char *what, const char *detail)
{
    fprintf(stderr, "hop: %s: %s\n", what, detail);
    exit(99);
}

static bool nests(const struct accel_vm *h)
{
    return h->settings->nested != NESTED_OFF;
}

/* -- moving -- */

static void take(struct accel_vm *h)
{
    bool l2 = false;
    for (u32 i = 0; i < h->settings->cpus; i++) {
        struct cpu_state *s = &h->state[i];
        memset(s, 0x5a, sizeof(*s));
        s->msrs = 0;
        h->given = inner->state_get(h->inner, i, s, STATE_ALL);
        if ((h->given | (nests(h) ? 0 : STATE_NESTED)) != STATE_ALL)
            give_up("state_get", "not all groups");
        h->taken[i] = host_tsc();
        l2 |= s->nested.guest;
    }
    h->in_l2 += l2;
    h->clock = inner->clock_get(h->inner) - monotonic_ns();
}

static void put(struct accel_vm *h)
{
    inner->clock_set(h->inner, h->clock + monotonic_ns());
    for (u32 i = 0; i < h->settings->cpus; i++) {
        u64 committed;
        const char *bad = "?";
        h->state[i].tsc += host_tsc() - h->taken[i];
        if (inner->state_set(h->inner, i, &h->state[i], h->given, &committed, &bad) || committed != h->given)
            give_up("state_set refuses", bad);
    }
}

/* All vCPUs are out of the inner VM. */
static void move(struct accel_vm *h)
{
    pthread_rwlock_wrlock(&h->messages);
    take(h);
    if (h->moves++ % h->every == h->every - 1) {
        h->renewals++;
        inner->destroy(h->inner);
        if (inner->create(h->settings, &h->machine, &h->inner, &h->error))
            give_up("create", h->error.text);
    }
    if (inner->reset(h->inner, &h->error))
        give_up("reset", h->error.text);
    if (!inner->has_irqchip) { /* the machine's wires */
        inner->intr_line(h->inner, h->intr);
        inner->ignne(h->inner, h->ignne);
    }
    put(h);
    pthread_rwlock_unlock(&h->messages);
}

static u64 used_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (u64)t.tv_sec * 1000000 + (u64)t.tv_nsec / 1000;
}

/* Waits for that time, and on a busy host longer: until the process had half of it, but for ten times as long at most,
 * since vCPUs that are halted need none. Else some guests would do nothing but move. */
static void pause_us(u64 us)
{
    const struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    u64 before = used_us();
    unsigned i = 0;
    do
        nanosleep(&t, NULL);
    while (used_us() - before < us / 2 && ++i < 10);
}

static void *hop(void *opaque)
{
    struct accel_vm *h = opaque;
    unsigned seed = (unsigned)time(NULL);
    pthread_mutex_lock(&h->lock);
    while (!h->ended) {
        pthread_mutex_unlock(&h->lock);
        pause_us((u64)rand_r(&seed) % (2 * h->mean_us + 1));
        pthread_mutex_lock(&h->lock);
        if (!h->moving && !h->stop && h->inside) {
            h->moving = true;
            inner->stop(h->inner);
            while ((h->moving || h->arrived) && !h->ended) /* all go on before the next move, or some never would */
                pthread_cond_wait(&h->changed, &h->lock);
        }
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* [lock] */
static void move_if_all_are_here(struct accel_vm *h)
{
    if (!h->moving || h->arrived < h->inside)
        return;
    move(h);
    h->moving = false;
    if (h->stop)
        inner->stop(h->inner);
    pthread_cond_broadcast(&h->changed);
}

static enum accel_exit hop_run(struct accel_vm *h, u32 index)
{
    enum accel_exit e;
    pthread_mutex_lock(&h->lock);
    while (h->moving)
        pthread_cond_wait(&h->changed, &h->lock);
    h->inside++;
    for (;;) {
        pthread_mutex_unlock(&h->lock);
        e = inner->run(h->inner, index);
        pthread_mutex_lock(&h->lock);
        if (e != ACCEL_STOPPED || h->stop || !h->moving)
            break;
        u64 before = h->moves; /* the next move may have begun when this thread wakes up */
        h->arrived++;
        move_if_all_are_here(h);
        while (h->moves == before)
            pthread_cond_wait(&h->changed, &h->lock);
        if (!--h->arrived)
            pthread_cond_broadcast(&h->changed);
        if (h->stop)
            break;
    }
    h->inside--;
    move_if_all_are_here(h);
    pthread_mutex_unlock(&h->lock);
    return e;
}

/* -- the rest goes to the engine -- */

static u64 number(const char *name, u64 otherwise)
{
    const char *s = getenv(name);
    return s && atoll(s) > 0 ? (u64)atoll(s) : otherwise;
}

static int hop_create(const struct run_settings *settings, const struct machine *machine, struct accel_vm **vm,
                      struct error *error)
{
    struct accel_vm *h = calloc(1, sizeof(*h));
    if (!h || settings->cpus > VCPUS)
        give_up("create", "too many vCPUs");
    h->settings = settings;
    h->machine = *machine;
    h->mean_us = number("HOP_US", 500);
    h->every = number("HOP_NEW", 20);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    pthread_rwlock_init(&h->messages, NULL);
    int e = inner->create(settings, machine, &h->inner, error);
    if (!e && pthread_create(&h->hopper, NULL, hop, h))
        give_up("create", "no thread");
    *vm = h;
    return e;
}

static void hop_destroy(struct accel_vm *h)
{
    pthread_mutex_lock(&h->lock);
    h->ended = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->hopper, NULL);
    fprintf(stderr, "hop: %llu moves, %llu to a new VM, %llu in L2\n", (unsigned long long)h->moves,
            (unsigned long long)h->renewals, (unsigned long long)h->in_l2);
    const char *log = getenv("HOP_LOG");
    FILE *f = log ? fopen(log, "a") : NULL;
    if (f) {
        fprintf(f, "%llu %llu %llu\n", (unsigned long long)h->moves, (unsigned long long)h->renewals,
                (unsigned long long)h->in_l2);
        fclose(f);
    }
    inner->destroy(h->inner);
    free(h);
}

static int hop_reset(struct accel_vm *h, struct error *error)
{
    pthread_mutex_lock(&h->lock);
    h->stop = false;
    int e = inner->reset(h->inner, error);
    pthread_mutex_unlock(&h->lock);
    return e;
}

static u64 hop_state_get(struct accel_vm *h, u32 index, struct cpu_state *state, u64 wanted)
{
    return inner->state_get(h->inner, index, state, wanted);
}

static int hop_state_set(struct accel_vm *h, u32 index, const struct cpu_state *state, u64 given, u64 *committed,
                         const char **bad)
{
    return inner->state_set(h->inner, index, state, given, committed, bad);
}

static void hop_stop(struct accel_vm *h)
{
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    if (!h->moving)
        inner->stop(h->inner);
    pthread_mutex_unlock(&h->lock);
}

static void hop_resume(struct accel_vm *h)
{
    pthread_mutex_lock(&h->lock);
    h->stop = false;
    inner->resume(h->inner);
    pthread_mutex_unlock(&h->lock);
}

static void hop_msi(struct accel_vm *h, u64 address, u32 data)
{
    pthread_rwlock_rdlock(&h->messages);
    inner->msi(h->inner, address, data);
    pthread_rwlock_unlock(&h->messages);
}

static void hop_intr_line(struct accel_vm *h, bool level)
{
    pthread_rwlock_rdlock(&h->messages);
    h->intr = level;
    inner->intr_line(h->inner, level);
    pthread_rwlock_unlock(&h->messages);
}

static void hop_ignne(struct accel_vm *h, bool level)
{
    pthread_rwlock_rdlock(&h->messages);
    h->ignne = level;
    inner->ignne(h->inner, level);
    pthread_rwlock_unlock(&h->messages);
}

static void hop_init(struct accel_vm *h)
{
    pthread_rwlock_rdlock(&h->messages);
    inner->init(h->inner);
    pthread_rwlock_unlock(&h->messages);
}

static void hop_irq_line(struct accel_vm *h, unsigned gsi, bool level)
{
    pthread_rwlock_rdlock(&h->messages);
    inner->irq_line(h->inner, gsi, level);
    pthread_rwlock_unlock(&h->messages);
}

static void hop_stats(struct accel_vm *h, char *buf, size_t size)
{
    inner->stats(h->inner, buf, size);
}

static const struct error *hop_error(struct accel_vm *h, u32 index)
{
    return inner->error(h->inner, index);
}

static bool hop_has_long_mode(struct accel_vm *h)
{
    return inner->has_long_mode(h->inner);
}

static bool hop_has_la57(struct accel_vm *h)
{
    return inner->has_la57(h->inner);
}

static u64 hop_tsc_khz(struct accel_vm *h)
{
    return inner->tsc_khz(h->inner);
}

static struct accel_ops ops = {
    .name = "engine",
    .create = hop_create,
    .destroy = hop_destroy,
    .reset = hop_reset,
    .state_get = hop_state_get,
    .state_set = hop_state_set,
    .run = hop_run,
    .stop = hop_stop,
    .resume = hop_resume,
    .msi = hop_msi,
    .irq_line = hop_irq_line,
    .intr_line = hop_intr_line,
    .ignne = hop_ignne,
    .stats = hop_stats,
    .error = hop_error,
    .has_long_mode = hop_has_long_mode,
    .has_la57 = hop_has_la57,
    .tsc_khz = hop_tsc_khz,
};

int main(int argc, char **argv)
{
    struct run_settings settings = {0};
    struct vm_end *end = calloc(1, sizeof(*end));
    int status;
    if (!end || argc < 2 || strcmp(argv[1], "run") != 0)
        give_up("usage", "hop run OPTION... (as nestbox)");
    verb_defaults(&verb_run, &settings);
    if (verb_options(&verb_run, argc - 2, argv + 2, &settings, NULL, &status))
        return status;
    settings.memory = (settings.memory + PAGE_MASK) & ~PAGE_MASK;
    if (settings.accel == ACCEL_KVM)
        inner = &accel_kvm;
    ops.has_irqchip = inner->has_irqchip;
    ops.init = inner->init ? hop_init : NULL;
    vm_run(&settings, &ops, end);
    if (end->why.text[0])
        fprintf(stderr, "hop: %s\n", end->why.text);
    fputs(end->state, stderr);
    fputs(end->stats, stderr);
    switch (end->kind) {
    case VM_END_POWER_OFF: return 0;
    case VM_END_DEBUG_EXIT: return (int)((end->code << 1 | 1) & 0xff);
    default: return 4;
    }
}
