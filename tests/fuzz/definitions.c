/*
 * What is defined of networks and VMs, on disk: a record is the number of a file and its text. The files are read, or
 * refused by name; what was read says the same when it is written and read again; a journal and an intent change
 * nothing outside the home folder. And the process of a switch, which reads such files again and again while its
 * control socket gets requests.
 */
#include "fuzz.h"

#include "store/network_json.h"
#include "store/networks.h"
#include "store/vm.h"
#include "vswitch/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Files of the home folder, and what stands in them before something is changed. */
static const struct {
    const char *path, *text;
} files[] = {
    {"switches/lan.json", "{\"version\": 1, \"name\": \"lan\", \"settings\": {\"type\": \"nat\", \"keep\": true}}"},
    {"nats/lan.json",
     "{\"version\": 1, \"name\": \"lan\", \"settings\": {\"prefix\": \"192.168.100.0/24\", \"prefix6\": "
     "\"fd00:100::/64\", \"backend\": \"slirp\", \"dhcp\": true, \"dns\": true}, \"mappings\": [{\"protocol\": "
     "\"tcp\", \"external\": \"127.0.0.1:18080\", \"internal\": \"192.168.100.5:80\"}]}"},
    {"vms/lab1/nics.json",
     "{\"version\": 1, \"vm\": \"lab1\", \"nics\": [{\"id\": \"a0000001\", \"name\": \"nic0\", \"settings\": "
     "{\"switch\": \"lan\", \"mac\": \"02:00:00:00:00:01\", \"vlan\": 7, \"trunk\": \"1-5\", \"bandwidth_maximum\": "
     "1000000, \"spoofing\": true}}, {\"id\": \"b0000002\", \"name\": \"nic1\", \"settings\": {\"switch\": "
     "\"LAN\", \"mac\": \"02:00:00:00:00:02\"}}]}"},
    {"switches/other.json", "{\"version\": 1, \"name\": \"other\", \"settings\": {\"type\": \"internal\", "
                            "\"address\": \"10.0.0.1/24\", \"notes\": \"a note\"}}"},
    {"vms/lab2/nics.json", "{\"version\": 1, \"vm\": \"Lab2\", \"nics\": [{\"id\": \"c0000003\", \"name\": \"nic0\", "
                           "\"settings\": {\"switch\": \"other\", \"mac\": \"02:00:00:00:00:03\"}}]}"},
    {"nats/lan.leases", "02:00:00:00:00:01 192.168.100.5 4000000000 guest\n"},
    {"switches/lan/lan.leases", "02:00:00:00:00:01 192.168.100.5 4000000000 guest\n"},
    {"vms/lab1/vm.json",
     "{\"version\": 1, \"name\": \"lab1\", \"id\": \"f2fdd4e5-29ad-4149-91fd-7fea10e14169\", \"configuration\": 120, "
     "\"created\": 1795970122, \"settings\": {\"notes\": null, \"generation\": 2, \"cpus\": 2, \"nested\": \"intel\", "
     "\"cpu\": \"max,-avx\", \"cpu_weight\": 100, \"memory\": 536870912, \"dynamic_memory\": true, "
     "\"memory_minimum\": 536870912, \"boot\": \"disk,cd\", \"start_delay\": 1000, \"checkpoints\": \"standard\"}, "
     "\"disks\": [{\"id\": \"d1\", \"settings\": {\"kind\": \"disk\", \"bus\": \"scsi\", \"controller\": 0, "
     "\"location\": 1, \"path\": \"disks/a.qcow2\", \"format\": \"qcow2\", \"read_only\": false}}, {\"id\": \"d2\", "
     "\"settings\": {\"kind\": \"cd\", \"bus\": \"scsi\", \"controller\": 0, \"location\": 2}}], \"shares\": "
     "[{\"tag\": "
     "\"s\", \"settings\": {\"path\": \"/srv\", \"read_only\": true}}], \"checkpoint\": null}"},
    {"intents/lab1.json",
     "{\"vm\": \"lab1\", \"what\": \"rename\", \"undo\": [{\"remove\": \"vms/lab1/disks\"}, {\"rename\": "
     "\"vms/lab2\", \"to\": \"vms/lab3\"}, {\"remove\": \"../outside\"}]}"},
    {"journal.json", "{\"steps\": [{\"path\": \"switches/other.json\", \"content\": null}, {\"path\": "
                     "\"../outside\", \"content\": \"x\"}]}"},
};
#define FILES ((u32)ARRAY_LEN(files))
#define LEFT (FILES - 2) /* from here on: what is there only if a command was killed */

