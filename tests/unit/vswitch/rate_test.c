/*
 * The rate that a bucket keeps.
 */
#include "vswitch/rate.h"

#include "unit/test.h"

/* Sends frames whenever there is credit, for that many seconds of a clock that moves in steps. */
static double kept(u64 rate, u64 step_ns, double seconds)
{
    struct bucket b;
    u64 now = 1000, sent = 0, end = now + (u64)(seconds * 1e9);
    bucket_set(&b, rate, 200000000, now);
    bucket_clip(&b, 0);
    for (; now < end; now += step_ns) {
        bucket_refill(&b, now);
        while (bucket_bytes(&b)) {
            bucket_take(&b, 1514);
            sent += 1514;
        }
    }
    return (double)sent * 8 / seconds / (double)rate;
}

int main(void)
{
    TEST("a rate is exact over time, from a slow one to a fast one");
    static const u64 rates[] = {64000, 1000000, 33333333, 100000000, 1000000000, 10000000000ull, 400000000000ull};
    for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
        double k = kept(rates[i], 333333, rates[i] < 1000000 ? 100 : rates[i] > 1000000000 ? 1 : 10);
        CHECK(k > 0.995 && k < 1.005);
    }

    TEST("credit is bounded, and a debt is paid first");
    struct bucket b;
    bucket_set(&b, 8000000000ull, 1000, 0); /* a byte per nanosecond */
    bucket_refill(&b, 1000000);
    CHECK_EQ(bucket_bytes(&b), 1000);
    bucket_take(&b, 1500);
    CHECK_EQ(bucket_bytes(&b), 0);
    bucket_refill(&b, 1000500);
    CHECK_EQ(bucket_bytes(&b), 0);
    bucket_refill(&b, 1000501);
    CHECK_EQ(bucket_bytes(&b), 1);
    bucket_refill(&b, 1000000);
    CHECK_EQ(bucket_bytes(&b), 1);

    TEST("a slow rate allows at least one byte when there is credit");
    bucket_set(&b, 1, 1000, 0);
    CHECK_EQ(bucket_bytes(&b), 1);
    bucket_take(&b, 65553);
    CHECK_EQ(bucket_bytes(&b), 0);
    CHECK_EQ((u64)-b.credit_ns, 65553 * 8000000000ull - 1000);
    CHECK_EQ(bucket_time(&b, 2), 16000000000ull);

    return TEST_END();
}
