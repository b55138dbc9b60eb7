/*
 * The table of stations: what is learnt, moved, forgotten, and how much of it one port can fill.
 */
#include "vswitch/table.h"

#include "unit/test.h"

#include <errno.h>
#include <string.h>

static struct table t;
static struct port a, b, card = {.mac = {{2, 0, 0, 0, 0, 9}}};

static void fresh(void)
{
    table_free(&t);
    a.stations = b.stations = card.stations = 0;
    CHECK(!table_init(&t));
    t.now_s = 1000;
}

int main(void)
{
    TEST("a station is where it was last seen, in its VLAN only");
    fresh();
    CHECK(!table_station(&t, 5, 0x20000000001));
    table_learn(&t, 5, 0x20000000001, &a);
    CHECK(table_station(&t, 5, 0x20000000001) == &a && a.stations == 1);
    CHECK(!table_station(&t, 6, 0x20000000001));
    table_learn(&t, 5, 0x20000000001, &b);
    CHECK(table_station(&t, 5, 0x20000000001) == &b && a.stations == 0 && b.stations == 1);

    TEST("a silent one is forgotten");
    t.now_s += TABLE_SILENT_S;
    CHECK(table_station(&t, 5, 0x20000000001) == &b);
    t.now_s++;
    CHECK(!table_station(&t, 5, 0x20000000001));
    CHECK_EQ(t.learnt, 1);
    table_sweep(&t);
    CHECK(t.learnt == 0 && t.used == 0 && b.stations == 0);

    TEST("a card is there in every VLAN, once, and does not age");
    CHECK(!table_add_card(&t, &card));
    CHECK_EQ(table_add_card(&t, &card), -EEXIST);
    t.now_s += 100000;
    table_sweep(&t);
    CHECK(table_card(&t, 0x20000000009) == &card && !table_station(&t, 0, 0x20000000009));
    table_forget(&t, &card, false);
    CHECK(table_card(&t, 0x20000000009) == &card);
    table_forget(&t, &card, true);
    CHECK(!table_card(&t, 0x20000000009) && !t.used);

    TEST("a port fills its own part only");
    fresh();
    for (u32 i = 0; i < 3 * TABLE_PER_PORT; i++)
        table_learn(&t, 0, 0x20000000000 + i, &a);
    CHECK_EQ(a.stations, TABLE_PER_PORT);
    table_learn(&t, 0, 0x30000000000, &b);
    CHECK(table_station(&t, 0, 0x30000000000) == &b);
    table_learn(&t, 0, 0x30000000000, &a); /* it is full: the station stays where it is */
    CHECK(table_station(&t, 0, 0x30000000000) == &b);
    table_forget(&t, &a, false);
    CHECK(!a.stations && t.learnt == 1 && table_station(&t, 0, 0x30000000000) == &b);

    TEST("all ports together fill a bounded table");
    fresh();
    static struct port many[20];
    for (u32 p = 0; p < 20; p++) {
        for (u32 i = 0; i < TABLE_PER_PORT; i++)
            table_learn(&t, p, 0x20000000000 + i, &many[p]);
    }
    CHECK(t.learnt == TABLE_LEARNT && t.slots <= 4 * TABLE_LEARNT);

    TEST("it agrees with a list, whatever is learnt, moved and forgotten");
    fresh();
    static struct port *where[4][512];
    u32 seed = 7;
    bool same = true;
    for (u32 i = 0; i < 200000; i++) {
        seed = seed * 1664525 + 1013904223;
        u32 vlan = seed >> 30, mac = seed >> 20 & 511;
        struct port *port = seed >> 19 & 1 ? &a : &b;
        if ((seed >> 10 & 511) == 3) {
            table_forget(&t, port, true);
            for (u32 v = 0; v < 4; v++) {
                for (u32 m = 0; m < 512; m++)
                    where[v][m] = where[v][m] == port ? NULL : where[v][m];
            }
        } else if (seed >> 18 & 1) {
            table_learn(&t, vlan, mac, port);
            where[vlan][mac] = port;
        }
        same &= table_station(&t, vlan, mac) == where[vlan][mac];
    }
    CHECK(same);
    u32 learnt = 0;
    for (u32 v = 0; v < 4; v++) {
        for (u32 m = 0; m < 512; m++)
            learnt += where[v][m] != NULL;
    }
    CHECK_EQ(t.learnt, learnt);
    CHECK_EQ(a.stations + b.stations, learnt);

    table_free(&t);
    return TEST_END();
}
