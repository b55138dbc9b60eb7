/*
 * Addresses with ports.
 */
#include "net/hostport.h"

#include "unit/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

static bool same(const char *text)
{
    char back[HOSTPORT_TEXT_MAX];
    struct hostport h;
    if (!hostport_parse(text, &h))
        return false;
    hostport_format(&h, back);
    return strcmp(text, back) == 0;
}

/* A socket that has a port of 127.0.0.1, and listens if it is for TCP; `at` is told which. */
static int program(bool udp, struct hostport *at)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    CHECK(hostport_parse("127.0.0.1:1", at));
    at->port = 0;
    int fd = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    CHECK(bind(fd, (struct sockaddr *)&address, hostport_socket(at, &address)) == 0);
    CHECK(udp || listen(fd, 1) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    at->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    return fd;
}

static void test_hold(bool udp)
{
    struct hostport at, any;
    struct sockaddr_storage address;
    int fd = program(udp, &at), on = 1;
    any = at;
    memset(any.address.byte, 0, sizeof(any.address.byte));
    TEST(udp ? "a port of UDP is held" : "a port of TCP is held");
    CHECK_EQ(hostport_hold(&at, udp), -EADDRINUSE);
    CHECK_EQ(hostport_hold(&any, udp), -EADDRINUSE);
    int other = hostport_hold(&at, !udp);
    CHECK(other >= 0);
    close(other);
    close(fd);
    int held = hostport_hold(&any, udp);
    CHECK(held >= 0);
    CHECK_EQ(hostport_hold(&at, udp), -EADDRINUSE);
    fd = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, udp ? SO_BROADCAST : SO_REUSEADDR, &on, sizeof(on));
    CHECK(bind(fd, (struct sockaddr *)&address, hostport_socket(&at, &address)) < 0 || (!udp && listen(fd, 1) < 0));
    close(fd);
    close(held);
    CHECK(hostport_parse("192.0.2.1:8080", &at));
    CHECK_EQ(hostport_hold(&at, udp), -EADDRNOTAVAIL);
}

/* The end that closes first keeps the port for a minute, which is no program that has it. */
static void test_ended(void)
{
    struct hostport at;
    struct sockaddr_storage address;
    int fd = program(false, &at), on = 1, end = socket(AF_INET, SOCK_STREAM, 0);
    char byte;
    TEST("connections that have ended do not keep a port");
    CHECK(connect(end, (struct sockaddr *)&address, hostport_socket(&at, &address)) == 0);
    int taken = accept(fd, NULL, NULL);
    shutdown(taken, SHUT_WR);
    CHECK(read(end, &byte, 1) == 0);
    close(end);
    CHECK(read(taken, &byte, 1) == 0);
    close(taken);
    close(fd);
    int held = hostport_hold(&at, false);
    CHECK(held >= 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    CHECK(bind(fd, (struct sockaddr *)&address, hostport_socket(&at, &address)) < 0 || listen(fd, 1) < 0);
    close(fd);
    close(held);
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

    test_hold(false);
    test_hold(true);
    test_ended();
    return TEST_END();
}
