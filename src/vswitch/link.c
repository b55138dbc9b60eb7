/*
 * The host's interfaces: see link.h.
 */
#include "vswitch/link.h"

#include "vswitch/rtnetlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int link_index(const char *name)
{
    return (int)if_nametoindex(name);
}

int link_up(int index)
{
    struct rtnetlink m;
    struct ifinfomsg *link = rtnetlink_begin(&m, RTM_NEWLINK, 0, sizeof(*link));
    link->ifi_index = index;
    link->ifi_flags = link->ifi_change = IFF_UP;
    return rtnetlink_ask(&m, NULL, NULL);
}

int link_set_mac(int index, const struct mac *mac)
{
    struct rtnetlink m;
    struct ifinfomsg *link = rtnetlink_begin(&m, RTM_NEWLINK, 0, sizeof(*link));
    link->ifi_index = index;
    rtnetlink_put(&m, IFLA_ADDRESS, mac->byte, MAC_LEN);
    return rtnetlink_ask(&m, NULL, NULL);
}

int link_make_bridge(const char *name)
{
    struct rtnetlink m;
    rtnetlink_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    rtnetlink_put(&m, IFLA_IFNAME, name, strlen(name) + 1);
    struct rtattr *info = rtnetlink_put(&m, IFLA_LINKINFO, NULL, 0);
    rtnetlink_put(&m, IFLA_INFO_KIND, "bridge", 6);
    rtnetlink_end(&m, info);
    return rtnetlink_ask(&m, NULL, NULL);
}

int link_delete(int index)
{
    struct rtnetlink m;
    struct ifinfomsg *link = rtnetlink_begin(&m, RTM_DELLINK, 0, sizeof(*link));
    link->ifi_index = index;
    return rtnetlink_ask(&m, NULL, NULL);
}

int link_set_master(int index, int master)
{
    struct rtnetlink m;
    struct ifinfomsg *link = rtnetlink_begin(&m, RTM_NEWLINK, 0, sizeof(*link));
    link->ifi_index = index;
    rtnetlink_put(&m, IFLA_MASTER, &master, sizeof(master));
    return rtnetlink_ask(&m, NULL, NULL);
}

static bool kind_is(const struct rtattr *info, const char *kind)
{
    int left = (int)RTA_PAYLOAD(info);
    for (const struct rtattr *a = RTA_DATA(info); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == IFLA_INFO_KIND)
            return RTA_PAYLOAD(a) >= strlen(kind) && memcmp(RTA_DATA(a), kind, strlen(kind)) == 0;
    return false;
}

static void read_link(const struct nlmsghdr *h, struct link_info *info)
{
    const struct ifinfomsg *link = NLMSG_DATA(h);
    const struct rtattr *name = rtnetlink_find(h, sizeof(*link), IFLA_IFNAME),
                        *master = rtnetlink_find(h, sizeof(*link), IFLA_MASTER);
    const struct rtattr *mac = rtnetlink_find(h, sizeof(*link), IFLA_ADDRESS),
                        *kind = rtnetlink_find(h, sizeof(*link), IFLA_LINKINFO);
    *info = (struct link_info){.index = link->ifi_index};
    if (name)
        snprintf(info->name, sizeof(info->name), "%.*s", (int)RTA_PAYLOAD(name), (const char *)RTA_DATA(name));
    if (master && RTA_PAYLOAD(master) == sizeof(info->master))
        memcpy(&info->master, RTA_DATA(master), sizeof(info->master));
    if (mac && RTA_PAYLOAD(mac) == MAC_LEN)
        memcpy(info->mac.byte, RTA_DATA(mac), MAC_LEN);
    info->is_up = link->ifi_flags & IFF_UP;
    info->is_bridge = kind && kind_is(kind, "bridge");
}

static int take_link(const struct nlmsghdr *h, void *opaque)
{
    if (h->nlmsg_type == RTM_NEWLINK)
        read_link(h, opaque);
    return 0;
}

