/*
 * One running VM, as the files of this folder share it. All of it belongs to the worker's one thread.
 */
#ifndef WORKER_INSIDE_H
#define WORKER_INSIDE_H

#include "process/control.h"
#include "rules/vm_state.h"
#include "store/merge.h"
#include "worker/command.h"
#include "worker/confine.h"
#include "worker/console.h"
#include "worker/cpu_limit.h"
#include "worker/guest.h"
#include "worker/memory.h"
#include "worker/pulse.h"
#include "worker/qmp.h"

#define SECOND_NS 1000000000ull
#define ASKERS_MAX 16
#define GIVEN_MAX 64
#define GIVEN_NAME 40
#define LISTENERS_MAX 16
#define HELPERS_MAX (VM_SHARES_MAX + 1)

/* A program that was started and lives on without us. */
struct helper {
    char name[16];
    pid_t pid; /* 0: none */
    u64 started;
};

/* What is under way and passes by itself. */
enum job {
    JOB_NONE,
    JOB_START,
    JOB_LOAD,
    JOB_SHUT_DOWN,
    JOB_TURN_OFF,
    JOB_PAUSE,
    JOB_RESUME,
    JOB_SAVE,
    JOB_CHECKPOINT
};

/* Who waits for the guest's agent. */
struct ready_asker {
    u64 asker; /* 0: nobody */
    u64 since_ns, until_ns;
};

struct worker {
    struct store *store;
    struct vm_def def;
    struct card_def *cards; /* those of the VM come first */
    u32 card_count, all_cards;
    struct loop loop;
    struct control *control;
    struct qmp *qmp;
    struct qmp_events events;
    struct console *console;
    struct guest *guest; /* its agent; NULL: QEMU has no port yet */
    struct ready_asker ready_asker[ASKERS_MAX];
    struct alarm ready_tick;
    u64 agent_logged_ns; /* when the log last had something of the agent */
    struct qmp_call ports;
    u64 qga_ns;       /* when QEMU's agent in the guest opened its port; 0: it is closed */
    u64 freeze_asker; /* who waits until file systems are frozen or thawed; 0: nobody */
    struct helper qemu, helper[HELPERS_MAX];
    u32 helpers;
    struct watch ended;        /* QEMU's pidfd */
    struct confined *confined; /* NULL: another worker started it */
    bool connected;            /* QEMU is reached by QMP */

    enum vm_state state;
    s64 since, started; /* seconds since 1970: of the state, of the VM */
    s64 began;          /* the same, of the guest: its last reset; 0: none since the start */
    enum job job;
    enum vm_state before; /* the state to go back to if the job fails */
    u64 job_began_ns, deadline_ns;
    u64 asker[ASKERS_MAX]; /* who waits for the job to end */
    u32 askers;
    struct alarm tick;    /* once per second while something is under way */
    struct qmp_call step; /* of the job: one at a time */
    void (*step_done)(struct worker *w, json_t *result, const struct error *error);
    enum job step_job;
    struct error problem;         /* of the VM as it is; code 0: none */
    struct qmp_call stopped_call; /* why nobody asked for a stop; done is NULL: not under way */
    bool given_up;                /* QEMU runs its CPUs only after a reset */
    struct error verdict;         /* how the start ended, for the starter */
    int ready;                    /* whom to report the start to; -1: nobody, or done */
    bool quitting;                /* QEMU was asked to end */
    bool shuts_down;              /* QEMU has said so */
    bool host_stops;              /* QEMU ends because the host ends its processes */
    u64 reset_ns;                 /* when the VM was reset from outside; 0: that is over */

    json_t *machine; /* what the saved state that is loaded or written needs of it (place.h); NULL: none */
    int state_fd;    /* the file that is saved to or loaded from; -1: none */
    u64 saved_bytes, total_bytes;
    struct alarm poll;
    struct checkpoint_job {
        json_t *request; /* NULL: none is under way */
        size_t disk;     /* whose turn it is */
        int number;      /* of its node */
        struct error verdict;
    } checkpoint;

