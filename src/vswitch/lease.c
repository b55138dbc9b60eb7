/*
 * The leases of a NAT network: see lease.h. An array in order of addresses. The longest list is short enough to be
 * searched from its beginning for each DHCP message, of which a client sends few.
 */
#include "vswitch/lease.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFER_SECONDS 60
#define DECLINED_SECONDS 600
#define DECLINES_MAX 4       /* addresses that one client can keep from others */
#define UNHEARD_SECONDS 60   /* after that time a lease that nobody uses may go to somebody else */
#define RENEWAL_SECONDS 3600 /* a lease that only gets longer changes the file after that time */

struct entry {
    u32 address;
    struct mac mac;
    s64 until;     /* when the lease ends; 0: the client never had one */
    s64 held;      /* until then nobody else gets the address, lease or not */
    s64 written;   /* `until` as the file has it */
    s64 since;     /* when the client got it; 0: before this process */
    bool declined; /* the client found somebody else there */
    bool heard;    /* the client has spoken from there, or may have, before this process */
    char port[LEASE_PORT_MAX];
    char name[LEASE_NAME_MAX];
};

struct leases {
    u32 first, last; /* addresses that are given away */
    struct entry *entry;
    u32 count, room;
    u64 refused;
    bool changed;
};

static u32 address_of(const struct ip *ip)
{
    return (u32)ip->byte[0] << 24 | (u32)ip->byte[1] << 16 | (u32)ip->byte[2] << 8 | ip->byte[3];
}

