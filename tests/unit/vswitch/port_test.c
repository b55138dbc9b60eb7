/*
 * Ports: who is added and removed, who waits for a full queue and for how long, limits, and who may do what in the
 * middle of a round.
 */
#include "unit/switch_ports.h"

#include "base/monotonic.h"

#include <errno.h>
#include <unistd.h>

#define MS 1000000ull

static void run_for(u32 ms)
{
    for (u64 end = now + ms * MS; now < end; now += MS / 10)
        round_of_ports();
}

/* Port N has as many frames as it can have for port `to`. */
static void keep_full(u8 n, u8 to, u32 length)
{
    make_frame(to, n);
    frame_length = length;
    while (fake[n].put - fake[n].read < FAKE_WAITING)
        put(n);
}

static void adding(void)
{
    TEST("an id or a card's address is there once, and both are named");
    fakes_begin();
    fake_add(fake_new(1, PORT_CARD));
    struct fake *f = fake_new(2, PORT_CARD);
    f->port->mac = fake[1].port->mac;
    CHECK_EQ(vswitch_port_add(sw, f->port, &fake_error), -EEXIST);
    CHECK(strstr(fake_error.text, "vm2") && strstr(fake_error.text, "vm1") &&
          strstr(fake_error.text, "02:00:00:00:00:01"));
    f->port->mac.byte[5] = 2;
    strcpy(f->port->id, "port1");
    CHECK_EQ(vswitch_port_add(sw, f->port, &fake_error), -EEXIST);
    strcpy(f->port->id, "port2");
    fake_add(f);
    CHECK(vswitch_port_find(sw, "port2") == f->port && !vswitch_port_find(sw, "port3"));
    CHECK(vswitch_port_next(sw, NULL) == fake[1].port && vswitch_port_next(sw, fake[1].port) == f->port &&
          !vswitch_port_next(sw, f->port));

    TEST("a port that was removed is gone at the end of the round, and its place can be used again");
    vswitch_port_remove(sw, fake[1].port);
    vswitch_port_remove(sw, fake[1].port);
    CHECK(!vswitch_port_find(sw, "port1") && fakes_closed == 0);
    make_frame(1, 2);
    input(2);
    round_of_ports();
    CHECK_EQ(fakes_closed, 1);
    fake_add(fake_new(1, PORT_CARD));
    CHECK_EQ(fake[1].port->index, 0);
    CHECK_EQ(reached(2), 1u << 1);
    fakes_end();
}

