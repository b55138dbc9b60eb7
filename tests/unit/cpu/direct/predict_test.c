/*
 * Predictions of what programs win: nothing is known at first, what was learnt last counts most, and another program in
 * the same entry takes its place rather than its prediction.
 */
#include "cpu/direct/predict.h"

#include <string.h>

#include "unit/test.h"

#define MS 1000000ll

static struct predictor p;

static void learn(u64 program, s64 won_ns, u32 times)
{
    for (u32 i = 0; i < times; i++)
        predict_learn(&p, program, won_ns);
}

int main(void)
{
    TEST("of a new program nothing is known");
    CHECK(predict(&p, 0x1234) == 0);
    CHECK(predict(&p, 0) == 0);

    TEST("one process is enough, and the last ones count most");
    learn(0x1234, 8 * MS, 1);
    CHECK(predict(&p, 0x1234) == 8 * MS);
    learn(0x1234, -2 * MS, 1);
    CHECK(predict(&p, 0x1234) == 3 * MS);
    learn(0x1234, -2 * MS, 12);
    CHECK(predict(&p, 0x1234) < -3 * MS / 2 && predict(&p, 0x1234) >= -2 * MS);
    learn(0x1234, 8 * MS, 12);
    CHECK(predict(&p, 0x1234) > 7 * MS);

    TEST("no program has the prediction of another one");
    for (u64 program = 1; program < 100000; program++)
        learn(program, (s64)program * MS / 100, 1);
    u32 known = 0, wrong = 0;
    for (u64 program = 1; program < 100000; program++) {
        s64 won = predict(&p, program);
        known += won != 0;
        wrong += won && won != (s64)program * MS / 100;
    }
    CHECK(known > DIRECT_PREDICTIONS / 2 && known <= DIRECT_PREDICTIONS);
    CHECK(wrong == 0);

    TEST("programs that lie beside each other do not take each other's place");
    memset(&p, 0, sizeof p);
    for (u64 program = 0x8000; program < 0x8000 + 64; program++)
        learn(program, MS, 1);
    known = 0;
    for (u64 program = 0x8000; program < 0x8000 + 64; program++)
        known += predict(&p, program) == MS;
    CHECK(known >= 60);
    return TEST_END();
}
