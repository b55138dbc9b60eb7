/*
 * Interfaces of the host, read from the kernel each time.
 */
#include "shell/adapter.h"

#include "manager/names.h"
#include "net/ifname.h"
#include "shell/model.h"
#include "shell/networks.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the kernel says of an interface. */
struct interface {
    char name[IFNAMSIZ], driver[32];
    unsigned index;
    u8 mac[6];
    bool like_ethernet, up;
    u32 mbit; /* 0: unknown */
};

static bool ask_kernel(int fd, unsigned long request, struct ifreq *ask, const char *name, void *data)
{
    memset(ask, 0, sizeof(*ask));
    snprintf(ask->ifr_name, sizeof(ask->ifr_name), "%s", name);
    if (data)
        ask->ifr_data = data;
    return ioctl(fd, request, ask) == 0;
}

static void look_at(const char *name, struct interface *i)
{
    struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
    struct ethtool_cmd link = {.cmd = ETHTOOL_GSET};
    struct ifreq ask;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *i = (struct interface){.index = if_nametoindex(name)};
    snprintf(i->name, sizeof(i->name), "%s", name);
    if (fd < 0)
        return;
    if (ask_kernel(fd, SIOCGIFHWADDR, &ask, name, NULL)) {
        i->like_ethernet = ask.ifr_hwaddr.sa_family == ARPHRD_ETHER;
        memcpy(i->mac, ask.ifr_hwaddr.sa_data, sizeof(i->mac));
    }
    if (ask_kernel(fd, SIOCGIFFLAGS, &ask, name, NULL))
        i->up = ask.ifr_flags & IFF_RUNNING;
    if (ask_kernel(fd, SIOCETHTOOL, &ask, name, &driver))
        snprintf(i->driver, sizeof(i->driver), "%.31s", driver.driver);
    if (ask_kernel(fd, SIOCETHTOOL, &ask, name, &link) && ethtool_cmd_speed(&link) != (u32)SPEED_UNKNOWN)
        i->mbit = ethtool_cmd_speed(&link);
    close(fd);
}

/* The interfaces that are like Ethernet and not ours, in the kernel's order. Returns how many. */
static size_t interfaces(struct interface **list)
{
    struct if_nameindex *names = if_nameindex();
    size_t count = 0;
    *list = NULL;
    for (const struct if_nameindex *n = names; n && n->if_index; n++) {
        struct interface i;
        look_at(n->if_name, &i);
        if (!i.like_ethernet || ifname_is(IFNAME_INTERNAL, i.name) || ifname_is(IFNAME_NAT, i.name) ||
            ifname_is(IFNAME_EXTERNAL, i.name))
            continue;
        *list = memory_resize(*list, (count + 1) * sizeof(**list));
        (*list)[count++] = i;
    }
    if (names)
        if_freenameindex(names);
    return count;
}

/* Is it a card, or what takes the place of one in a container? Bridges, taps and the like are not. */
static bool is_card(const struct interface *i)
{
    return !text_listed("bridge|tun|ifb|dummy|vxlan|macvlan|bonding|802.1Q VLAN Support", i->driver);
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
    struct interface *list;
    size_t count = interfaces(&list), found = count;
    unsigned long number = 0;
    for (size_t i = 0; i < count && found == count; i++)
        if (text_same(list[i].name, name))
            found = i;
    if (found == count && text_begins(name, "Ethernet"))
        number = name[8] == ' ' ? strtoul(name + 9, NULL, 10) : !name[8];
    for (size_t i = 0; i < count && number; i++)
        if (is_card(&list[i]) && !--number)
            found = i;
    if (found < count)
        snprintf(interface, ADAPTER_NAME_MAX, "%s", list[found].name);
    free(list);
    if (found < count)
        return 0;
    error_set(error, -ENOENT, "the host has no interface '%.60s'", name);
    return error_hint(error, "Get-NetAdapter lists them; Ethernet is the first, Ethernet 2 the second");
}

static struct value *adapter_object(struct heap *heap, const char *name, const char *description,
                                    const struct interface *i, bool up)
{
    struct value *v = value_object(heap, "NetAdapter"), *index = i->index ? value_number(heap, i->index) : &value_null;
    struct value *mac = value_format(heap, "%02X-%02X-%02X-%02X-%02X-%02X", i->mac[0], i->mac[1], i->mac[2], i->mac[3],
                                     i->mac[4], i->mac[5]);
    object_set(v, "Name", value_text(heap, name));
    object_set(v, "InterfaceDescription", value_text(heap, description));
    object_set(v, "ifIndex", index);
    object_set(v, "Status", value_text(heap, up ? "Up" : "Disconnected"));
    object_set(v, "MacAddress", i->index ? mac : value_text(heap, ""));
    object_set(v, "LinkSpeed",
               i->mbit % 1000 ? value_format(heap, "%u Mbps", i->mbit)
               : i->mbit      ? value_format(heap, "%u Gbps", i->mbit / 1000)
                              : value_text(heap, ""));
    object_set(v, "InterfaceAlias", value_text(heap, name));
    object_set(v, "ifAlias", value_text(heap, name));
    object_set(v, "InterfaceIndex", index);
    object_set(v, "ifName", value_text(heap, i->name));
    return v;
}

enum flow adapters_get(struct call *call, struct value **all)
{
    struct heap *heap = &call->shell->heap;
    struct value *switches;
    struct interface *list, own;
    size_t count = interfaces(&list);
    *all = value_array(heap);
    for (size_t i = 0; i < count; i++)
        array_add(*all, adapter_object(heap, list[i].name, list[i].driver, &list[i], list[i].up));
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
        look_at(interface, &own);
        own.mbit = 10000; /* as Hyper-V says of all of them */
        struct value *v = adapter_object(heap, alias, "Hyper-V Virtual Ethernet Adapter", &own,
                                         value_truth(object_get(s, "Running")));
        array_add(*all, v);
    }
    return flow;
}
