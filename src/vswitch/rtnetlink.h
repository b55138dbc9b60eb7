/*
 * Requests to the kernel about interfaces, addresses and routes (rtnetlink(7)), and their answers. A request waits for
 * the kernel only, and for five seconds at most.
 */
#ifndef VSWITCH_RTNETLINK_H
#define VSWITCH_RTNETLINK_H

#include "base/types.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

struct rtnetlink {
    struct nlmsghdr header;
    u8 body[4096];
};

/* Begins a request, whose fixed part has `body` bytes and is returned, zeroed. */
void *rtnetlink_begin(struct rtnetlink *m, u16 type, u16 flags, size_t body);
/* Appends an attribute. Attributes that follow are inside of it if rtnetlink_end() is called for it after them. */
struct rtattr *rtnetlink_put(struct rtnetlink *m, u16 type, const void *data, size_t size);
void rtnetlink_end(struct rtnetlink *m, struct rtattr *nest);
/* The attribute of that type behind the fixed part of `body` bytes, or NULL. */
const struct rtattr *rtnetlink_find(const struct nlmsghdr *header, size_t body, u16 type);

/* Called for each message of an answer. Returns 0, or an error, with which the request ends. */
typedef int rtnetlink_answer(const struct nlmsghdr *header, void *opaque);

/* Sends a request and hands each message of its answer to `each`; NULL: only how it ended matters. 0 or -errno. */
int MUST_CHECK rtnetlink_ask(struct rtnetlink *m, rtnetlink_answer *each, void *opaque);

/* Whether somebody gave the interface that address: link-local ones and those of loopback come from the kernel. */
static inline bool rtnetlink_is_given(const struct ifaddrmsg *address)
{
    return address->ifa_scope != RT_SCOPE_LINK && address->ifa_scope != RT_SCOPE_HOST;
}

#endif
