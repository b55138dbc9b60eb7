/*
 * Ethernet addresses: what is read and written, and what new ones are.
 */
#include "net/mac.h"

#include "unit/test.h"

#include <string.h>

static bool reads(const char *text)
{
    struct mac mac;
    char back[MAC_TEXT_MAX];
    if (!mac_parse(text, &mac))
        return false;
    mac_format(&mac, back);
    return !strcmp(back, "02:00:5e:0a:bc:01");
}

int main(void)
{
    struct mac a, b = {{1, 2, 3, 4, 5, 6}};

    TEST("an address is read with colons, dashes or neither, in any case");
    CHECK(reads("02:00:5e:0a:bc:01"));
    CHECK(reads("02-00-5E-0A-BC-01"));
    CHECK(reads("02005e0aBC01"));

    TEST("anything else is refused and changes nothing");
    static const char *const bad[] = {"",
                                      "02",
                                      "02:00:5e:0a:bc",
                                      "02:00:5e:0a:bc:01:",
                                      "02:00:5e:0a:bc:01 ",
                                      "02:00-5e:0a:bc:01",
                                      "02:005e0abc01",
                                      "0200:5e0a:bc01",
                                      "2:0:5e:a:bc:1",
                                      ":02005e0abc01",
                                      "02:00:5e:0a:bc:0g",
                                      "02005e0abc0",
                                      "0x005e0abc01"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!mac_parse(bad[i], &b));
    CHECK(mac_number(b.byte) == 0x010203040506);

    TEST("a new address is a local one of a single station, and another one each time");
    CHECK(!mac_random(&a) && !mac_random(&b));
    CHECK((a.byte[0] & 3) == 2 && (b.byte[0] & 3) == 2);
    CHECK(memcmp(&a, &b, sizeof(a)));
    CHECK(!mac_is_group(&a) && !mac_is_zero(&a));
    CHECK(mac_is_zero(&(struct mac){{0}}) && !mac_is_zero(&(struct mac){{0, 0, 0, 0, 0, 1}}));

    return TEST_END();
}
