/*
 * Strangers behind a card: which are remembered, and how often somebody is told.
 */
#include "unit/switch_ports.h"

#include "vswitch/stranger.h"

#define MINUTE 60000000000ull

static u32 told;
static struct stranger last;

static void stranger(struct vswitch_events *events, const struct port *port, const struct stranger *s)
{
    told++;
    last = *s;
}

static struct vswitch_events events = {.stranger = stranger};

static void seen(u8 n)
{
    stranger_seen(fake[1].port, (const u8[]){2, 0, 0, 0, 1, n}, now);
}

int main(void)
{
    fakes_of_cards(1);
    const struct port *port = fake[1].port;

    TEST("nobody need listen");
    seen(1);
    CHECK(port->strangers == 1 && port->stranger[0].frames == 1);
    settings(1, (struct card_settings){.spoofing = true});
    settings(1, (struct card_settings){0});
    CHECK(port->strangers == 0 && port->stranger[0].frames == 0);

    TEST("a stranger is reported when it is new, and once per minute after that");
    vswitch_tell(sw, &events);
    for (u32 i = 0; i < 1000; i++)
        seen(1);
    CHECK(told == 1 && last.frames == 1 && last.mac.byte[5] == 1);
    CHECK(port->stranger[0].frames == 1000 && port->stranger[0].last_ns == now);
    now += MINUTE - 1;
    seen(1);
    CHECK_EQ(told, 1);
    now += 1;
    seen(1);
    CHECK(told == 2 && last.frames == 1002);

    TEST("the minute is the port's");
    seen(2);
    CHECK_EQ(told, 3);
    for (u32 i = 0; i < 10; i++) {
        now += MINUTE / 10;
        seen(1);
        seen(2);
    }
    CHECK_EQ(told, 4);

    TEST("who makes up addresses causes a bounded number of reports");
    told = 0;
    for (u32 i = 0; i < 10000; i++)
        seen((u8)(i % 200 + 10));
    CHECK(told <= STRANGERS);
    CHECK(port->strangers > 2);
    u32 kept = 0;
    for (u32 i = 0; i < STRANGERS; i++)
        kept += port->stranger[i].frames != 0;
    CHECK_EQ(kept, STRANGERS);

    TEST("a silent one gives its place to a new one");
    now += MINUTE;
    told = 0;
    seen(5);
    CHECK(told == 1 && last.mac.byte[5] == 5 && last.frames == 1);

    fakes_end();
    return TEST_END();
}
