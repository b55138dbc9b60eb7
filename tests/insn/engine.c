/*
 * Runs cases in the engine: one VM whose RAM holds page tables with the same linear layout as the host side, and the
 * monitor of monitor.S. Its port write says that a case has ended: the callback collects the outcome and puts the next
 * case into the mailbox, so a whole batch is one run.
 */
#include "tests/insn/case.h"
#include "tests/insn/monitor.h"

#include "accel/accel.h"
#include "ram/ram.h"
#include "tests/flat.h"
#include "x86/paging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern const u8 monitor_start[], monitor_stubs[], monitor_end[];

static u8 *ram;
static struct accel_vm *vm;
static u64 features;
static u32 offsets[8];

static struct {
    const struct test_case *cases;
    struct result *out;
    u32 n, at;
    volatile u32 *current;
} batch;

static void poke(u64 gpa, u64 value)
{
    memcpy(ram + gpa, &value, 8);
}

static u64 box_get(unsigned offset)
{
    u64 x;
    memcpy(&x, ram + GUEST_BOX + offset, 8);
    return x;
}

static void box_set(unsigned offset, u64 value)
{
    poke(GUEST_BOX + offset, value);
}

/* Maps user pages below 1 GiB. Each area has a page table of its own. */
static void map_user(u64 la, u64 gpa, unsigned pages, u64 flags)
{
    static u64 next_table = GUEST_PAGING + 0x5000; /* three of them */
    u64 pd = GUEST_PAGING + 0x2000 + 8 * (la >> 21 & 511), entry;
    memcpy(&entry, ram + pd, 8);
    if (!entry) {
        entry = next_table | PTE_P | PTE_W | PTE_U;
        next_table += PAGE_SIZE;
        poke(pd, entry);
    }
    u64 table = entry & ~PAGE_MASK;
    for (unsigned i = 0; i < pages; i++)
        poke(table + 8 * ((la >> 12 & 511) + i), (gpa + i * PAGE_SIZE) | flags | PTE_P | PTE_U);
}

static void build_paging(void)
{
    u64 top = GUEST_PAGING, pdpt = top + 0x1000, pd = top + 0x2000, high = top + 0x3000;
    u64 link = PTE_P | PTE_W | PTE_U;
    poke(top, pdpt | link);
    poke(pdpt, pd | link);
    map_user(CODE_LA, GUEST_CODE, CODE_PAGES, 0);
    map_user(DATA_LA, GUEST_MEMORY, 2, PTE_W | PTE_NX);
    map_user(DATA_LA + 2 * PAGE_SIZE, GUEST_MEMORY + 2 * PAGE_SIZE, 1, PTE_NX);
    map_user(STACK_LA, GUEST_MEMORY + DATA_PAGES * PAGE_SIZE, STACK_PAGES, PTE_W | PTE_NX);
    poke(top + 8 * 511, high | PTE_P | PTE_W);
    u64 high_pd = top + 0x4000;
    poke(high + 8 * 510, high_pd | PTE_P | PTE_W);
    for (unsigned i = 0; i < GUEST_SIZE >> 21; i++)
        poke(high_pd + 8 * i, (u64)i << 21 | PTE_P | PTE_W | PTE_PS);
}

