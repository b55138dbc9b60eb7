/*
 * The driver of the differential test. Two workers, the host CPU and the engine, each a process of its own that shares
 * a batch of cases with this one, so that neither's signal handlers meet the other's, and a worker that dies or hangs
 * costs one case. Old failures (cases.txt) come first, then random cases from --seed. A difference is shrunk to the
 * fewest units, then shown with the line that belongs into cases.txt.
 */
#include "tests/insn/case.h"
#include "tests/insn/compare.h"

#include <Zydis/Zydis.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 128
#define PATIENCE_MS 20000

enum side { NATIVE, ENGINE, SIDES };

struct shared {
    u64 features;
    u64 entered, entered_before; /* how often a process of direct execution was entered; by workers that are gone */
    volatile u32 count, current[SIDES];
    struct test_case cases[BATCH];
    struct result out[SIDES][BATCH];
    char message[SIDES][256];
};

struct worker {
    pid_t pid;
    int to, from;
};

static struct shared *shared;
static struct worker worker[SIDES];
static bool native_only, direct;
static u64 failures, max_failures = 5, done_cases, ended_by[256];
static u32 failed_by[ZYDIS_MNEMONIC_MAX_VALUE + 1];

static void native_batch(void)
{
    for (u32 i = 0; i < shared->count; i++) {
        shared->current[NATIVE] = i;
        native_run(&shared->cases[i], &shared->out[NATIVE][i]);
    }
}

static _Noreturn void worker_main(enum side side, int in, int out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool native = side == NATIVE || native_only;
    if (native) {
        native_open(shared->features);
    } else {
        u64 features = engine_open(direct, shared->message[side], sizeof(shared->message[side]));
        if (!features)
            _exit(1);
        shared->features &= features;
    }
    char c = 0;
    while (write(out, &c, 1) == 1 && read(in, &c, 1) == 1) {
        if (side == NATIVE) {
            native_batch();
        } else if (native) {
            for (u32 i = 0; i < shared->count; i++) {
                shared->current[side] = i;
                native_run(&shared->cases[i], &shared->out[side][i]);
            }
        } else if (!engine_run(shared->cases, shared->out[side], shared->count, &shared->current[side],
                               shared->message[side], sizeof(shared->message[side]))) {
            _exit(1);
        }
        if (!native)
            shared->entered = engine_entered();
    }
    _exit(0);
}

/* Waits for the worker's answer. Returns false if it died or hangs; then the worker is gone. */
static bool worker_wait(enum side side)
{
    struct worker *w = &worker[side];
    struct pollfd p = {.fd = w->from, .events = POLLIN};
    char c;
    int n = poll(&p, 1, PATIENCE_MS);
    if (n == 1 && read(w->from, &c, 1) == 1)
        return true;
    if (n == 0) {
        kill(w->pid, SIGKILL);
        snprintf(shared->message[side], sizeof(shared->message[side]), "no answer in %d s", PATIENCE_MS / 1000);
    }
    int status;
    waitpid(w->pid, &status, 0);
    if (n != 0 && WIFSIGNALED(status))
        snprintf(shared->message[side], sizeof(shared->message[side]), "ended by signal %d", WTERMSIG(status));
    close(w->to);
    close(w->from);
    w->pid = 0;
    return false;
}