static void holding(void)
{
    TEST("who sends more than a receiver takes waits, and nothing is lost");
    fakes_of_cards(3);
    fake[2].takes = 100;
    u32 expected = 0;
    for (u32 i = 0; i < 200; i++) {
        keep_full(1, 2, 100);
        round_of_ports();
        expected += 100;
        fake[2].takes = 100;
        port_flush(fake[2].port);
    }
    CHECK(fake[1].port->held_by == fake[2].port && !fake[2].port->stalled);
    CHECK(fake[2].port->queue->bytes <= QUEUE_BYTES + (96 << 10));
    fake[2].takes = ~0u;
    port_flush(fake[2].port);
    CHECK(!fake[1].port->held_by);
    while (fake[1].read < fake[1].put)
        round_of_ports();
    CHECK_EQ(fake[2].got, fake[1].put);
    CHECK(!drops(2, DROP_QUEUE) && !drops(2, DROP_STALLED));
    CHECK(fake[2].got >= expected);

    TEST("meanwhile another sender has its share");
    fake[2].takes = 0;
    for (u32 i = 0; i < 20; i++) {
        keep_full(1, 2, 100);
        round_of_ports();
    }
    CHECK(fake[1].port->held_by == fake[2].port);
    u64 before = fake[3].port->count.frames_in;
    make_frame(2, 3);
    for (u32 i = 0; i < 100; i++)
        put(3);
    round_of_ports();
    CHECK(fake[3].port->count.frames_in - before == 100 && !fake[3].port->held_by);
    for (u32 i = 0; i < 20; i++) {
        keep_full(3, 2, 100);
        round_of_ports();
    }
    CHECK(fake[3].port->held_by == fake[2].port);
    CHECK(fake[2].port->queue->bytes <= QUEUE_BYTES / 2 * 3 + 256);

    TEST("a receiver that lets senders wait for 100 ms has stalled, and nobody waits for it then");
    run_for(99);
    CHECK(fake[1].port->held_by && fake[3].port->held_by && !fake[2].port->stalled);
    run_for(2);
    CHECK(!fake[1].port->held_by && !fake[3].port->held_by && fake[2].port->stalled);
    round_of_ports();
    keep_full(1, 2, 100);
    while (fake[1].read < fake[1].put)
        round_of_ports();
    CHECK(drops(2, DROP_STALLED) > 0 && !drops(2, DROP_QUEUE));

    TEST("when it has taken half, it is one like others again");
    fake[2].takes = 1000;
    port_flush(fake[2].port);
    CHECK(fake[2].port->stalled);
    fake[2].takes = 10000;
    port_flush(fake[2].port);
    CHECK(!fake[2].port->stalled);
    u64 dropped = drops(2, DROP_STALLED);
    for (u32 i = 0; i < 20; i++) {
        keep_full(1, 2, 100);
        round_of_ports();
    }
    CHECK(fake[1].port->held_by == fake[2].port && drops(2, DROP_STALLED) == dropped);

    TEST("a link that breaks lets everybody go");
    port_link(fake[2].port, false);
    CHECK(!fake[1].port->held_by && !fake[2].port->queue->bytes);
    fakes_end();

    TEST("a slow receiver holds up nobody that sends to others, or to all");
    fakes_of_cards(4);
    fake[2].takes = 0;
    for (u32 i = 0; i < 20; i++) {
        keep_full(1, 0xff, 100);
        round_of_ports();
    }
    CHECK(!fake[1].port->held_by);
    while (fake[1].read < fake[1].put)
        round_of_ports();
    CHECK_EQ(fake[3].got, fake[1].put);
    CHECK(drops(2, DROP_QUEUE) > 0 && !drops(3, DROP_QUEUE));
    fakes_end();

    TEST("the outside, the host and NAT wait for nobody");
    fakes_begin();
    fake_add(fake_new(1, PORT_HOST));
    fake_add(fake_new(2, PORT_CARD));
    fake[2].takes = 0;
    for (u32 i = 0; i < 20; i++) {
        keep_full(1, 2, 100);
        round_of_ports();
    }
    CHECK(!fake[1].port->held_by && drops(2, DROP_QUEUE) > 0);
    fakes_end();
}

static void removing(void)
{
    TEST("a port is removed while another waits for it, and while it waits");
    fakes_of_cards(3);
    fake[2].takes = 0;
    for (u32 i = 0; i < 20; i++) {
        keep_full(1, 2, 100);
        keep_full(3, 2, 100);
        round_of_ports();
    }
    CHECK(fake[1].port->held_by && fake[3].port->held_by);
    vswitch_port_remove(sw, fake[3].port);
    vswitch_port_remove(sw, fake[2].port);
    CHECK(!fake[1].port->held_by);
    round_of_ports();
    CHECK_EQ(fakes_closed, 2);
    run_for(150);
    CHECK(!sw->loop.alarms);
    fakes_end();
}

/* Removes ports from within a frame's way. */
struct remover {
    struct tap_hook hook;
    u32 at, seen;
    u8 who;
};

static void remove_seen(struct tap_hook *hook, const struct port *port, bool from_port, enum drop drop, const u8 *bytes,
                        u32 length)
{
    struct remover *r = container_of(hook, struct remover, hook);
    if (++r->seen == r->at)
        vswitch_port_remove(sw, fake[r->who].port);
}

