/*
 * The rules of ports: which frames may come in, and why others may not.
 */
#include "unit/switch_ports.h"

#include "vswitch/admit.h"

static struct packet packet;

static enum drop admit(u8 n)
{
    return admit_from(fake[n].port, &packet, frame, frame_length, now);
}

/* A frame from card 1 to card 2 with that tag. */
static enum drop tagged(u32 tag)
{
    frame_begin(2, 1);
    frame_tag(tag);
    frame_end(46);
    return admit(1);
}

/* Card 1 says to everybody that it is a DHCP server, behind `tags` tags. */
static void make_dhcp(u32 tags)
{
    static const u8 packet4[] = {0x45, 0, 0, 100, 0,   0,   0,   0, 64, 17, 0,  0, 10,
                                 0,    0, 1, 255, 255, 255, 255, 0, 67, 0,  68, 0, 80};
    frame_begin(0xff, 1);
    for (u32 i = 0; i < tags; i++)
        frame_tag(0);
    frame_word(0x0800);
    memcpy(frame + frame_length, packet4, sizeof(packet4));
    frame_length += 100;
}

/* Card 1 says to everybody that it is a router. With `hidden`, what it is lies in a later fragment. */
static void make_router(bool hidden)
{
    frame_begin(0xff, 1);
    frame_word(0x86dd);
    frame[frame_length] = 0x60;
    frame[frame_length + 6] = hidden ? 44 : 58;
    frame_length += 40;
    if (hidden) {
        frame[frame_length] = 60;
        frame[frame_length + 3] = 1;
    } else {
        frame[frame_length] = 134;
    }
    frame_length += hidden ? 8 : 60;
}

