/*
 * A NAT network by libslirp in a switch, with a guest that is played frame by frame: what the gateway answers, what
 * never gets out, mapped ports with real sockets of the host, changes while it runs, and that nothing is left at the
 * end.
 */
#include "vswitch/uplink.h"

#include "unit/test.h"
#include "vswitch/queue.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUEST 5 /* the last byte of the guest's address */
#define FRAMES 64

static const u8 guest_mac[6] = {2, 0, 0, 0, 0, 1}, gateway_mac[6] = {0x52, 0x55, 192, 168, 100, 1};

static struct frame {
    u8 byte[2048];
    u32 length;
} got[FRAMES];
static u32 gots;

static char folder[] = "/tmp/slirp_test.XXXXXX";
static struct vswitch *sw;
static struct port *guest;
static struct uplink *up;
static struct error error;

static void take(struct port *port)
{
    const u8 *frame;
    u32 length;
    while ((frame = queue_frame(port->queue, &length))) {
        if (gots < FRAMES && length <= sizeof(got[0].byte)) {
            memcpy(got[gots].byte, frame, length);
            got[gots++].length = length;
        }
        queue_taken(port->queue, length + QUEUE_PREFIX);
    }
}

static void close_guest(struct port *port)
{
}

static const struct port_ops guest_ops = {.flush = take, .close = close_guest};

static struct nat_def definition(struct nat_mapping *mapping, u32 mappings)
{
    struct nat_def def = {.name = "lab", .mapping = mapping, .mappings = mappings};
    def.set = (struct nat_settings){.prefix = "192.168.100.0/24", .backend = NAT_SLIRP, .dhcp = true, .dns = true};
    return def;
}

static void start(const struct nat_def *def)
{
    const struct uplink_dirs dirs = {folder, folder, folder};
    sw = vswitch_new("test", &error);
    guest = calloc(1, sizeof(*guest));
    guest->ops = &guest_ops;
    guest->kind = PORT_CARD;
    guest->linked = true;
    strcpy(guest->id, "guest");
    memcpy(guest->mac.byte, guest_mac, 6);
    CHECK_EQ(vswitch_port_add(sw, guest, &error), 0);
    CHECK_EQ(uplink_nat_add(sw, def, &dirs, &up, &error), 0);
}

static void end(void)
{
    uplink_remove(up);
    vswitch_free(sw);
}

/* Turns until the guest has got a frame of that kind at its place, for a second at most. Returns it or NULL. */
static const u8 *wait_for(u32 offset, const void *bytes, size_t size)
{
    for (u32 turns = 0; turns < 1000; turns++) {
        for (u32 i = 0; i < gots; i++)
            if (got[i].length >= offset + size && memcmp(got[i].byte + offset, bytes, size) == 0)
                return got[i].byte;
        CHECK_EQ(vswitch_turn(sw, false), 0);
        usleep(1000);
    }
    return NULL;
}

static void send_frame(const u8 *frame, u32 length)
{
    gots = 0;
    vswitch_input(sw, guest, frame, length);
    for (u32 i = 0; i < 3; i++)
        CHECK_EQ(vswitch_turn(sw, false), 0);
}

static u16 checksum(const u8 *p, u32 length)
{
    u32 sum = 0;
    for (u32 i = 0; i < length; i += 2)
        sum += (u32)p[i] << 8 | p[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    return (u16) ~(sum + (sum >> 16));
}

static void put16(u8 *p, u32 value)
{
    p[0] = (u8)(value >> 8);
    p[1] = (u8)value;
}

/* A packet of the guest with `size` bytes behind its header. */
static u32 packet(u8 *frame, u8 protocol, const u8 to[4], const void *data, u32 size)
{
    memset(frame, 0, 34);
    memcpy(frame, gateway_mac, 6);
    memcpy(frame + 6, guest_mac, 6);
    put16(frame + 12, 0x0800);
    u8 *ip = frame + 14;
    ip[0] = 0x45;
    put16(ip + 2, 20 + size);
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, (const u8[]){192, 168, 100, GUEST}, 4);
    memcpy(ip + 16, to, 4);
    put16(ip + 10, checksum(ip, 20));
    memcpy(frame + 34, data, size);
    return 34 + size;
}

