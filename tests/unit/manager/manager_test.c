/*
 * Operations on networks from below the command line: what they write, what they refuse, and the process of a switch,
 * which is this program: it is started again as `nestbox switch run NAME` would be.
 */
#include "manager/card.h"
#include "manager/check.h"
#include "manager/client.h"
#include "manager/names.h"
#include "manager/nat.h"
#include "manager/switch.h"

#include "process/spawn.h"
#include "unit/home.h"
#include "unit/test.h"
#include "vswitch/keeper.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static struct store *store;
static struct error error;

static bool said(const char *text)
{
    if (strstr(error.text, text) || strstr(error.hint, text))
        return true;
    printf("# %s; %s\n", error.text, error.hint);
    return false;
}

static int create(const char *name)
{
    struct switch_def def = {0};
    setting_defaults(switch_settings_table, &def.set);
    snprintf(def.name, sizeof(def.name), "%s", name);
    return switch_create(store, &def, NULL, &error);
}

static int add(const char *vm, const char *at, const char *mac)
{
    struct card_def def = {0};
    json_t *object = NULL;
    setting_defaults(card_settings_table, &def.set);
    snprintf(def.vm, sizeof(def.vm), "%s", vm);
    def.set.switch_name = at;
    def.set.mac = mac;
    int e = nic_add(store, &def, &object, &error);
    if (!e)
        json_decref(object);
    return e;
}

/* Returns the number of the switch's process, -1 if there is none. */
static long long process_of(const char *name)
{
    json_t *report;
    if (switch_show(store, name, &report, &error))
        return -1;
    const json_t *value = json_object_get(json_object_get(report, "switch"), "pid");
    long long number = json_is_integer(value) ? json_integer_value(value) : -1;
    json_decref(report);
    return number;
}

/* Returns true if there is no process to connect to. */
static bool is_gone(int fd)
{
    if (fd >= 0)
        close(fd);
    return fd == -ENOTCONN;
}

static size_t ports(const char *name)
{
    json_t *report;
    if (switch_show(store, name, &report, &error))
        return 0;
    size_t n = json_array_size(json_object_get(report, "ports"));
    json_decref(report);
    return n;
}

static int set_vlan(const struct change *change, void *settings, struct error *unused)
{
    struct card_settings *set = settings;
    set->vlan = 7;
    return 0;
}

static int set_notes(const struct change *change, void *settings, struct error *unused)
{
    struct switch_settings *set = settings;
    set->notes = "changed";
    return 0;
}

static int refuse(const struct change *change, void *settings, struct error *why)
{
    struct switch_settings *set = settings;
    set->notes = "refused";
    return error_set(why, -EINVAL, "no");
}

static void test_switches(void)
{
    struct networks all;
    TEST("switches");
    CHECK_EQ(create("Lan"), 0);
    CHECK_EQ(create("lan"), -EEXIST);
    CHECK_EQ(create("../x"), -EINVAL);
    CHECK_EQ(switch_set(store, "LAN", &(struct change){set_notes}, &error), 0);
    CHECK_EQ(switch_set(store, "lan", &(struct change){refuse}, &error), -EINVAL);
    CHECK_EQ(switch_set(store, "lna", &(struct change){set_notes}, &error), -ENOENT);
    CHECK(said("did you mean 'Lan'?"));
    CHECK_EQ(networks_read(store, &all, &error), 0);
    CHECK(all.switch_count == 1 && strcmp(all.switches[0].set.notes, "changed") == 0);
    networks_free(&all);
    CHECK_EQ(process_of("lan"), -1);
    CHECK_EQ(switch_start(store, "lan", &error), -EINVAL);
}

