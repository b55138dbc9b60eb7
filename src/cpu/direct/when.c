/*
 * When direct execution pays: samples of translated code, an account of each space, and what processes with the same
 * program won before.
 */
#include "cpu/direct/when.h"

#include "cpu/core/copy.h"
#include "cpu/core/stats.h"
#include "cpu/core/world.h"
#include "cpu/event/lapic.h"
#include "cpu/mmu/walk.h"

#define LIBRARIES 0x780000000000ull /* Linux puts them here or above, and programs below */

u64 when_ns(const struct vcpu *v, u64 ticks)
{
    return ticks * 1000 / (v->vm->tsc_khz / 1000);
}

static s64 least(s64 a, s64 b)
{
    return a < b ? a : b;
}

static void credit_add(struct space *s, s64 ns)
{
    s->credit_ns = least(s->credit_ns + ns, DIRECT_CREDIT_NS);
}

/* -- processes of the guest -- */

static void learn(struct direct *d, struct space *s)
{
    if (s->program && (s->won_ns < 0 || !s->proved))
        predict_learn(&d->predictor, s->program, least(s->won_ns, DIRECT_PROVED_NS));
}

void when_begin(struct direct *d, struct space *s)
{
    if (s->direct)
        learn(d, s);
    s->direct = s->proved = false;
    s->program = 0;
    s->hope_ns = s->won_ns = s->credit_ns = 0;
    s->wanted_ns = DIRECT_WANTED_NS; /* until its program is known */
    s->life_ns = s->ns = s->stops = 0;
    s->away_ns = s->ran_ns = s->calls = 0;
    fill_bytes(s->place, 0, sizeof s->place);
}

/* A new process of the guest may have the tables of one that is gone. It shows where its data of threads lie: nowhere
 * at first, and then Linux puts them anywhere in a TiB. Some programs have them in several places: those are kept, the
 * last one first. */
static void recognise(struct vcpu *v, struct space *s)
{
    u64 base = v->seg[SEG_FS].base, places[DIRECT_PLACES];
    u32 i = base ? 0 : DIRECT_PLACES;
    if (likely(base == s->place[0]))
        return;
    while (i < DIRECT_PLACES && base - s->place[i] + DIRECT_PLACE_SIZE > 2 * DIRECT_PLACE_SIZE)
        i++;
    copy_bytes(places, s->place, sizeof places);
    if (i == DIRECT_PLACES)
        when_begin(v->direct_spaces, s);
    for (; i > 0; i--)
        if (base && i < DIRECT_PLACES)
            s->place[i] = places[i - 1];
    s->place[0] = base;
}

/* Its program is known by the first page of it that is entered from C: the one where it begins, as a rule, which is not
 * there before. */
static void program_known(struct vcpu *v, struct space *s)
{
    u64 gpa;
    if (!walk_peek(v, v->rip, &gpa))
        return;
    s->program = gpa >> PAGE_SHIFT;
    s->hope_ns = predict(&v->direct_spaces->predictor, s->program);
    s->wanted_ns = DIRECT_FIRST_NS - least(s->hope_ns, 0) * DIRECT_PATIENCE;
    s->wanted_ns = least(s->wanted_ns, DIRECT_CREDIT_NS);
}

struct space *when_space(struct vcpu *v)
{
    struct space *s = space_find(v);
    recognise(v, s);
    if (unlikely(!s->program) && v->rip < LIBRARIES)
        program_known(v, s);
    return s;
}

/* -- into the process -- */

/* Code ran for long enough at a time, in a sample or in a window: does the space go direct now? Then it may lose what
 * it has of credit; or more, if its program is known to win or not known at all. */
static bool goes(struct vcpu *v, struct space *s, bool window)
{
    s64 hope = s->hope_ns + s->won_ns, stake = 0;
    bool sure = hope >= DIRECT_FIRST_NS;
    if (!sure && (!window || s->credit_ns < s->wanted_ns))
        return false;
    if (sure)
        stake = least(hope, DIRECT_STAKE_NS);
    else if (s->program && !s->hope_ns && !s->won_ns)
        stake = DIRECT_TRIAL_NS;
    if (s->credit_ns < stake)
        s->credit_ns = stake;
    v->stat[STAT_DIRECT_BEGUN]++;
    v->stat[STAT_DIRECT_PREDICTED] += sure;
    return true;
}

/* Samples are taken at most one per DIRECT_SAMPLE_NS. A sample is the CPU time since the last one, with what would have
 * stopped a process in it; one in which other spaces or nobody ran counts for none. */