/* Makes a fragment of it. */
static void fragment(u8 *frame, u32 flags_and_offset)
{
    put16(frame + 14 + 6, flags_and_offset);
    put16(frame + 14 + 10, 0);
    put16(frame + 14 + 10, checksum(frame + 14, 20));
}

static void send_udp(const u8 to[4], u16 from_port, u16 to_port, const char *text)
{
    u8 frame[256], udp[128] = {0};
    u32 size = (u32)strlen(text) + 8;
    put16(udp, from_port);
    put16(udp + 2, to_port);
    put16(udp + 4, size);
    strcpy((char *)udp + 8, text);
    send_frame(frame, packet(frame, 17, to, udp, size));
}

static void test_gateway(void)
{
    struct nat_def def = definition(NULL, 0);
    struct uplink_state state;
    u8 frame[256] = {0};
    start(&def);
    TEST("its state");
    uplink_state(up, &state);
    CHECK(strcmp(state.backend, "slirp") == 0 && !state.reason[0] && state.dhcp && state.addresses == 252);
    CHECK(state.gateway.byte[3] == 1 && state.dns.byte[3] == 2 && !state.gateway6.version);

    TEST("the gateway has its address");
    static const u8 arp[] = {0xff, 0xff, 0xff, 0xff,  0xff, 0xff, 2, 0, 0, 0, 0,   1,   8,   6,
                             0,    1,    8,    0,     6,    4,    0, 1, 2, 0, 0,   0,   0,   1,
                             192,  168,  100,  GUEST, 0,    0,    0, 0, 0, 0, 192, 168, 100, 1};
    memcpy(frame, arp, sizeof(arp));
    send_frame(frame, 60);
    const u8 *reply = wait_for(6, gateway_mac, 6);
    CHECK(reply && reply[21] == 2 && memcmp(reply + 22, gateway_mac, 6) == 0);

    TEST("and answers to ping");
    u8 echo[64] = {8, 0, 0, 0, 0, 1, 0, 1};
    put16(echo + 2, checksum(echo, sizeof(echo)));
    send_frame(frame, packet(frame, 1, (const u8[]){192, 168, 100, 1}, echo, sizeof(echo)));
    reply = wait_for(12, "\10\0", 2);
    CHECK(reply && reply[23] == 1 && reply[34] == 0);

    TEST("also to one in two fragments, the last of which comes first");
    u32 length = packet(frame, 1, (const u8[]){192, 168, 100, 1}, echo + 32, 32);
    fragment(frame, 4);
    send_frame(frame, length);
    CHECK_EQ(gots, 0);
    length = packet(frame, 1, (const u8[]){192, 168, 100, 1}, echo, 32);
    fragment(frame, 0x2000);
    send_frame(frame, length);
    reply = wait_for(12, "\10\0", 2);
    CHECK(reply && reply[23] == 1 && reply[34] == 0 && reply[17] == 20 + sizeof(echo));

    TEST("what would reach the host's own loopback, or a group outside, makes no socket");
    static const u8 foreign[][4] = {
        {127, 0, 0, 1}, {127, 1, 2, 3}, {0, 0, 0, 0}, {224, 0, 0, 251}, {255, 255, 255, 255}};
    for (u32 i = 0; i < ARRAY_LEN(foreign); i++)
        send_udp(foreign[i], 1000, 2000, "x");
    uplink_state(up, &state);
    CHECK_EQ(state.sockets, 0);

    TEST("garbage of any length");
    srandom(1);
    for (u32 i = 0; i < 3000; i++) {
        u8 any[200];
        for (u32 j = 0; j < sizeof(any); j++)
            any[j] = (u8)random();
        memcpy(any, gateway_mac, 6);
        memcpy(any + 6, guest_mac, 6);
        put16(any + 12, i % 3 == 0 ? 0x0800 : i % 3 == 1 ? 0x86dd : 0x0806);
        any[14] = i % 3 == 0 ? 0x45 : 0x60;
        any[30] = 0; /* nothing that goes out */
        any[38] = 0xff;
        send_frame(any, (u32)random() % sizeof(any));
    }
    end();
}

