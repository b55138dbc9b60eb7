/*
 * What networks need of the host: see doctor_networks.h. Nothing is made or changed.
 */
#include "cli/doctor_networks.h"

#include "process/program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_MAX 64

static int find_device(struct error *error)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), err = errno;
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    error_set(error, -err, "/dev/net/tun cannot be opened: %s", strerror(err));
    return err == ENOENT || err == ENODEV ? error_hint(error, "as root: modprobe tun") : error->code;
}

static int find_host(struct error *error)
{
    if (geteuid() == 0)
        return find_device(error);
    error_set(error, -EPERM, "an interface of the host takes CAP_NET_ADMIN");
    return error_hint(error, "run such switches as root");
}

static int find_kernel(struct error *error)
{
    static const struct {
        const char *program, *package;
    } needed[] = {{"nft", "nftables"}, {"dnsmasq", "dnsmasq-base"}, {"setpriv", "util-linux"}};
    char path[PROGRAM_MAX];
    int e = find_host(error);
    for (size_t i = 0; i < ARRAY_LEN(needed) && !e; i++)
        e = program_locate(needed[i].program, needed[i].package, path, sizeof(path), error);
    return e;
}

void doctor_networks_find(struct doctor_networks *networks)
{
    if (!find_host(&networks->host))
        error_begin(&networks->host, 0);
    if (!find_kernel(&networks->kernel))
        error_begin(&networks->kernel, 0);
}
