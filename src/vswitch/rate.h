/*
 * A rate that is kept by credit: time adds to it, bytes take from it, and whoever has some may send. The last frame may
 * be longer than the credit; what is owed then is paid before the next one, so that the rate is exact over time.
 * Credit is kept in nanoseconds of the rate, so it neither overflows nor loses fractions.
 */
#ifndef VSWITCH_RATE_H
#define VSWITCH_RATE_H

#include "base/types.h"

struct bucket {
    u64 rate;      /* bits per second; 0: none */
    u64 depth_ns;  /* the most credit that can be saved */
    s64 credit_ns; /* negative: owed */
    u64 rest;      /* what a charge was short of a whole nanosecond, in 1/rate of one */
    u64 at_ns;     /* when time was last added */
};

/* Begins with full credit. */
static inline void bucket_set(struct bucket *b, u64 rate, u64 depth_ns, u64 now_ns)
{
    *b = (struct bucket){.rate = rate, .depth_ns = depth_ns, .credit_ns = (s64)depth_ns, .at_ns = now_ns};
}

static inline void bucket_refill(struct bucket *b, u64 now_ns)
{
    if (now_ns <= b->at_ns)
        return;
    u64 passed = now_ns - b->at_ns;
    b->at_ns = now_ns;
    if (passed > (u64)((s64)b->depth_ns - b->credit_ns))
        b->credit_ns = (s64)b->depth_ns;
    else
        b->credit_ns += (s64)passed;
}

/* Takes away what is more than that. */
static inline void bucket_clip(struct bucket *b, u64 credit_ns)
{
    if (b->credit_ns > (s64)credit_ns)
        b->credit_ns = (s64)credit_ns;
}

/* How long `bytes` take at the rate. */
static inline u64 bucket_time(const struct bucket *b, u64 bytes)
{
    return bytes * 8000000000ull / b->rate;
}

static inline void bucket_take(struct bucket *b, u64 bytes)
{
    u64 charge = bytes * 8000000000ull + b->rest;
    b->credit_ns -= (s64)(charge / b->rate);
    b->rest = charge % b->rate;
}

/* What may be sent now: at least one byte if there is any credit. */
static inline u64 bucket_bytes(const struct bucket *b)
{
    if (b->credit_ns <= 0)
        return 0;
    u128 bytes = (u128)(u64)b->credit_ns * b->rate / 8000000000ull;
    return bytes ? (u64)bytes : 1;
}

#endif
