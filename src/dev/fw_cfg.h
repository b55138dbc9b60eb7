/*
 * fw_cfg: how firmware and guests read the machine's configuration, in QEMU's documented layout
 * ("QEMU Firmware Configuration (fw_cfg) Device").
 *
 * Windows (ports):
 *   0x510, 2 bytes: fw_cfg_ops     (16-bit selector at 0; data byte at 1)
 *   0x514, 8 bytes: fw_cfg_dma_ops (big-endian address register)
 */
#ifndef DEV_FW_CFG_H
#define DEV_FW_CFG_H

#include "bus/bus.h"
#include "bus/device.h"
#include "ram/ram.h"

enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
};
#define FW_CFG_FILES 32
#define FW_CFG_KEYS (FW_CFG_FILE_FIRST + FW_CFG_FILES)

struct fw_cfg_item {
    const void *data; /* owned by the machine unless `own` */
    u32 size;
    u8 own[8]; /* small numbers live here */
};

struct fw_cfg_config {
    u32 vcpus;
    u64 ram_size;
    struct ram *ram; /* guest memory for the DMA interface; NULL: no such interface */
};

struct fw_cfg {
    struct fw_cfg_config config;
    struct fw_cfg_item item[FW_CFG_KEYS];
    char file_name[FW_CFG_FILES][56];
    u32 files;
    u8 directory[4 + 64 * FW_CFG_FILES];
    u16 key;
    u32 offset;
    u64 dma_address;
};

extern const struct bus_ops fw_cfg_ops, fw_cfg_dma_ops;
extern const struct device_ops fw_cfg_device;

void fw_cfg_init(struct fw_cfg *fw, const struct fw_cfg_config *config);
/* Data by key; it must stay valid. */
void fw_cfg_set(struct fw_cfg *fw, u16 key, const void *data, u32 size);
void fw_cfg_set_number(struct fw_cfg *fw, u16 key, u64 value, unsigned size);
/* A named item. 0, -EEXIST, -ENAMETOOLONG, -ENOSPC. */
int MUST_CHECK fw_cfg_add_file(struct fw_cfg *fw, const char *name, const void *data, u32 size);

#endif
