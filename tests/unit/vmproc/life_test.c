/*
 * The whole matrix of a VM's life, stated once more.
 */
#include "vmproc/life.h"

#include "unit/test.h"

#define STARTING LIFE_STARTING
#define RUNNING LIFE_RUNNING
#define RESETTING LIFE_RESETTING
#define STOPPING LIFE_STOPPING
#define ENDED LIFE_ENDED
#define STUCK LIFE_STUCK

/* clang-format off */
static const struct {
    const char *name;
    enum life now, after[LIFE_EVENT_COUNT];
} matrix[LIFE_COUNT] = {
    /*                         GO         RESET      OUT        END       LATE */
    {"starting",  STARTING,  { RUNNING,   STARTING,  STARTING,  STOPPING, STARTING}},
    {"running",   RUNNING,   { RUNNING,   RESETTING, RUNNING,   STOPPING, RUNNING}},
    {"resetting", RESETTING, { RESETTING, RESETTING, STARTING,  STOPPING, RESETTING}},
    {"stopping",  STOPPING,  { STOPPING,  STOPPING,  ENDED,     STOPPING, STUCK}},
    {"ended",     ENDED,     { ENDED,     ENDED,     ENDED,     ENDED,    ENDED}},
    {"stuck",     STUCK,     { STUCK,     STUCK,     STUCK,     STUCK,    STUCK}},
};
/* clang-format on */

int main(void)
{
    for (int now = 0; now < LIFE_COUNT; now++) {
        TEST(matrix[now].name);
        CHECK_EQ(matrix[now].now, now);
        for (int event = 0; event < LIFE_EVENT_COUNT; event++)
            CHECK_EQ(life_next((enum life)now, (enum life_event)event), matrix[now].after[event]);
    }
    return TEST_END();
}
