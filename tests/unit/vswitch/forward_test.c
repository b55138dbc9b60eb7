/*
 * Where frames go: learning, VLANs and tags, mirrors, counters, and what hooks see.
 */
#include "unit/switch_ports.h"

#define TO(n) (1u << (n))

struct record {
    struct tap_hook hook;
    u32 seen, unhook_at;
    char port[64][16];
    bool from_port[64];
    enum drop drop[64];
    u32 length[64];
};

static void record_seen(struct tap_hook *hook, const struct port *port, bool from_port, enum drop drop, const u8 *bytes,
                        u32 length)
{
    struct record *r = container_of(hook, struct record, hook);
    u32 i = r->seen++ % 64;
    snprintf(r->port[i], sizeof(r->port[i]), "%s", port->id);
    r->from_port[i] = from_port;
    r->drop[i] = drop;
    r->length[i] = length;
    if (r->seen == r->unhook_at)
        vswitch_unhook(sw, hook);
}

static bool recorded(const struct record *r, u32 i, const char *port, bool from_port, enum drop drop, u32 length)
{
    return !strcmp(r->port[i], port) && r->from_port[i] == from_port && r->drop[i] == drop && r->length[i] == length;
}

/* The tag of the last frame that came out of a port, or ~0. */
static u32 tag_at(u8 n)
{
    const u8 *b = fake[n].last + 12;
    return b[0] == 0x81 && b[1] == 0 ? (u32)(b[2] << 8 | b[3]) : ~0u;
}

static void send_tagged(u8 n, u8 to, u8 from, u32 tag)
{
    frame_begin(to, from);
    frame_tag(tag);
    frame_end(46);
    input(n);
    round_of_ports();
}

static void learning(void)
{
    TEST("a card is found before it has sent anything");
    fakes_of_cards(4);
    make_frame(3, 1);
    CHECK_EQ(reached(1), TO(3));
    CHECK(fake[3].last_length == frame_length && !memcmp(fake[3].last, frame, frame_length));

    TEST("broadcasts, multicasts and frames to who is unknown go to all but their sender");
    make_frame(0xff, 1);
    CHECK_EQ(reached(1), TO(2) | TO(3) | TO(4));
    frame[0] = 0x01;
    CHECK_EQ(reached(1), TO(2) | TO(3) | TO(4));
    make_frame(0x70, 1);
    CHECK_EQ(reached(1), TO(2) | TO(3) | TO(4));

    TEST("who has sent is known, and never gets it back");
    settings(2, (struct card_settings){.spoofing = true});
    make_frame(1, 0x70);
    CHECK_EQ(reached(2), TO(1));
    make_frame(0x70, 1);
    CHECK_EQ(reached(1), TO(2));
    make_frame(0x70, 2);
    CHECK_EQ(reached(2), 0);

    TEST("a station moves with what it sends");
    settings(3, (struct card_settings){.spoofing = true});
    make_frame(1, 0x70);
    CHECK_EQ(reached(3), TO(1));
    make_frame(0x70, 1);
    CHECK_EQ(reached(1), TO(3));

    TEST("nobody takes the place of a card");
    make_frame(1, 4);
    CHECK_EQ(reached(3), TO(1));
    make_frame(4, 1);
    CHECK_EQ(reached(1), TO(4));

    TEST("nor of a station behind NAT or the host, which takes its own place at any time");
    for (enum port_kind kind = PORT_HOST; kind <= PORT_NAT; kind++) {
        if (kind == PORT_OUTSIDE)
            continue;
        fake[2].port->kind = kind;
        make_frame(1, 0x60);
        CHECK_EQ(reached(3), TO(1));
        CHECK_EQ(reached(2), TO(1));
        CHECK_EQ(reached(3), TO(1));
        make_frame(0x60, 1);
        CHECK_EQ(reached(1), TO(2));
        fake[2].port->kind = PORT_CARD;
        settings(2, (struct card_settings){.spoofing = true, .vlan = 5});
        settings(2, (struct card_settings){.spoofing = true});
    }

    TEST("with spoofing off again the stations behind the card are forgotten");
    settings(3, (struct card_settings){0});
    make_frame(0x70, 1);
    CHECK_EQ(reached(1), TO(2) | TO(3) | TO(4));
    make_frame(1, 0x70);
    CHECK_EQ(reached(3), 0);
    CHECK_EQ(drops(3, DROP_SPOOFED), 1);
    make_frame(0x70, 1);
    CHECK_EQ(reached(1), TO(2) | TO(3) | TO(4));

    TEST("a card without a link gets nothing, and only what is for it is counted");
    port_link(fake[4].port, false);
    make_frame(0xff, 1);
    CHECK_EQ(reached(1), TO(2) | TO(3));
    CHECK_EQ(drops(4, DROP_NO_LINK), 0);
    make_frame(4, 1);
    CHECK_EQ(reached(1), 0);
    CHECK_EQ(drops(4, DROP_NO_LINK), 1);
    port_link(fake[4].port, true);
    CHECK_EQ(reached(1), TO(4));
    fakes_end();
}

