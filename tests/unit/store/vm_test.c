/*
 * VMs on disk: there and back, by name and UUID, cards that were there before, another name, the lock, and what a
 * killed command left.
 */
#include "store/vm.h"

#include "store/intent.h"
#include "store/networks.h"
#include "unit/home.h"
#include "unit/test.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static struct error error, noted;

static void note(const struct error *n)
{
    noted = *n;
}

static struct store *opened(void)
{
    struct store *store = store_open(&error);
    if (!store)
        abort();
    store_notes_to(store, note);
    return store;
}

static struct vm_def a_vm(const char *name)
{
    struct vm_def def = {0};
    snprintf(def.name, sizeof(def.name), "%s", name);
    setting_defaults(vm_settings_table, &def.set);
    return def;
}

static void create(struct store *store, const char *name)
{
    struct vm_def def = a_vm(name);
    CHECK_EQ(store_vm_create(store, &def, &error), 0);
}

static u32 count(struct store *store)
{
    struct vm_def *list;
    u32 n;
    if (store_vms(store, &list, &n, &error))
        return 999;
    vm_defs_free(list, n);
    return n;
}

static void add_card(struct store *store, const char *vm, const char *id)
{
    struct card_def def = {.mac = {{2, 0, 0, 0, 0, 1}}};
    setting_defaults(card_settings_table, &def.set);
    snprintf(def.id, sizeof(def.id), "%s", id);
    snprintf(def.vm, sizeof(def.vm), "%s", vm);
    strcpy(def.name, "nic0");
    def.set.switch_name = "lan";
    CHECK_EQ(store_card_put(store, &def, &error), 0);
}

static const char *card_owner(struct store *store, const char *id)
{
    static char vm[NAME_MAX_LEN + 1];
    struct networks all;
    strcpy(vm, "none");
    if (networks_read(store, &all, &error))
        return "damaged";
    for (u32 i = 0; i < all.card_count; i++)
        if (strcmp(all.cards[i].id, id) == 0)
            strcpy(vm, all.cards[i].vm);
    networks_free(&all);
    return vm;
}

static void test_there_and_back(void)
{
    struct store *store = opened();
    struct vm_def def = a_vm("Lab 1"), back;
    char id[UUID_TEXT_MAX];
    TEST("a definition is read as it was written");
    def.set.cpus = 3;
    def.set.notes = "a text";
    def.disk[0] = (struct disk_def){.id = "disk0",
                                    .bus = BUS_SCSI,
                                    .controller = 1,
                                    .location = 5,
                                    .path = "disks/disk0.qcow2",
                                    .format = "qcow2",
                                    .iops_maximum = 500};
    def.disk[1] = (struct disk_def){.id = "cd0", .kind = DISK_CD, .bus = BUS_SCSI};
    def.disks = 2;
    def.share[0] = (struct share_def){"src", "/usr/src", true};
    def.shares = 1;
    CHECK_EQ(store_vm_create(store, &def, &error), 0);
    CHECK(home_has("vms/lab 1/vm.json"));
    CHECK_EQ(store_vm(store, "LAB 1", &back, &error), 0);
    CHECK(strcmp(back.name, "Lab 1") == 0 && back.version == VERSION_NEWEST && back.created > 1700000000);
    CHECK(back.set.cpus == 3 && strcmp(back.set.notes, "a text") == 0 && back.set.generation == 2);
    CHECK(back.disks == 2 && back.disk[0].bus == BUS_SCSI && back.disk[0].location == 5 &&
          back.disk[0].iops_maximum == 500 && strcmp(back.disk[0].path, "disks/disk0.qcow2") == 0);
    CHECK(back.disk[1].kind == DISK_CD && !back.disk[1].path);
    CHECK(back.shares == 1 && back.share[0].read_only && strcmp(back.share[0].tag, "src") == 0);
    strcpy(id, back.id);
    vm_def_free(&back);
    TEST("it is found by its UUID");
    CHECK_EQ(store_vm(store, id, &back, &error), 0);
    CHECK(strcmp(back.name, "Lab 1") == 0);
    vm_def_free(&back);
    TEST("a name that is taken, one that is close");
    CHECK_EQ(store_vm_create(store, &def, &error), -EEXIST);
    CHECK(strstr(error.text, "Lab 1"));
    CHECK_EQ(store_vm(store, "lab1", &back, &error), -ENOENT);
    CHECK(strstr(error.hint, "Lab 1"));
    CHECK_EQ(store_vm(store, "../switches", &back, &error), -ENOENT);
    TEST("nothing is left of a VM that was removed");
    CHECK_EQ(store_vm_remove(store, "lab 1", &error), 0);
    CHECK(!home_has("vms/lab 1") && !home_has("vms/.lab 1") && !home_has("intents/lab 1.json") && count(store) == 0);
    store_close(store);
}