static void worker_start(enum side side)
{
    struct worker *w = &worker[side];
    int down[2], up[2];
    if (pipe(down) || pipe(up))
        err(2, "pipe");
    shared->message[side][0] = 0;
    if (side == ENGINE) {
        shared->entered_before += shared->entered;
        shared->entered = 0;
    }
    fflush(stdout);
    w->pid = fork();
    if (w->pid < 0)
        err(2, "fork");
    if (w->pid == 0) {
        close(down[1]);
        close(up[0]);
        worker_main(side, down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    w->to = down[1];
    w->from = up[0];
    if (!worker_wait(side))
        errx(2, "the %s side does not start: %s", side == NATIVE ? "native" : "engine", shared->message[side]);
}

/* Runs the batch on both sides. A case that kills a worker gets VECTOR_DIED on that side; the rest is run again. */
static void batch_run(u32 n)
{
    bool open[SIDES];
    shared->count = n;
    for (enum side s = 0; s < SIDES; s++) {
        shared->current[s] = 0;
        open[s] = write(worker[s].to, "", 1) == 1;
    }
    for (enum side s = 0; s < SIDES; s++) {
        if (open[s] && worker_wait(s))
            continue;
        u32 bad = shared->current[s];
        printf("# %s side: %s, at ", s == NATIVE ? "native" : "engine", shared->message[s]);
        case_print(stdout, &shared->cases[bad]);
        struct test_case saved[BATCH];
        memcpy(saved, shared->cases, sizeof(saved));
        worker_start(s);
        for (u32 i = 0; i < n; i++) {
            if (i == bad) {
                shared->out[s][i].vector = VECTOR_DIED;
                continue;
            }
            if (i < bad)
                continue;
            shared->count = 1;
            shared->cases[0] = saved[i];
            struct result first = shared->out[s][0];
            bool ok = write(worker[s].to, "", 1) == 1 && worker_wait(s);
            shared->out[s][i] = shared->out[s][0];
            if (i)
                shared->out[s][0] = first;
            if (!ok) {
                shared->out[s][i].vector = VECTOR_DIED;
                worker_start(s);
            }
        }
        memcpy(shared->cases, saved, sizeof(saved));
        shared->count = n;
    }
}

/* A case whose native side did not come back says nothing (the host's kernel can be slow about bus locks). */
static bool case_agrees(u32 i)
{
    return shared->out[NATIVE][i].vector == VECTOR_DIED ||
           outcomes_agree(&shared->cases[i], &shared->out[NATIVE][i], &shared->out[ENGINE][i]);
}

static struct test_case without(const struct test_case *c, unsigned unit)
{
    struct test_case r = *c;
    r.units--;
    for (unsigned i = unit; i < r.units; i++) {
        r.len[i] = c->len[i + 1];
        memcpy(r.code[i], c->code[i + 1], UNIT_BYTES);
    }
    return r;
}

static struct test_case shrink(struct test_case c)
{
    for (;;) {
        u32 n = 0;
        if (c.units == 1)
            return c;
        for (unsigned i = 0; i < c.units; i++)
            shared->cases[n++] = without(&c, i);
        batch_run(n);
        u32 i = 0;
        while (i < n && case_agrees(i))
            i++;
        if (i == n)
            return c;
        c = shared->cases[i];
    }
}

/* Shows one difference per instruction and counts the others. first: the outcomes in the batch. */
static void failure_report(const struct test_case *c, const struct result first[SIDES])
{
    failures++;
    struct test_case small = shrink(*c);
    shared->cases[0] = small;
    batch_run(1);
    bool alone = !case_agrees(0);
    if (!alone)
        small = *c;
    unsigned m = small.units == 1 ? case_mnemonic(&small) : 0;
    if (failed_by[m]++ && m)
        return;
    const struct result *native = alone ? &shared->out[NATIVE][0] : &first[NATIVE];
    const struct result *engine = alone ? &shared->out[ENGINE][0] : &first[ENGINE];
    printf("difference%s:\n    ", alone ? "" : " that came only once");
    case_print(stdout, &small);
    case_disassemble(&small);
    if (engine->vector == VECTOR_DIED)
        printf("    the engine did not survive it\n");
    else
        show_difference(&small, native, engine);
}

/* Runs and judges the first n cases of the batch. Those of CPL 0 are the translator's alone. */
static void batch_judge(u32 n)
{
    static struct test_case bad[BATCH];
    static struct result outcome[BATCH][SIDES];
    u32 bad_count = 0;
    for (u32 i = 0; i < n; i++)
        shared->cases[i].cpl0 &= !direct;
    batch_run(n);
    for (u32 i = 0; i < n; i++) {
        if (case_agrees(i))
            continue;
        bad[bad_count] = shared->cases[i];
        outcome[bad_count][NATIVE] = shared->out[NATIVE][i];
        outcome[bad_count++][ENGINE] = shared->out[ENGINE][i];
    }
    for (u32 i = 0; i < n; i++)
        ended_by[shared->out[NATIVE][i].vector & 0xff]++;
    done_cases += n;
    for (u32 i = 0; i < bad_count && failures < max_failures; i++)
        failure_report(&bad[i], outcome[i]);
}

static void corpus_run(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        err(2, "%s", path);
    char line[1024];
    u32 n = 0;
    for (unsigned number = 1; fgets(line, sizeof(line), f); number++) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (!case_parse(line, &shared->cases[n]))
            errx(2, "%s:%u: not a case", path, number);
        if (++n == BATCH) {
            batch_judge(n);
            n = 0;
        }
    }
    if (n)
        batch_judge(n);
    fclose(f);
}

static unsigned mnemonic_find(const char *name)
{
    for (unsigned m = 1; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
        if (!strcasecmp(ZydisMnemonicGetString(m), name))
            return m;
    errx(2, "no instruction is called %s", name);
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: insn [--seed N] [--cases N] [--only MNEMONIC] [--corpus FILE] [--replay CASE]\n"
                    "            [--seconds N] [--failures N] [--native] [--direct] [--list]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", 1, NULL, 's'},    {"cases", 1, NULL, 'n'},    {"only", 1, NULL, 'o'},   {"corpus", 1, NULL, 'c'},
        {"replay", 1, NULL, 'r'},  {"failures", 1, NULL, 'f'}, {"native", 0, NULL, 'N'}, {"list", 0, NULL, 'l'},
        {"seconds", 1, NULL, 't'}, {"direct", 0, NULL, 'd'},   {NULL, 0, NULL, 0},
    };
    struct rng rng = {1};
    u64 cases = 100000, seconds = 0;
    unsigned only = 0;
    const char *corpus = NULL, *replay = NULL;
    bool list = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 's': rng.s = strtoull(optarg, NULL, 0); break;
        case 'n': cases = strtoull(optarg, NULL, 0); break;
        case 't':
            seconds = strtoull(optarg, NULL, 0);
            cases = ~0ull;
            break;
        case 'o': only = mnemonic_find(optarg); break;
        case 'c': corpus = optarg; break;
        case 'r': replay = optarg; break;
        case 'f': max_failures = strtoull(optarg, NULL, 0); break;
        case 'N': native_only = true; break;
        case 'd': direct = true; break;
        case 'l': list = true; break;
        default: usage();
        }
    }
    if (optind < argc)
        usage();
    setvbuf(stdout, NULL, _IOLBF, 0);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        err(2, "mmap");
    signal(SIGPIPE, SIG_IGN);
    u32 offsets[8];
    u64 host = shared->features = host_features(offsets);
    worker_start(ENGINE);
    worker_start(NATIVE);
    if (shared->features != host)
        printf("# the VM has XCR0 %#llx of the host's %#llx\n", (unsigned long long)shared->features,
               (unsigned long long)host);
    generate_init(shared->features);
    struct timespec t0, t;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    if (replay) {
        if (!case_parse(replay, &shared->cases[0]))
            errx(2, "not a case: %s", replay);
        batch_judge(1);
        cases = 0;
    }
    if (corpus)
        corpus_run(corpus);
    for (u64 i = 0; i < cases && failures < max_failures;) {
        u32 n = 0;
        for (; n < BATCH && i < cases; i++)
            if (!generate_case(&rng, &shared->cases[n++], only))
                errx(2, "no instruction %s can be made", ZydisMnemonicGetString(only));
        batch_judge(n);
        clock_gettime(CLOCK_MONOTONIC, &t);
        if (seconds && (u64)(t.tv_sec - t0.tv_sec) >= seconds)
            break;
    }
    for (unsigned i = 0; list && i < 256; i++)
        if (ended_by[i])
            printf("%9llu ended by vector %u\n", (unsigned long long)ended_by[i], i);
    if (list)
        for (unsigned m = 1; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
            if (generate_count[m])
                printf("%9u %s\n", generate_count[m], ZydisMnemonicGetString(m));
    for (unsigned m = 1; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
        if (failed_by[m])
            printf("%u differences: %s\n", failed_by[m], ZydisMnemonicGetString(m));
    clock_gettime(CLOCK_MONOTONIC, &t);
    double took = (double)(t.tv_sec - t0.tv_sec) + (double)(t.tv_nsec - t0.tv_nsec) / 1e9;
    printf("%llu cases, %llu differences, %.1f s\n", (unsigned long long)done_cases, (unsigned long long)failures,
           took);
    if (direct && shared->entered + shared->entered_before < done_cases / 2) {
        printf("only %llu of them were executed directly\n",
               (unsigned long long)(shared->entered + shared->entered_before));
        return 1;
    }
    return failures != 0;
}