static void vlans(void)
{
    TEST("VLANs keep pairs apart");
    fakes_of_cards(6);
    settings(1, (struct card_settings){.vlan = 10});
    settings(2, (struct card_settings){.vlan = 10});
    settings(3, (struct card_settings){.vlan = 20});
    settings(4, (struct card_settings){.vlan = 20});
    make_frame(0xff, 1);
    CHECK_EQ(reached(1), TO(2));
    make_frame(2, 1);
    CHECK_EQ(reached(1), TO(2));
    make_frame(3, 1);
    CHECK_EQ(reached(1), TO(2)); /* nobody of VLAN 10 */
    make_frame(0xff, 5);
    CHECK_EQ(reached(5), TO(6));

    TEST("a trunk gets tags, but not of its native VLAN");
    settings(5, (struct card_settings){.vlan = 20, .trunk = "10"});
    make_frame(0xff, 1);
    CHECK_EQ(reached(1), TO(2) | TO(5));
    CHECK(tag_at(5) == 10 && fake[5].last_length == frame_length + VLAN_TAG);
    CHECK(tag_at(2) == ~0u && fake[2].last_length == frame_length);
    make_frame(0xff, 3);
    CHECK_EQ(reached(3), TO(4) | TO(5));
    CHECK(tag_at(5) == ~0u && fake[5].last_length == frame_length);
    CHECK(!memcmp(fake[5].last, frame, frame_length));

    TEST("from a trunk the tag decides, and is taken off");
    send_tagged(5, 0xff, 5, 0xa00a);
    CHECK(fake[2].last_length == frame_length - VLAN_TAG && tag_at(2) == ~0u && fake[2].last[12] == 0x88);
    make_frame(0xff, 5);
    CHECK_EQ(reached(5), TO(3) | TO(4));
    send_tagged(5, 0xff, 5, 30);
    CHECK_EQ(drops(5, DROP_VLAN), 1);

    TEST("priority goes from trunk to trunk and to access ports not");
    settings(6, (struct card_settings){.vlan = 30, .trunk = "10,20"});
    send_tagged(5, 0xff, 5, 0xa00a);
    CHECK_EQ(tag_at(6), 0xa00a);
    send_tagged(5, 0xff, 5, 0x6000);
    CHECK_EQ(tag_at(6), 0x6014);
    CHECK_EQ(tag_at(3), ~0u);
    send_tagged(1, 0xff, 1, 0xe000);
    CHECK_EQ(tag_at(6), 0xe00a);

    TEST("a trunk's station is known per VLAN");
    settings(5, (struct card_settings){.vlan = 20, .trunk = "10", .spoofing = true});
    send_tagged(5, 0xff, 0x70, 10);
    make_frame(0x70, 1);
    CHECK_EQ(reached(1), TO(5));
    make_frame(0x70, 3);
    CHECK_EQ(reached(3), TO(4) | TO(5) | TO(6));

    TEST("another VLAN is in force with the next frame, and what was learnt is forgotten");
    settings(1, (struct card_settings){.vlan = 20});
    make_frame(0xff, 1);
    CHECK_EQ(reached(1), TO(3) | TO(4) | TO(5) | TO(6));
    make_frame(1, 2);
    CHECK_EQ(reached(2), TO(5) | TO(6));
    make_frame(1, 3);
    CHECK_EQ(reached(3), TO(1));

    TEST("the outside is a trunk of all VLANs");
    fake_add(fake_new(7, PORT_OUTSIDE));
    make_frame(0xff, 2);
    CHECK(reached(2) == (TO(5) | TO(6) | TO(7)) && tag_at(7) == 10);
    send_tagged(7, 2, 0x71, 10);
    make_frame(0x71, 2);
    CHECK_EQ(reached(2), TO(7));
    fakes_end();
}