int main(void)
{
    fakes_of_cards(3);

    TEST("frames that are too short, too long or from a group are malformed");
    static u8 longest[FRAME_MAX + 10];
    make_frame(2, 1);
    memcpy(longest, frame, frame_length);
    for (u32 length = 0; length < FRAME_HEADER; length++)
        CHECK_EQ(admit_from(fake[1].port, &packet, longest, length, now), DROP_MALFORMED);
    CHECK_EQ(admit_from(fake[1].port, &packet, longest, FRAME_HEADER, now), DROP_NONE);
    CHECK_EQ(admit_from(fake[1].port, &packet, longest, FRAME_MAX - VLAN_TAG, now), DROP_NONE);
    CHECK_EQ(admit_from(fake[1].port, &packet, longest, FRAME_MAX - VLAN_TAG + 1, now), DROP_MALFORMED);
    longest[12] = 0x81;
    longest[13] = longest[14] = longest[15] = 0;
    CHECK_EQ(admit_from(fake[1].port, &packet, longest, FRAME_MAX, now), DROP_NONE);
    CHECK_EQ(admit_from(fake[1].port, &packet, longest, FRAME_MAX + 1, now), DROP_MALFORMED);
    for (u32 length = FRAME_HEADER; length < FRAME_HEADER + VLAN_TAG; length++)
        CHECK_EQ(admit_from(fake[1].port, &packet, longest, length, now), DROP_MALFORMED);
    make_frame(2, 1);
    frame[6] |= 1;
    CHECK_EQ(admit(1), DROP_MALFORMED);

    TEST("what bridges keep for themselves goes nowhere");
    make_frame(2, 1);
    for (u32 last = 0; last <= 0x10; last++) {
        const u8 group[6] = {0x01, 0x80, 0xc2, 0, 0, (u8)last};
        memcpy(frame, group, 6);
        CHECK_EQ(admit(1), last < 0x10 ? DROP_RESERVED : DROP_NONE);
    }

    TEST("a card sends from its own address only, until it may do otherwise");
    make_frame(2, 0x77);
    CHECK_EQ(admit(1), DROP_SPOOFED);
    settings(1, (struct card_settings){.spoofing = true});
    CHECK_EQ(admit(1), DROP_NONE);
    settings(1, (struct card_settings){0});
    CHECK_EQ(admit(1), DROP_SPOOFED);
    make_frame(2, 1);
    CHECK_EQ(admit(1), DROP_NONE);

    TEST("an access port: no tag or one without a VLAN");
    settings(1, (struct card_settings){.vlan = 10});
    make_frame(2, 1);
    CHECK(admit(1) == DROP_NONE && packet.vlan == 10 && packet.tag == 0);
    CHECK(tagged(0) == DROP_NONE && packet.vlan == 10 && packet.tag == VLAN_TAG);
    CHECK(tagged(0xe000) == DROP_NONE && packet.priority == 0xe000);
    CHECK_EQ(tagged(10), DROP_VLAN);
    CHECK_EQ(tagged(20), DROP_VLAN);
    CHECK_EQ(tagged(4095), DROP_VLAN);
    settings(1, (struct card_settings){0});
    CHECK(tagged(0) == DROP_NONE && packet.vlan == 0);
    CHECK_EQ(tagged(1), DROP_VLAN);

    TEST("a trunk: its VLANs with tags, the native one without or with");
    settings(1, (struct card_settings){.vlan = 10, .trunk = "20,30-32"});
    make_frame(2, 1);
    CHECK(admit(1) == DROP_NONE && packet.vlan == 10);
    CHECK(tagged(0x3000) == DROP_NONE && packet.vlan == 10 && packet.priority == 0x3000);
    static const u32 good[] = {10, 20, 30, 31, 32}, bad[] = {1, 9, 11, 19, 21, 29, 33, 4094, 4095};
    for (u32 i = 0; i < ARRAY_LEN(good); i++)
        CHECK(tagged(good[i] | 0x2000) == DROP_NONE && packet.vlan == good[i] && packet.priority == 0x2000);
    for (u32 i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_EQ(tagged(bad[i]), DROP_VLAN);

    TEST("a second tag, or a service tag, would be a way into other VLANs");
    static const u32 outer[] = {0, 10, 20};
    for (u32 i = 0; i < ARRAY_LEN(outer); i++) {
        frame_begin(2, 1);
        frame_tag(outer[i]);
        frame_tag(30);
        frame_end(46);
        CHECK_EQ(admit(1), DROP_VLAN);
        frame[16] = 0x88;
        frame[17] = 0xa8;
        CHECK_EQ(admit(1), DROP_VLAN);
    }
    frame_begin(2, 1);
    frame_word(ETHERTYPE_SERVICE_VLAN);
    frame_word(20);
    frame_end(46);
    CHECK_EQ(admit(1), DROP_VLAN);

    TEST("the guards stop servers and routers, behind tags too, and what may be either");
    settings(1, (struct card_settings){.dhcp_guard = true});
    make_dhcp(0);
    CHECK_EQ(admit(1), DROP_DHCP);
    make_dhcp(1);
    CHECK_EQ(admit(1), DROP_DHCP);
    make_router(false);
    CHECK_EQ(admit(1), DROP_NONE);
    make_router(true);
    CHECK_EQ(admit(1), DROP_DHCP);
    settings(1, (struct card_settings){.router_guard = true});
    CHECK_EQ(admit(1), DROP_ROUTER);
    make_router(false);
    CHECK_EQ(admit(1), DROP_ROUTER);
    make_dhcp(0);
    CHECK_EQ(admit(1), DROP_NONE);
    make_dhcp(2);
    CHECK_EQ(admit(1), DROP_VLAN);
    settings(1, (struct card_settings){0});
    make_router(true);
    CHECK_EQ(admit(1), DROP_NONE);

    TEST("the storm limit is a number per second, of broadcasts and multicasts");
    settings(1, (struct card_settings){.storm_limit = 5});
    now += 5000000000ull;
    for (u32 second = 0; second < 3; second++) {
        u32 passed = 0;
        for (u32 i = 0; i < 20; i++) {
            make_frame(0xff, 1);
            frame[0] = i & 1 ? 0xff : 0x33;
            passed += admit(1) == DROP_NONE;
            make_frame(2, 1);
            CHECK_EQ(admit(1), DROP_NONE);
            now += 10000000;
        }
        CHECK_EQ(passed, 5);
        now += 800000000;
    }

    TEST("two protected ports do not see each other");
    settings(1, (struct card_settings){.protect = true});
    CHECK(!admit_to(fake[1].port, fake[2].port) && !admit_to(fake[2].port, fake[1].port));
    settings(2, (struct card_settings){.protect = true});
    CHECK(admit_to(fake[1].port, fake[2].port) == DROP_PROTECTED &&
          admit_to(fake[2].port, fake[1].port) == DROP_PROTECTED);

    fakes_end();
    return TEST_END();
}
