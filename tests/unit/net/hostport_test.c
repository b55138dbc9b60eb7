/*
 * Addresses with ports.
 */
#include "net/hostport.h"

#include "unit/test.h"

#include <netinet/in.h>
#include <string.h>

static bool same(const char *text)
{
    char back[HOSTPORT_TEXT_MAX];
    struct hostport h;
    if (!hostport_parse(text, &h))
        return false;
    hostport_format(&h, back);
    return strcmp(text, back) == 0;
}

int main(void)
{
    struct hostport h;
    struct sockaddr_storage address;

    TEST("both versions, there and back");
    CHECK(same("192.168.100.5:80"));
    CHECK(same("0.0.0.0:65535"));
    CHECK(same("[fd00::5]:80"));
    CHECK(same("[::]:1"));

    TEST("anything else is refused");
    static const char *const wrong[] = {"",
                                        "80",
                                        ":80",
                                        "1.2.3.4",
                                        "1.2.3.4:",
                                        "1.2.3.4:0",
                                        "1.2.3.4:65536",
                                        "1.2.3.4:80 ",
                                        "1.2.3.4:8o",
                                        "1.2.3:80",
                                        "fd00::5:80",
                                        "[1.2.3.4]:80",
                                        "[fd00::5]80",
                                        "[fd00::5:80",
                                        "fd00::5]:80",
                                        "[]:80",
                                        "[:80",
                                        "1.2.3.4:+80",
                                        "1.2.3.4:000080"};
    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        if (hostport_parse(wrong[i], &h))
            printf("# '%s' was taken\n", wrong[i]);
        CHECK(!hostport_parse(wrong[i], &h));
    }

    TEST("as the address of a socket");
    CHECK(hostport_parse("192.168.100.5:80", &h));
    CHECK(hostport_socket(&h, &address) == sizeof(struct sockaddr_in));
    CHECK_EQ(ntohs(((struct sockaddr_in *)&address)->sin_port), 80);
    CHECK_EQ(ntohl(((struct sockaddr_in *)&address)->sin_addr.s_addr), 0xc0a86405);
    CHECK(hostport_parse("[fd00::5]:80", &h));
    CHECK(hostport_socket(&h, &address) == sizeof(struct sockaddr_in6));
    CHECK_EQ(address.ss_family, AF_INET6);
    return TEST_END();
}