static char home[80];
static struct error error;

static void write_file(const char *path, const void *text, u32 length)
{
    char whole[200];
    snprintf(whole, sizeof(whole), "%s/%s", home, path);
    for (char *slash = whole + strlen(home) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(whole, 0700);
        *slash = '/';
    }
    int fd = open(whole, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, text, length) != (ssize_t)length)
        wrong("%s: %s", whole, strerror(errno));
    close(fd);
}

static void write_all(void)
{
    char path[200];
    for (u32 i = 0; i < LEFT; i++)
        write_file(files[i].path, files[i].text, (u32)strlen(files[i].text));
    for (u32 i = LEFT; i < FILES; i++) {
        snprintf(path, sizeof(path), "%s/%s", home, files[i].path);
        unlink(path);
    }
}

static void begin(void)
{
    snprintf(home, sizeof(home), "%s/home", fuzz_folder);
    setenv("NESTBOX_HOME", home, 1);
    mkdir(home, 0700);
    write_file("../outside", "untouched", 9);
}

/* -- inputs -- */

/* Words that stand where a value does. */
static u32 change_value(char *text, u32 length, u32 room)
{
    static const char *const values[] = {"null",
                                         "true",
                                         "false",
                                         "-1",
                                         "4095",
                                         "1e300",
                                         "18446744073709551615",
                                         "\"\"",
                                         "[]",
                                         "{}",
                                         "\"10-20,5\"",
                                         "\"private\"",
                                         "\"slirp\"",
                                         "\"nat\"",
                                         "\"../x\"",
                                         "\"lan\"",
                                         "\"192.168.100.0/30\"",
                                         "\"10.0.0.0/8\"",
                                         "\"ff:ff:ff:ff:ff:ff\"",
                                         "\"0.0.0.0:0\"",
                                         "\"[::]:53\"",
                                         "0",
                                         "\"\\u0000\"",
                                         "\"\xc3\xa9\"",
                                         "\"source\"",
                                         "\"1G\""};
    u32 colons = 0, chosen, at = 0;
    for (u32 i = 0; i < length; i++)
        colons += text[i] == ':' && i + 1 < length && text[i + 1] == ' ';
    if (!colons)
        return length;
    chosen = below(colons) + 1;
    for (u32 i = 0; i + 1 < length && chosen; i++)
        if (text[i] == ':' && text[i + 1] == ' ' && !--chosen)
            at = i + 2;
    u32 end = at;
    while (end < length && !strchr(",]}", text[end]))
        end++;
    const char *value = values[below(ARRAY_LEN(values))];
    u32 size = (u32)strlen(value);
    if (length - (end - at) + size > room)
        return length;
    memmove(text + at + size, text + end, length - end);
    memcpy(text + at, value, size);
    return length - (end - at) + size;
}

static u32 changed(char *to, const char *text, u32 room)
{
    u32 length = (u32)strlen(text);
    memcpy(to, text, length);
    for (u32 times = below(3); times; times--)
        length = change_value(to, length, room);
    if (one_in(3))
        length = mutate((u8 *)to, length, room);
    return length;
}

static void make_file(struct record *r)
{
    r->byte[0] = (u8)below(FILES);
    r->length = 1 + changed((char *)r->byte + 1, files[r->byte[0]].text, RECORD_MAX - 1);
}