int link_get(const char *name, struct link_info *info)
{
    struct rtnetlink m;
    rtnetlink_begin(&m, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    rtnetlink_put(&m, IFLA_IFNAME, name, strlen(name) + 1);
    *info = (struct link_info){0};
    int err = rtnetlink_ask(&m, take_link, info);
    return err ? err : info->index ? 0 : -ENODEV;
}

struct member {
    int master;
    struct link_info *info;
    bool found;
};

static int take_member(const struct nlmsghdr *h, void *opaque)
{
    struct member *m = opaque;
    struct link_info info;
    if (h->nlmsg_type != RTM_NEWLINK || m->found)
        return 0;
    read_link(h, &info);
    if (info.master == m->master && !ifname_is(IFNAME_EXTERNAL, info.name)) {
        *m->info = info;
        m->found = true;
    }
    return 0;
}

bool link_member(int master, struct link_info *info)
{
    struct member member = {master, info, false};
    struct rtnetlink m;
    rtnetlink_begin(&m, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
    return rtnetlink_ask(&m, take_member, &member) == 0 && member.found;
}

void link_hide(const char *name)
{
    char path[80];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    FILE *f = fopen(path, "we");
    if (!f)
        return; /* no IPv6 at all */
    fputs("1", f);
    fclose(f);
}

/* -- Addresses -- */

int link_add_address(int index, const struct ip *ip, u8 length)
{
    struct rtnetlink m;
    size_t size = ip->version == 4 ? 4 : 16;
    struct ifaddrmsg *address = rtnetlink_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*address));
    address->ifa_family = ip->version == 4 ? AF_INET : AF_INET6;
    address->ifa_prefixlen = length;
    address->ifa_index = (u32)index;
    address->ifa_flags = ip->version == 4 ? 0 : IFA_F_NODAD; /* nobody else is there yet */
    rtnetlink_put(&m, IFA_LOCAL, ip->byte, size);
    rtnetlink_put(&m, IFA_ADDRESS, ip->byte, size);
    if (ip->version == 4 && length < 31) {
        u8 broadcast[4];
        for (u32 i = 0; i < 4; i++)
            broadcast[i] = ip->byte[i] | (u8)(i * 8 >= length ? 0xff : i * 8 + 8 <= length ? 0 : 0xff >> length % 8);
        rtnetlink_put(&m, IFA_BROADCAST, broadcast, 4);
    }
    return rtnetlink_ask(&m, NULL, NULL);
}

struct search {
    int index;
    const struct ip *wanted; /* NULL: the first that a user gave it */
    bool found;
    struct ip ip;
    u8 length;
};

static int take_address(const struct nlmsghdr *h, void *opaque)
{
    struct search *s = opaque;
    const struct ifaddrmsg *address = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWADDR || (int)address->ifa_index != s->index || s->found ||
        (!s->wanted && !rtnetlink_is_given(address)))
        return 0;
    const struct rtattr *a = rtnetlink_find(h, sizeof(*address), IFA_LOCAL);
    if (!a)
        a = rtnetlink_find(h, sizeof(*address), IFA_ADDRESS);
    if (!a || RTA_PAYLOAD(a) > sizeof(s->ip.byte))
        return 0;
    s->ip = (struct ip){.version = address->ifa_family == AF_INET ? 4 : 6};
    memcpy(s->ip.byte, RTA_DATA(a), RTA_PAYLOAD(a));
    s->length = address->ifa_prefixlen;
    s->found = !s->wanted || memcmp(&s->ip, s->wanted, sizeof(s->ip)) == 0;
    return 0;
}

static bool search(struct search *s)
{
    struct rtnetlink m;
    rtnetlink_begin(&m, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
    return rtnetlink_ask(&m, take_address, s) == 0 && s->found;
}

bool link_has_address(int index, const struct ip *ip)
{
    return search(&(struct search){.index = index, .wanted = ip});
}

bool link_address(int index, struct ip *ip, u8 *length)
{
    struct search s = {.index = index};
    bool found = search(&s);
    if (found) {
        *ip = s.ip;
        *length = s.length;
    }
    return found;
}

/* -- What changes -- */

/* What changed is looked up by whoever wants to know, so messages may be lost where there are too many of them. */
static void monitor_ready(struct watch *watch, u32 events)
{
    struct link_monitor *monitor = container_of(watch, struct link_monitor, watch);
    u8 bytes[4096];
    while (recv(watch->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
    monitor->changed(monitor);
}

static u32 group(u32 number)
{
    return 1u << (number - 1);
}

int link_monitor_start(struct vswitch *sw, struct link_monitor *monitor, enum link_subject subject)
{
    bool rules = subject == LINK_RULES;
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    address.nl_groups = rules ? group(NFNLGRP_NFTABLES)
                              : RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | group(RTNLGRP_IPV4_NETCONF) |
                                    group(RTNLGRP_IPV6_NETCONF);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, rules ? NETLINK_NETFILTER : NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    monitor->watch = (struct watch){fd, monitor_ready};
    int err = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno
                                                                         : vswitch_watch(sw, &monitor->watch, EPOLLIN);
    if (err) {
        close(fd);
        monitor->watch.ready = NULL;
    }
    return err;
}

void link_monitor_stop(struct vswitch *sw, struct link_monitor *monitor)
{
    if (!monitor->watch.ready)
        return;
    vswitch_unwatch(sw, &monitor->watch);
    close(monitor->watch.fd);
    monitor->watch.ready = NULL;
}