    struct merging {
        enum { MERGE_NOTHING, MERGE_ASKS, MERGE_RUNS } phase;
        struct merge now;
        u32 from;                     /* where the search goes on: store/merge.h */
        char tried[256];              /* which was the last */
        char top_node[NODE_NAME_MAX]; /* of the file on top; empty: another worker began */
        bool again;                   /* the job is cancelled, to begin anew */
        bool ended;                   /* QEMU has reported the end of what it has not yet answered */
        struct qmp_call call, poll_call, write_call;
        bool polling;
        struct alarm poll;
        u64 done, total;
        void (*then)(struct worker *w); /* waits until nothing is merged; NULL: nobody does */
    } merging;
    u64 memory_started; /* what QEMU was started with, which the definition need not have any more */
    u64 memory_limit;   /* how far it can grow */
    struct memory *memory;
    struct meter *meter;
    struct alarm pulse; /* pulse.c */
    u32 beats;
    struct cpu_use cpu; /* of QEMU */
    struct cpu_limit cpu_limit;
    char limits_note[256]; /* why limits of CPUs are not in force; empty: they are, or there are none */

    bool stopped_by_disk;
    u64 disk_stop_ns, disk_retry_ns; /* when that began; when it was tried again */
    struct alarm retry;
    char full_disk[ID_TEXT_MAX];

    struct given { /* images that were added while the VM runs: give.c */
        char node[NODE_NAME_MAX];
        int fd; /* has QEMU's locks of it */
    } given[GIVEN_MAX];
    u32 given_count;

    int listener[LISTENERS_MAX]; /* connections that get events */
    u32 listeners;
};

