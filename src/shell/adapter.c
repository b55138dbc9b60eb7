/*
 * Interfaces of the host, read from the kernel each time.
 */
#include "shell/adapter.h"

#include "manager/names.h"
#include "net/ifname.h"
#include "shell/model.h"
#include "shell/networks.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYS "/sys/class/net"

/* The first line of a file of an interface; empty if there is none. */
static void read_line(const char *interface, const char *file, char *line, size_t size)
{
    char path[200];
    snprintf(path, sizeof(path), SYS "/%s/%s", interface, file);
    FILE *f = fopen(path, "re");
    line[0] = 0;
    if (f && fgets(line, (int)size, f))
        line[strcspn(line, "\n")] = 0;
    if (f)
        fclose(f);
}

static bool exists(const char *interface)
{
    return *interface && if_nametoindex(interface) != 0;
}

static int by_index(const void *a, const void *b)
{
    unsigned x = if_nametoindex(a), y = if_nametoindex(b);
    return (x > y) - (x < y);
}

/* The interfaces that are like Ethernet and not ours, in the kernel's order. Returns how many. */
static size_t interfaces(char (**list)[IFNAMSIZ])
{
    DIR *folder = opendir(SYS);
    size_t count = 0;
    *list = NULL;
    for (struct dirent *d; folder && (d = readdir(folder));) {
        char type[8];
        if (d->d_name[0] == '.' || strlen(d->d_name) >= IFNAMSIZ || ifname_is(IFNAME_INTERNAL, d->d_name) ||
            ifname_is(IFNAME_NAT, d->d_name) || ifname_is(IFNAME_EXTERNAL, d->d_name))
            continue;
        read_line(d->d_name, "type", type, sizeof(type));
        bool like_ethernet = strcmp(type, "1") == 0; /* as linux/if_arp.h numbers them */
        if (!like_ethernet)
            continue;
        *list = memory_resize(*list, (count + 1) * sizeof(**list));
        strcpy((*list)[count++], d->d_name);
    }
    if (folder)
        closedir(folder);
    if (count)
        qsort(*list, count, sizeof(**list), by_index);
    return count;
}

bool adapter_switch(const char *name, char *switch_name, size_t size)
{
    static const char before[] = "vEthernet (";
    size_t length = strlen(name);
    if (!text_begins(name, before) || name[length - 1] != ')')
        return false;
    snprintf(switch_name, size, "%.*s", (int)(length - sizeof(before)), name + sizeof(before) - 1);
    return true;
}

int adapter_find(struct store *store, const char *name, char interface[static ADAPTER_NAME_MAX], struct error *error)
{
    char(*list)[IFNAMSIZ];
    size_t count = interfaces(&list), found = count, number = 1;
    for (size_t i = 0; i < count && found == count; i++)
        if (text_same(list[i], name))
            found = i;
    if (found == count && text_begins(name, "Ethernet")) {
        number = name[8] == ' ' ? strtoul(name + 9, NULL, 10) : name[8] ? 0 : 1;
        if (number && number <= count)
            found = number - 1;
    }
    if (found < count)
        snprintf(interface, ADAPTER_NAME_MAX, "%s", list[found]);
    free(list);
    if (found < count)
        return 0;
    error_set(error, -ENOENT, "the host has no interface '%.60s'", name);
    return error_hint(error, "Get-NetAdapter lists them; Ethernet is the first, Ethernet 2 the second");
}

/* "AA-BB-..." */
static struct value *mac_value(struct heap *heap, const char *interface)
{
    char line[40];
    read_line(interface, "address", line, sizeof(line));
    for (char *c = line; *c; c++)
        *c = *c == ':' ? '-' : (char)toupper((u8)*c);
    return value_text(heap, line);
}

static struct value *speed_value(struct heap *heap, const char *interface)
{
    char line[40];
    read_line(interface, "speed", line, sizeof(line));
    long mbit = strtol(line, NULL, 10);
    if (mbit <= 0)
        return value_text(heap, "0 bps");
    return mbit % 1000 ? value_format(heap, "%ld Mbps", mbit) : value_format(heap, "%ld Gbps", mbit / 1000);
}

static struct value *adapter_object(struct heap *heap, const char *name, const char *description, const char *interface,
                                    const char *status)
{
    struct value *v = value_object(heap, "NetAdapter");
    unsigned index = exists(interface) ? if_nametoindex(interface) : 0;
    object_set(v, "Name", value_text(heap, name));
    object_set(v, "InterfaceDescription", value_text(heap, description));
    object_set(v, "ifIndex", index ? value_number(heap, index) : &value_null);
    object_set(v, "Status", value_text(heap, status));
    object_set(v, "MacAddress", mac_value(heap, interface));
    object_set(v, "LinkSpeed", speed_value(heap, interface));
    object_set(v, "InterfaceAlias", value_text(heap, name));
    object_set(v, "ifAlias", value_text(heap, name));
    object_set(v, "InterfaceIndex", index ? value_number(heap, index) : &value_null);
    object_set(v, "ifName", value_text(heap, interface));
    return v;
}

static struct value *own_interface(struct heap *heap, const char *interface)
{
    char state[20], path[200], driver[200], description[240];
    read_line(interface, "operstate", state, sizeof(state));
    snprintf(path, sizeof(path), SYS "/%s/device/driver", interface);
    ssize_t n = readlink(path, driver, sizeof(driver) - 1);
    driver[n > 0 ? n : 0] = 0;
    const char *slash = strrchr(driver, '/');
    snprintf(description, sizeof(description), "%s", slash ? slash + 1 : "virtual interface");
    return adapter_object(heap, interface, description, interface, strcmp(state, "down") == 0 ? "Disconnected" : "Up");
}

enum flow adapters_get(struct call *call, struct value **all)
{
    struct heap *heap = &call->shell->heap;
    struct value *switches;
    char(*list)[IFNAMSIZ];
    size_t count = interfaces(&list);
    *all = value_array(heap);
    for (size_t i = 0; i < count; i++)
        array_add(*all, own_interface(heap, list[i]));
    free(list);
    enum flow flow = switches_get(call, &switches);
    for (size_t i = 0; i < switches->array.count; i++) {
        const struct value *s = switches->array.item[i], *nat = object_get(s, "NatName");
        const char *name = object_get(s, "Name")->text;
        char alias[100], interface[IFNAME_MAX];
        if (!value_truth(object_get(s, "AllowManagementOS")) ||
            text_same(object_get(s, "SwitchType")->text, "External"))
            continue;
        ifname_make(nat->kind == VALUE_TEXT ? IFNAME_NAT : IFNAME_INTERNAL, nat->kind == VALUE_TEXT ? nat->text : name,
                    interface);
        snprintf(alias, sizeof(alias), "vEthernet (%s)", name);
        struct value *v = adapter_object(heap, alias, "Hyper-V Virtual Ethernet Adapter", interface,
                                         value_truth(object_get(s, "Running")) ? "Up" : "Disconnected");
        object_set(v, "LinkSpeed", value_text(heap, "10 Gbps"));
        array_add(*all, v);
    }
    return flow;
}