static void test_cards(void)
{
    TEST("cards");
    CHECK_EQ(add("lab1", "lan", "02:00:00:00:00:01"), 0);
    CHECK_EQ(add("lab1", "lan", NULL), 0);
    CHECK_EQ(add("lab2", "lan", "02:00:00:00:00:01"), -EEXIST);
    CHECK(said("lab1/nic0") && said("lab2/nic0"));
    CHECK_EQ(add("lab2", "nowhere", NULL), -ENOENT);
    CHECK_EQ(add("lab2", "lan", "03:00:00:00:00:01"), -EINVAL);
    CHECK_EQ(nic_set(store, "lab1", &(struct change){set_vlan}, &error), -EINVAL);
    CHECK_EQ(nic_set(store, "LAB1/Nic1", &(struct change){set_vlan}, &error), 0);
    CHECK_EQ(ports("lan"), 2);
    CHECK_EQ(switch_delete(store, "lan", false, &error), -EBUSY);
    CHECK(said("lab1/nic0, lab1/nic1"));
    CHECK_EQ(nic_remove(store, "lab1/nic1", &error), 0);
    CHECK_EQ(ports("lan"), 1);
    CHECK_EQ(nic_set(store, "lab1", &(struct change){set_vlan}, &error), 0);
}

/* Kills a process and who would start it again, whose numbers are in its lock. */
static void kill_all(const char *name)
{
    char path[256];
    int process = 0, keeper = 0;
    snprintf(path, sizeof(path), "%s/locks/%s", home, name);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%d %d", &process, &keeper) != 2 || process <= 0 || keeper <= 0)
        abort();
    fclose(f);
    kill(keeper, SIGKILL);
    kill(process, SIGKILL);
}

