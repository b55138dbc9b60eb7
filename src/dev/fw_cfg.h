/*
 * fw_cfg: how firmware and guests read the machine's configuration, in QEMU's documented layout ("QEMU Firmware
 * Configuration (fw_cfg) Device").
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
/* A selector: the bits that name an item (bit 14 once asked for write access), and a mark of the architecture's own
 * keys, of which there are none. */
#define FW_CFG_KEY 0x3fff
#define FW_CFG_ARCH_LOCAL BIT(15)

/* Offsets in the windows. */
#define FW_CFG_SELECTOR 0
#define FW_CFG_DATA 1
#define FW_CFG_DMA_HIGH 0
#define FW_CFG_DMA_LOW 4

/* Bits of item FW_CFG_ID, and of the control field of a DMA access, whose upper half is a key. */
#define FW_CFG_ID_TRADITIONAL BIT(0)
#define FW_CFG_ID_DMA BIT(1)
#define FW_CFG_DMA_ERROR BIT(0)
#define FW_CFG_DMA_READ BIT(1)
#define FW_CFG_DMA_SKIP BIT(2)
#define FW_CFG_DMA_SELECT BIT(3)
#define FW_CFG_DMA_WRITE BIT(4)
#define FW_CFG_DMA_KEY_SHIFT 16

#define FW_CFG_FILES 32
#define FW_CFG_FILE_NAME 56 /* bytes, with the end */
#define FW_CFG_KEYS (FW_CFG_FILE_FIRST + FW_CFG_FILES)

/* The directory of files: their number, then an entry for each. */
#define FW_CFG_DIRECTORY (4 + FW_CFG_ENTRY * FW_CFG_FILES)
#define FW_CFG_ENTRY 64

struct fw_cfg_item {
    const void *data; /* the machine's, which keeps it valid; NULL: the bytes are in `own` */
    u32 size;
    u8 own[8]; /* a small number */
};

struct fw_cfg_config {
    u32 vcpus;
    u64 ram_size;
    struct ram *ram; /* guest memory for the DMA interface; NULL: no such interface */
};

struct fw_cfg {
    struct fw_cfg_config config;
    struct fw_cfg_item item[FW_CFG_KEYS];
    char file_name[FW_CFG_FILES][FW_CFG_FILE_NAME];
    u32 files;
    u8 directory[FW_CFG_DIRECTORY];
    u16 key;
    u32 offset;
    u64 dma_address;
};

extern const struct bus_ops fw_cfg_ops, fw_cfg_dma_ops;
extern const struct device_ops fw_cfg_device;

void fw_cfg_init(struct fw_cfg *fw, const struct fw_cfg_config *config);
/* Sets an item by its key; `data` must stay valid. */
void fw_cfg_set(struct fw_cfg *fw, u16 key, const void *data, u32 size);
void fw_cfg_set_number(struct fw_cfg *fw, u16 key, u64 value, unsigned size);
/* Adds an item by name; `data` must stay valid. Returns 0, -EEXIST, -ENAMETOOLONG or -ENOSPC. */
int MUST_CHECK fw_cfg_add_file(struct fw_cfg *fw, const char *name, const void *data, u32 size);

#endif
