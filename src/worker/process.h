/*
 * The worker: the process of one running VM. `nestbox worker` calls worker_run.
 */
#ifndef WORKER_PROCESS_H
#define WORKER_PROCESS_H

#include "base/error.h"

/* Sockets and files in the run folder of the VM. */
#define WORKER_SOCKET "control"
#define WORKER_FILE "worker.json"
#define WORKER_LOCK "worker.lock"
#define WORKER_LOG "worker.log"

/*
 * Serves a VM until it is off or saved. With `start` it starts the VM, otherwise it finds its QEMU running: -ESRCH if
 * there is none. Through the descriptor `ready`, unless that is -1, the starter gets one struct error: code 0 when the
 * VM runs; -EINPROGRESS when that takes longer, and the control socket is there to be asked. Returns 0 or an error;
 * -EALREADY if another worker serves this VM.
 */
int MUST_CHECK worker_run(const char *vm, bool start, int ready, struct error *error);

#endif