static void test_cards(void)
{
    struct store *store = opened();
    TEST("a folder with cards is no VM, and a VM takes it over");
    add_card(store, "Guest", "a0000001");
    CHECK_EQ(count(store), 0);
    create(store, "guest");
    CHECK_EQ(count(store), 1);
    CHECK(strcmp(card_owner(store, "a0000001"), "Guest") == 0);
    TEST("cards go with the name");
    struct vm_def def;
    CHECK_EQ(store_vm(store, "guest", &def, &error), 0);
    CHECK_EQ(store_vm_rename(store, &def, "Other", &error), 0);
    CHECK(strcmp(def.name, "Other") == 0 && home_has("vms/other/vm.json") && !home_has("vms/guest"));
    CHECK(strcmp(card_owner(store, "a0000001"), "Other") == 0);
    CHECK_EQ(store_vm_rename(store, &def, "OTHER", &error), 0);
    CHECK(strcmp(card_owner(store, "a0000001"), "OTHER") == 0);
    create(store, "third");
    CHECK_EQ(store_vm_rename(store, &def, "third", &error), -EEXIST);
    CHECK(strcmp(def.name, "OTHER") == 0);
    add_card(store, "stranger", "a0000002");
    CHECK_EQ(store_vm_rename(store, &def, "stranger", &error), -EEXIST);
    vm_def_free(&def);
    CHECK_EQ(store_vm_remove(store, "other", &error), 0);
    CHECK_EQ(store_vm_remove(store, "third", &error), 0);
    CHECK(strcmp(card_owner(store, "a0000001"), "none") == 0);
    CHECK(strcmp(card_owner(store, "a0000002"), "stranger") == 0);
    store_close(store);
}

static void test_damaged(void)
{
    struct store *store = opened();
    struct vm_def def;
    TEST("a damaged definition is named, and nothing is done");
    create(store, "broken");
    home_write("vms/broken/vm.json", "{\"version\": 1, \"name\": \"broken\", \"settings\": {\"cpus\": \"many\"}}");
    CHECK_EQ(store_vm(store, "broken", &def, &error), -EBADMSG);
    CHECK(strstr(error.text, "vms/broken/vm.json") && strstr(error.text, "cpus"));
    struct vm_def again = a_vm("broken");
    CHECK_EQ(store_vm_create(store, &again, &error), -EEXIST);
    TEST("lists may go without it");
    struct damage damage = {0};
    store_tolerate(store, &damage);
    CHECK_EQ(count(store), 0);
    store_tolerate(store, NULL);
    CHECK_EQ(damage.count, 1);
    free(damage.list);
    CHECK_EQ(store_vm_remove(store, "broken", &error), 0);
    store_close(store);
}

/* -- the lock -- */

static void test_lock(void)
{
    struct store *store = opened();
    TEST("one command at a time per VM; the error says who");
    int fd = store_vm_lock(store, "Lab", "start", 0, &error);
    CHECK(fd >= 0);
    CHECK_EQ(store_vm_lock(store, "lab", "stop", 30, &error), -EBUSY);
    CHECK(strstr(error.text, "'start'") && strstr(error.text, "process"));
    int other = store_vm_lock(store, "other", "stop", 0, &error);
    CHECK(other >= 0);
    close(other);
    TEST("who waits long says for whom");
    noted.text[0] = 0;
    CHECK_EQ(store_vm_lock(store, "lab", "stop", 1200, &error), -EBUSY);
    CHECK(strstr(noted.text, "waiting for 'start'"));
    close(fd);
    fd = store_vm_lock(store, "lab", "stop", 0, &error);
    CHECK(fd >= 0);
    close(fd);
    store_close(store);
}

