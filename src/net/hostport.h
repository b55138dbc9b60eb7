/*
 * An address with a port, as text: "192.168.100.5:80", "[fd00::5]:80".
 */
#ifndef NET_HOSTPORT_H
#define NET_HOSTPORT_H

#include "net/prefix.h"

#include <sys/socket.h>

#define HOSTPORT_TEXT_MAX (IP_TEXT_MAX + 8)

struct hostport {
    struct ip address;
    u16 port;
};

/* Reads all of `text`. Returns false for anything else; ports are from 1 to 65535. */
bool hostport_parse(const char *text, struct hostport *hostport);
void hostport_format(const struct hostport *hostport, char text[static HOSTPORT_TEXT_MAX]);
/* Returns the length of the socket's address. */
socklen_t hostport_socket(const struct hostport *hostport, struct sockaddr_storage *address);
/* Takes the port of the host, so that no other program can have it: a socket that is bound and does not listen. Returns
 * it or -errno: -EADDRINUSE, -EADDRNOTAVAIL if the address is not the host's. */
int MUST_CHECK hostport_hold(const struct hostport *hostport, bool udp);

#endif
