/*
 * What test programs expect of the machine and its loader: the multiboot information with command line and a module,
 * fw_cfg, the PC test device's interrupt lines through the I/O APIC. Started with `--append "one two=2"`, and the table
 * of guests as a module with "3 four".
 */
#include "runtime.h"

#define IOAPIC 0xfec00000ull

struct info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
    u32 syms[4], mmap_length, mmap_addr;
};

struct module {
    u32 start, end, string, reserved;
};

static void loader(void)
{
    check(boot_entry.eax == 0x2badb002 && !boot_entry.by_pvh, "an image with a PVH note too is started by multiboot");
    const struct info *info = (const struct info *)(u64)boot_entry.ebx;
    check((info->flags & 0x4d) == 0x4d, "multiboot information: memory, command line, modules, memory map");
    const char *line = (const char *)(u64)info->cmdline;
    check(find(line, "machine.elf one two=2"), "the command line begins with the kernel's name");
    check_eq(info->mods_count, 1, "one module");
    const struct module *m = (const struct module *)(u64)info->mods_addr;
    check(m->end > m->start && find((const char *)(u64)m->start, "# guest") == (const char *)(u64)m->start,
          "the module has the file's bytes");
    check(find((const char *)(u64)m->string, "tests/guest/table 3 four"), "the module has its command line");
    u32 above = (128 << 10) - 1024;
    check(info->mem_upper <= above && info->mem_upper >= above - 128, "memory above 1 MiB, up to firmware's tables");
}

static u64 fw_cfg(u16 key, unsigned bytes)
{
    u64 value = 0;
    outw(0x510, key);
    for (unsigned i = 0; i < bytes; i++)
        value |= (u64)inb(0x511) << i * 8;
    return value;
}

static void configuration(void)
{
    check_eq(fw_cfg(0, 4), 0x554d4551, "fw_cfg's signature");
    check_eq(fw_cfg(3, 8), 128ull << 20, "RAM size");
    check_eq(fw_cfg(5, 2), 2, "number of CPUs");
    check_eq(fw_cfg(0xf, 2), 2, "greatest number of CPUs");
}

/* -- interrupt lines -- */

static u32 ioapic_read(u8 reg)
{
    *(volatile u32 *)IOAPIC = reg;
    return *(volatile u32 *)(IOAPIC + 0x10);
}

static void ioapic_write(u8 reg, u32 value)
{
    *(volatile u32 *)IOAPIC = reg;
    *(volatile u32 *)(IOAPIC + 0x10) = value;
}

#define LEVEL BIT(15)
#define REMOTE_IRR BIT(14)
#define MASKED BIT(16)

static void redirect(unsigned pin, u32 low, u8 dest)
{
    ioapic_write((u8)(0x11 + pin * 2), (u32)dest << 24);
    ioapic_write((u8)(0x10 + pin * 2), low);
}

static void line(unsigned pin, bool level)
{
    outb((u16)(0x2000 + pin), level);
}

static volatile unsigned taken;
static unsigned drop_at;
static u32 entry_seen;

static void on_line(struct frame *f)
{
    taken++;
    entry_seen = ioapic_read(0x10 + 14 * 2);
    if (taken == drop_at)
        line(14, false);
    apic_write(APIC_EOI, 0);
}

static void window(void)
{
    sti();
    for (unsigned i = 0; i < 1000; i++)
        cpu_pause();
    cli();
}

static void lines(void)
{
    apic_enable();
    on_vector(0x76, on_line);
    check_eq(ioapic_read(1) >> 16 & 0xff, 23, "the I/O APIC has 24 pins");
    redirect(14, 0x76, 0);
    line(14, true);
    window();
    check_eq(taken, 1, "an edge interrupts");
    window();
    check_eq(taken, 1, "an edge interrupts once");
    line(14, false);
    line(14, true);
    line(14, false);
    window();
    check_eq(taken, 2, "a pulse interrupts");
    redirect(14, 0x76 | MASKED, 0);
    line(14, true);
    redirect(14, 0x76, 0);
    window();
    check_eq(taken, 2, "an edge at a masked pin is lost");
    line(14, false);

    taken = 0;
    drop_at = 1;
    redirect(14, 0x76 | LEVEL, 0);
    line(14, true);
    window();
    check_eq(taken, 1, "a level interrupts");
    check(entry_seen & REMOTE_IRR, "a level sets remote IRR");
    check(!(ioapic_read(0x10 + 14 * 2) & REMOTE_IRR), "EOI clears remote IRR");
    taken = 0;
    redirect(14, 0x76 | LEVEL | MASKED, 0);
    line(14, true);
    window();
    check_eq(taken, 0, "a masked level waits");
    redirect(14, 0x76 | LEVEL, 0);
    window();
    check_eq(taken, 1, "a masked level interrupts when it is unmasked");
    drop_at = 3;
    taken = 0;
    line(14, true);
    window();
    check_eq(taken, 3, "a level that stays interrupts again after EOI");
    redirect(14, 0x76 | MASKED, 0);
    outl(0xe4, 0x1000);
    check_eq(*(volatile u8 *)0x1000, *(volatile u8 *)0x1000, "the page flush port");
}

int main(void)
{
    loader();
    configuration();
    lines();
    return 0;
}
