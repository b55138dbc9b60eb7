/*
 * The frames that wait for a port, in lanes by the port that sent them. Lanes take turns, so that who sends much delays
 * his own frames only; a lane whose sender was promised a bandwidth goes first until it has that.
 *
 * The back end of a port takes from the queue either bytes, as a stream has them (each frame behind its length, four
 * bytes in network order), or frames. What has been shown keeps its place until it is taken.
 */
#ifndef VSWITCH_QUEUE_H
#define VSWITCH_QUEUE_H

#include "base/list.h"
#include "vswitch/rate.h"

#include <sys/uio.h>

#define QUEUE_BYTES (1u << 20)  /* a queue is full then: see docs/network.md "Fairness" */
#define QUEUE_EASED (16u << 10) /* room that there must be before a sender that was held goes on */
#define QUEUE_PREFIX 4u         /* the length before a frame */
#define QUEUE_SENDERS 1025      /* the ports of a switch, and the switch itself */

struct chunk;
struct lane;

/* Memory that the queues of a switch share, and their clock. */
struct queue_pool {
    struct chunk *chunk[2]; /* free ones: small, large */
    u32 chunks[2];
    struct lane *lane; /* free ones */
    u64 now_ns;
};

/* Frames one behind the other, each with its length before it. */
struct chunks {
    struct chunk *first, *last;
};

struct queue {
    struct queue_pool *pool;
    struct chunks out; /* shown to the back end, or the next to be shown: their order is settled */
    u32 out_bytes;
    u32 bytes;         /* in all */
    u32 lanes;         /* that have something */
    u32 promised;      /* of those: with a bandwidth that was promised */
    struct link turns; /* lanes that have something; the first is next */
    struct lane *lane[QUEUE_SENDERS];
};

void queue_pool_free(struct queue_pool *pool);
struct queue *queue_new(struct queue_pool *pool); /* NULL: no memory */
void queue_free(struct queue *q);
/* Drops all. Returns how many frames were not taken, or not whole, and adds their length to `bytes`. */
u32 queue_clear(struct queue *q, u64 *bytes);

/* Returns true if a frame of that sender would not exceed the queue, or at least not the sender's equal share of it and
 * what 100 ms of the bandwidth are that it was promised. So a queue has at most QUEUE_BYTES for a flood, half of that
 * for a second one, a third for the next, and so on: less than eight times QUEUE_BYTES for 1024 of them, promises
 * apart. */
bool queue_has_room(const struct queue *q, u32 sender, u32 length);
/* Makes a place for a frame at the end of its sender's lane, whether there is room or not, to be filled by the caller
 * at once. `promised` is in bits per second. NULL: no memory. */
u8 *queue_add(struct queue *q, u32 sender, u64 promised, u32 length);

/* Shows the bytes to be written next. Returns the number of pieces, 0 if nothing waits. */
u32 queue_bytes(struct queue *q, struct iovec *piece, u32 max);
/* Shows the frame to be written next, or returns NULL. */
const u8 *queue_frame(struct queue *q, u32 *length);
/* Takes out that many bytes. A frame has QUEUE_PREFIX more than its length. */
void queue_taken(struct queue *q, size_t bytes);

#endif
