/*
 * QEMU's command line from the definition of a VM. Pure, but for reading which programs and firmware the host has.
 */
#ifndef WORKER_COMMAND_H
#define WORKER_COMMAND_H

#include "store/vm.h"

#include <limits.h>

/* Free places of a VM of generation 2 for devices that are added while it runs: hot0 and so on. */
#define COMMAND_HOT_PORTS 4
#define COMMAND_HOT_PORT "hot"

/* Sockets in the run folder of the VM, by which others reach its QEMU. */
#define SOCKET_QMP "qmp"
#define SOCKET_SERIAL "serial"
#define SOCKET_VNC SOCKETS_OWN "/vnc"
#define SOCKET_QGA SOCKETS_OWN "/qga" /* the port org.qemu.guest_agent.0 */
#define SOCKET_AGENT "agent"          /* the port org.nestbox.agent.0 */
/* The devices of these ports; CHARDEV_QGA is what the first of them has in QEMU. */
#define PORT_QGA "port-qga"
#define CHARDEV_QGA "qga"
#define PORT_AGENT "port-agent"
#define SOCKET_TPM SOCKETS_OWN "/tpm"
#define SOCKET_SHARE SOCKETS_OWN "/share" /* and a number */
/* The folder of sockets that QEMU and its helpers make by themselves. */
#define SOCKETS_OWN "qemu"

struct command {
    const struct store *store;
    const struct vm_def *def;
    const struct card_def *cards; /* of the VM */
    u32 card_count;
    int qmp, serial, agent; /* sockets that listen, as QEMU inherits them */
    u64 memory;             /* what it is started with */
    u64 memory_limit;       /* how far that can grow; no more than that: not at all */
    bool own_user;          /* it is not the user that the verdict on the host's KVM is kept for */
    bool incoming;          /* it waits for a saved state */
    const json_t *machine;  /* as that state needs it (place.h); NULL: as the definition has it */
};

/* Returns the arguments, beginning with this program's path; they end with NULL and are released by command_free.
 * NULL with an error. */
char **command_qemu(const struct command *c, struct error *error);
/* The same for the helpers of a VM: its TPM; a folder that it shares, on a socket that listens. */
char **command_tpm(const struct store *store, const struct vm_def *def, struct error *error);
char **command_share(const struct share_def *share, int socket, struct error *error);
void command_free(char **arguments);

/* The file with variables of UEFI that a new VM gets; NULL: it has a BIOS. */
const char *command_variables(const struct vm_def *def);
/* The node of a drive and of its file, as QMP has them; {"driver": ...} for blockdev-add. NULL: no memory. */
json_t *command_node(const char *node, const char *path, const char *format, bool read_only);
#define NODE_NAME_MAX 32
/* The name of the node that a drive begins with. */
void command_node_name(const struct disk_def *disk, char name[static NODE_NAME_MAX]);
/* A drive as a device of QEMU, `node` being what it reads and writes (NULL: it is empty); what limits it: a group named
 * limits-ID with its limits, and a node above another. NULL: no memory. */
json_t *command_drive(const struct vm_def *def, const struct disk_def *disk, const char *node);
bool command_is_limited(const struct disk_def *disk);
json_t *command_limits(const struct disk_def *disk);
json_t *command_limit_group(const struct disk_def *disk);
json_t *command_limit_node(const struct disk_def *disk, const char *below);
/* What memory of the VM is made of. NULL: no memory. */
json_t *command_memory(const struct vm_def *def, const char *id, u64 size);
/* Memory that is added while the VM runs: its id, and the device that gives it to the guest. NULL: no memory. */
#define COMMAND_MEMORY "added"
#define COMMAND_MEMORY_DEVICE "added-memory"
json_t *command_memory_device(u64 requested);
/* The device of a card and its netdev, for -device and -netdev and for QMP. NULL: no memory. */
json_t *command_card_device(const struct card_def *card, s32 boot_index);
json_t *command_card_netdev(const struct card_def *card, const char *socket);

#endif