static void test_process(void)
{
    json_t *findings = NULL;
    long long pid = process_of("lan"), next;
    TEST("a process that was killed comes back by itself");
    CHECK(pid > 0);
    if (pid > 0)
        kill((pid_t)pid, SIGKILL);
    for (unsigned i = 0; i < 500 && ((next = process_of("lan")) < 0 || next == pid); i++)
        usleep(10000);
    CHECK(next > 0 && next != pid);

    TEST("not without its keeper");
    kill_all("lan");
    for (unsigned i = 0; i < 500 && !is_gone(client_connect(store, "lan", &error)); i++)
        usleep(10000);
    CHECK_EQ(process_of("lan"), -1);
    pid = next;
    CHECK_EQ(switch_start(store, "lan", &error), 0);
    next = process_of("lan");
    CHECK(next > 0 && next != pid);

    TEST("a process that was stopped is a finding");
    CHECK_EQ(switch_stop(store, "lan", &error), 0);
    CHECK_EQ(check_all(store, NULL, &findings, &error), 0);
    CHECK_EQ(json_array_size(findings), 1);
    const char *kind = json_string_value(json_object_get(json_array_get(findings, 0), "finding"));
    CHECK(kind && strcmp(kind, "stopped") == 0);
    json_decref(findings);
    CHECK_EQ(check_all(store, "nobody", &findings, &error), -ENOENT);
    CHECK_EQ(switch_stop(store, "lan", &error), 0);

    TEST("many starts at once are one process");
    pid_t child[6];
    fflush(stdout);
    for (unsigned i = 0; i < ARRAY_LEN(child); i++) {
        child[i] = fork();
        if (child[i] == 0)
            _exit(switch_start(store, "lan", &error) ? 1 : 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(child); i++) {
        int status;
        CHECK(waitpid(child[i], &status, 0) == child[i] && status == 0);
    }
    CHECK(process_of("lan") > 0);

    TEST("a definition that is damaged while it runs");
    struct error none;
    home_write("switches/bad.json", "{");
    CHECK_EQ(client_refresh(store, "lan", true, NULL, &error), -EBADMSG);
    CHECK(said("switches/bad.json"));
    CHECK_EQ(add("lab3", "lan", NULL), -EBADMSG);
    CHECK_EQ(store_switch_remove(store, "bad", &none), 0);
    CHECK_EQ(client_refresh(store, "lan", true, NULL, &error), 0);
    CHECK_EQ(ports("lan"), 1);
}

static struct nat_def a_nat(const char *name, const char *prefix)
{
    struct nat_def def = {0};
    setting_defaults(nat_settings_table, &def.set);
    snprintf(def.name, sizeof(def.name), "%s", name);
    def.set.prefix = prefix;
    def.set.backend = NAT_SLIRP;
    return def;
}

static int set_prefix(const struct change *change, void *settings, struct error *unused)
{
    struct nat_settings *set = settings;
    set->prefix = "10.78.0.0/16";
    return 0;
}

static void test_nats(void)
{
    struct nat_def one = a_nat("one", NULL), two = a_nat("two", "10.77.0.0/16"), three = a_nat("three", "10.77.8.0/24");
    struct nat_mapping mapping;
    struct networks all;
    TEST("NAT networks");
    CHECK_EQ(nat_create(store, &one, &error), 0);
    CHECK_EQ(nat_create(store, &two, &error), 0);
    CHECK_EQ(nat_create(store, &three, &error), -EEXIST);
    CHECK(said("two") && said("three"));
    CHECK_EQ(networks_read(store, &all, &error), 0);
    CHECK(all.nat_count == 2 && networks_switch(&all, "one") && !networks_switch(&all, "three"));
    CHECK(networks_nat(&all, "one")->set.prefix);
    networks_free(&all);

    TEST("mappings");
    CHECK_EQ(nat_map(store, "two", false, "8080", "10.77.0.5:80", &mapping, &error), 0);
    CHECK(strcmp(mapping.external, "0.0.0.0:8080") == 0);
    CHECK_EQ(nat_map(store, "two", false, "127.0.0.1:8080", "10.77.0.6:80", &mapping, &error), -EEXIST);
    CHECK_EQ(nat_map(store, "two", true, "8080", "10.77.0.6:80", &mapping, &error), 0);
    CHECK_EQ(nat_map(store, "two", false, "8081", "10.78.0.6:80", &mapping, &error), -EINVAL);
    CHECK_EQ(nat_map(store, "two", false, "8081", "10.77.0.1:80", &mapping, &error), -EINVAL);
    CHECK(said("10.77.0.1:80 is the gateway of the network two"));
    CHECK_EQ(nat_map(store, "two", false, "8081", "10.77.0.2:80", &mapping, &error), -EINVAL);
    CHECK(said("the server of names"));
    CHECK_EQ(nat_map(store, "two", false, "8081", "10.77.255.255:80", &mapping, &error), -EINVAL);
    CHECK(said("the broadcast address"));
    CHECK_EQ(nat_map(store, "two", false, "8081", "10.77.0.0:80", &mapping, &error), -EINVAL);
    CHECK_EQ(nat_map(store, "two", false, "0", "10.77.0.6:80", &mapping, &error), -EINVAL);
    CHECK_EQ(nat_map(store, "two", false, "8081", "10.77.0.6", &mapping, &error), -EINVAL);
    CHECK_EQ(nat_set(store, "two", &(struct change){set_prefix}, &error), -EINVAL);
    CHECK(said("is mapped to 10.77.0.5:80, which would be no address of a VM in two"));
    CHECK_EQ(nat_unmap(store, "two", false, "8080", &error), 0);
    CHECK_EQ(nat_unmap(store, "two", false, "8080", &error), -ENOENT);
    CHECK_EQ(nat_unmap(store, "two", true, "8080", &error), 0);

    TEST("addresses of a network's own");
    CHECK_EQ(add("lab9", "two", "52:55:0a:4d:00:01"), -EEXIST);
    CHECK(said("is the address of the gateway of the NAT network two") && said("lab9/nic0"));
    CHECK_EQ(add("lab9", "two", "52:55:0a:4d:00:02"), -EEXIST);
    CHECK(said("the server of names"));
    CHECK_EQ(add("lab9", "two", "52:55:0a:4e:00:01"), 0);
    CHECK_EQ(nat_set(store, "two", &(struct change){set_prefix}, &error), -EEXIST);
    CHECK(said("lab9/nic0"));
    CHECK_EQ(nic_remove(store, "lab9", &error), 0);
    CHECK_EQ(nat_set(store, "two", &(struct change){set_prefix}, &error), 0);
    CHECK_EQ(nat_delete(store, "two", false, &error), 0);
    CHECK(!home_has("switches/two.json") && !home_has("nats/two.json"));
}

static int create_internal(const char *name, const char *address)
{
    struct switch_def def = {0};
    setting_defaults(switch_settings_table, &def.set);
    snprintf(def.name, sizeof(def.name), "%s", name);
    def.set.type = SWITCH_INTERNAL;
    def.set.address = address;
    return switch_create(store, &def, NULL, &error);
}

static int set_address(const struct change *change, void *settings, struct error *unused)
{
    struct switch_settings *set = settings;
    set->address = "10.78.5.1/24";
    return 0;
}

/* The definition of an internal switch is written here, as it may not be able to run. */
static void test_overlaps(void)
{
    struct nat_def in = a_nat("five", "10.79.0.128/25"), out = a_nat("five", "10.79.0.0/16"),
                   other = a_nat("five", "10.80.0.0/16");
    TEST("networks of internal switches that do not run");
    struct nat_def four = a_nat("four", "10.78.0.0/16");
    CHECK_EQ(nat_create(store, &four, &error), 0);
    struct switch_def def = {.name = "host"};
    setting_defaults(switch_settings_table, &def.set);
    def.set.type = SWITCH_INTERNAL;
    def.set.address = "10.79.0.1/24";
    CHECK_EQ(store_switch_put(store, &def, &error), 0);
    CHECK_EQ(create_internal("i", "10.78.3.1/24"), -EEXIST);
    CHECK(said("10.78.3.0/24 of the internal switch i overlaps 10.78.0.0/16 of the NAT network four"));
    CHECK_EQ(create_internal("i", "10.79.0.200/24"), -EEXIST);
    CHECK(said("10.79.0.0/24 of the internal switch i overlaps 10.79.0.0/24 of the internal switch host"));
    CHECK_EQ(switch_set(store, "host", &(struct change){set_address}, &error), -EEXIST);
    CHECK(said("four"));
    CHECK_EQ(nat_create(store, &in, &error), -EEXIST);
    CHECK(said("10.79.0.128/25 of the NAT network five overlaps 10.79.0.0/24 of the internal switch host"));
    CHECK_EQ(nat_create(store, &out, &error), -EEXIST);
    CHECK_EQ(nat_create(store, &other, &error), 0);
    CHECK(!home_has("switches/i.json"));

    TEST("addresses that no network has, and none of it is written");
    CHECK_EQ(create_internal("i", "10.81.0.0/24"), -EINVAL);
    CHECK_EQ(create_internal("i", "127.0.0.9/8"), -EINVAL);
    struct nat_def loopback = a_nat("six", "127.1.0.0/16");
    CHECK_EQ(nat_create(store, &loopback, &error), -EINVAL);
    CHECK(!home_has("switches/i.json") && !home_has("nats/six.json"));
    CHECK_EQ(store_switch_remove(store, "host", &error), 0);
    CHECK_EQ(nat_delete(store, "four", false, &error), 0);
    CHECK_EQ(nat_delete(store, "five", false, &error), 0);
}

static void test_names(void)
{
    struct networks all;
    TEST("names and what may have been meant");
    CHECK_EQ(networks_read(store, &all, &error), 0);
    CHECK(!names_switch(&all, "LON", &error) && said("did you mean 'Lan'?"));
    CHECK(!names_switch(&all, "something", &error) && said("`nestbox switch list`"));
    CHECK(!names_nat(&all, "oen", &error) && said("did you mean 'one'?"));
    CHECK(!names_card(&all, "lba1", &error) && said("did you mean 'lab1'?"));
    CHECK(!names_card(&all, "lab1/nic9", &error) && said("did you mean 'lab1/nic0'?"));
    CHECK(!names_card(&all, "/", &error) && !names_card(&all, "lab1/", &error) && !names_card(&all, "/nic0", &error));
    CHECK(names_card(&all, "Lab1", &error) && names_card(&all, "lab1/NIC0", &error));
    networks_free(&all);
}

static void test_delete(void)
{
    json_t *list;
    TEST("a deleted switch ends, and its cards stay");
    CHECK_EQ(switch_delete(store, "lan", true, &error), 0);
    CHECK_EQ(client_connect(store, "lan", &error), -ENOTCONN);
    CHECK_EQ(nic_list(store, NULL, &list, &error), 0);
    CHECK_EQ(json_array_size(list), 1);
    json_decref(list);
    CHECK_EQ(nic_remove(store, "lab1", &error), 0);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "switch") == 0) {
        int ready = spawn_ready();
        return ready >= 0 && keeper_run(argv[3], ready, &error) ? 1 : 0;
    }
    home_make();
    store = store_open(&error);
    if (!store)
        abort();
    test_switches();
    test_cards();
    test_process();
    test_nats();
    test_overlaps();
    test_names();
    test_delete();
    store_close(store);
    return TEST_END();
}