/* The selectors are Linux's, so that user code sees the same as on the host. */
static void build_tables(void)
{
    static const u64 gdt[] = {0,
                              0x00cf9b000000ffff,
                              0x00af9b000000ffff,
                              0x00cf93000000ffff,
                              0x00cffb000000ffff,
                              0x00cff3000000ffff,
                              0x00affb000000ffff,
                              0};
    memcpy(ram + GUEST_GDT, gdt, sizeof(gdt));
    u64 tss = HIGH + GUEST_TSS;
    poke(GUEST_GDT + 0x40, 0x67 | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56);
    poke(GUEST_GDT + 0x48, tss >> 32);
    poke(GUEST_TSS + 4, HIGH + GUEST_STACK_TOP);  /* RSP0 */
    poke(GUEST_TSS + 36, HIGH + GUEST_STACK_TOP); /* IST1 */
    ram[GUEST_TSS + 0x66] = 0x68;
    for (unsigned i = 0; i < 32; i++) {
        u64 to = HIGH + GUEST_MONITOR + (u64)(monitor_stubs - monitor_start) + i * STUB_SIZE;
        u64 dpl = i == 3 || i == 4 ? 3 : 0;
        poke(GUEST_IDT + 16 * i,
             (to & 0xffff) | 0x10 << 16 | 1ull << 32 | (0x8e | dpl << 5) << 40 | (to >> 16 & 0xffff) << 48);
        poke(GUEST_IDT + 16 * i + 8, to >> 32);
    }
    u8 *box = ram + GUEST_BOX;
    u16 gdt_limit = 0x4f, idt_limit = 32 * 16 - 1;
    u64 gdt_base = HIGH + GUEST_GDT, idt_base = HIGH + GUEST_IDT;
    memcpy(box + BOX_GDTR, &gdt_limit, 2);
    memcpy(box + BOX_GDTR + 2, &gdt_base, 8);
    memcpy(box + BOX_IDTR, &idt_limit, 2);
    memcpy(box + BOX_IDTR + 2, &idt_base, 8);
}

static void case_put(const struct test_case *c)
{
    struct state s;
    state_fill(c, &s, features);
    bool cpl0 = c->cpl0 && !(s.rflags & FLAG_AC); /* alignment is checked at CPL 3 only */
    case_memory(c->seed, ram + GUEST_MEMORY);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        box_set(BOX_GPR + 8 * i, s.gpr[i]);
    box_set(BOX_FRAME, s.rip);
    box_set(BOX_FRAME + 8, cpl0 ? 0x10 : 0x33);
    box_set(BOX_FRAME + 16, s.rflags);
    box_set(BOX_FRAME + 24, s.gpr[RSP]);
    box_set(BOX_FRAME + 32, cpl0 ? 0x18 : 0x2b);
    box_set(BOX_FS, s.fs_base);
    box_set(BOX_GS, s.gs_base);
    box_set(BOX_CODE_TO, HIGH + GUEST_CODE + c->start);
    box_set(BOX_CODE_LEN, case_bytes(c, ram + GUEST_BOX + BOX_CODE));
    vectors_store(&s.vec, ram + GUEST_BOX + BOX_XSAVE, offsets, features);
    box_set(BOX_COLD, c->seed & 1); /* half the cases begin without a translation cached */
    box_set(BOX_GO, 1);
}

static void case_get(struct result *r)
{
    for (unsigned i = 0; i < GPR_COUNT; i++)
        r->s.gpr[i] = box_get(BOX_GPR + 8 * i);
    r->s.rip = box_get(BOX_FRAME);
    r->s.rflags = box_get(BOX_FRAME + 16);
    r->s.gpr[RSP] = box_get(BOX_FRAME + 24);
    r->s.fs_base = box_get(BOX_FS);
    r->s.gs_base = box_get(BOX_GS);
    r->vector = (u32)box_get(BOX_VECTOR);
    r->error = (u32)box_get(BOX_ERROR);
    r->cr2 = r->vector == EXC_PF ? box_get(BOX_CR2) : 0;
    vectors_load(&r->s.vec, ram + GUEST_BOX + BOX_XSAVE, offsets, features);
    memcpy(r->memory, ram + GUEST_MEMORY, MEMORY_SIZE);
}

static u32 io_read(void *opaque, u16 port, unsigned size)
{
    return ~0u;
}

static void io_write(void *opaque, u16 port, u32 value, unsigned size)
{
    if (port != MONITOR_PORT)
        return;
    if (batch.at < batch.n) {
        case_get(&batch.out[batch.at]);
        batch.at++;
    }
    if (batch.at < batch.n) {
        *batch.current = batch.at;
        case_put(&batch.cases[batch.at]);
    } else {
        accel_engine.stop(vm);
    }
}

