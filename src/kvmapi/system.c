/*
 * /dev/kvm itself: opening it, what is asked of it, and the creation of VMs.
 */
#include "kvmapi/system.h"

#include "accel/engine_host.h"
#include "kvmapi/api.h"
#include "kvmapi/descriptor.h"
#include "kvmapi/settings.h"
#include "kvmapi/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_once_t rate_once = PTHREAD_ONCE_INIT;
static u64 rate;

static void rate_measure(void)
{
    rate = engine_host_tsc_khz();
}

u64 api_tsc_khz(void)
{
    pthread_once(&rate_once, rate_measure);
    return rate;
}

bool system_serves(void)
{
    return api_settings()->serve;
}

/* What /proc says of a file of that name. */
static bool is_file(const char *link, const char *name)
{
    char expected[64];
    snprintf(expected, sizeof(expected), "/memfd:%s (deleted)", name);
    return !strcmp(link, expected);
}

int system_adopt(int fd)
{
    char path[32], link[64];
    if (!system_serves())
        return -ENOTTY;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, link, sizeof(link) - 1);
    link[n < 0 ? 0 : n] = 0;
    if (is_file(link, SYSTEM_NAME))
        return file_add(fd, FILE_SYSTEM, NULL, NULL, NULL) == fd ? 0 : -ENOTTY;
    if (!is_file(link, SYSTEM_NAME_VM) && !is_file(link, SYSTEM_NAME_VCPU))
        return -ENOTTY;
    return file_find(fd) ? 0 : -EIO;
}

int system_file(const char *name, size_t size, bool close_on_exec)
{
    int fd = memfd_create(name, MFD_ALLOW_SEALING | (close_on_exec ? MFD_CLOEXEC : 0));
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
        int e = -errno;
        close_raw(fd);
        return e;
    }
    return fd;
}

int system_open(int flags)
{
    if (flags & O_DIRECTORY)
        return -ENOTDIR;
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        return -EEXIST;
    const struct api_settings *s = api_settings();
    if (s->error.code) {
        fprintf(stderr, "nestbox kvm: %s\n", s->error.text);
        return -EINVAL;
    }
    api_tsc_khz(); /* now: a seccomp filter may come later */
    int fd = system_file(SYSTEM_NAME, 0, flags & O_CLOEXEC);
    return fd < 0 ? fd : file_add(fd, FILE_SYSTEM, NULL, NULL, NULL);
}

static long get_api_version(struct api_arg *arg)
{
    return arg->value ? -EINVAL : KVM_API_VERSION;
}

static long get_mmap_size(struct api_arg *arg)
{
    return arg->value ? -EINVAL : (long)API_MMAP_SIZE;
}

int api_cap_value(struct api_vm *vm, u32 number)
{
    const struct api_cap *cap = api_cap_find(number);
    int value = !cap ? 0 : cap->check ? cap->check(vm) : cap->value;
    if (!cap)
        api_trace(API_TRACE_UNKNOWN, "capability %u is not offered", number);
    return value;
}

static long check_extension(struct api_arg *arg)
{
    return api_cap_value(NULL, (u32)arg->value);
}

static long create_vm(struct api_arg *arg)
{
    return arg->value ? -EINVAL : vm_open();
}

static const struct api_ioctl ioctls[] = {
    API_SYSTEM(KVM_GET_API_VERSION, get_api_version),
    API_SYSTEM(KVM_CHECK_EXTENSION, check_extension),
    API_SYSTEM(KVM_GET_VCPU_MMAP_SIZE, get_mmap_size),
    API_SYSTEM(KVM_CREATE_VM, create_vm),
    {0},
};

const struct api_part system_part = {.name = "system", .ioctls = ioctls};
