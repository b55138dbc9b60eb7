/*
 * Definitions on disk: there and back, names without case, files that are damaged, several changes as one, and a
 * process that ends in the middle of it.
 */
#include "store/network.h"

#include "store/file.h"
#include "store/store.h"
#include "unit/home.h"
#include "unit/test.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct error error;

static struct store *opened(void)
{
    struct store *store = store_open(&error);
    if (!store)
        abort();
    return store;
}

static struct switch_def a_switch(const char *name)
{
    struct switch_def def = {0};
    snprintf(def.name, sizeof(def.name), "%s", name);
    setting_defaults(switch_settings_table, &def.set);
    return def;
}

static struct card_def a_card(const char *id, const char *vm, const char *name)
{
    struct card_def def = {.mac = {{2, 0, 0, 0, 0, 1}}};
    setting_defaults(card_settings_table, &def.set);
    snprintf(def.id, sizeof(def.id), "%s", id);
    snprintf(def.vm, sizeof(def.vm), "%s", vm);
    snprintf(def.name, sizeof(def.name), "%s", name);
    def.set.switch_name = "lan";
    return def;
}

static u32 count_switches(struct store *store, int *e)
{
    struct switch_def *list;
    u32 count;
    *e = store_switches(store, &list, &count, &error);
    switch_defs_free(list, count);
    return count;
}

static void test_folders(void)
{
    struct stat st;
    struct store *store = opened();
    char path[128];
    TEST("the home folder and what is in it belong to their user alone");
    CHECK(stat(home, &st) == 0 && (st.st_mode & 0777) == 0700);
    CHECK(home_has("switches") && home_has("nats") && home_has("vms") && home_has("run/switches") &&
          home_has("run/nics"));
    CHECK(strcmp(store_home(store), home) == 0);

    TEST("paths of sockets");
    CHECK_EQ(store_switch_socket(store, "Lan", path, sizeof(path), &error), 0);
    CHECK(strcmp(path + strlen(home), "/run/switches/lan") == 0);
    CHECK_EQ(store_card_socket(store, "a0000001", path, sizeof(path), &error), 0);
    CHECK(strcmp(path + strlen(home), "/run/nics/a0000001") == 0);
    CHECK_EQ(store_switch_socket(store, "lan", path, 12, &error), -ENAMETOOLONG);
    store_close(store);
}

static void test_switches(void)
{
    struct store *store = opened();
    struct switch_def def = a_switch("Lab"), *list;
    u32 count;
    int e;
    TEST("switches there and back");
    def.set.notes = "a \"note\"\n";
    def.set.keep = true;
    CHECK_EQ(store_switch_put(store, &def, &error), 0);
    CHECK_EQ(store_switches(store, &list, &count, &error), 0);
    CHECK_EQ(count, 1);
    CHECK(strcmp(list[0].name, "Lab") == 0 && list[0].set.keep && strcmp(list[0].set.notes, def.set.notes) == 0);
    CHECK(!list[0].set.interface);
    switch_defs_free(list, count);

    TEST("names without case");
    strcpy(def.name, "LAB");
    CHECK_EQ(store_switch_put(store, &def, &error), 0);
    CHECK_EQ(count_switches(store, &e), 1);
    CHECK_EQ(store_switch_remove(store, "lab", &error), 0);
    CHECK_EQ(count_switches(store, &e), 0);

    TEST("a draft that a killed command left is no definition");
    home_write("switches/.lab.json.new", "{");
    CHECK_EQ(count_switches(store, &e), 0);
    CHECK_EQ(e, 0);
    CHECK_EQ(store_switch_put(store, &def, &error), 0);
    CHECK_EQ(count_switches(store, &e), 1);
    CHECK(!home_has("switches/.lab.json.new"));
    CHECK_EQ(store_switch_remove(store, "lab", &error), 0);
    store_close(store);
}

