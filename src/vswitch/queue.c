/*
 * The queue of a port: see queue.h. Frames are copied once, into a chunk of their sender's lane. When the back end asks
 * for more, the lane whose turn it is hands its first chunk over, so turns are taken in pieces of up to LARGE bytes
 * (deficit round robin, where a lane that handed over more than its quantum pays in its next turns).
 */
#include "vswitch/queue.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define SMALL (4u << 10)  /* the first chunk of a lane, so that many lanes with little in them take little */
#define LARGE (32u << 10) /* the others; a frame that is longer has one for itself */
#define QUANTUM LARGE     /* bytes per turn */
#define SHOWN (2 * LARGE) /* bytes whose order is settled before they are written */
#define KEPT 256u         /* free chunks of each size that are not given back */
#define PROMISED_MAX (4u << 20)
#define PROMISE_NS 250000000 /* a lane may catch up that much of what it was promised */

struct chunk {
    struct chunk *next;
    u32 size;
    u32 begin, end; /* what is not taken */
    u32 frame;      /* where the first frame lies that is not taken, or not whole */
    u32 frames;     /* from there on */
    u8 data[];
};

struct lane {
    struct link turn;
    struct lane *next; /* of the free ones */
    struct chunks wait;
    u32 bytes;
    u32 sender;
    s64 credit;            /* bytes that it may hand over in this turn */
    struct bucket promise; /* rate 0: none */
};

static void chunks_push(struct chunks *list, struct chunk *c)
{
    c->next = NULL;
    if (list->last)
        list->last->next = c;
    else
        list->first = c;
    list->last = c;
}

static struct chunk *chunks_pop(struct chunks *list)
{
    struct chunk *c = list->first;
    list->first = c->next;
    if (!list->first)
        list->last = NULL;
    return c;
}

static struct chunk *chunk_new(struct queue_pool *pool, u32 size)
{
    u32 kind = size > SMALL;
    struct chunk *c = pool->chunk[kind];
    if (c && size <= LARGE) {
        pool->chunk[kind] = c->next;
        pool->chunks[kind]--;
    } else {
        c = malloc(sizeof(*c) + size);
        if (!c)
            return NULL;
        c->size = size;
    }
    c->begin = c->end = c->frame = c->frames = 0;
    return c;
}

static void chunk_free(struct queue_pool *pool, struct chunk *c)
{
    u32 kind = c->size > SMALL;
    if (c->size > LARGE || pool->chunks[kind] == KEPT) {
        free(c);
        return;
    }
    c->next = pool->chunk[kind];
    pool->chunk[kind] = c;
    pool->chunks[kind]++;
}

void queue_pool_free(struct queue_pool *pool)
{
    for (u32 kind = 0; kind < 2; kind++) {
        while (pool->chunk[kind]) {
            struct chunk *c = pool->chunk[kind];
            pool->chunk[kind] = c->next;
            free(c);
        }
    }
    while (pool->lane) {
        struct lane *l = pool->lane;
        pool->lane = l->next;
        free(l);
    }
    *pool = (struct queue_pool){0};
}

struct queue *queue_new(struct queue_pool *pool)
{
    struct queue *q = calloc(1, sizeof(*q));
    if (q) {
        q->pool = pool;
        list_init(&q->turns);
    }
    return q;
}

void queue_free(struct queue *q)
{
    if (!q)
        return;
    queue_clear(q, &(u64){0});
    free(q);
}

static struct lane *lane_open(struct queue *q, u32 sender)
{
    struct lane *l = q->pool->lane;
    if (l)
        q->pool->lane = l->next;
    else if (!(l = malloc(sizeof(*l))))
        return NULL;
    *l = (struct lane){.sender = sender};
    list_add(&q->turns, &l->turn);
    q->lane[sender] = l;
    q->lanes++;
    return l;
}

static void lane_promise(struct queue *q, struct lane *l, u64 rate)
{
    q->promised += (rate != 0) - (l->promise.rate != 0);
    bucket_set(&l->promise, rate, PROMISE_NS, q->pool->now_ns);
    l->promise.credit_ns = 0;
}

/* A lane lives while it has something. */
static void lane_close(struct queue *q, struct lane *l)
{
    lane_promise(q, l, 0);
    list_remove(&l->turn);
    q->lane[l->sender] = NULL;
    q->lanes--;
    l->next = q->pool->lane;
    q->pool->lane = l;
}

u32 queue_clear(struct queue *q, u64 *bytes)
{
    u32 frames = 0;
    while (!list_empty(&q->turns)) {
        struct lane *l = container_of(q->turns.after, struct lane, turn);
        while (l->wait.first)
            chunks_push(&q->out, chunks_pop(&l->wait));
        lane_close(q, l);
    }
    while (q->out.first) {
        struct chunk *c = chunks_pop(&q->out);
        frames += c->frames;
        *bytes += c->end - c->frame - c->frames * QUEUE_PREFIX;
        chunk_free(q->pool, c);
    }
    q->out_bytes = q->bytes = 0;
    return frames;
}