/* process.c */
/* Writes worker.json, by which another worker finds this VM. */
void worker_record(struct worker *w);
void worker_set_state(struct worker *w, enum vm_state state);
/* A line in the VM's log. */
void worker_log(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* {"event": name, ...} for those who listen. `data` is released; NULL: nothing more. */
void worker_tell(struct worker *w, const char *name, json_t *data);

/* Reads the cards of all VMs, those of this one first. The caller releases the ones that were there. */
int MUST_CHECK worker_read_cards(struct worker *w, struct error *error);

/* pulse.c */
void pulse_beat(struct alarm *alarm);

/* meter.c */
struct meter *meter_begin(struct worker *w);
void meter_end(struct meter *m);
void meter_beat(struct meter *m);
int meter_ask(void *opaque, const json_t *request, json_t *reply, struct error *error);

/* change.c */
int change_take(void *opaque, const json_t *request, json_t *reply, struct error *error);
void change_limit_cpu(struct worker *w);

/* job.c: what takes its time. */
/* Begins one: the VM is in a passing state until job_end. */
void job_begin(struct worker *w, enum job job, enum vm_state through, u64 patience_ns);
/* It is done, and the VM in that state; or, with an error, where it was before. Answers all who wait. */
void job_end(struct worker *w, enum vm_state next, const struct error *error);
/* Whoever asks now waits for the job to end. Returns CONTROL_LATER or an error. */
int MUST_CHECK job_wait(struct worker *w, struct error *error);
/* Sends a command of the job. `done` is called unless another job began meanwhile, or QEMU went. */
void job_step(struct worker *w, const char *command, json_t *arguments,
              void (*done)(struct worker *w, json_t *result, const struct error *error));
void job_tick(struct alarm *alarm);
/* QEMU has reset the VM. */
void job_was_reset(struct worker *w);
int job_stop(void *opaque, const json_t *request, json_t *reply, struct error *error);
int job_pause(void *opaque, const json_t *request, json_t *reply, struct error *error);
int job_resume(void *opaque, const json_t *request, json_t *reply, struct error *error);
int job_reset(void *opaque, const json_t *request, json_t *reply, struct error *error);
int job_wait_request(void *opaque, const json_t *request, json_t *reply, struct error *error);

/* launch.c: QEMU and the helpers, from nothing or found running. */
int MUST_CHECK launch(struct worker *w, struct error *error);
/* Finds the QEMU that an earlier worker started. -ESRCH: there is none. */
int MUST_CHECK adopt(struct worker *w, struct error *error);
/* The line that QEMU printed last, for an error. */
void launch_last_words(const struct worker *w, char *text, size_t size);
/* Notes in the log how QEMU is not confined. */
void launch_confined(struct worker *w);
/* Ends helpers and removes sockets. */
void launch_clean(struct worker *w);

/* save.c */
void save_begin(struct worker *w);
/* QEMU waits for the saved state. */
void load_begin(struct worker *w);
void save_poll(struct alarm *alarm);
/* Of a save that an earlier worker began: it is undone. */
void save_undo(struct worker *w);
int MUST_CHECK save_discard(struct store *store, const char *vm, struct error *error);

/* guest_ask.c */
void guest_changed(void *opaque, bool ready);
/* A program in the guest opened or closed a port. */
void guest_port_changed(struct worker *w, const char *id, bool open);
/* Asks QEMU which are open. */
void guest_ask_ports(struct worker *w);
void guest_ready_tick(struct alarm *alarm);
/* The VM is no more. */
void guest_over(struct worker *w, const char *why);
int guest_ask_agent(void *opaque, const json_t *request, json_t *reply, struct error *error);
void guest_take_agent(void *opaque, const json_t *request, int fd);
int guest_ask_ready(void *opaque, const json_t *request, json_t *reply, struct error *error);
int guest_ask_freeze(void *opaque, const json_t *request, json_t *reply, struct error *error);
int guest_ask_thaw(void *opaque, const json_t *request, json_t *reply, struct error *error);

/* Writes memory and devices to state_fd; the job's own function is called at the end. */
void save_write(struct worker *w);

/* checkpoint.c */
int checkpoint_begin(void *opaque, const json_t *request, json_t *reply, struct error *error);
void checkpoint_moved(struct worker *w, const struct error *error);

/* merge.c: images that deleted checkpoints left. */
/* Goes on with what is to be merged, if the VM is in a state for it. */
void merge_begin(struct worker *w);
/* Calls `then` when nothing is merged any more, for what QEMU does not do meanwhile; after a while, or at once. */
void merge_quiet(struct worker *w, void (*then)(struct worker *w));
void merge_event(struct worker *w, const char *name, const json_t *data);
void merge_poll(struct alarm *alarm);
/* What is under way, as `show` has it. */
json_t *merge_json(const struct worker *w);
int merge_request(void *opaque, const json_t *request, json_t *reply, struct error *error);

/* give.c: files for QEMU, which opens none for writing that it did not have when it started. */
/* Opens a file in each of the modes for QEMU and writes the name by which it finds that. False if it cannot be opened.
 */
bool MUST_CHECK give_file(struct worker *w, const char *path, const int *modes, u32 count,
                          char name[static GIVEN_NAME]);
/* Gives it the image of a node that is added, unless it lies in the VM's folder. */
int MUST_CHECK give_image(struct worker *w, json_t *node, struct error *error);
/* The node has been deleted; NULL: all have. */
void give_back(struct worker *w, const char *node);

/* disk_error.c: a disk of the host that is full. */
void disk_error_event(struct worker *w, const json_t *data);
void disk_error_retry(struct alarm *alarm);

/* report.c */
/* Of each drive what it read and wrote: QEMU's counters by the drive's id. */
json_t *report_drives(const json_t *blocks);
int report_show(void *opaque, const json_t *request, json_t *reply, struct error *error);
int report_stats(void *opaque, const json_t *request, json_t *reply, struct error *error);
int report_qmp(void *opaque, const json_t *request, json_t *reply, struct error *error);
int report_screenshot(void *opaque, const json_t *request, json_t *reply, struct error *error);

#endif