static bool same(const struct mac *a, const struct mac *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static bool is_free(const struct entry *e, s64 now)
{
    return e->until <= now && e->held <= now;
}

static bool is_lease(const struct entry *e)
{
    return e->until && !e->declined;
}

static bool in_pool(const struct leases *l, u32 address)
{
    return address >= l->first && address <= l->last;
}

/* What hosts may be called: letters, digits, dashes and dots. A client's name goes to files and terminals. */
static void plain_name(const char *name, char plain[static LEASE_NAME_MAX])
{
    size_t used = 0;
    memset(plain, 0, LEASE_NAME_MAX);
    for (; *name && used < LEASE_NAME_MAX - 1; name++) {
        char c = *name;
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
        plain[used++] = fine ? c : '-';
    }
}

/* The index of the first entry that is not before `address`. */
static u32 place(const struct leases *l, u32 address)
{
    u32 low = 0, high = l->count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (l->entry[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *at(struct leases *l, u32 address)
{
    u32 i = place(l, address);
    return i < l->count && l->entry[i].address == address ? &l->entry[i] : NULL;
}

/* Of a client: its lease, or what it was offered. */
static struct entry *of(struct leases *l, const struct mac *mac)
{
    for (u32 i = 0; i < l->count; i++)
        if (!l->entry[i].declined && same(&l->entry[i].mac, mac))
            return &l->entry[i];
    return NULL;
}

static void drop(struct leases *l, struct entry *e)
{
    u32 i = (u32)(e - l->entry);
    l->changed |= is_lease(e);
    memmove(e, e + 1, (l->count - i - 1) * sizeof(*e));
    l->count--;
}

/* A new entry for an address that has none. NULL: no memory. */
static struct entry *insert(struct leases *l, u32 address)
{
    if (l->count == l->room) {
        u32 room = l->room ? l->room * 2 : 16;
        struct entry *bigger = realloc(l->entry, room * sizeof(*bigger));
        if (!bigger)
            return NULL;
        l->entry = bigger;
        l->room = room;
    }
    u32 i = place(l, address);
    memmove(&l->entry[i + 1], &l->entry[i], (l->count - i) * sizeof(*l->entry));
    l->count++;
    l->entry[i] = (struct entry){.address = address};
    return &l->entry[i];
}

/* Whether a client may have the address that `e` speaks of (NULL: nothing does). */
static bool may_have(const struct entry *e, const struct mac *mac, s64 now)
{
    return !e || is_free(e, now) || (!e->declined && same(&e->mac, mac));
}

/* The lowest address that nobody had, otherwise the one whose lease ended first. 0: none. */
static u32 free_address(const struct leases *l, s64 now)
{
    u32 address = l->first;
    const struct entry *oldest = NULL;
    for (u32 i = 0; i < l->count && l->entry[i].address == address; i++, address++)
        if (is_free(&l->entry[i], now) && (!oldest || l->entry[i].until < oldest->until))
            oldest = &l->entry[i];
    if (address <= l->last)
        return address;
    return oldest ? oldest->address : 0;
}

/* Whether a client that has no address may get one: see leases_offer. */
static bool has_share(const struct leases *l, const struct lease_client *client, s64 now)
{
    u32 own = 0, used = 0;
    for (u32 i = 0; i < l->count; i++) {
        const struct entry *e = &l->entry[i];
        if (is_free(e, now) || same(&e->mac, &client->mac))
            continue;
        used++;
        own += strcmp(e->port, client->port) == 0;
    }
    return !client->port[0] || leases_addresses(l) - used >= own;
}

/* Of leases of which nothing was heard, the oldest. 0: there is none. */
static u32 unheard_address(const struct leases *l, s64 now)
{
    const struct entry *oldest = NULL;
    for (u32 i = 0; i < l->count; i++) {
        const struct entry *e = &l->entry[i];
        if (is_lease(e) && !e->heard && e->held <= now && now - e->since >= UNHEARD_SECONDS &&
            (!oldest || e->since < oldest->since))
            oldest = e;
    }
    return oldest ? oldest->address : 0;
}

static bool has_none(const struct leases *l, const char *port, s64 now)
{
    for (u32 i = 0; i < l->count; i++)
        if (!is_free(&l->entry[i], now) && strcmp(l->entry[i].port, port) == 0)
            return false;
    return true;
}

/* Gives the address to the client. Whatever else the client has goes. NULL: no memory. */
static struct entry *take(struct leases *l, const struct mac *mac, u32 address)
{
    struct entry *old = of(l, mac);
    if (old && old->address != address)
        drop(l, old);
    struct entry *e = at(l, address);
    if (!e)
        e = insert(l, address);
    if (e && (e->declined || !same(&e->mac, mac))) {
        l->changed |= is_lease(e);
        *e = (struct entry){.address = address, .mac = *mac};
    }
    return e;
}

u32 leases_offer(struct leases *l, const struct lease_client *client, u32 wanted, s64 now)
{
    const struct mac *mac = &client->mac;
    struct entry *e = of(l, mac);
    u32 address = e ? e->address : 0;
    if (!has_share(l, client, now) && (!e || is_free(e, now))) {
        l->refused++;
        return 0;
    }
    if (!address && in_pool(l, wanted) && may_have(at(l, wanted), mac, now))
        address = wanted;
    if (!address)
        address = free_address(l, now);
    if (!address && client->port[0] && has_none(l, client->port, now)) {
        address = unheard_address(l, now);
        if (address)
            drop(l, at(l, address));
    }
    e = address ? take(l, mac, address) : NULL;
    if (!e) {
        l->refused++;
        return 0;
    }
    e->held = now + OFFER_SECONDS;
    memcpy(e->port, client->port, sizeof(e->port));
    return address;
}

bool leases_bind(struct leases *l, const struct lease_client *client, u32 address, const char *name, s64 now, s64 until)
{
    const struct mac *mac = &client->mac;
    const struct entry *before = of(l, mac);
    if ((!before || is_free(before, now)) && !has_share(l, client, now)) {
        l->refused++;
        return false;
    }
    if (!in_pool(l, address) || !may_have(at(l, address), mac, now))
        return false;
    struct entry *e = take(l, mac, address);
    if (!e)
        return false;
    char plain[LEASE_NAME_MAX];
    plain_name(name, plain);
    if (strcmp(e->name, plain) != 0 || until - e->written >= RENEWAL_SECONDS) {
        e->written = until;
        l->changed = true;
    }
    if (e->until <= now)
        e->since = now;
    if (strcmp(e->port, client->port) != 0)
        l->changed = true;
    e->until = until;
    e->held = 0;
    memcpy(e->port, client->port, sizeof(e->port));
    memcpy(e->name, plain, sizeof(e->name));
    return true;
}

void leases_heard(struct leases *l, const struct mac *mac, u32 address)
{
    struct entry *e = at(l, address);
    if (e && is_lease(e) && same(&e->mac, mac))
        e->heard = true;
}

u32 leases_end(struct leases *l, const struct mac *mac, u32 address)
{
    u32 ended = 0;
    for (u32 i = l->count; i--;) {
        struct entry *e = &l->entry[i];
        if ((mac && !same(&e->mac, mac)) || (address && e->address != address))
            continue;
        ended++;
        drop(l, e);
    }
    return ended;
}

void leases_release(struct leases *l, const struct mac *mac, u32 address, s64 now)
{
    struct entry *e = of(l, mac);
    if (!e || (address && e->address != address))
        return;
    e->held = 0;
    if (!e->until)
        drop(l, e);
    else if (e->until > now) {
        e->until = e->written = now;
        l->changed = true;
    }
}

void leases_decline(struct leases *l, const struct mac *mac, u32 address, s64 now)
{
    u32 declined = 0;
    for (u32 i = 0; i < l->count; i++)
        declined += l->entry[i].declined && !is_free(&l->entry[i], now) && same(&l->entry[i].mac, mac);
    struct entry *e = of(l, mac);
    if (!e || e->address != address || declined >= DECLINES_MAX)
        return;
    l->changed |= is_lease(e);
    struct entry declined_one = {.address = address, .mac = *mac, .declined = true, .held = now + DECLINED_SECONDS};
    memcpy(declined_one.port, e->port, sizeof(e->port)); /* it counts as the port's */
    *e = declined_one;
}

u32 leases_addresses(const struct leases *l)
{
    return l->last - l->first + 1;
}

u32 leases_used(const struct leases *l, s64 now)
{
    u32 used = 0;
    for (u32 i = 0; i < l->count; i++)
        used += !is_free(&l->entry[i], now);
    return used;
}

u64 leases_refused(const struct leases *l)
{
    return l->refused;
}

bool leases_next(const struct leases *l, u32 *at, s64 now, struct lease *lease)
{
    while (*at < l->count) {
        const struct entry *e = &l->entry[(*at)++];
        if (!is_lease(e) || e->until <= now)
            continue;
        *lease = (struct lease){.mac = e->mac, .address = {.version = 4}, .used = e->heard, .until = e->until};
        memcpy(lease->port, e->port, sizeof(lease->port));
        u32 network_order = htonl(e->address);
        memcpy(lease->address.byte, &network_order, 4);
        memcpy(lease->name, e->name, sizeof(lease->name));
        return true;
    }
    return false;
}

bool leases_changed(struct leases *l)
{
    bool changed = l->changed;
    l->changed = false;
    return changed;
}

/* "1700000000 02:00:00:00:00:01 192.168.100.3 name port"; "*" stands for no name, and no port is nothing. */
char *leases_text(const struct leases *l)
{
    size_t size = (size_t)l->count * 128 + 1, used = 0;
    char *text = malloc(size), mac[MAC_TEXT_MAX];
    if (!text)
        return NULL;
    text[0] = 0;
    for (u32 i = 0; i < l->count; i++) {
        const struct entry *e = &l->entry[i];
        if (!is_lease(e))
            continue;
        mac_format(&e->mac, mac);
        used += (size_t)snprintf(text + used, size - used, "%" PRId64 " %s %u.%u.%u.%u %s%s%s\n", e->until, mac,
                                 e->address >> 24, e->address >> 16 & 0xff, e->address >> 8 & 0xff, e->address & 0xff,
                                 e->name[0] ? e->name : "*", e->port[0] ? " " : "", e->port);
    }
    return text;
}

static void read_line(struct leases *l, const char *line, s64 latest)
{
    char mac_text[MAC_TEXT_MAX], ip_text[16], name[LEASE_NAME_MAX], port[LEASE_PORT_MAX] = "";
    s64 until;
    struct mac mac;
    struct ip ip;
    if (sscanf(line, "%" SCNd64 " %17s %15s %63s %15s", &until, mac_text, ip_text, name, port) < 4)
        return;
    if (!mac_parse(mac_text, &mac) || !ip_parse(ip_text, &ip) || ip.version != 4)
        return;
    u32 address = address_of(&ip);
    if (until <= 0 || !in_pool(l, address) || at(l, address) || of(l, &mac))
        return;
    struct entry *e = insert(l, address);
    if (!e)
        return;
    e->mac = mac;
    e->heard = true;
    memcpy(e->port, port, sizeof(e->port));
    e->until = e->written = until < latest ? until : latest;
    plain_name(strcmp(name, "*") == 0 ? "" : name, e->name);
}

struct leases *leases_new(const struct prefix *prefix, u32 first, const char *text, s64 latest)
{
    struct leases *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    u32 network = address_of(&prefix->address), size = 1u << (32 - prefix->length);
    l->first = network + first;
    l->last = network + size - 2;
    if (leases_addresses(l) > LEASES_MAX)
        l->last = l->first + LEASES_MAX - 1;
    char line[160];
    while (text && *text) {
        size_t length = strcspn(text, "\n");
        if (length < sizeof(line)) {
            memcpy(line, text, length);
            line[length] = 0;
            read_line(l, line, latest);
        }
        text += length + (text[length] != 0);
    }
    return l;
}

void leases_free(struct leases *l)
{
    if (!l)
        return;
    free(l->entry);
    free(l);
}