static void removing_in_a_round(void)
{
    TEST("a port may go at any moment of a round");
    for (u8 who = 1; who <= 3; who++) {
        for (u32 at = 1; at <= 9; at++) {
            fakes_of_cards(3);
            struct remover r = {.hook = {remove_seen}, .at = at, .who = who};
            vswitch_hook(sw, &r.hook);
            settings(1, (struct card_settings){.spoofing = true});
            make_frame(0xff, 0x70);
            for (u32 i = 0; i < 3; i++)
                put(1);
            make_frame(1, 2);
            put(2);
            round_of_ports();
            round_of_ports();
            make_frame(0x70, 2);
            if (who != 2)
                input(2);
            round_of_ports();
            CHECK(r.seen >= 3);
            CHECK_EQ(fakes_closed, r.seen >= at);
            vswitch_unhook(sw, &r.hook);
            fakes_end();
        }
    }
}

/* What passes of a flood, of what may, when the switch wakes each `step_ns`. */
static double passed(u64 rate, u64 step_ns, u32 wakes)
{
    settings(1, (struct card_settings){.bandwidth_maximum = rate});
    u64 bytes = 0, start = 0;
    for (u32 i = 0; i < wakes; i++, now += step_ns) {
        keep_full(1, 2, 120);
        do
            round_of_ports();
        while (!list_empty(&sw->turns));
        if (i == wakes / 8) { /* the credit of the beginning is spent */
            bytes = fake[1].port->count.bytes_in;
            start = now + step_ns;
        }
    }
    CHECK_EQ(fake[2].got, fake[1].port->count.frames_in);
    return (double)(fake[1].port->count.bytes_in - bytes) * 8e9 / (double)(now - start) / (double)rate;
}

static void limits(void)
{
    TEST("a limit lets that much pass, and loses nothing");
    fakes_of_cards(2);
    static const struct {
        u64 rate, step_ns;
        u32 wakes;
    } limit[] = {{64000, MS, 20000},           {1000000, MS / 10, 20000}, {20000000, MS / 10, 10000},
                 {20000000, 30 * MS, 100},     {1000000000, 30000, 3000}, {1000000000, 3 * MS, 100},
                 {10000000000ull, 5000, 20000}};
    for (u32 i = 0; i < ARRAY_LEN(limit); i++) {
        double part = passed(limit[i].rate, limit[i].step_ns, limit[i].wakes);
        CHECK(part > 0.99 && part < 1.01);
        if (part <= 0.99 || part >= 1.01)
            printf("# %u: %f\n", i, part);
    }
    u64 bytes;
    settings(1, (struct card_settings){.bandwidth_maximum = 20000000});

    TEST("after a pause there is credit for a short burst only, and for all of it after a sleep that was too long");
    while (fake[1].read < fake[1].put)
        run_for(1);
    run_for(1000);
    bytes = fake[1].port->count.bytes_in;
    keep_full(1, 2, 120);
    round_of_ports();
    bytes = fake[1].port->count.bytes_in - bytes;
    CHECK(bytes >= 50000 && bytes <= 50500); /* 20 ms */
    u64 sent = fake[1].port->count.bytes_in;
    now += 100 * MS;
    keep_full(1, 2, 120);
    for (u32 i = 0; i < 10; i++)
        round_of_ports();
    CHECK(fake[1].port->count.bytes_in - sent >= 250000 && fake[1].port->count.bytes_in - sent <= 250500);

    TEST("another limit is in force at once");
    settings(1, (struct card_settings){.bandwidth_maximum = 64000});
    keep_full(1, 2, 120);
    round_of_ports();
    round_of_ports();
    CHECK(fake[1].port->late);
    settings(1, (struct card_settings){0});
    CHECK(!fake[1].port->late);
    while (fake[1].read < fake[1].put)
        round_of_ports();
    CHECK_EQ(fake[2].got, fake[1].put);
    fakes_end();

    TEST("with a promised bandwidth a sender gets more of a receiver that is slow");
    fakes_of_cards(3);
    settings(1, (struct card_settings){.bandwidth_minimum = 60000000});
    fake[3].takes = 0;
    u64 of[3] = {0}, taken = 0;
    for (u64 ns = 0; ns < 2000 * MS; ns += MS / 10, now += MS / 10) {
        keep_full(1, 3, 120);
        keep_full(2, 3, 120);
        round_of_ports();
        const u8 *shown;
        u32 length;
        /* It takes 100 Mbit/s. */
        while (taken * 80 < ns && (shown = queue_frame(fake[3].port->queue, &length))) {
            of[shown[11]] += length;
            taken += length;
            queue_taken(fake[3].port->queue, QUEUE_PREFIX + length);
        }
        port_dirty(fake[3].port);
    }
    CHECK(of[1] > of[2] * 3.6 && of[1] < of[2] * 4.4); /* 60 and half of 40, to half of 40 */
    fakes_end();
}

