/*
 * Where commands find a switch's process: its lock, in the home folder, and its socket, in the run folder. Both may be
 * removed while it runs. Then they are made again; a process whose lock another one took meanwhile has to end.
 */
#ifndef VSWITCH_PLACE_H
#define VSWITCH_PLACE_H

#include "store/network.h"

#include <limits.h>
#include <sys/un.h>

struct place {
    struct store *store; /* of its own: see clerk.h */
    char name[NAME_MAX_LEN + 1];
    char file_path[PATH_MAX], lock_path[PATH_MAX], socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    u32 undefined;      /* looks in a row that found no definition */
    int lock;           /* -1: not taken */
    int keeper;         /* number of the process that starts this one again (keeper.h); 0: none */
    u64 keeper_started; /* see spawn.h */
    _Atomic u64 socket; /* inode of the socket; 0: not known */
};

/* Takes the lock of a switch. -EALREADY if another process has it. place_leave is called in any case. */
int MUST_CHECK place_take(struct place *place, const char *name, int keeper, struct error *error);
void place_leave(struct place *place);
/* Notes the socket that is there now. */
void place_socket(struct place *place);

enum place_state {
    PLACE_FINE,
    PLACE_NO_SOCKET, /* it is to be made again; its folder is there */
    PLACE_LOST,      /* another process has the lock, or the home folder or the definition is gone */
};
/* Looks, and mends what it can. `error` is filled with PLACE_LOST. Waits for the disk. */
enum place_state place_check(struct place *place, struct error *error);

#endif
