/*
 * Starts a kernel without firmware: reads the file, finds out what kind of kernel it is, and puts it, its modules and
 * the boot information into guest memory. boot_open() does everything that can fail before there is a VM; boot_load()
 * is repeated at each reset of the machine.
 */
#ifndef MACHINE_BOOT_BOOT_H
#define MACHINE_BOOT_BOOT_H

#include "accel/accel.h"
#include "base/error.h"
#include "machine/boot/kept.h"
#include "machine/layout.h"

#define BOOT_MODULES SETTING_LIST_MAX

enum boot_kind { BOOT_KIND_LINUX, BOOT_KIND_MULTIBOOT, BOOT_KIND_PVH };

struct boot_module {
    struct boot_file file;
    char *name;            /* as given by the user: file and arguments */
    const char *arguments; /* within name, "" if none */
};

struct boot {
    enum boot_kind kind;
    struct boot_file kernel;
    char *kernel_name;
    char *append;
    struct boot_module module[BOOT_MODULES];
    u32 modules;
    u64 header; /* multiboot: file offset of the header */
    u32 pvh_entry;
    bool pvh_linux; /* PVH: the kernel takes one initrd, so all are joined */
    bool long_mode; /* its code is for 64-bit CPUs, whatever mode it is entered in */
    /* Linux: whether the host unpacks it, where that can be; whether the last boot_load did. */
    enum unpack_choice unpack;
    bool unpacked;
    struct keeper keeper;
};

/* Returns 0 or -errno; the error names the file and what is wrong with it. Nothing is left open then.
 * `patience` waits for pipes; if it is NULL, reads wait without end. */
int MUST_CHECK boot_open(struct boot *b, const struct run_settings *settings, const struct patience *patience,
                         struct error *error);
void boot_close(struct boot *b);
/* The groups of registers with which a kernel is entered. */
#define BOOT_STATE (STATE_GPRS | STATE_SEGMENTS | STATE_CONTROL)
/* Fills guest memory. `la57`: the CPU has 5-level paging. `start` holds the BOOT_STATE of a CPU after RESET, and gets
 * that of the kernel's entry. Returns 0, or -errno if something does not fit. */
int MUST_CHECK boot_load(struct boot *b, const struct layout *layout, bool la57, struct cpu_state *start,
                         struct error *error);

/* [signal handler] Returns the file that is mapped at `host`, with its name in *name, or NULL. */
const struct boot_file *boot_file_at(const struct boot *b, const void *host, const char **name);

/* -- for the loaders -- */

/* Low memory of the Linux and PVH loaders. A PVH kernel must not lie there. */
#define BOOT_GDT 0x6000ull
#define BOOT_GDT_SIZE 48
#define BOOT_ZERO_PAGE 0x7000ull
#define BOOT_PAGE_TABLES 0x9000ull /* six pages */
#define BOOT_HIGH_TABLES 0xf000ull /* two pages of a 64-bit Linux, the second where others have their information */
#define BOOT_INFO 0x10000ull       /* multiboot or PVH information */
#define BOOT_INFO_SIZE 0x10000ull
#define BOOT_CMDLINE 0x20000ull
#define BOOT_CMDLINE_MAX 0x10000ull
#define BOOT_LOW_END 0x30000ull
/* Low memory of the multiboot loader, whose kernels may lie below 1 MiB, as real-mode programs do. */
#define BOOT_MULTIBOOT_INFO 0x60000ull
#define BOOT_KERNEL_LOW 0x100000ull /* modules lie above */
#define BOOT_INITRD_ALIGN 4         /* of each archive when several are joined: kernels unpack a concatenation */

struct boot_range {
    u64 start, end;
};

#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define BOOT_TR 0x20

/* Makes a GDT at `gdt` with flat BOOT_CS (64-bit if `long_mode`), BOOT_DS and a TSS, and in 64-bit mode page tables
 * that map the first 4 GiB to themselves; and sets the registers of `start` that go with them. */
int MUST_CHECK boot_flat(const struct layout *layout, u64 gdt, bool long_mode, struct cpu_state *start);
/* Adds page tables for [start, start + size), which is at most 1 GiB and ends below BOOT_MAPPED_MAX. */
int MUST_CHECK boot_map(const struct layout *layout, u64 start, u64 size);
#define BOOT_MAPPED_MAX (512ull << 30)
/* Returns where a kernel's [gpa, gpa + size) goes; NULL if that is not memory, or some of it is in `taken` or has the
 * ACPI tables. */
u8 *boot_kernel_at(const struct layout *layout, u64 gpa, u64 size, const struct boot_range *taken);

bool linux_detect(const struct boot_file *file);
/* Returns true if a file that passed linux_check is a kernel for 64-bit CPUs. */
bool linux_is_64bit(const struct boot_file *file);
int MUST_CHECK linux_check(const struct boot *b, struct error *error);
int MUST_CHECK linux_load(struct boot *b, const struct layout *layout, bool la57, struct cpu_state *start,
                          struct error *error);

bool multiboot_detect(const struct boot_file *file, u64 *header);
/* Returns true for a kernel of multiboot 2, which is another protocol: for a message. */
bool multiboot2_detect(const struct boot_file *file);
int MUST_CHECK multiboot_check(const struct boot *b, struct error *error);
int MUST_CHECK multiboot_load(const struct boot *b, const struct layout *layout, struct cpu_state *start,
                              struct error *error);

bool pvh_detect(const struct boot_file *file, u32 *entry, bool *is_linux);
int MUST_CHECK pvh_load(const struct boot *b, const struct layout *layout, struct cpu_state *start,
                        struct error *error);

#endif