static void mirrors(void)
{
    TEST("what a source sends and gets, a destination sees once, whatever its VLAN");
    fakes_of_cards(5);
    settings(1, (struct card_settings){.mirror = MIRROR_SOURCE});
    settings(4, (struct card_settings){.mirror = MIRROR_DESTINATION, .vlan = 99});
    make_frame(2, 1);
    CHECK_EQ(reached(1), TO(2) | TO(4));
    make_frame(1, 2);
    CHECK_EQ(reached(2), TO(1) | TO(4));
    make_frame(3, 2);
    CHECK_EQ(reached(2), TO(3));
    make_frame(0xff, 1);
    u32 before = fake[4].got;
    CHECK_EQ(reached(1), TO(2) | TO(3) | TO(4) | TO(5));
    CHECK_EQ(fake[4].got - before, 1);
    make_frame(0xff, 2);
    before = fake[4].got;
    CHECK_EQ(reached(2), TO(1) | TO(3) | TO(4) | TO(5));
    CHECK_EQ(fake[4].got - before, 1);

    TEST("one that gets the frame in any case gets it once");
    settings(4, (struct card_settings){.mirror = MIRROR_DESTINATION});
    make_frame(0xff, 1);
    before = fake[4].got;
    CHECK_EQ(reached(1), TO(2) | TO(3) | TO(4) | TO(5));
    CHECK_EQ(fake[4].got - before, 1);
    make_frame(4, 1);
    before = fake[4].got;
    CHECK_EQ(reached(1), TO(4));
    CHECK_EQ(fake[4].got - before, 1);
    make_frame(1, 4);
    CHECK_EQ(reached(4), TO(1));

    TEST("both ends may be sources, and there may be two destinations");
    settings(2, (struct card_settings){.mirror = MIRROR_SOURCE});
    settings(5, (struct card_settings){.mirror = MIRROR_DESTINATION});
    make_frame(2, 1);
    before = fake[4].got;
    CHECK_EQ(reached(1), TO(2) | TO(4) | TO(5));
    CHECK_EQ(fake[4].got - before, 1);

    TEST("what the rules drop is not copied");
    make_frame(2, 0x70);
    CHECK_EQ(reached(1), 0);
    settings(1, (struct card_settings){.mirror = MIRROR_SOURCE, .protect = true});
    settings(2, (struct card_settings){.mirror = MIRROR_SOURCE, .protect = true});
    make_frame(2, 1);
    CHECK_EQ(reached(1), 0);
    CHECK_EQ(drops(1, DROP_PROTECTED), 1);
    make_frame(0xff, 1);
    CHECK_EQ(reached(1), TO(3) | TO(4) | TO(5));
    CHECK_EQ(drops(1, DROP_PROTECTED), 1);

    TEST("a mirror that is full delays nobody");
    settings(1, (struct card_settings){.mirror = MIRROR_SOURCE});
    fake[4].takes = fake[5].takes = 0;
    make_frame(3, 1);
    for (u32 i = 0; i < 30000; i++) {
        input(1);
        if (i % 1000 == 0)
            round_of_ports();
    }
    round_of_ports();
    CHECK(!fake[1].port->held_by && drops(4, DROP_QUEUE) > 0);
    CHECK_EQ(fake[3].port->count.frames_out, fake[3].got);

    TEST("frames of the switch itself reach one port, and its mirrors");
    settings(1, (struct card_settings){.mirror = MIRROR_SOURCE, .vlan = 7});
    fake[4].takes = fake[5].takes = ~0u;
    port_flush(fake[4].port);
    port_flush(fake[5].port);
    make_frame(1, 0x50);
    u32 before1 = fake[1].got;
    before = fake[4].got;
    vswitch_output(sw, fake[1].port, frame, frame_length);
    round_of_ports();
    CHECK(fake[1].got - before1 == 1 && fake[4].got - before == 1);
    CHECK(fake[1].last_length == frame_length && !memcmp(fake[1].last, frame, frame_length));
    fakes_end();
}