static void test_dhcp(void)
{
    struct nat_def def = definition(NULL, 0);
    struct lease lease;
    u8 message[300] = {1, 1, 6}, frame[400], udp[308];
    memcpy(message + 28, guest_mac, 6);
    memcpy(message + 236, "\143\202\123\143\65\1\3\62\4\300\250\144\17\377", 14); /* request 192.168.100.15 */
    put16(udp, 68);
    put16(udp + 2, 67);
    put16(udp + 4, sizeof(udp));
    put16(udp + 6, 0);
    memcpy(udp + 8, message, sizeof(message));
    u32 length = packet(frame, 17, (const u8[]){255, 255, 255, 255}, udp, sizeof(udp));

    TEST("DHCP gives an address, which is kept over a restart");
    start(&def);
    send_frame(frame, length);
    CHECK(wait_for(34, "\0\103\0\104", 4));
    CHECK(uplink_lease(up, &(u32){0}, &lease) && lease.address.byte[3] == 15 && !uplink_lease(up, &(u32){1}, &lease));
    end();
    start(&def);
    CHECK(uplink_lease(up, &(u32){0}, &lease) && lease.address.byte[3] == 15 && memcmp(&lease.mac, guest_mac, 6) == 0);

    TEST("without DHCP nobody answers");
    def.set.dhcp = false;
    CHECK_EQ(uplink_nat_set(up, &def, &error), 0);
    send_frame(frame, length);
    CHECK(!wait_for(34, "\0\103\0\104", 4));
    CHECK(!uplink_lease(up, &(u32){0}, &lease));
    end();
}

/* A socket of the host, bound to loopback. */
static int host_socket(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(fd, (struct sockaddr *)address, sizeof(*address)) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)address, &(socklen_t){sizeof(*address)}) == 0);
    return fd;
}

