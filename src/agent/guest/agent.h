/*
 * The program nestbox-agent, which runs in guests: one process with one thread that sleeps in its loop
 * (process/loop.h). A peer is a host, or its end of a stream; each has sessions, and each session is a process. Nothing
 * in this process opens a file of the guest's disks once it runs: a disk may be frozen or gone, and the host must still
 * be answered.
 */
#ifndef AGENT_GUEST_AGENT_H
#define AGENT_GUEST_AGENT_H

#include "agent/frame.h"
#include "process/loop.h"

#include <sys/types.h>

#define PROGRAM_TEXT "nestbox-agent 0.1.0"

struct agent {
    struct loop loop;
    u64 instance;
    struct link peers;
};

/* -- peer.c: streams -- */

/* Takes a stream, whose descriptor is non-blocking. `port`: it is one that stays when the other side goes. NULL if
 * there is no memory; the descriptor is closed then. */
struct peer *peer_new(struct agent *agent, int fd, bool port);
/* Ends its sessions, and closes it. */
void peer_free(struct peer *peer);
void peer_send(struct peer *peer, enum frame_type type, u32 part, u32 session, const void *body, u32 length);
/* May a session send data? If not, sessions_resume is called when it may. */
bool peer_has_room(struct peer *peer);
struct agent *peer_agent(const struct peer *peer);
struct peer *peer_of(struct link *link); /* of agent->peers */
/* The sessions' list. */
struct link *peer_sessions(struct peer *peer);

/* -- session.c -- */

/* A frame that belongs to a session. Returns false if the peer breaks the protocol. */
bool MUST_CHECK session_frame(struct peer *peer, const struct frame *frame);
/* Ends all sessions of the peer: their processes get SIGHUP, as from a terminal that is gone. */
void sessions_end(struct peer *peer);
void sessions_resume(struct peer *peer);
/* A process that was waited for. */
void sessions_child(struct agent *agent, pid_t pid, int status);

#endif
