/*
 * Addresses with ports: see hostport.h.
 */
#include "net/hostport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool parse_port(const char *text, u16 *port)
{
    u32 value = 0, digits = 0;
    for (; *text >= '0' && *text <= '9' && digits < 5; text++, digits++)
        value = value * 10 + (u32)(*text - '0');
    *port = (u16)value;
    return digits && !*text && value >= 1 && value <= 65535;
}

bool hostport_parse(const char *text, struct hostport *hostport)
{
    bool brackets = text[0] == '[';
    const char *from = text + brackets, *colon = strrchr(text, ':');
    char address[IP_TEXT_MAX];
    if (!colon || colon < from || (brackets && (colon == from || colon[-1] != ']')))
        return false;
    size_t length = (size_t)(colon - from) - brackets;
    if (length >= sizeof(address))
        return false;
    memcpy(address, from, length);
    address[length] = 0;
    return ip_parse(address, &hostport->address) && (hostport->address.version == 6) == brackets &&
           parse_port(colon + 1, &hostport->port);
}

void hostport_format(const struct hostport *hostport, char text[static HOSTPORT_TEXT_MAX])
{
    char address[IP_TEXT_MAX];
    ip_format(&hostport->address, address);
    snprintf(text, HOSTPORT_TEXT_MAX, hostport->address.version == 6 ? "[%s]:%u" : "%s:%u", address, hostport->port);
}

socklen_t hostport_socket(const struct hostport *hostport, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof(*address));
    if (hostport->address.version == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(hostport->port);
        memcpy(&in6->sin6_addr, hostport->address.byte, 16);
        return sizeof(*in6);
    }
    struct sockaddr_in *in = (struct sockaddr_in *)address;
    in->sin_family = AF_INET;
    in->sin_port = htons(hostport->port);
    memcpy(&in->sin_addr, hostport->address.byte, 4);
    return sizeof(*in);
}

int hostport_hold(const struct hostport *hostport, bool udp)
{
    static const int on = 1, off = 0;
    struct sockaddr_storage address;
    socklen_t length = hostport_socket(hostport, &address);
    int fd = socket(address.ss_family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0), err = 0;
    if (fd < 0)
        return -errno;
    if (address.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
        err = -errno;
    if (!err && bind(fd, (struct sockaddr *)&address, length) < 0)
        err = -errno;
    if (err == -EADDRINUSE && !udp) {
        /* Connections that have just ended keep the port for a minute, and are no reason to refuse it. A program that
         * listens there still is one, and afterwards nobody can listen beside us. */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        err = bind(fd, (struct sockaddr *)&address, length) < 0 ? -errno : 0;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
    }
    if (!err)
        return fd;
    close(fd);
    return err;
}
