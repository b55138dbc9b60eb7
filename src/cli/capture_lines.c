/*
 * Blocks of pcapng become objects: see capture_lines.h. The blocks are those of vswitch/capture.c, in this host's order
 * of bytes; what else there may be in one is passed over.
 */
#include "cli/capture_lines.h"

#include "net/drop.h"
#include "net/frame.h"
#include "net/pcapng.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Bytes of blocks: before their fields, behind their options, and fields. */
enum { HEAD = 8, TAIL = 4, INTERFACE_FIELDS = 8, STATISTICS_FIELDS = 12, PACKET_FIELDS = 20 };

#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_ARP 0x0806u
#define ETHERTYPE_IPV6 0x86ddu
#define REMEDY "; to let it pass: "

static u32 get32(const u8 *p)
{
    u32 value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static u32 be16(const u8 *p)
{
    return (u32)p[0] << 8 | p[1];
}

/* Returns the option of that code among those in `size` bytes; NULL if it is not there. */
static const u8 *find_option(const u8 *p, u32 size, u16 code, u32 *length)
{
    for (u32 at = 0; at + 4 <= size;) {
        u16 head[2];
        memcpy(head, p + at, sizeof(head));
        if (!head[0] || head[1] > size - at - 4)
            return NULL;
        *length = head[1];
        if (head[0] == code)
            return p + at + 4;
        at += 4 + ((head[1] + 3u) & ~3u);
    }
    return NULL;
}

static void meet_port(struct capture_lines *l, const u8 *options, u32 size)
{
    u32 length = 0;
    const u8 *name = find_option(options, size, IF_NAME, &length);
    char(*more)[160] = realloc(l->port, (l->ports + 1) * sizeof(*more));
    if (!more)
        return;
    l->port = more;
    snprintf(more[l->ports++], sizeof(*more), "%.*s", (int)length, name ? (const char *)name : "");
}

static const char *port_name(const struct capture_lines *l, u32 number)
{
    return number < l->ports ? l->port[number] : "";
}

static void set(json_t *object, const char *key, json_t *value)
{
    (void)!json_object_set_new(object, key, value);
}

static void set_mac(json_t *object, const char *key, const u8 *byte)
{
    struct mac mac;
    char text[MAC_TEXT_MAX];
    memcpy(mac.byte, byte, MAC_LEN);
    mac_format(&mac, text);
    set(object, key, json_string(text));
}

static void set_ip(json_t *object, const char *key, int family, const u8 *address)
{
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(family, address, text, sizeof(text)))
        set(object, key, json_string(text));
}

/* Where the addresses of a packet are. */
static const struct {
    u32 ethertype, from, to, length;
    int family;
} packets[] = {
    {ETHERTYPE_IPV4, 12, 16, 20, AF_INET}, {ETHERTYPE_IPV6, 8, 24, 40, AF_INET6}, {ETHERTYPE_ARP, 14, 24, 28, AF_INET}};

static void describe_frame(json_t *object, const u8 *frame, u32 length)
{
    u32 at = 2 * MAC_LEN;
    char type[8];
    if (length < FRAME_HEADER)
        return;
    set_mac(object, "source", frame + MAC_LEN);
    set_mac(object, "destination", frame);
    if (be16(frame + at) == ETHERTYPE_VLAN && length >= FRAME_HEADER + VLAN_TAG) {
        set(object, "vlan", json_integer(be16(frame + at + 2) & 0xfff));
        at += VLAN_TAG;
    }
    u32 ethertype = be16(frame + at);
    snprintf(type, sizeof(type), "0x%04x", ethertype);
    set(object, "ethertype", json_string(type));
    for (u32 i = 0; i < ARRAY_LEN(packets); i++)
        if (packets[i].ethertype == ethertype && length - at - 2 >= packets[i].length) {
            set_ip(object, "source_ip", packets[i].family, frame + at + 2 + packets[i].from);
            set_ip(object, "destination_ip", packets[i].family, frame + at + 2 + packets[i].to);
        }
}

