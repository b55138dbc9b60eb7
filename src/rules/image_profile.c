/*
 * The profiles of images. All have what makes a disk a guest of the manager: the agent, ssh, cloud-init, which takes
 * the VM's name, users and keys from its seed, and what grows the root's file system with the disk.
 */
#include "rules/image_profile.h"

#include <string.h>

#define GUEST "qemu-guest-agent openssh-server cloud-init cloud-guest-utils sudo"

/* clang-format off */
const struct image_profile image_profiles[] = {
    {"debian", "Debian with the guest agent, ssh and cloud-init", GUEST, 8ull << 30},
    {"kvm-host", "the same with QEMU and libvirt: a hypervisor that is ready",
     GUEST " qemu-system-x86 qemu-utils ovmf seabios libvirt-daemon-system libvirt-clients virtinst dnsmasq-base",
     16ull << 30},
    {"container-host", "the same with podman: containers that are ready",
     GUEST " podman crun dbus iptables fuse-overlayfs slirp4netns uidmap netavark aardvark-dns", 16ull << 30},
    {0},
};
/* clang-format on */

const struct image_profile *image_profile_find(const char *name)
{
    for (const struct image_profile *p = image_profiles; p->name; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}