bool when_sample(struct vcpu *v)
{
    struct direct *d = v->direct_spaces;
    d->entered++;
    struct space *s = when_space(v);
    if (s->direct)
        return true;
    u64 ticks = tsc_host();
    if (likely(when_ns(v, ticks - d->sampled) < DIRECT_SAMPLE_NS))
        return false;
    u64 now = world_ran_ns(v), ns = now - d->used_ns;
    u64 stops = d->entered + v->stat[STAT_SYSCALL] - d->syscalls;
    bool whole = s == d->runs && d->halts == v->stat[STAT_HALT];
    d->runs = s;
    d->sampled = ticks;
    d->used_ns = now;
    d->entered = 0;
    d->syscalls = v->stat[STAT_SYSCALL];
    d->halts = v->stat[STAT_HALT];
    if (!whole)
        return false;
    bool young = s->life_ns < DIRECT_YOUNG_NS && s->hope_ns > -DIRECT_STAKE_NS;
    credit_add(s, (s64)(ns / (young ? DIRECT_SHARE_YOUNG : DIRECT_SHARE)));
    s->life_ns += ns;
    s->ns += ns;
    s->stops += stops;
    if (ns >= stops * d->cost_ns * DIRECT_ENTER)
        s->direct = goes(v, s, false);
    if (!s->direct && s->ns < DIRECT_WINDOW_NS)
        return false;
    if (!s->direct && s->ns >= s->stops * d->cost_ns * DIRECT_ENTER)
        s->direct = goes(v, s, true);
    s->ns = s->stops = 0;
    return s->direct;
}

/* -- and out of it -- */

void when_give_up(struct vcpu *v, struct space *s)
{
    if (s->direct) {
        v->stat[STAT_DIRECT_GIVEN_UP]++;
        v->stat[STAT_DIRECT_MISPREDICTED] += s->hope_ns >= DIRECT_FIRST_NS && s->hope_ns + s->won_ns < DIRECT_FIRST_NS;
        learn(v->direct_spaces, s);
        if (s->wanted_ns < DIRECT_WANTED_NS)
            s->wanted_ns *= 2;
    }
    s->direct = false;
    s->away_ns = s->ran_ns = s->calls = 0;
    mmu_user_away(v, false);
    v->direct_spaces->runs = NULL;
}

/* Would translated code, in which system calls are brief, do as well? Looked at once in a while. */
static bool calls_often(struct vcpu *v, struct space *s)
{
    if (s->away_ns < DIRECT_WINDOW_NS)
        return false;
    bool often = s->ran_ns < s->calls * v->direct_spaces->cost_ns * DIRECT_LEAVE;
    s->away_ns = s->ran_ns = s->calls = 0;
    return often;
}

/* The guest's code had so much CPU time in its process, and so much was spent on that beside it. */
static void account(struct vcpu *v, struct space *s, u64 ran_ns, u64 spent_ns)
{
    if (v->vm->direct == CPU_DIRECT_ON)
        return;
    s64 won_ns = (s64)(ran_ns * DIRECT_GAIN) - (s64)spent_ns;
    s->won_ns += won_ns;
    s->ran_ns += ran_ns;
    s->away_ns += ran_ns + spent_ns;
    credit_add(s, won_ns);
    if (s->won_ns > DIRECT_PROVED_NS) {
        learn(v->direct_spaces, s);
        s->proved = true;
        s->hope_ns = DIRECT_PROVED_NS;
        s->won_ns = 0;
    }
    if (s->credit_ns < 0 || calls_often(v, s))
        when_give_up(v, s);
    else if (s->credit_ns == DIRECT_CREDIT_NS)
        s->wanted_ns = DIRECT_FIRST_NS;
}

/* All that began at `from` is spent but the time that the process ran: a part of what its stops take is in that. */
void when_account(struct vcpu *v, struct space *s, u64 from, const struct turn *t)
{
    u64 spent = when_ns(v, tsc_host() - from - t->ticks), cost = v->direct_spaces->cost_ns;
    spent = spent < DIRECT_SPENT_NS ? spent : DIRECT_SPENT_NS; /* or somebody else had the CPU */
    spent += t->stops * cost * 3 / 2;
    u64 ran = t->ran_ns > 0 ? (u64)t->ran_ns : 0; /* what changes took is an estimate */
    v->stat[STAT_DIRECT_RAN_US] += ran / 1000;
    v->stat[STAT_DIRECT_SPENT_US] += spent / 1000;
    s->calls += t->calls;
    account(v, s, ran, spent);
}

void when_unfit(struct vcpu *v, struct space *s)
{
    account(v, s, 0, v->direct_spaces->cost_ns / 4); /* system calls are slower meanwhile */
}