/* A comment is "REASON: what it means; whose port; to let it pass: COMMAND". */
static void describe_drop(json_t *object, const u8 *comment, u32 length)
{
    char text[1024];
    snprintf(text, sizeof(text), "%.*s", (int)length, comment ? (const char *)comment : "");
    set(object, "dropped", json_null());
    for (u32 i = DROP_NONE + 1; i < DROPS; i++) {
        size_t name = strlen(drop_rows[i].name);
        if (strncmp(text, drop_rows[i].name, name) != 0 || text[name] != ':')
            continue;
        const char *remedy = strstr(text, REMEDY);
        set(object, "dropped", json_string(drop_rows[i].name));
        set(object, "meaning", json_string(drop_rows[i].meaning));
        set(object, "remedy", remedy ? json_string(remedy + strlen(REMEDY)) : json_null());
    }
}

static json_t *time_json(u64 ns)
{
    char text[48];
    struct tm tm;
    time_t seconds = (time_t)(ns / 1000000000);
    gmtime_r(&seconds, &tm);
    size_t used = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + used, sizeof(text) - used, ".%09uZ", (unsigned)(ns % 1000000000));
    return json_string(text);
}

static json_t *packet(const struct capture_lines *l, const u8 *p, u32 size)
{
    if (size < PACKET_FIELDS || get32(p + 12) > size - PACKET_FIELDS)
        return NULL;
    u32 length = get32(p + 12), padded = (length + 3) & ~3u, option = 0;
    const u8 *options = p + PACKET_FIELDS + padded, *frame = p + PACKET_FIELDS;
    u32 rest = size > PACKET_FIELDS + padded ? size - PACKET_FIELDS - padded : 0;
    const u8 *flags = find_option(options, rest, EPB_FLAGS, &option);
    bool in = flags && option == 4 && (get32(flags) & 3) == DIRECTION_IN;
    json_t *object = json_pack("{s:o, s:s, s:s, s:i}", "time", time_json((u64)get32(p + 4) << 32 | get32(p + 8)),
                               "port", port_name(l, get32(p)), "direction", in ? "in" : "out", "length", (int)length);
    const u8 *comment = find_option(options, rest, OPT_COMMENT, &option);
    describe_frame(object, frame, length);
    describe_drop(object, comment, comment ? option : 0);
    return object;
}

static json_t *statistics(const struct capture_lines *l, const u8 *p, u32 size)
{
    u32 option = 0;
    u64 lost;
    const u8 *value = size < STATISTICS_FIELDS
                          ? NULL
                          : find_option(p + STATISTICS_FIELDS, size - STATISTICS_FIELDS, ISB_IFDROP, &option);
    if (!value || option != sizeof(lost))
        return NULL;
    memcpy(&lost, value, sizeof(lost));
    return json_pack("{s:o, s:s, s:I}", "time", time_json((u64)get32(p + 4) << 32 | get32(p + 8)), "port",
                     port_name(l, get32(p)), "lost", (json_int_t)lost);
}

json_t *capture_line(struct capture_lines *l, const u8 *block, u32 length)
{
    if (length < HEAD + TAIL)
        return NULL;
    const u8 *body = block + HEAD;
    u32 size = length - HEAD - TAIL;
    switch (get32(block)) {
    case BLOCK_INTERFACE:
        if (size >= INTERFACE_FIELDS)
            meet_port(l, body + INTERFACE_FIELDS, size - INTERFACE_FIELDS);
        return NULL;
    case BLOCK_PACKET: return packet(l, body, size);
    case BLOCK_STATISTICS: return statistics(l, body, size);
    default: return NULL;
    }
}

void capture_lines_free(struct capture_lines *l)
{
    free(l->port);
    *l = (struct capture_lines){0};
}