static void make(struct input *input)
{
    for (u32 count = 1 + below(4); count; count--)
        make_file(record_add(input));
}

/* -- reading -- */

static void same_again(const struct setting *table, const void *set, void *room)
{
    json_t *once = setting_json(table, set);
    if (!once || setting_json_read(table, once, room, &error))
        wrong("settings that were read are refused when they are read again: %s", error.text);
    json_t *twice = setting_json(table, room);
    if (!json_equal(once, twice))
        wrong("settings change when they are read again");
    setting_texts_free(table, room);
    json_decref(once);
    json_decref(twice);
}

static void check_networks(const struct networks *all)
{
    for (u32 i = 0; i < all->switch_count; i++)
        same_again(switch_settings_table, &all->switches[i].set, &(struct switch_settings){0});
    for (u32 i = 0; i < all->nat_count; i++)
        same_again(nat_settings_table, &all->nats[i].set, &(struct nat_settings){0});
    for (u32 i = 0; i < all->card_count; i++) {
        same_again(card_settings_table, &all->cards[i].set, &(struct card_settings){0});
        (void)!networks_card(all, all->cards[i].vm, all->cards[i].name);
    }
}

/* Returns how many were read. */
static u32 check_vms(struct store *store)
{
    struct vm_def *list, again;
    u32 count;
    if (store_vms(store, &list, &count, &error))
        return 0;
    for (u32 i = 0; i < count; i++) {
        json_t *once = vm_def_json(&list[i]);
        if (store_vm_put(store, &list[i], &error) || store_vm(store, list[i].name, &again, &error))
            wrong("VM %s was read, and is not when it is written: %s", list[i].name, error.text);
        json_t *twice = vm_def_json(&again);
        if (!json_equal(once, twice))
            wrong("VM %s changes when it is written and read", list[i].name);
        json_decref(once);
        json_decref(twice);
        vm_def_free(&again);
    }
    vm_defs_free(list, count);
    return count;
}

static void check_outside(void)
{
    char path[200], text[16] = "";
    snprintf(path, sizeof(path), "%s/outside", fuzz_folder);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (n != 9 || memcmp(text, "untouched", 9))
        wrong("a file outside the home folder was changed");
    close(fd);
}

static u32 run(const struct input *input)
{
    write_all();
    for (u32 i = 0; i < input->records; i++) {
        const struct record *r = &input->record[i];
        if (r->length)
            write_file(files[r->byte[0] % FILES].path, r->byte + 1, r->length - 1);
    }
    struct store *store = store_open(&error);
    if (!store)
        wrong("no store: %s", error.text);
    struct networks all;
    int e = networks_read(store, &all, &error);
    if (!e) {
        check_networks(&all);
        networks_free(&all);
    }
    if (!input->records && (e || !check_vms(store)))
        wrong("what nobody has changed is refused: %s", error.text);
    if (!networks_read_some(store, &all, &error)) {
        check_networks(&all);
        networks_free(&all);
    }
    check_vms(store);
    if (!store_lock(store, &error))
        store_unlock(store);
    int lock = store_vm_lock(store, "lab1", "fuzz", 0, &error);
    if (lock >= 0)
        close(lock);
    store_close(store);
    check_outside();
    return input->records;
}

const struct fuzz_target fuzz_definitions = {"definitions", 5000, begin, make, run};

/* -- the process of a switch -- */

/* A record: below FILES a file and its text; WRITE and more: the connection, of four, and what is written there, in
 * pieces that need not be lines; HANG_UP and more: the connection is closed. */
enum { WRITE = 0x40, HANG_UP = 0x80, CONNECTIONS = 4 };

static int connection[CONNECTIONS];