static void test_mappings(void)
{
    struct sockaddr_in mine, mapped, taken;
    struct nat_mapping mapping[3] = {{.udp = true}, {.udp = true}, {.udp = true}}, is;
    struct error why;
    char text[16] = "";
    int host = host_socket(&mine), spare = host_socket(&mapped), other = host_socket(&taken);
    close(spare); /* its port is free now */
    snprintf(mapping[0].external, sizeof(mapping[0].external), "127.0.0.1:%u", ntohs(mapped.sin_port));
    snprintf(mapping[1].external, sizeof(mapping[1].external), "127.0.0.1:%u", ntohs(taken.sin_port));
    strcpy(mapping[0].internal, "192.168.100.5:53");
    strcpy(mapping[1].internal, "192.168.100.5:54");
    strcpy(mapping[2].external, "0.0.0.0:1");
    strcpy(mapping[2].internal, "192.168.101.5:54");
    struct nat_def def = definition(mapping, 3);

    TEST("a mapping that cannot be says why, and the others are in force");
    start(&def);
    CHECK(uplink_mapping(up, 0, &is, &why) && why.code == 0 && strcmp(is.internal, mapping[0].internal) == 0);
    CHECK(uplink_mapping(up, 1, &is, &why) && why.code == -EADDRINUSE && strstr(why.text, "another program has it"));
    CHECK(uplink_mapping(up, 2, &is, &why) && why.code == -EINVAL && strstr(why.text, "no address of the NAT network"));
    CHECK(!uplink_mapping(up, 3, &is, &why));

    TEST("what comes to the mapped port comes to the guest, and back");
    gots = 0;
    CHECK(sendto(host, "ping", 4, 0, (struct sockaddr *)&mapped, sizeof(mapped)) == 4);
    const u8 *arp = wait_for(12, "\10\6", 2);
    CHECK(arp && arp[21] == 1 && arp[41] == GUEST);
    u8 answer[60] = {0};
    memcpy(answer, gateway_mac, 6);
    memcpy(answer + 6, guest_mac, 6);
    memcpy(answer + 12, "\10\6\0\1\10\0\6\4\0\2", 10);
    memcpy(answer + 22, guest_mac, 6);
    memcpy(answer + 28, (const u8[]){192, 168, 100, GUEST}, 4);
    memcpy(answer + 32, gateway_mac, 6);
    memcpy(answer + 38, (const u8[]){192, 168, 100, 1}, 4);
    send_frame(answer, sizeof(answer));
    const u8 *ping = wait_for(42, "ping", 4);
    CHECK(ping && ping[37] == 53 && ping[29] == 1);
    if (ping)
        send_udp((const u8[]){192, 168, 100, 1}, 53, (u16)(ping[34] << 8 | ping[35]), "pong");
    CHECK(recv(host, text, sizeof(text) - 1, MSG_DONTWAIT) == 4 && strcmp(text, "pong") == 0);

    TEST("a mapping goes, another one comes, while it runs");
    close(other);
    def = definition(mapping + 1, 1);
    CHECK_EQ(uplink_nat_set(up, &def, &error), 0);
    CHECK(uplink_mapping(up, 0, &is, &why) && why.code == 0 && !uplink_mapping(up, 1, &is, &why));
    other = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(other, (struct sockaddr *)&mapped, sizeof(mapped)) == 0);
    close(other);

    TEST("with another prefix it begins anew, and takes the same port");
    def.set.prefix = "192.168.101.0/24";
    strcpy(mapping[1].internal, "192.168.101.9:54");
    CHECK_EQ(uplink_nat_set(up, &def, &error), 0);
    CHECK(uplink_mapping(up, 0, &is, &why) && why.code == 0);
    CHECK(uplink_port(up) && vswitch_port_find(sw, uplink_port(up)->id) == uplink_port(up));

    TEST("a definition that cannot be leaves no port, and the next one makes it again");
    def.set.prefix = "192.168.101.0/30";
    CHECK_EQ(uplink_nat_set(up, &def, &error), -EINVAL);
    CHECK(!uplink_port(up));
    def.set.prefix = "192.168.101.0/24";
    CHECK_EQ(uplink_nat_set(up, &def, &error), 0);
    CHECK(uplink_port(up));
    end();
    close(host);
}

/* In a process with few descriptors: a guest that makes sockets gets those that libslirp may have. */
static bool survives_flood(void)
{
    struct nat_def def = definition(NULL, 0);
    struct uplink_state state;
    struct rlimit few = {64, 64};
    if (setrlimit(RLIMIT_NOFILE, &few) < 0)
        return false;
    start(&def);
    for (u16 port = 1000; port < 1200; port++)
        send_udp((const u8[]){203, 0, 113, 1}, port, 9, "x");
    uplink_state(up, &state);
    int fd = open("/dev/null", O_RDONLY);
    bool named = false;
    for (u32 i = 0; uplink_problem(up, i, &error); i++)
        named |= error.code == -EMFILE;
    if (fd >= 0)
        close(fd);
    return state.sockets > 8 && state.sockets <= 32 && fd >= 0 && named;
}

static void test_flood(void)
{
    int status = -1;
    TEST("a guest that makes too many sockets leaves some to the process, and is reported");
    fflush(stdout);
    pid_t child = fork();
    if (!child)
        _exit(!survives_flood());
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static u32 open_files(void)
{
    u32 n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

int main(void)
{
    char path[64];
    if (!mkdtemp(folder))
        return 1;
    u32 before = open_files();
    test_gateway();
    test_dhcp();
    test_mappings();
    test_flood();
    TEST("nothing is left open");
    CHECK_EQ(open_files(), before);
    snprintf(path, sizeof(path), "%s/lab.leases", folder);
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    return TEST_END();
}