/* What is promised can be had only if it is there when the receiver takes something: 100 ms of it. */
static u32 room_promised(u64 rate)
{
    u64 bytes = rate / 8 / 10;
    return bytes < PROMISED_MAX ? (u32)bytes : PROMISED_MAX;
}

bool queue_has_room(const struct queue *q, u32 sender, u32 length)
{
    u32 more = QUEUE_PREFIX + length;
    if (q->bytes + more <= QUEUE_BYTES)
        return true;
    const struct lane *l = q->lane[sender];
    return !l || l->bytes + more <= QUEUE_BYTES / q->lanes + room_promised(l->promise.rate);
}

u8 *queue_add(struct queue *q, u32 sender, u64 promised, u32 length)
{
    struct lane *l = q->lane[sender];
    u32 more = QUEUE_PREFIX + length;
    if (!l && !(l = lane_open(q, sender)))
        return NULL;
    if (l->promise.rate != promised)
        lane_promise(q, l, promised);
    struct chunk *c = l->wait.last;
    if (!c || c->size - c->end < more) {
        u32 size = l->bytes ? LARGE : SMALL;
        c = chunk_new(q->pool, more > LARGE ? more : more > size ? LARGE : size);
        if (!c) {
            if (!l->bytes)
                lane_close(q, l);
            return NULL;
        }
        chunks_push(&l->wait, c);
    }
    u8 *place = c->data + c->end;
    memcpy(place, &(u32){htobe32(length)}, QUEUE_PREFIX);
    c->end += more;
    c->frames++;
    l->bytes += more;
    q->bytes += more;
    return place + QUEUE_PREFIX;
}

/* The first lane that has not had what it was promised, or NULL. */
static struct lane *lane_promised(struct queue *q)
{
    struct link *end = &q->turns;
    for (struct link *at = q->promised ? end->after : end; at != end; at = at->after) {
        struct lane *l = container_of(at, struct lane, turn);
        if (!l->promise.rate)
            continue;
        bucket_refill(&l->promise, q->pool->now_ns);
        if (l->promise.credit_ns > 0)
            return l;
    }
    return NULL;
}

/* The lane whose turn it is. There is one that has something. */
static struct lane *lane_next(struct queue *q)
{
    for (;;) {
        struct lane *l = container_of(q->turns.after, struct lane, turn);
        if (l->credit > 0)
            return l;
        l->credit += QUANTUM;
        list_remove(&l->turn);
        list_add(&q->turns, &l->turn);
    }
}

static void settle(struct queue *q)
{
    while (q->lanes && q->out_bytes < SHOWN) {
        struct lane *l = lane_promised(q);
        bool by_promise = l;
        if (!l)
            l = lane_next(q);
        struct chunk *c = chunks_pop(&l->wait);
        if (by_promise)
            bucket_take(&l->promise, c->end);
        else
            l->credit -= c->end;
        l->bytes -= c->end;
        q->out_bytes += c->end;
        chunks_push(&q->out, c);
        if (!l->bytes)
            lane_close(q, l);
    }
}

u32 queue_bytes(struct queue *q, struct iovec *piece, u32 max)
{
    u32 n = 0;
    settle(q);
    for (struct chunk *c = q->out.first; c && n < max; c = c->next)
        piece[n++] = (struct iovec){c->data + c->begin, c->end - c->begin};
    return n;
}

static u32 frame_length(const struct chunk *c, u32 at)
{
    u32 length;
    memcpy(&length, c->data + at, QUEUE_PREFIX);
    return be32toh(length);
}

const u8 *queue_frame(struct queue *q, u32 *length)
{
    settle(q);
    struct chunk *c = q->out.first;
    if (!c)
        return NULL;
    *length = frame_length(c, c->frame);
    return c->data + c->frame + QUEUE_PREFIX;
}

void queue_taken(struct queue *q, size_t bytes)
{
    while (bytes) {
        struct chunk *c = q->out.first;
        u32 n = c->end - c->begin;
        if (bytes < n)
            n = (u32)bytes;
        bytes -= n;
        q->bytes -= n;
        q->out_bytes -= n;
        c->begin += n;
        if (c->begin == c->end) {
            chunk_free(q->pool, chunks_pop(&q->out));
            continue;
        }
        for (u32 end; (end = c->frame + QUEUE_PREFIX + frame_length(c, c->frame)) <= c->begin; c->frame = end)
            c->frames--;
    }
}
