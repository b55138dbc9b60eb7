/*
 * The thread that waits for the disk: see clerk.h. `lock` guards the lists and `end`; it is not held while the disk is
 * waited for. Jobs are done in the order in which they came.
 */
#include "vswitch/clerk.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define LOOK_S 1
#define LINES_MAX 256 /* that wait; a disk that takes no more loses the others */
#define END_S 2

struct job {
    struct job *next;
    char *vm, *line; /* to be logged; NULL: something is to be read */
    struct clerk_reading reading;
};

struct jobs {
    struct job *first, **last;
};

struct clerk {
    struct vswitch *sw;
    struct place *place;
    struct clerk_events *events;
    struct watch done_watch; /* an eventfd */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct jobs wanted, done;
    u32 lines;
    bool end, no_socket, lost;
    struct error why; /* of lost */
};

static void add(struct jobs *jobs, struct job *job)
{
    job->next = NULL;
    *jobs->last = job;
    jobs->last = &job->next;
}

static struct job *take(struct jobs *jobs)
{
    struct job *job = jobs->first;
    if (job && !(jobs->first = job->next))
        jobs->last = &jobs->first;
    return job;
}

static void free_job(struct job *job)
{
    free(job->vm);
    free(job->line);
    free(job->reading.about);
    free(job);
}

/* -- the thread -- */

static void wake_switch(struct clerk *c)
{
    (void)!write(c->done_watch.fd, &(u64){1}, sizeof(u64));
}

static void read_defined(struct clerk *c, struct clerk_reading *r)
{
    r->error.code = definitions_read(c->place->store, c->place->name, false, &r->wanted, &r->error);
}

static void look(struct clerk *c)
{
    struct error why;
    enum place_state state = place_check(c->place, &why);
    pthread_mutex_lock(&c->lock);
    c->no_socket = state == PLACE_NO_SOCKET;
    c->lost = state == PLACE_LOST;
    if (c->lost)
        c->why = why;
    pthread_mutex_unlock(&c->lock);
    if (state != PLACE_FINE)
        wake_switch(c);
}

/* Waits for a job, for as long as nothing is to be looked at. NULL: there is none. Called with the lock. */
static struct job *wait_for_job(struct clerk *c)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOOK_S;
    while (!c->wanted.first && !c->end)
        if (pthread_cond_timedwait(&c->changed, &c->lock, &until))
            break;
    return take(&c->wanted);
}

static void *work(void *opaque)
{
    struct clerk *c = opaque;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        struct job *job = wait_for_job(c);
        if (!job && c->end)
            break;
        pthread_mutex_unlock(&c->lock);
        if (!job)
            look(c);
        else if (job->line)
            store_vm_log(c->place->store, job->vm, job->line);
        else
            read_defined(c, &job->reading);
        pthread_mutex_lock(&c->lock);
        if (job && job->line) {
            c->lines--;
            free_job(job);
        } else if (job) {
            add(&c->done, job);
            wake_switch(c);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* -- the switch's thread -- */

static void done(struct watch *watch, u32 events)
{
    struct clerk *c = container_of(watch, struct clerk, done_watch);
    struct job *job;
    struct error why;
    u64 count;
    (void)!read(watch->fd, &count, sizeof(count));
    for (;;) {
        pthread_mutex_lock(&c->lock);
        bool no_socket = c->no_socket, lost = c->lost;
        why = c->why;
        c->no_socket = c->lost = false;
        job = take(&c->done);
        pthread_mutex_unlock(&c->lock);
        if (no_socket || lost)
            c->events->missed(c->events, lost ? &why : NULL);
        if (!job)
            return;
        c->events->read(c->events, &job->reading);
        free_job(job);
    }
}

/* Signals are for the switch's thread. */
static int start_thread(struct clerk *c)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&c->thread, NULL, work, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -err;
}

static void init_lock(struct clerk *c)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&c->lock, NULL);
}

struct clerk *clerk_new(struct vswitch *sw, struct place *place, struct clerk_events *events, struct error *error)
{
    struct clerk *c = calloc(1, sizeof(*c));
    if (!c) {
        error_memory(error);
        return NULL;
    }
    *c = (struct clerk){.sw = sw, .place = place, .events = events};
    c->wanted.last = &c->wanted.first;
    c->done.last = &c->done.first;
    c->done_watch = (struct watch){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), done};
    init_lock(c);
    int e = c->done_watch.fd < 0 ? -errno : vswitch_watch(sw, &c->done_watch, EPOLLIN);
    if (!e)
        e = start_thread(c);
    if (!e)
        return c;
    error_thread(error, e, "the thread that reads what is defined");
    if (c->done_watch.fd >= 0)
        close(c->done_watch.fd);
    free(c);
    return NULL;
}

bool clerk_free(struct clerk *c)
{
    struct timespec until;
    struct job *job;
    if (!c)
        return true;
    vswitch_unwatch(c->sw, &c->done_watch);
    pthread_mutex_lock(&c->lock);
    c->end = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += END_S;
    if (pthread_clockjoin_np(c->thread, NULL, CLOCK_MONOTONIC, &until))
        return false;
    while ((job = take(&c->done))) {
        if (!job->reading.error.code)
            definitions_free(&job->reading.wanted);
        free_job(job);
    }
    close(c->done_watch.fd);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return true;
}

static void order(struct clerk *c, struct job *job)
{
    pthread_mutex_lock(&c->lock);
    if (job->line && c->lines == LINES_MAX) {
        free_job(job);
    } else {
        c->lines += job->line != NULL;
        add(&c->wanted, job);
        pthread_cond_signal(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
}

int clerk_read(struct clerk *c, u64 asker, const char *about)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job)
        job->reading = (struct clerk_reading){.asker = asker, .about = about ? strdup(about) : NULL};
    if (!job || (about && !job->reading.about)) {
        free(job);
        return -ENOMEM;
    }
    order(c, job);
    return 0;
}

void clerk_log(struct clerk *c, const char *vm, const char *line)
{
    struct job *job = calloc(1, sizeof(*job));
    if (!job)
        return;
    job->vm = strdup(vm);
    job->line = strdup(line);
    if (job->vm && job->line)
        order(c, job);
    else
        free_job(job);
}