static void counters(void)
{
    TEST("counters are exact");
    fakes_of_cards(3);
    make_frame(2, 1);
    for (u32 i = 0; i < 10; i++)
        input(1);
    make_frame(0xff, 1);
    input(1);
    make_frame(2, 0x70);
    input(1);
    round_of_ports();
    const struct port_counters *one = &fake[1].port->count, *two = &fake[2].port->count;
    CHECK(one->frames_in == 12 && one->bytes_in == 12 * 60 && one->dropped[DROP_SPOOFED] == 1);
    CHECK(two->frames_out == 11 && two->bytes_out == 11 * 60 && fake[2].got == 11);
    CHECK(fake[3].port->count.frames_out == 1 && one->frames_out == 0);

    TEST("what waits when the link breaks was not sent after all");
    fake[2].takes = 3;
    make_frame(2, 1);
    for (u32 i = 0; i < 10; i++)
        input(1);
    round_of_ports();
    CHECK_EQ(two->frames_out, 21);
    port_link(fake[2].port, false);
    CHECK(two->frames_out == 14 && two->bytes_out == 14 * 60 && two->dropped[DROP_NO_LINK] == 7);
    CHECK_EQ(fake[2].got, 14);
    fakes_end();
}

static void hooks(void)
{
    TEST("hooks see each frame as it looks at each port, and each drop");
    fakes_of_cards(3);
    settings(2, (struct card_settings){.vlan = 5, .trunk = "10"});
    settings(1, (struct card_settings){.vlan = 10});
    settings(3, (struct card_settings){.vlan = 10});
    static struct record a = {.hook = {record_seen}}, b = {.hook = {record_seen}, .unhook_at = 2};
    vswitch_hook(sw, &a.hook);
    vswitch_hook(sw, &b.hook);
    make_frame(0xff, 1);
    input(1);
    CHECK_EQ(a.seen, 3);
    CHECK(recorded(&a, 0, "port1", true, DROP_NONE, 60));
    CHECK(recorded(&a, 1, "port2", false, DROP_NONE, 64));
    CHECK(recorded(&a, 2, "port3", false, DROP_NONE, 60));
    make_frame(2, 0x70);
    input(1);
    CHECK(a.seen == 4 && recorded(&a, 3, "port1", true, DROP_SPOOFED, 60));
    port_link(fake[3].port, false);
    make_frame(3, 1);
    input(1);
    CHECK(a.seen == 6 && recorded(&a, 4, "port1", true, DROP_NONE, 60));
    CHECK(recorded(&a, 5, "port3", false, DROP_NO_LINK, 60));

    TEST("a hook may go while it is called, and the others stay");
    CHECK_EQ(b.seen, 2);
    vswitch_unhook(sw, &a.hook);
    vswitch_unhook(sw, &a.hook);
    input(1);
    CHECK_EQ(a.seen, 6);
    fakes_end();
}

int main(void)
{
    learning();
    vlans();
    mirrors();
    counters();
    hooks();
    return TEST_END();
}
