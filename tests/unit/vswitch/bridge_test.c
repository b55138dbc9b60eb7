/*
 * External and internal ports, in a network namespace of the test's own: who is in which bridge, where the host's
 * addresses and routes are, and that all goes back, also after a process that was killed. What stands for the host's
 * interface is a tap.
 */
#include "vswitch/link.h"
#include "vswitch/link_config.h"
#include "vswitch/move.h"
#include "vswitch/rtnetlink.h"
#include "vswitch/tap.h"
#include "vswitch/uplink.h"

#include "unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/bridge_test.XXXXXX";
static struct uplink_dirs dirs = {folder, folder, folder};
static struct vswitch *sw, *outside;
static struct port *eth0;
static struct uplink *up;
static struct error error;

static void plug(void)
{
    CHECK_EQ(tap_add(outside, PORT_HOST, "eth0", "eth0", "eth0", &eth0, &error), 0);
    CHECK_EQ(link_up(link_index("eth0")), 0);
}

static void turn(struct vswitch *s)
{
    for (u32 i = 0; i < 5; i++)
        CHECK_EQ(vswitch_turn(s, false), 0);
}

static bool has(const char *interface, const char *want)
{
    struct ip ip;
    u8 length;
    char text[IP_TEXT_MAX];
    if (!link_address(link_index(interface), &ip, &length))
        return !want;
    ip_format(&ip, text);
    return want && strcmp(text, want) == 0;
}

static bool is_in(const char *interface, const char *bridge)
{
    struct link_info info;
    return link_get(interface, &info) == 0 && info.master == link_index(bridge);
}

/* Through eth0 to 10.9.0.0/16 by 10.1.1.1. */
static void add_route(void)
{
    struct rtnetlink m;
    struct ip to, by;
    int index = link_index("eth0");
    CHECK(ip_parse("10.9.0.0", &to) && ip_parse("10.1.1.1", &by));
    struct rtmsg *route = rtnetlink_begin(&m, RTM_NEWROUTE, NLM_F_CREATE, sizeof(*route));
    *route = (struct rtmsg){.rtm_family = AF_INET,
                            .rtm_dst_len = 16,
                            .rtm_table = RT_TABLE_MAIN,
                            .rtm_protocol = RTPROT_STATIC,
                            .rtm_type = RTN_UNICAST};
    rtnetlink_put(&m, RTA_DST, to.byte, 4);
    rtnetlink_put(&m, RTA_GATEWAY, by.byte, 4);
    rtnetlink_put(&m, RTA_OIF, &index, sizeof(index));
    CHECK_EQ(rtnetlink_ask(&m, NULL, NULL), 0);
}

static bool route_by(const char *interface)
{
    char line[256];
    size_t length = strlen(interface);
    bool found = false;
    FILE *f = fopen("/proc/self/net/route", "r");
    while (f && fgets(line, sizeof(line), f))
        found |= strncmp(line, interface, length) == 0 && strncmp(line + length, "\t0000090A\t0101010A\t", 19) == 0;
    if (f)
        fclose(f);
    return found;
}

static struct switch_def external(const char *interface, bool host)
{
    struct switch_def def = {.name = "lab"};
    def.set = (struct switch_settings){.type = SWITCH_EXTERNAL, .interface = interface, .host = host};
    return def;
}

static void give_address(void)
{
    struct ip ip;
    CHECK(ip_parse("10.1.1.5", &ip));
    CHECK_EQ(link_add_address(link_index("eth0"), &ip, 24), 0);
    add_route();
}

