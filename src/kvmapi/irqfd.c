/*
 * The list of a VM's irqfds. Lines are driven under the controllers' lock, so no interrupt of an irqfd comes after it
 * has left the list.
 */
#include "kvmapi/irqfd.h"

#include "kvmapi/api.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define FLAGS (KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)

static bool resamples(const struct irqfd *f)
{
    return f->resample.fd >= 0;
}

/* Called with the lock held when the event was signalled. */
static void fire(struct irqfd *f)
{
    struct irqchip *chip = f->all->chip;
    if (resamples(f)) {
        irqchip_drive(chip, GSI_RESAMPLE, f->gsi, true);
        return;
    }
    irqchip_drive(chip, GSI_USER, f->gsi, true);
    irqchip_drive(chip, GSI_USER, f->gsi, false);
}

/* Called on the VM's thread. */
static void on_ready(struct host_watch *w, u32 events)
{
    struct irqfd *f = (struct irqfd *)w;
    if (!eventfd_take(&f->event))
        return;
    pthread_mutex_lock(&f->all->chip->lock);
    fire(f);
    pthread_mutex_unlock(&f->all->chip->lock);
}

/* -- signalled by the program's own threads: without a system call of the VM's thread in between -- */

#define NUMBERS 1024

/* By the descriptor's number at KVM_IRQFD; what that stands for now, only the kernel knows. */
static struct irqfd *numbered[NUMBERS]; /* [a] changed with the lock */
static pthread_mutex_t numbers_lock = PTHREAD_MUTEX_INITIALIZER;

static void number_set(int number, const struct irqfd *from, struct irqfd *to)
{
    if (number < 0 || number >= NUMBERS)
        return;
    pthread_mutex_lock(&numbers_lock);
    if (numbered[number] == from)
        __atomic_store_n(&numbered[number], to, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&numbers_lock);
}

/* A signal handler may interrupt whoever holds a lock. */
static bool fire_at_once(struct irqfd *f, int fd)
{
    if (!f || f->pid != getpid() || !eventfd_is_surely(&f->event, fd) || pthread_mutex_trylock(&f->all->chip->lock))
        return false;
    fire(f);
    pthread_mutex_unlock(&f->all->chip->lock);
    return true;
}

bool irqfd_write(int fd, const void *bytes)
{
    u64 value;
    if ((unsigned)fd >= NUMBERS || likely(!__atomic_load_n(&numbered[fd], __ATOMIC_RELAXED)))
        return false;
    if (user_read(&value, (u64)bytes, sizeof(value)) || !value || value == ~0ull ||
        pthread_mutex_trylock(&numbers_lock))
        return false;
    int saved = errno;
    bool done = fire_at_once(numbered[fd], fd);
    errno = saved;
    pthread_mutex_unlock(&numbers_lock);
    return done;
}

/* Called with the lock held when the guest ended an interrupt. The program may raise the level again. */
static void on_ended(void *opaque, u32 gsi)
{
    struct irqfds *all = opaque;
    bool any = false;
    for (struct irqfd *f = all->list; f; f = f->next)
        any |= resamples(f) && f->gsi == gsi;
    if (!any)
        return;
    irqchip_drive(all->chip, GSI_RESAMPLE, gsi, false);
    for (struct irqfd *f = all->list; f; f = f->next) {
        if (resamples(f) && f->gsi == gsi)
            eventfd_signal(&f->resample);
    }
}

void irqfds_init(struct irqfds *all, struct api_host *host, struct irqchip *chip)
{
    *all = (struct irqfds){.host = host, .chip = chip};
    chip->resampling = (struct resampling){.ended = on_ended, .opaque = all};
}

static void irqfd_free(struct irqfd *f)
{
    eventfd_close(&f->event);
    eventfd_close(&f->resample);
    free(f);
}

/* Takes an irqfd out of the list. A level that no other irqfd resamples falls. */
static void leave(struct irqfds *all, struct irqfd **link)
{
    struct irqfd *f = *link;
    bool shared = false;
    number_set(f->event.number, f, NULL);
    pthread_mutex_lock(&all->chip->lock);
    *link = f->next;
    if (resamples(f)) {
        all->chip->resampling.count--;
        for (struct irqfd *other = all->list; other; other = other->next)
            shared |= resamples(other) && other->gsi == f->gsi;
        if (!shared)
            irqchip_drive(all->chip, GSI_RESAMPLE, f->gsi, false);
    }
    pthread_mutex_unlock(&all->chip->lock);
}

void irqfds_destroy(struct irqfds *all)
{
    while (all->list) {
        struct irqfd *f = all->list;
        leave(all, &all->list);
        irqfd_free(f);
    }
}

static int add(struct irqfds *all, const struct kvm_irqfd *k)
{
    struct irqfd *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    *f = (struct irqfd){.watch.ready = on_ready, .all = all, .gsi = k->gsi, .pid = getpid(), .resample.fd = -1};
    int e = eventfd_copy(&f->event, (int)k->fd);
    if (!e && k->flags & KVM_IRQFD_FLAG_RESAMPLE)
        e = eventfd_copy(&f->resample, (int)k->resamplefd);
    for (struct irqfd *other = all->list; other && !e; other = other->next)
        e = eventfd_is(&other->event, (int)k->fd) ? -EBUSY : 0;
    f->watch.fd = f->event.fd;
    if (e) {
        irqfd_free(f);
        return e;
    }
    pthread_mutex_lock(&all->chip->lock);
    f->next = all->list;
    all->list = f;
    all->chip->resampling.count += resamples(f);
    pthread_mutex_unlock(&all->chip->lock);
    /* What was signalled before counts: the descriptor is ready then. */
    e = host_watch_add(all->host, &f->watch, EPOLLIN);
    if (e) {
        leave(all, &all->list);
        irqfd_free(f);
        return e;
    }
    number_set(f->event.number, NULL, f);
    return 0;
}

static void drop(struct irqfds *all, const struct kvm_irqfd *k)
{
    for (struct irqfd **link = &all->list; *link;) {
        struct irqfd *f = *link;
        if (f->gsi != k->gsi || !eventfd_is(&f->event, (int)k->fd)) {
            link = &f->next;
            continue;
        }
        host_watch_remove(all->host, &f->watch);
        leave(all, link);
        irqfd_free(f);
    }
}

int irqfds_change(struct irqfds *all, const struct kvm_irqfd *k)
{
    if (k->flags & ~FLAGS)
        return -EINVAL;
    if (k->flags & KVM_IRQFD_FLAG_DEASSIGN) {
        drop(all, k);
        return 0;
    }
    /* Whoever has the I/O APIC sees the ends of interrupts: only then can we resample. */
    bool resample = k->flags & KVM_IRQFD_FLAG_RESAMPLE;
    if (!irqchip_exists(all->chip) || (resample && all->chip->kind != IRQCHIP_FULL))
        return -EINVAL;
    return add(all, k);
}
