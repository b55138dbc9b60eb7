/*
 * Offsets in a bzImage's first sectors and in the zero page alike, which has the header at the same place. Source:
 * Linux, Documentation/x86/boot.rst and zero-page.rst.
 */
#ifndef MACHINE_BOOT_BZIMAGE_H
#define MACHINE_BOOT_BZIMAGE_H

enum {
    ZP_RSDP = 0x070,
    ZP_EXT_RAMDISK_IMAGE = 0x0c0,
    ZP_EXT_RAMDISK_SIZE = 0x0c4,
    ZP_E820_ENTRIES = 0x1e8,
    HDR_SETUP_SECTS = 0x1f1,
    HDR_SYSSIZE = 0x1f4,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP = 0x201,
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_CODE32_START = 0x214,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_KERNEL_ALIGNMENT = 0x230,
    HDR_RELOCATABLE = 0x234,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_PAYLOAD_OFFSET = 0x248,
    HDR_PAYLOAD_LENGTH = 0x24c,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
    ZP_E820_TABLE = 0x2d0,
};

#define BOOT_FLAG 0xaa55

#endif
