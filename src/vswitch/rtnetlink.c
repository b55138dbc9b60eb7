/*
 * Requests to the kernel about interfaces: see rtnetlink.h. Each goes by a socket of its own.
 */
#include "vswitch/rtnetlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 32768u

void *rtnetlink_begin(struct rtnetlink *m, u16 type, u16 flags, size_t body)
{
    memset(m, 0, sizeof(m->header) + NLMSG_ALIGN(body));
    m->header.nlmsg_len = (u32)NLMSG_LENGTH(body);
    m->header.nlmsg_type = type;
    m->header.nlmsg_flags = NLM_F_REQUEST | flags;
    return m->body;
}

struct rtattr *rtnetlink_put(struct rtnetlink *m, u16 type, const void *data, size_t size)
{
    struct rtattr *a = (struct rtattr *)((u8 *)m + NLMSG_ALIGN(m->header.nlmsg_len));
    a->rta_type = type;
    a->rta_len = (u16)RTA_LENGTH(size);
    if (size)
        memcpy(RTA_DATA(a), data, size);
    m->header.nlmsg_len = (u32)(NLMSG_ALIGN(m->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
    return a;
}

void rtnetlink_end(struct rtnetlink *m, struct rtattr *nest)
{
    nest->rta_len = (u16)((u8 *)m + m->header.nlmsg_len - (u8 *)nest);
}

const struct rtattr *rtnetlink_find(const struct nlmsghdr *header, size_t body, u16 type)
{
    const struct rtattr *a = (const struct rtattr *)((const u8 *)NLMSG_DATA(header) + NLMSG_ALIGN(body));
    int left = (int)header->nlmsg_len - (int)NLMSG_LENGTH(NLMSG_ALIGN(body));
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & NLA_TYPE_MASK) == type)
            return a;
    return NULL;
}

/* Returns true when the answer is complete. */
static bool take_answer(const struct nlmsghdr *h, bool dump, rtnetlink_answer *each, void *opaque, int *err)
{
    if (h->nlmsg_type == NLMSG_ERROR) {
        int code = ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
        if (code)
            *err = code;
        return true;
    }
    if (h->nlmsg_type == NLMSG_DONE)
        return true;
    if (each && !*err)
        *err = each(h, opaque);
    return !dump && !(h->nlmsg_flags & NLM_F_MULTI) && each;
}

static int receive(int fd, bool dump, rtnetlink_answer *each, void *opaque)
{
    u8 *bytes = malloc(ANSWER_MAX);
    bool done = false;
    int err = bytes ? 0 : -ENOMEM;
    while (bytes && !done) {
        ssize_t n = recv(fd, bytes, ANSWER_MAX, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err = n < 0 ? -errno : -EIO;
            break;
        }
        int left = (int)n;
        for (struct nlmsghdr *h = (struct nlmsghdr *)bytes; NLMSG_OK(h, (u32)left); h = NLMSG_NEXT(h, left))
            if ((done = take_answer(h, dump, each, opaque, &err)))
                break;
    }
    free(bytes);
    return err;
}

int rtnetlink_ask(struct rtnetlink *m, rtnetlink_answer *each, void *opaque)
{
    static const struct timeval patience = {.tv_sec = 5};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (!each)
        m->header.nlmsg_flags |= NLM_F_ACK;
    bool dump = (m->header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    int err = send(fd, m, m->header.nlmsg_len, 0) < 0 ? -errno : receive(fd, dump, each, opaque);
    close(fd);
    return err;
}