static void test_damage(void)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "switches/bad.json: it is damaged: line"},
        {"{\"version\": 1, \"name\": \"bad\"", "it is damaged: line 1"},
        {"[]", "not an object"},
        {"{\"version\": 2, \"name\": \"bad\", \"settings\": {}}", "\"version\" is not 1"},
        {"{\"version\": 1, \"name\": \"../x\", \"settings\": {}}", "is no name for a switch"},
        {"{\"version\": 1, \"name\": \"bad\"}", "no object with settings"},
        {"{\"version\": 1, \"name\": \"bad\", \"settings\": {\"type\": \"hub\"}}", "'hub' is not one of"},
        {"{\"version\": 1, \"name\": \"bad\", \"settings\": {\"type\": \"external\"}}", "needs an interface"},
        {"{\"version\": 1, \"name\": \"bad\", \"settings\": {\"type\": \"internal\", \"address\": \"10.0.0.1/77\"}}",
         "'10.0.0.1/77' is not an address"},
        {"{\"version\": 1, \"version\": 1}", "duplicate"},
    };
    struct store *store = opened();
    int e;
    TEST("a damaged file is an error that names it");
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        home_write("switches/bad.json", cases[i].text);
        CHECK_EQ(count_switches(store, &e), 0);
        CHECK_EQ(e, -EBADMSG);
        CHECK(strstr(error.text, "switches/bad.json") && strstr(error.text, cases[i].says));
        if (!strstr(error.text, cases[i].says))
            printf("# %s\n", error.text);
    }
    CHECK_EQ(store_switch_remove(store, "bad", &error), 0);

    TEST("the cards of a VM whose file is damaged are not overwritten");
    struct card_def card = a_card("a0000001", "lab1", "nic0");
    CHECK_EQ(store_card_put(store, &card, &error), 0);
    home_write("vms/lab1/nics.json", "{\"version\": 1, \"vm\": \"lab1\", \"nics\": [{}]}");
    CHECK_EQ(store_card_put(store, &card, &error), -EBADMSG);
    CHECK_EQ(store_card_remove(store, "a0000001", &error), -EBADMSG);
    home_write("vms/lab1/nics.json", "{\"version\": 1, \"vm\": \"lab1\", \"nics\": []}");
    store_close(store);
}

static void test_damaged_nats(void)
{
#define NAT(settings, mappings)                                                                                        \
    "{\"version\": 1, \"name\": \"bad\", \"settings\": {" settings "}, \"mappings\": [" mappings "]}"
#define MAPPING(external, internal)                                                                                    \
    "{\"protocol\": \"tcp\", \"external\": \"" external "\", \"internal\": \"" internal "\"}"
    static const struct {
        const char *text, *says;
    } cases[] = {
        {NAT("\"prefix\": \"300.0.0.0/99\"", ""), "300.0.0.0/99"},
        {NAT("\"prefix\": \"0.0.0.0/0\"", ""), "0.0.0.0/0 is too large"},
        {NAT("\"prefix6\": \"fd00::/65\"", ""), "fd00::/65 has another length"},
        {NAT("\"prefix\": \"10.0.0.0/24\", \"switch\": \"../x\"", ""), "'../x' is no name for a switch"},
        {NAT("\"prefix\": \"10.0.0.0/24\"", MAPPING("8080", "10.0.0.5:80")), "\"external\" of a mapping is not"},
        {NAT("\"prefix\": \"10.0.0.0/24\"", MAPPING("0.0.0.0:80", "x")), "\"internal\" of a mapping is not"},
    };
#undef MAPPING
#undef NAT
    struct store *store = opened();
    struct nat_def *nats;
    u32 count;
    TEST("a NAT network whose addresses are none is damaged");
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        home_write("nats/bad.json", cases[i].text);
        CHECK_EQ(store_nats(store, &nats, &count, &error), -EBADMSG);
        CHECK(strstr(error.text, "nats/bad.json") && strstr(error.text, cases[i].says));
        if (!strstr(error.text, cases[i].says))
            printf("# %s\n", error.text);
    }
    CHECK_EQ(file_remove(store->folder, "nats/bad.json", &error), 0);
    store_close(store);
}

/* Returns the error of reading a file whose bytes were changed at random; what was read is released. */
static int read_mutated(struct store *store, const char *path, const char *text, u32 *seed)
{
    struct switch_def *switches;
    struct nat_def *nats;
    struct card_def *cards;
    u32 count;
    char changed[1024];
    size_t length = strlen(text);
    memcpy(changed, text, length + 1);
    for (unsigned i = 0; i < 1 + (*seed >> 16) % 4; i++) {
        *seed = *seed * 1664525 + 1013904223;
        changed[(*seed >> 8) % length] = "\"{}[]:,0-9e.\\xu\n\1\xff"[*seed % 19];
    }
    home_write(path, changed);
    int e = store_switches(store, &switches, &count, &error);
    switch_defs_free(switches, count);
    if (!e)
        e = store_nats(store, &nats, &count, &error);
    else
        return e;
    nat_defs_free(nats, count);
    if (e)
        return e;
    e = store_cards(store, &cards, &count, &error);
    card_defs_free(cards, count);
    return e;
}

