/*
 * A file that is written by a thread of its own: see write_behind.h. The thread sleeps until there is a text. `lock`
 * guards all fields but `path`, and is not held while the disk is waited for.
 */
#include "store/write_behind.h"

#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct write_behind {
    char *path;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *text; /* to be written next; NULL: nothing */
    bool end;
    struct error result;
};

static void *write_loop(void *opaque)
{
    struct write_behind *w = opaque;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->text && !w->end)
            pthread_cond_wait(&w->changed, &w->lock);
        if (!w->text)
            break;
        char *text = w->text;
        struct error result = {0};
        w->text = NULL;
        pthread_mutex_unlock(&w->lock);
        if (file_write_text(AT_FDCWD, w->path, text, &result) == 0)
            result.code = 0;
        free(text);
        pthread_mutex_lock(&w->lock);
        w->result = result;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Signals are for the loop that this thread writes for. */
static int start_thread(struct write_behind *w)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&w->thread, NULL, write_loop, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

struct write_behind *write_behind_new(const char *path)
{
    struct write_behind *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->path = strdup(path);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    if (w->path && start_thread(w) == 0)
        return w;
    free(w->path);
    free(w);
    return NULL;
}

void write_behind_free(struct write_behind *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->end = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->changed);
    free(w->path);
    free(w);
}

void write_behind_put(struct write_behind *w, char *text)
{
    pthread_mutex_lock(&w->lock);
    free(w->text);
    w->text = text;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void write_behind_result(struct write_behind *w, struct error *error)
{
    pthread_mutex_lock(&w->lock);
    *error = w->result;
    pthread_mutex_unlock(&w->lock);
}