static u32 rings;

static void ring(struct alarm *alarm)
{
    rings++;
}

struct waker {
    struct sleeper sleeper;
    struct alarm alarm;
};

static void before_sleep(struct sleeper *sleeper)
{
    vswitch_alarm(sw, &container_of(sleeper, struct waker, sleeper)->alarm, monotonic_ns() + 5 * MS);
}

static void waiting(void)
{
    TEST("alarms ring once, in time, and can be taken back");
    fakes_begin();
    struct alarm a = {.ring = ring}, b = {.ring = ring}, c = {.ring = ring};
    u64 start = monotonic_ns();
    vswitch_alarm(sw, &a, start + 10000000);
    vswitch_alarm(sw, &b, start + 5000000);
    vswitch_alarm(sw, &c, start + 7000000);
    vswitch_alarm(sw, &c, 0);
    vswitch_alarm(sw, &a, start + 8000000);
    while (rings < 2)
        CHECK(!vswitch_turn(sw, true));
    CHECK(monotonic_ns() - start >= 8000000 && !a.at_ns && !b.at_ns);

    TEST("who is asked before a sleep may set an alarm for it");
    struct waker waker = {{before_sleep}, {.ring = ring}};
    loop_sleeper(&sw->loop, &waker.sleeper);
    start = monotonic_ns();
    CHECK(!vswitch_turn(sw, true));
    CHECK(rings == 3 && monotonic_ns() - start >= 5 * MS);
    loop_no_sleeper(&sw->loop, &waker.sleeper);

    TEST("stop ends the run, also when it came before");
    vswitch_stop(sw);
    CHECK(!vswitch_run(sw, &fake_error));
    fakes_end();
}

static void owning(void)
{
    const struct own_mac own[] = {{{{2, 0, 0, 0, 0, 9}}, "the gateway"}, {{{2, 0, 0, 0, 0, 2}}, "the name server"}};
    TEST("no card has an address of the switch's own, whichever comes first");
    fakes_of_cards(2);
    fake_add(fake_new(3, PORT_NAT));
    CHECK_EQ(vswitch_port_own(sw, fake[3].port, own, 2, &fake_error), -EEXIST);
    CHECK(strstr(fake_error.text, "vm2") && strstr(fake_error.text, "the name server"));
    CHECK_EQ(vswitch_port_own(sw, fake[3].port, own, 1, &fake_error), 0);
    struct fake *f = fake_new(4, PORT_CARD);
    f->port->mac.byte[5] = 9;
    CHECK_EQ(vswitch_port_add(sw, f->port, &fake_error), -EEXIST);
    CHECK(strstr(fake_error.text, "vm4") && strstr(fake_error.text, "the gateway"));
    CHECK_EQ(vswitch_port_own(sw, fake[3].port, NULL, 0, &fake_error), 0);
    fake_add(f);
    fakes_end();
}

int main(void)
{
    owning();
    adding();
    holding();
    removing();
    removing_in_a_round();
    limits();
    waiting();
    return TEST_END();
}
