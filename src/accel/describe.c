/*
 * The registers of a vCPU as text for people, from its state: the same for both accelerators.
 */
#include "accel/accel.h"

#include "accel/symbols.h"

#include <stdio.h>

static const char *mode_name(const struct cpu_state *s)
{
    if (s->efer & EFER_LMA && s->seg[SEG_CS].attr & SEG_L)
        return "64-bit mode";
    if (!(s->cr0 & CR0_PE))
        return "real mode";
    return s->rflags & FLAG_VM ? "virtual-8086 mode" : "protected mode";
}

void accel_describe(const struct accel_ops *ops, struct accel_vm *vm, u32 index, const struct symbols *symbols,
                    char *buf, size_t size)
{
    static const char *const name[GPR_COUNT] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                                "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"};
    const u64 needed = STATE_GPRS | STATE_SEGMENTS | STATE_CONTROL;
    struct cpu_state s = {0};
    u64 given = ops->state_get(vm, index, &s, needed | STATE_EVENTS | STATE_NESTED | STATE_MSRS);
    if ((given & needed) != needed) {
        snprintf(buf, size, "CPU %u: no state\n", index);
        return;
    }
    char symbol[SYMBOL_MAX] = "";
    if (symbols && !s.nested.guest) /* they are L1's */
        symbols_name(symbols, &s, s.rip, symbol);
    size_t n =
        (size_t)snprintf(buf, size, "CPU %u, %s%s: CS:RIP %04x:%016llx%s%s RFLAGS %llx CPL %u\n", index, mode_name(&s),
                         s.nested.guest ? ", in L2" : "", s.seg[SEG_CS].sel, (unsigned long long)s.rip,
                         *symbol ? " " : "", symbol, (unsigned long long)s.rflags, s.cpl);
    for (unsigned i = 0; i < GPR_COUNT && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s %016llx%c", name[i], (unsigned long long)s.gpr[i],
                              i % 4 == 3 ? '\n' : ' ');
    if (n < size)
        n += (size_t)snprintf(buf + n, size - n, "CR0 %llx CR2 %llx CR3 %llx CR4 %llx EFER %llx, GDT %llx IDT %llx",
                              (unsigned long long)s.cr0, (unsigned long long)s.cr2, (unsigned long long)s.cr3,
                              (unsigned long long)s.cr4, (unsigned long long)s.efer, (unsigned long long)s.gdtr.base,
                              (unsigned long long)s.idtr.base);
    if (n < size && s.events.last_exception)
        n += (size_t)snprintf(buf + n, size - n, ", last exception %u", s.events.last_exception);
    if (n < size)
        snprintf(buf + n, size - n, "\n");
}
