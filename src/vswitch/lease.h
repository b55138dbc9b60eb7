/*
 * Who has which address of a NAT network. A client keeps its address as long as others do not need it, also when its
 * lease has ended and the switch was started again: the text of all leases is a file, one line per lease. Clients are
 * guests, so nothing they do takes more than one address per client, or makes the list longer than LEASES_MAX.
 */
#ifndef VSWITCH_LEASE_H
#define VSWITCH_LEASE_H

#include "net/mac.h"
#include "net/prefix.h"

#define LEASE_NAME_MAX 64
#define LEASE_PORT_MAX 16
#define LEASES_MAX 8192u

/* Who wants an address. */
struct lease_client {
    struct mac mac;
    char port[LEASE_PORT_MAX]; /* the id of the port that it is behind; empty: not known, and then there is no share */
};

struct lease {
    struct mac mac;
    struct ip address;
    char name[LEASE_NAME_MAX]; /* what the client calls itself; may be empty */
    char port[LEASE_PORT_MAX]; /* behind which its client was last; may be empty */
    bool used;                 /* its client has spoken from the address */
    s64 until;                 /* seconds since 1970 */
};

struct leases;

/* For the addresses of `prefix` (version 4) but the network's own, the last one, and those below `first`. `text`: what
 * leases_text wrote earlier, or NULL; lines that make no sense are left out, and no lease ends after `latest`. NULL: no
 * memory. */
struct leases *leases_new(const struct prefix *prefix, u32 first, const char *text, s64 latest);
void leases_free(struct leases *l);

/*
 * The client's address or a free one, `wanted` if that is free (0: any), held for a minute. 0: there is none for it.
 *
 * A port that has addresses gets one more as long as at least so many are left as it has, so nobody takes all by
 * making up clients. When none is left, a port without any gets the one of which nothing was ever heard for longest.
 */
u32 leases_offer(struct leases *l, const struct lease_client *client, u32 wanted, s64 now);
/* Gives the client that address until then. Returns false if it is another client's, more than the client's port may
 * have, or none of the network's. */
bool leases_bind(struct leases *l, const struct lease_client *client, u32 address, const char *name, s64 now,
                 s64 until);
/* The client was heard at that address. */
void leases_heard(struct leases *l, const struct mac *mac, u32 address);
/* Ends the lease of an address (0: any) or of a client (NULL: any), whoever they are. Returns how many there were. */
u32 leases_end(struct leases *l, const struct mac *mac, u32 address);
/* The client does not need the address any more, or does not want what it was offered. */
void leases_release(struct leases *l, const struct mac *mac, u32 address, s64 now);
/* The client found somebody else at the address, which is not given to anybody for a while. */
void leases_decline(struct leases *l, const struct mac *mac, u32 address, s64 now);

u32 leases_addresses(const struct leases *l);     /* how many there are */
u32 leases_used(const struct leases *l, s64 now); /* how many are not free now */
u64 leases_refused(const struct leases *l);       /* how often a client got none */
/* The next lease that holds now. `at` is 0 for the first, and goes on by itself. Returns false if there are no more. */
bool leases_next(const struct leases *l, u32 *at, s64 now, struct lease *lease);
/* All leases for the file; free() releases it. NULL: no memory. */
char *leases_text(const struct leases *l);
/* Returns true, once, if the text is no longer what it was. */
bool leases_changed(struct leases *l);

#endif
