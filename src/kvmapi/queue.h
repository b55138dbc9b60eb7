/*
 * Accesses of a vCPU to devices of the program. A read is deferred: KVM_RUN returns with it, and when the program calls
 * again, the instruction is run again and finds the answer here. A write is noted, and KVM_RUN returns with it when the
 * instruction is done. So an instruction's accesses reach the program one by one and in order, and none comes twice.
 *
 * Called on the vCPU's thread, in KVM_RUN.
 */
#ifndef KVMAPI_QUEUE_H
#define KVMAPI_QUEUE_H

#include "base/types.h"

#define QUEUE_ACCESSES 640 /* enough for an XSAVE image to a device, 8 bytes each */

enum access_kind { ACCESS_MMIO, ACCESS_PIO, ACCESS_EOI };

struct device_access {
    u8 kind; /* enum access_kind */
    u8 size; /* of an element */
    bool write;
    u32 count;   /* of elements: PIO */
    u64 address; /* or the port, or the vector of an EOI */
    u64 data;    /* up to 8 bytes; elements of PIO that have more are in bytes[] */
};

struct api_queue {
    struct device_access answer[QUEUE_ACCESSES]; /* of the instruction that is to run again: reads in order */
    u32 answers, next;                           /* how many, and which comes next */
    struct device_access wait[QUEUE_ACCESSES];   /* to be brought to the program */
    u32 first, last;
    bool shown;     /* wait[first] is what KVM_RUN returned with */
    bool read;      /* the last of them is a read: the instruction waits for it */
    u8 bytes[4096]; /* of the one PIO access with more than 8 bytes */
};

static inline bool queue_waits(const struct api_queue *q)
{
    return q->first != q->last;
}

/* An instruction reads. Returns true with the answer; or false, and the instruction is to leave. */
bool queue_read(struct api_queue *q, struct device_access *access, void *to);
/* An instruction writes `count` elements. Returns false if there is no room, and the write is lost. */
bool queue_write(struct api_queue *q, const struct device_access *access, const void *from);
/* Returns the access that the program is to see next, with its bytes, or NULL. */
struct device_access *queue_show(struct api_queue *q, u8 **bytes);
/* The program has seen that access; `bytes` are the answer to a read. */
void queue_done(struct api_queue *q, const void *bytes);
/* queue_answered: the instruction is done. queue_forget: its state was replaced, and nothing waits any more. */
void queue_answered(struct api_queue *q);
void queue_forget(struct api_queue *q);

#endif