static void test_mutated(void)
{
    static const struct {
        const char *path, *text;
    } files[] = {
        {"switches/bad.json", "{\"version\": 1, \"name\": \"bad\", \"settings\": {\"type\": \"internal\", \"address\": "
                              "\"10.0.0.1/24\", \"keep\": true, \"notes\": null}}"},
        {"nats/bad.json",
         "{\"version\": 1, \"name\": \"bad\", \"settings\": {\"prefix\": \"10.0.0.0/24\", \"dhcp\": false}, "
         "\"mappings\": [{\"protocol\": \"tcp\", \"external\": \"0.0.0.0:1\", \"internal\": \"10.0.0.5:1\"}]}"},
        {"vms/lab1/nics.json",
         "{\"version\": 1, \"vm\": \"lab1\", \"nics\": [{\"id\": \"a0000001\", \"name\": \"nic0\", "
         "\"settings\": {\"switch\": \"lan\", \"mac\": \"02:00:00:00:00:01\", \"vlan\": 7, \"trunk\": "
         "\"1-5\", \"bandwidth_maximum\": 1000000}}]}"},
    };
    struct store *store = opened();
    unsigned good = 0, bad = 0;
    u32 seed = 1;
    TEST("files with bytes changed at random are read or refused");
    for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
        home_write(files[i].path, files[i].text);
        for (unsigned round = 0; round < 1000; round++) {
            int e = read_mutated(store, files[i].path, files[i].text, &seed);
            good += !e;
            bad += e == -EBADMSG;
        }
        home_write(files[i].path, files[i].text);
        CHECK_EQ(file_remove(store->folder, files[i].path, &error), 0);
    }
    CHECK_EQ(good + bad, 1000 * ARRAY_LEN(files));
    CHECK(bad > 1000);
    store_close(store);
}

static void test_cards(void)
{
    struct store *store = opened();
    struct card_def one = a_card("a0000001", "lab1", "nic0"), two = a_card("b0000002", "Lab1", "nic1"), *list;
    struct card_def other = a_card("c0000003", "lab2", "nic0");
    u32 count;
    TEST("cards there and back");
    two.set.trunk = "10,20-29";
    two.set.spoofing = true;
    two.set.bandwidth_maximum = 5000000000ull;
    CHECK_EQ(store_card_put(store, &one, &error), 0);
    CHECK_EQ(store_card_put(store, &two, &error), 0);
    CHECK_EQ(store_card_put(store, &other, &error), 0);
    CHECK_EQ(store_cards(store, &list, &count, &error), 0);
    CHECK_EQ(count, 3);
    if (count == 3) {
        CHECK(strcmp(list[0].id, "a0000001") == 0 && strcmp(list[1].id, "b0000002") == 0);
        CHECK(list[1].set.spoofing && list[1].set.bandwidth_maximum == 5000000000ull);
        CHECK(strcmp(list[1].set.trunk, "10,20-29") == 0 && mac_number(list[1].mac.byte) == 0x020000000001);
    }
    card_defs_free(list, count);

    TEST("a card is replaced by its id, and removed");
    one.set.vlan = 7;
    CHECK_EQ(store_card_put(store, &one, &error), 0);
    CHECK_EQ(store_card_remove(store, "b0000002", &error), 0);
    CHECK_EQ(store_cards(store, &list, &count, &error), 0);
    CHECK(count == 2 && list[0].set.vlan == 7);
    card_defs_free(list, count);
    CHECK_EQ(store_card_remove(store, "a0000001", &error), 0);
    CHECK_EQ(store_card_remove(store, "c0000003", &error), 0);
    CHECK(!home_has("vms/lab1/nics.json"));
    store_close(store);
}

static void test_nats(void)
{
    struct store *store = opened();
    struct nat_mapping mappings[] = {{false, "0.0.0.0:8080", "192.168.100.5:80"}, {true, "[::]:53", "[fd00::5]:53"}};
    struct nat_def def = {.name = "net", .mapping = mappings, .mappings = 2}, *list;
    u32 count;
    TEST("NAT networks there and back");
    setting_defaults(nat_settings_table, &def.set);
    def.set.prefix = "192.168.100.0/24";
    def.set.dhcp = false;
    CHECK_EQ(store_nat_put(store, &def, &error), 0);
    CHECK_EQ(store_nats(store, &list, &count, &error), 0);
    CHECK(count == 1 && list[0].mappings == 2 && !list[0].set.dhcp && list[0].set.dns);
    CHECK(count == 1 && list[0].mapping[1].udp && strcmp(list[0].mapping[1].external, "[::]:53") == 0);
    nat_defs_free(list, count);
    CHECK_EQ(store_nat_remove(store, "NET", &error), 0);
    store_close(store);
}