static u64 mmio_read(void *opaque, gpa_t gpa, unsigned size)
{
    return ~0ull;
}

static void mmio_write(void *opaque, gpa_t gpa, u64 value, unsigned size)
{
}

static int pic_ack(void *opaque)
{
    return 0;
}

static void eoi(void *opaque, u8 vector)
{
}

static bool run(char *message, size_t size)
{
    accel_engine.resume(vm);
    enum accel_exit e = accel_engine.run(vm, 0);
    if (e == ACCEL_STOPPED)
        return true;
    size_t n =
        (size_t)snprintf(message, size, "%s: ", e == ACCEL_SHUTDOWN ? "triple fault" : accel_engine.error(vm, 0)->text);
    if (n < size)
        accel_describe(&accel_engine, vm, 0, NULL, message + n, size - n);
    return false;
}

/* A file, which a process of direct execution can map. */
static bool ram_map(void)
{
    int fd = memfd_create("insn", 0);
    bool ok = fd >= 0 && !ftruncate(fd, GUEST_SIZE);
    ram = ok ? mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    return ram != MAP_FAILED;
}

u64 engine_open(bool direct, char *message, size_t size)
{
    struct machine machine = {
        .io_read = io_read,
        .io_write = io_write,
        .mmio_read = mmio_read,
        .mmio_write = mmio_write,
        .pic_ack = pic_ack,
        .eoi = eoi,
        .ram = ram_create(),
    };
    const struct run_settings settings = {.cpus = 1, .direct = direct ? DIRECT_ON : DIRECT_OFF};
    struct error error;
    if (!ram_map() || !machine.ram ||
        ram_slot_set(machine.ram, 0, &(struct ram_region){.size = GUEST_SIZE, .host = ram}))
        return 0;
    if (accel_engine.create(&settings, &machine, &vm, &error)) {
        snprintf(message, size, "%s", error.text);
        return 0;
    }
    memcpy(ram + GUEST_MONITOR, monitor_start, (size_t)(monitor_end - monitor_start));
    memset(ram + GUEST_CODE, 0xcc, CODE_PAGES * PAGE_SIZE);
    build_paging();
    build_tables();
    box_set(BOX_FEATURES, host_features(offsets));
    box_set(BOX_OLD_TO, HIGH + GUEST_CODE);
    struct cpu_state start;
    u64 committed;
    const char *bad;
    accel_engine.state_get(vm, 0, &start, FLAT_STATE);
    flat_enter(&start, 0x10, 0x18, GUEST_PAGING);
    start.efer |= direct ? EFER_SCE : 0; /* no process is without SYSCALL */
    start.rip = HIGH + GUEST_MONITOR;
    start.gpr[RSP] = HIGH + GUEST_STACK_TOP;
    start.gdtr = (struct desc_table){.base = HIGH + GUEST_GDT, .limit = 0x4f};
    if (accel_engine.state_set(vm, 0, &start, FLAT_STATE, &committed, &bad)) {
        snprintf(message, size, "%s is refused", bad);
        return 0;
    }
    if (!run(message, size))
        return 0;
    features = box_get(BOX_FEATURES);
    memcpy(offsets, ram + GUEST_BOX + BOX_OFFSETS, sizeof(offsets));
    return features;
}

u64 engine_entered(void)
{
    static char text[65536];
    accel_engine.stats(vm, text, sizeof text);
    const char *at = strstr(text, "direct.entries ");
    return at ? strtoull(at + sizeof "direct.entries", NULL, 10) : 0;
}

bool engine_run(const struct test_case *cases, struct result *out, unsigned n, volatile u32 *current, char *message,
                size_t size)
{
    batch.cases = cases;
    batch.out = out;
    batch.n = n;
    batch.at = 0;
    batch.current = current;
    *current = 0;
    case_put(&cases[0]);
    return run(message, size);
}