/* -- intents -- */

/* Runs `act` in a process that ends by SIGKILL in the middle of it. */
static void killed(void (*act)(struct store *store))
{
    pid_t child = fork();
    if (!child) {
        struct store *store = opened();
        int fd = store_vm_lock(store, "lab", "test", 0, &error);
        if (fd >= 0)
            act(store);
        raise(SIGKILL);
    }
    waitpid(child, NULL, 0);
}

static void unlink_below(const char *path)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", home, path);
    unlink(whole);
}

static void begin_only(struct store *store)
{
    create(store, "lab");
    (void)!intent_begin(store, "lab", "create", intent_steps(1, intent_remove("vms/lab")), &error);
}

static void finish_nothing(struct store *store)
{
    create(store, "lab");
    home_write("file", "");
    /* A step that cannot be done leaves the intent, as a kill before it would. */
    (void)!intent_finish(store, "lab", "delete",
                         intent_steps(2, intent_rename("file", "vms/lab"), intent_remove("vms/lab")), &error);
    unlink_below("file");
}

static json_t *rename_steps(void)
{
    json_t *object = json_pack("{s:i}", "version", 1);
    json_t *steps = intent_steps(2, intent_rename("vms/lab", "vms/.lab"), intent_write("vms/.lab/x.json", object));
    json_decref(object);
    return steps;
}

static void test_intents(void)
{
    struct store *store = opened();
    TEST("what was begun is undone by who locks next");
    killed(begin_only);
    CHECK(home_has("vms/lab/vm.json") && home_has("intents/lab.json"));
    noted.text[0] = 0;
    int fd = store_vm_lock(store, "lab", "show", 0, &error);
    CHECK(fd >= 0 && !home_has("vms/lab") && !home_has("intents/lab.json"));
    CHECK(strstr(noted.text, "create") && strstr(noted.text, "undone"));
    close(fd);
    TEST("also if that locks another VM");
    killed(begin_only);
    fd = store_vm_lock(store, "other", "show", 0, &error);
    CHECK(fd >= 0 && !home_has("vms/lab") && !home_has("intents/lab.json"));
    close(fd);
    TEST("what was decided is finished");
    killed(finish_nothing);
    CHECK(home_has("vms/lab/vm.json"));
    fd = store_vm_lock(store, "lab", "show", 0, &error);
    CHECK(fd >= 0 && !home_has("vms/lab") && strstr(noted.text, "finished"));
    close(fd);
    TEST("each step can be done twice");
    fd = store_vm_lock(store, "lab", "x", 0, &error);
    create(store, "lab");
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(intent_finish(store, "lab", "x", rename_steps(), &error), 0);
        CHECK(!home_has("vms/lab") && home_has("vms/.lab/vm.json") && home_has("vms/.lab/x.json"));
    }
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(intent_finish(store, "lab", "x",
                               intent_steps(2, intent_rename("vms/lab", "vms/.lab"), intent_remove("vms/.lab")),
                               &error),
                 0);
    CHECK(!home_has("vms/.lab"));
    close(fd);
    TEST("an intent of a living command is left alone");
    fd = store_vm_lock(store, "lab", "create", 0, &error);
    begin_only(store);
    int other = store_vm_lock(store, "other", "show", 0, &error);
    CHECK(other >= 0 && home_has("vms/lab/vm.json") && home_has("intents/lab.json"));
    close(other);
    intent_undo(store, "lab");
    CHECK(!home_has("vms/lab") && !home_has("intents/lab.json"));
    close(fd);
    TEST("steps lead nowhere else");
    CHECK(intent_begin(store, "lab", "x", intent_steps(1, intent_remove("../x")), &error) == 0);
    CHECK_EQ(intent_recover(store, "lab", &error), -EBADMSG);
    CHECK_EQ(intent_end(store, "lab", &error), 0);
    CHECK(intent_begin(store, "lab", "x", intent_steps(1, NULL), &error) == -ENOMEM);
    store_close(store);
}

int main(void)
{
    home_make();
    test_there_and_back();
    test_cards();
    test_damaged();
    test_lock();
    test_intents();
    return TEST_END();
}
