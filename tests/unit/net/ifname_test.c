/*
 * The names of interfaces that we make.
 */
#include "net/ifname.h"

#include "unit/test.h"

#include <string.h>

static const char *make(enum ifname_kind kind, const char *name)
{
    static char text[2][IFNAME_MAX];
    static unsigned turn;
    turn ^= 1;
    ifname_make(kind, name, text[turn]);
    return text[turn];
}

int main(void)
{
    TEST("a name that fits stands in it");
    CHECK(strcmp(make(IFNAME_NAT, "lab"), "nbn-lab") == 0);
    CHECK(strcmp(make(IFNAME_INTERNAL, "Inside-1"), "nbi-inside-1") == 0);
    CHECK(strcmp(make(IFNAME_EXTERNAL, "elevenchars"), "nbx-elevenchars") == 0);
    CHECK(strcmp(make(IFNAME_BRIDGE, "a"), "nbb-a") == 0);

    TEST("any other is a number, of fifteen characters with what is before it");
    CHECK(strlen(make(IFNAME_NAT, "twelve chars")) == 15);
    CHECK(strncmp(make(IFNAME_NAT, "twelve chars"), "nbn_", 4) == 0);
    CHECK(strncmp(make(IFNAME_NAT, "a b"), "nbn_", 4) == 0);
    CHECK(strncmp(make(IFNAME_NAT, "a/b"), "nbn_", 4) == 0);
    CHECK(strncmp(make(IFNAME_NAT, "b\303\274ro"), "nbn_", 4) == 0);

    TEST("names are the same without case, and otherwise different");
    CHECK(strcmp(make(IFNAME_NAT, "A LONG NAME OF A NETWORK"), make(IFNAME_NAT, "a long name of a network")) == 0);
    CHECK(strcmp(make(IFNAME_NAT, "a long name of a network"), make(IFNAME_NAT, "a long name of a netwerk")) != 0);
    CHECK(strcmp(make(IFNAME_NAT, "a long name"), make(IFNAME_BRIDGE, "a long name")) != 0);

    TEST("our own are known");
    CHECK(ifname_is(IFNAME_NAT, make(IFNAME_NAT, "lab")));
    CHECK(ifname_is(IFNAME_NAT, make(IFNAME_NAT, "a long name of a network")));
    CHECK(!ifname_is(IFNAME_NAT, make(IFNAME_BRIDGE, "lab")));
    CHECK(!ifname_is(IFNAME_NAT, "nbnlab") && !ifname_is(IFNAME_NAT, "eth0") && !ifname_is(IFNAME_NAT, ""));
    return TEST_END();
}
