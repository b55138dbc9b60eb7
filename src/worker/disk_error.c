/*
 * A file system of the host that is full: QEMU has stopped the VM before the guest saw an error. The VM says which disk
 * it is, and goes on by itself when there is room again; after a time it is turned off, as its settings say.
 */
#include "worker/inside.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROOM_NEEDED (64ull << 20)
#define RETRY_NS SECOND_NS
#define SOON_NS (10 * SECOND_NS)       /* an error so soon after the last try is the same one */
#define OTHER_RETRY_NS (5 * SECOND_NS) /* of an error that is no want of room */

static const struct disk_def *disk_of(const struct worker *w, const char *id)
{
    size_t length = id ? strcspn(id, "-") : 0;
    for (u32 i = 0; i < w->def.disks; i++)
        if (length && strlen(w->def.disk[i].id) == length && memcmp(w->def.disk[i].id, id, length) == 0)
            return &w->def.disk[i];
    return NULL;
}

void disk_error_event(struct worker *w, const json_t *data)
{
    const char *action = json_string_value(json_object_get(data, "action"));
    const char *node = json_string_value(json_object_get(data, "node-name"));
    const char *reason = json_string_value(json_object_get(data, "reason"));
    bool full = json_is_true(json_object_get(data, "nospace"));
    const struct disk_def *disk = disk_of(w, node);
    char path[PATH_MAX] = "";
    struct error ignored;
    if (disk)
        (void)!store_disk_path(w->store, &w->def, disk, path, sizeof(path), &ignored);
    if (!action || strcmp(action, "stop") != 0) {
        worker_log(w, "%s: %s: the guest gets the error", disk ? disk->id : "a disk", reason ? reason : "an error");
        return;
    }
    error_set(&w->problem, full ? -ENOSPC : -EIO, "VM %s is paused: %s %.160s%s%s", w->def.name,
              disk ? disk->id : "a disk", path, full ? ": the host has no room for it" : ": ",
              full     ? ""
              : reason ? reason
                       : "an error");
    error_hint(&w->problem, full ? "it goes on by itself as soon as there is room" : "it is tried again");
    worker_log(w, "%s", w->problem.text);
    snprintf(w->full_disk, sizeof(w->full_disk), "%s", disk ? disk->id : "");
    if (!w->stopped_by_disk && w->loop.now_ns - w->disk_retry_ns > SOON_NS)
        w->disk_stop_ns = w->loop.now_ns;
    w->stopped_by_disk = true;
    loop_alarm(&w->loop, &w->retry, w->loop.now_ns + (full ? RETRY_NS : OTHER_RETRY_NS));
}

static bool has_room(const struct worker *w)
{
    const struct disk_def *disk = disk_of(w, w->full_disk);
    char path[PATH_MAX];
    struct statvfs fs;
    struct error ignored;
    if (!disk || w->problem.code != -ENOSPC || store_disk_path(w->store, &w->def, disk, path, sizeof(path), &ignored))
        return true;
    return statvfs(path, &fs) || (u64)fs.f_bavail * fs.f_frsize >= ROOM_NEEDED;
}

void disk_error_retry(struct alarm *alarm)
{
    struct worker *w = container_of(alarm, struct worker, retry);
    if (!w->stopped_by_disk || w->job)
        return;
    if (w->loop.now_ns - w->disk_stop_ns > w->def.set.error_timeout_ms * 1000000ull) {
        worker_log(w, "turned off, because the disk did not come back");
        w->quitting = true;
        job_begin(w, JOB_TURN_OFF, VM_STOPPING, 5 * SECOND_NS);
        qmp_send(w->qmp, "quit", NULL, NULL);
    } else if (has_room(w)) {
        worker_log(w, "goes on: %s is tried again", w->full_disk[0] ? w->full_disk : "the disk");
        w->stopped_by_disk = false;
        w->disk_retry_ns = w->loop.now_ns;
        error_begin(&w->problem, 0);
        qmp_send(w->qmp, "cont", NULL, NULL);
    } else {
        loop_alarm(&w->loop, &w->retry, w->loop.now_ns + RETRY_NS);
    }
}
