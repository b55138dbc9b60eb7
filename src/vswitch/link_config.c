/*
 * Addresses and routes that move from one interface to another: see link_config.h.
 */
#include "vswitch/link_config.h"

#include "vswitch/rtnetlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct collection {
    int index;
    struct link_config *config;
};

static int keep(struct link_config *config, const struct nlmsghdr *h)
{
    size_t size = NLMSG_ALIGN(h->nlmsg_len);
    u8 *bigger = realloc(config->bytes, config->size + size);
    if (!bigger)
        return -ENOMEM;
    config->bytes = bigger;
    memset(bigger + config->size + size - 4, 0, 4); /* what aligns it */
    memcpy(bigger + config->size, h, h->nlmsg_len);
    config->size += size;
    return 0;
}

static int keep_address(const struct nlmsghdr *h, void *opaque)
{
    struct collection *c = opaque;
    const struct ifaddrmsg *address = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWADDR || (int)address->ifa_index != c->index || !rtnetlink_is_given(address))
        return 0;
    return keep(c->config, h);
}

static bool route_leaves_by(const struct nlmsghdr *h, int index)
{
    const struct rtmsg *route = NLMSG_DATA(h);
    const struct rtattr *out = rtnetlink_find(h, sizeof(*route), RTA_OIF);
    int by;
    if (!out || RTA_PAYLOAD(out) != sizeof(by))
        return false;
    memcpy(&by, RTA_DATA(out), sizeof(by));
    return by == index;
}

/* Routes that the kernel makes of addresses are made again by it. */
static int keep_route(const struct nlmsghdr *h, void *opaque)
{
    struct collection *c = opaque;
    const struct rtmsg *route = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWROUTE || !route_leaves_by(h, c->index) || route->rtm_protocol == RTPROT_KERNEL ||
        route->rtm_type != RTN_UNICAST || (route->rtm_flags & RTM_F_CLONED))
        return 0;
    return keep(c->config, h);
}

int link_config_get(int index, struct link_config *config)
{
    static const u8 families[] = {AF_INET, AF_INET6};
    struct collection c = {index, config};
    struct rtnetlink m;
    *config = (struct link_config){0};
    rtnetlink_begin(&m, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
    int err = rtnetlink_ask(&m, keep_address, &c);
    for (u32 i = 0; i < ARRAY_LEN(families) && !err; i++) {
        struct rtmsg *route = rtnetlink_begin(&m, RTM_GETROUTE, NLM_F_DUMP, sizeof(*route));
        route->rtm_family = families[i];
        err = rtnetlink_ask(&m, keep_route, &c);
    }
    if (err)
        link_config_free(config);
    return err;
}

void link_config_free(struct link_config *config)
{
    free(config->bytes);
    *config = (struct link_config){0};
}

/* Attributes that speak of the old place, or that only the kernel sets. */
static bool stays(u16 message, u16 attribute)
{
    if (message == RTM_NEWADDR)
        return attribute != IFA_LABEL && attribute != IFA_PROTO;
    return attribute != RTA_CACHEINFO && attribute != RTA_OIF;
}

/* Makes a request of a message that was kept. */
static int again(const struct nlmsghdr *h, u16 type, u16 flags, int index)
{
    struct rtnetlink m;
    size_t body = h->nlmsg_type == RTM_NEWADDR ? sizeof(struct ifaddrmsg) : sizeof(struct rtmsg);
    if (h->nlmsg_len > sizeof(m) - 64 || h->nlmsg_len < NLMSG_LENGTH(body))
        return -EINVAL;
    memcpy(rtnetlink_begin(&m, type, flags, body), NLMSG_DATA(h), body);
    const struct rtattr *a = (const struct rtattr *)((const u8 *)NLMSG_DATA(h) + NLMSG_ALIGN(body));
    int left = (int)h->nlmsg_len - (int)NLMSG_LENGTH(NLMSG_ALIGN(body));
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (stays(h->nlmsg_type, a->rta_type & NLA_TYPE_MASK))
            rtnetlink_put(&m, a->rta_type, RTA_DATA(a), RTA_PAYLOAD(a));
    if (h->nlmsg_type == RTM_NEWADDR)
        ((struct ifaddrmsg *)m.body)->ifa_index = (u32)index;
    else {
        ((struct rtmsg *)m.body)->rtm_flags &= RTNH_F_ONLINK;
        rtnetlink_put(&m, RTA_OIF, &index, sizeof(index));
    }
    return rtnetlink_ask(&m, NULL, NULL);
}

/* Those to a gateway want that its network can be reached already. */
static u32 stage_of(const struct nlmsghdr *h)
{
    if (h->nlmsg_type == RTM_NEWADDR)
        return 0;
    return rtnetlink_find(h, sizeof(struct rtmsg), RTA_GATEWAY) || rtnetlink_find(h, sizeof(struct rtmsg), RTA_VIA) ? 2
                                                                                                                    : 1;
}

int link_config_set(int index, const struct link_config *config)
{
    int first = 0;
    for (u32 stage = 0; stage < 3; stage++) {
        u32 left = (u32)config->size;
        for (const struct nlmsghdr *h = (const struct nlmsghdr *)config->bytes; NLMSG_OK(h, left);
             h = NLMSG_NEXT(h, left)) {
            int err = stage_of(h) == stage ? again(h, h->nlmsg_type, NLM_F_CREATE | NLM_F_REPLACE, index) : 0;
            if (err && err != -EEXIST && !first)
                first = err;
        }
    }
    return first;
}

int link_config_clear(int index, const struct link_config *config)
{
    int first = 0;
    u32 left = (u32)config->size;
    for (const struct nlmsghdr *h = (const struct nlmsghdr *)config->bytes; NLMSG_OK(h, left);
         h = NLMSG_NEXT(h, left)) {
        int err = h->nlmsg_type == RTM_NEWADDR ? again(h, RTM_DELADDR, 0, index) : 0;
        if (err && err != -EADDRNOTAVAIL && !first)
            first = err;
    }
    /* Routes of IPv6 outlive addresses. */
    left = (u32)config->size;
    for (const struct nlmsghdr *h = (const struct nlmsghdr *)config->bytes; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
        if (h->nlmsg_type == RTM_NEWROUTE)
            again(h, RTM_DELROUTE, 0, index);
    return first;
}
