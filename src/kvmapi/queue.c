/*
 * The queue of accesses to devices of the program: see queue.h.
 */
#include "kvmapi/queue.h"

#include <string.h>

static bool same(const struct device_access *a, const struct device_access *b)
{
    return a->kind == b->kind && a->size == b->size && a->count == b->count && a->address == b->address;
}

static size_t length(const struct device_access *a)
{
    return (size_t)a->size * a->count;
}

bool queue_read(struct api_queue *q, struct device_access *access, void *to)
{
    if (q->next < q->answers && same(&q->answer[q->next], access)) {
        const struct device_access *a = &q->answer[q->next++];
        memcpy(to, length(a) > sizeof(a->data) ? (const void *)q->bytes : &a->data, length(a));
        return true;
    }
    /* The instruction does something else than before, so the rest of the answers is of no use. */
    if (q->next < q->answers)
        q->answers = q->next;
    if (q->last < QUEUE_ACCESSES && !q->read) {
        q->wait[q->last++] = *access;
        q->read = true;
    }
    return false;
}

bool queue_write(struct api_queue *q, const struct device_access *access, const void *from)
{
    if (q->last == QUEUE_ACCESSES)
        return false;
    struct device_access *a = &q->wait[q->last++];
    *a = *access;
    a->write = true;
    memcpy(length(a) > sizeof(a->data) ? (void *)q->bytes : &a->data, from, length(a));
    return true;
}

struct device_access *queue_show(struct api_queue *q, u8 **bytes)
{
    if (!queue_waits(q))
        return NULL;
    struct device_access *a = &q->wait[q->first];
    *bytes = length(a) > sizeof(a->data) ? q->bytes : (u8 *)&a->data;
    q->shown = true;
    return a;
}

void queue_done(struct api_queue *q, const void *bytes)
{
    struct device_access *a = &q->wait[q->first++];
    q->shown = false;
    if (!a->write && a->kind != ACCESS_EOI) {
        memcpy(length(a) > sizeof(a->data) ? (void *)q->bytes : &a->data, bytes, length(a));
        if (q->answers < QUEUE_ACCESSES)
            q->answer[q->answers++] = *a;
        q->read = false;
    }
    if (q->first == q->last)
        q->first = q->last = 0;
    q->next = 0;
}

void queue_answered(struct api_queue *q)
{
    q->answers = q->next = 0;
}

void queue_forget(struct api_queue *q)
{
    queue_answered(q);
    q->first = q->last = 0;
    q->shown = q->read = false;
}