static void test_together(void)
{
    struct store *store = opened();
    struct switch_def def = a_switch("one"), two = a_switch("two");
    struct card_def card = a_card("a0000001", "lab1", "nic0"), next = a_card("b0000002", "lab1", "nic1"), *list;
    u32 count;
    int e;
    TEST("several changes as one");
    CHECK_EQ(store_lock(store, &error), 0);
    store_begin(store);
    CHECK_EQ(store_switch_put(store, &def, &error), 0);
    CHECK_EQ(store_card_put(store, &card, &error), 0);
    CHECK_EQ(store_card_put(store, &next, &error), 0);
    CHECK(!home_has("switches/one.json") && !home_has("vms/lab1/nics.json"));
    CHECK_EQ(store_commit(store, &error), 0);
    CHECK_EQ(count_switches(store, &e), 1);
    CHECK_EQ(store_cards(store, &list, &count, &error), 0);
    CHECK_EQ(count, 2);
    card_defs_free(list, count);
    CHECK(!home_has("journal.json"));
    store_begin(store);
    CHECK_EQ(store_switch_put(store, &two, &error), 0);
    store_unlock(store);
    CHECK_EQ(count_switches(store, &e), 1);

    TEST("what a process had begun is finished by the next one");
    home_write("journal.json", "{\"steps\": [{\"path\": \"switches/one.json\", \"content\": null}, {\"path\": "
                               "\"vms/lab1/nics.json\", \"content\": null}]}");
    CHECK_EQ(store_lock(store, &error), 0);
    CHECK(!home_has("journal.json") && !home_has("switches/one.json") && !home_has("vms/lab1/nics.json"));
    store_unlock(store);

    TEST("a journal does nothing outside");
    home_write("journal.json", "{\"steps\": [{\"path\": \"../x\", \"content\": null}]}");
    CHECK_EQ(store_lock(store, &error), -EBADMSG);
    CHECK(home_has("journal.json"));
    struct error none;
    CHECK_EQ(file_remove(store->folder, "journal.json", &none), 0);
    store_close(store);
}

/* A process that writes without end is killed again and again: both files are always of the same age. */
static void test_kills(void)
{
    TEST("kill -9 leaves the old or the new");
    for (unsigned round = 0; round < 40; round++) {
        pid_t child = fork();
        if (child == 0) {
            struct store *store = opened();
            struct switch_def a = a_switch("a"), b = a_switch("b");
            for (unsigned i = 0;; i++) {
                a.set.keep = b.set.keep = i & 1;
                if (store_lock(store, &error))
                    abort();
                store_begin(store);
                if (store_switch_put(store, &a, &error) || store_switch_put(store, &b, &error) ||
                    store_commit(store, &error))
                    abort();
                store_unlock(store);
            }
        }
        usleep(500 + 997 * round % 20000);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        struct store *store = opened();
        struct switch_def *list;
        u32 count;
        CHECK_EQ(store_lock(store, &error), 0);
        CHECK_EQ(store_switches(store, &list, &count, &error), 0);
        CHECK(count == 0 || (count == 2 && list[0].set.keep == list[1].set.keep));
        switch_defs_free(list, count);
        store_close(store);
    }
}

static void test_lock(void)
{
    struct store *mine = opened(), *theirs = opened();
    TEST("the lock ends with its holder");
    CHECK_EQ(store_lock(mine, &error), 0);
    pid_t child = fork();
    if (child == 0) {
        store_close(mine);
        alarm(5);
        _exit(store_lock(theirs, &error) ? 1 : 0);
    }
    usleep(20000);
    int status;
    CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
    store_unlock(mine);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_EQ(store_lock(theirs, &error), 0);
    store_close(theirs);
    store_close(mine);
}

static void test_log(void)
{
    struct store *store = opened();
    char path[128], line[256] = "";
    TEST("the log of a VM");
    store_vm_log(store, "Lab1", "first");
    store_vm_log(store, "lab1", "second");
    snprintf(path, sizeof(path), "%s/vms/lab1/log", home);
    FILE *f = fopen(path, "r");
    CHECK(f && fgets(line, sizeof(line), f) && strstr(line, " first\n") && fgets(line, sizeof(line), f) &&
          strstr(line, " second\n"));
    if (f)
        fclose(f);
    store_close(store);
}

int main(void)
{
    home_make();
    test_folders();
    test_switches();
    test_damage();
    test_damaged_nats();
    test_mutated();
    test_cards();
    test_nats();
    test_together();
    test_kills();
    test_lock();
    test_log();
    return TEST_END();
}