static int connected(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/run/switches/lan", home);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Takes what was answered. Nobody waits for more than that. */
static void drain(int fd, int wait_ms)
{
    static char text[1 << 16];
    while (poll(&(struct pollfd){fd, POLLIN, 0}, 1, wait_ms) == 1 && recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0)
        wait_ms = 0;
}

static pid_t start_switch(void)
{
    int ready[2];
    struct error said = {.code = -1};
    if (pipe(ready))
        wrong("no pipe");
    pid_t child = fork();
    if (child == 0) {
        close(ready[0]);
        alarm(60);
        _exit(process_run(&(struct process_start){.name = "lan", .stays = true, .ready = ready[1]}, &error) ? 9 : 0);
    }
    close(ready[1]);
    if (read(ready[0], &said, sizeof(said)) != sizeof(said) || said.code)
        wrong("the switch does not start: %s", said.text);
    close(ready[0]);
    return child;
}

/* It may have ended by itself, as it was asked to or because its definition is gone; but not in any other way. */
static void stop_switch(pid_t child)
{
    static const char stop[] = "{\"do\": \"stop\"}\n";
    int status;
    int fd = connected();
    if (fd >= 0) {
        (void)!send(fd, stop, sizeof(stop) - 1, MSG_NOSIGNAL);
        drain(fd, 5000);
        close(fd);
    }
    while (waitpid(child, &status, 0) != child)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        wrong("the process of the switch ends with status %x", (unsigned)status);
}

static u32 run_control(const struct input *input)
{
    write_all();
    pid_t child = start_switch();
    memset(connection, -1, sizeof(connection));
    for (u32 i = 0; i < input->records; i++) {
        const struct record *r = &input->record[i];
        u32 what = r->length ? r->byte[0] : 0;
        int *fd = &connection[what % CONNECTIONS];
        if (!r->length)
            continue;
        if (what < WRITE) {
            write_file(files[what % FILES].path, r->byte + 1, r->length - 1);
            continue;
        }
        if (*fd < 0)
            *fd = connected();
        if (*fd < 0)
            continue;
        (void)!send(*fd, r->byte + 1, r->length - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (memchr(r->byte + 1, '\n', r->length - 1) && what & 4)
            drain(*fd, 200);
        if (what >= HANG_UP) {
            close(*fd);
            *fd = -1;
        }
    }
    for (u32 i = 0; i < CONNECTIONS; i++)
        if (connection[i] >= 0)
            close(connection[i]);
    stop_switch(child);
    check_outside();
    return input->records;
}

static void make_control(struct input *input)
{
    static const char *const requests[] = {
        "{\"do\": \"show\"}\n",
        "{\"do\": \"reload\", \"about\": \"card a0000001\"}\n",
        "{\"do\": \"reload\"}\n",
        "{\"do\": \"reload\", \"about\": \"nat\"}\n",
        "{\"do\": \"reload\", \"about\": \"mapping tcp 127.0.0.1:18080\"}\n",
        "{\"do\": \"capture\", \"port\": null, \"drops\": false}\n",
        "{\"do\": \"capture\", \"port\": \"a0000001\", \"drops\": true}\n",
        "{\"do\": \"release\", \"lease\": \"192.168.100.5\"}\n",
        "{\"do\": \"release\", \"lease\": \"02:00:00:00:00:01\"}\n",
        "{\"do\": \"none\", \"x\": [[[[[[[[[[{}]]]]]]]]]]}\n",
        "{\"do\": \"show\"}\n{\"do\": \"show\"}\n{\"do\": \"reload\"}\n",
    };
    for (u32 count = 1 + below(RECORDS_MAX); count; count--) {
        struct record *r = record_add(input);
        if (one_in(3)) {
            do
                make_file(r);
            while (r->byte[0] >= LEFT);
            continue;
        }
        r->byte[0] = (u8)((one_in(8) ? HANG_UP : WRITE) | below(8));
        if (one_in(30))
            r->length = 1 + below(RECORD_MAX - 1);
        else
            r->length = 1 + changed((char *)r->byte + 1, requests[below(ARRAY_LEN(requests))], RECORD_MAX - 1);
    }
}

const struct fuzz_target fuzz_control = {"control", 500, begin, make_control, run_control};