/* A process that makes the port and ends without a word. */
static void start_and_die(const struct switch_def *def)
{
    int status = -1;
    pid_t child = fork();
    if (!child)
        _exit(uplink_switch_add(vswitch_new("lab", &error), def, &dirs, &up, &error) != 0);
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static void test_host(void)
{
    struct switch_def def = external("eth0", true);
    struct uplink_state state;
    TEST("the host moves to the bridge, and back");
    give_address();
    CHECK(has("eth0", "10.1.1.5") && route_by("eth0"));
    CHECK_EQ(uplink_switch_add(sw, &def, &dirs, &up, &error), 0);
    CHECK(has("nbb-lab", "10.1.1.5") && has("eth0", NULL) && route_by("nbb-lab"));
    CHECK(is_in("eth0", "nbb-lab") && is_in("nbx-lab", "nbb-lab"));
    uplink_state(up, &state);
    CHECK(strcmp(state.interface, "nbx-lab") == 0 && strcmp(state.bridge, "nbb-lab") == 0);
    uplink_remove(up);
    CHECK(has("eth0", "10.1.1.5") && route_by("eth0"));
    CHECK(!link_index("nbb-lab") && !link_index("nbx-lab") && is_in("eth0", "none"));
    turn(sw);

    TEST("a second start without an end finds what was left, and the end is the same");
    start_and_die(&def);
    CHECK(has("nbb-lab", "10.1.1.5") && !link_index("nbx-lab"));
    CHECK_EQ(uplink_switch_add(sw, &def, &dirs, &up, &error), 0);
    CHECK(has("nbb-lab", "10.1.1.5") && is_in("eth0", "nbb-lab") && is_in("nbx-lab", "nbb-lab"));
    uplink_remove(up);
    CHECK(has("eth0", "10.1.1.5") && route_by("eth0") && !link_index("nbb-lab"));
    turn(sw);

    TEST("what was left can be put back without a start");
    start_and_die(&def);
    CHECK_EQ(uplink_restore("lab", &dirs, &error), 0);
    CHECK(has("eth0", "10.1.1.5") && route_by("eth0") && !link_index("nbb-lab"));
}

static void test_refusals(void)
{
    struct switch_def def = external("eth0", false);
    TEST("without the host, an interface that has addresses is refused, and stays as it was");
    CHECK_EQ(uplink_switch_add(sw, &def, &dirs, &up, &error), -EADDRINUSE);
    CHECK(strstr(error.text, "10.1.1.5") && strstr(error.text, "eth0") && error.hint[0]);
    CHECK(has("eth0", "10.1.1.5") && !link_index("nbb-lab") && !link_index("nbx-lab"));

    TEST("so is one that is not there");
    def = external("eth9", true);
    CHECK_EQ(uplink_switch_add(sw, &def, &dirs, &up, &error), -ENODEV);
    CHECK(strcmp(error.text, "the host has no interface eth9") == 0);

    TEST("and one that is in a bridge");
    CHECK_EQ(link_make_bridge("br0"), 0);
    CHECK_EQ(link_set_master(link_index("eth0"), link_index("br0")), 0);
    def = external("eth0", true);
    CHECK_EQ(uplink_switch_add(sw, &def, &dirs, &up, &error), -EBUSY);
    CHECK(is_in("eth0", "br0"));
    CHECK_EQ(link_set_master(link_index("eth0"), 0), 0);

    TEST("a bridge of the host's gets the tap, and stays");
    def = external("br0", true);
    CHECK_EQ(uplink_switch_add(sw, &def, &dirs, &up, &error), 0);
    CHECK(is_in("nbx-lab", "br0") && !link_index("nbb-lab"));
    uplink_remove(up);
    turn(sw);
    CHECK(link_index("br0") && !link_index("nbx-lab"));
    CHECK_EQ(link_delete(link_index("br0")), 0);
}

static void test_return(void)
{
    struct switch_def def = external("eth0", false);
    struct error problem;
    TEST("an interface that vanishes is reported, and taken again when it comes back");
    tap_remove(eth0);
    turn(outside);
    plug();
    CHECK_EQ(uplink_switch_add(sw, &def, &dirs, &up, &error), 0);
    CHECK(is_in("eth0", "nbb-lab") && !uplink_problem(up, 0, &problem));
    tap_remove(eth0);
    turn(outside);
    turn(sw);
    CHECK(uplink_problem(up, 0, &problem) && strstr(problem.text, "eth0 is gone"));
    plug();
    turn(sw);
    CHECK(is_in("eth0", "nbb-lab") && !uplink_problem(up, 0, &problem));
    uplink_remove(up);
    turn(sw);
    CHECK(is_in("eth0", "none"));
}

static void write_journal(const char *path, const char *boot, const struct link_config *config)
{
    FILE *f = fopen(path, "w");
    fprintf(f, "%s\neth0\nbr1\n", boot);
    for (size_t i = 0; i < config->size; i++)
        fprintf(f, "%02x", config->bytes[i]);
    fprintf(f, "\n");
    fclose(f);
}

static void test_journal(void)
{
    struct link_config config;
    char path[64], boot[64] = "";
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    CHECK(f && fscanf(f, "%63s", boot) == 1);
    fclose(f);
    snprintf(path, sizeof(path), "%s/move", folder);
    give_address();
    CHECK_EQ(link_config_get(link_index("eth0"), &config), 0);

    TEST("a move that was interrupted is finished");
    CHECK_EQ(link_make_bridge("br1"), 0);
    CHECK_EQ(link_up(link_index("br1")), 0);
    write_journal(path, boot, &config);
    CHECK_EQ(move_finish(path, &error), 0);
    CHECK(has("br1", "10.1.1.5") && has("eth0", NULL) && access(path, F_OK) < 0);

    TEST("or undone, where the other interface is gone");
    CHECK_EQ(link_delete(link_index("br1")), 0);
    write_journal(path, boot, &config);
    CHECK_EQ(move_finish(path, &error), 0);
    CHECK(has("eth0", "10.1.1.5") && route_by("eth0"));

    TEST("the journal of another boot means nothing");
    CHECK_EQ(link_config_clear(link_index("eth0"), &config), 0);
    write_journal(path, "another", &config);
    CHECK_EQ(move_finish(path, &error), 0);
    CHECK(has("eth0", NULL) && access(path, F_OK) < 0);

    TEST("nor does a damaged one");
    static const char *const damaged[] = {"",
                                          "\n\n\n",
                                          "%s",
                                          "%s\neth0\n",
                                          "%s\neth0\nbr1\n0",
                                          "%s\neth0\nbr1\nzz\n",
                                          "%s\neth0\nbr1\n00000000\n",
                                          "%s\neth0\nbr1\nffffffff14000100\n"};
    for (u32 i = 0; i < ARRAY_LEN(damaged); i++) {
        f = fopen(path, "w");
        fprintf(f, damaged[i], boot);
        fclose(f);
        CHECK_EQ(move_finish(path, &error), 0);
    }
    CHECK_EQ(move_finish(path, &error), 0);
    link_config_free(&config);
}

static void test_internal(void)
{
    struct switch_def def = {.name = "Inside"};
    def.set = (struct switch_settings){.type = SWITCH_INTERNAL, .address = "10.5.0.1/24"};
    TEST("an internal switch gives the host an interface with its address");
    CHECK_EQ(uplink_switch_add(sw, &def, &dirs, &up, &error), 0);
    CHECK(has("nbi-inside", "10.5.0.1"));
    struct uplink *twice;
    CHECK_EQ(uplink_switch_add(outside, &def, &dirs, &twice, &error), -EBUSY);
    CHECK(strstr(error.text, "nbi-inside"));
    uplink_remove(up);
    CHECK(!link_index("nbi-inside"));
    turn(sw);

    TEST("an address that is none is refused, and nothing stays");
    static const char *const wrong[] = {"10.5.0.1", "10.5.0.1/", "10.5.0.1/33", "10.5.0/24", "/24", "10.5.0.1/24x"};
    for (u32 i = 0; i < ARRAY_LEN(wrong); i++) {
        def.set.address = wrong[i];
        CHECK_EQ(uplink_switch_add(sw, &def, &dirs, &up, &error), -EINVAL);
        CHECK(!link_index("nbi-inside"));
        turn(sw);
    }

    TEST("other types want no port");
    def.set = (struct switch_settings){.type = SWITCH_PRIVATE};
    CHECK_EQ(uplink_switch_add(sw, &def, &dirs, &up, &error), 0);
    CHECK(!up);
}

int main(void)
{
    if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET) < 0 ||
        access("/dev/net/tun", R_OK | W_OK) < 0) {
        TEST("not tested: no network namespace or no /dev/net/tun");
        return TEST_END();
    }
    if (!mkdtemp(folder))
        return 1;
    sw = vswitch_new("lab", &error);
    outside = vswitch_new("outside", &error);
    plug();
    test_host();
    test_refusals();
    test_return();
    test_journal();
    test_internal();
    vswitch_free(sw);
    vswitch_free(outside);
    CHECK(rmdir(folder) == 0);
    return TEST_END();
}
