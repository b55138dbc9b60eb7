/*
 * VM exits in words: their names, and the exit qualification (VT-x) or EXITINFO1 and EXITINFO2 (AMD-V) decoded.
 * Pure functions. Source: Intel SDM volume 3C, "Exit Qualification"; AMD APM volume 2, "Secure Virtual Machine".
 */
#include "accel/exit_text.h"

#include "x86/paging.h"
#include "x86/svm_exit.h"
#include "x86/vmcs.h"
#include "x86/vmx_exit.h"

#include <stdarg.h>
#include <stdio.h>

struct row {
    u64 code;
    u32 count; /* codes of this row: a number is added to the words if there are several */
    const char *words;
};

static const struct row vmx_rows[] = {
#define X(name, reason, words) {reason, 1, words},
    VMX_EXITS(X)
#undef X
};

static const struct row svm_rows[] = {
#define X(name, code, count, words) {code, count, words},
    SVM_EXITS(X)
#undef X
};

static const char *const registers[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                        "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};

void exit_name(enum vendor vendor, u64 code, char *buf, size_t size)
{
    bool intel = vendor == VENDOR_INTEL;
    const struct row *rows = intel ? vmx_rows : svm_rows;
    size_t count = intel ? ARRAY_LEN(vmx_rows) : ARRAY_LEN(svm_rows);
    u64 basic = intel ? code & EXIT_REASON_BASIC : code;
    if (!intel && code == SVM_EXIT_INVALID) {
        snprintf(buf, size, "VM entry failed: invalid state");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (basic - rows[i].code >= rows[i].count)
            continue;
        if (rows[i].count > 1)
            snprintf(buf, size, "%s%llu", rows[i].words, (unsigned long long)(basic - rows[i].code));
        else
            snprintf(buf, size, "%s", rows[i].words);
        return;
    }
    snprintf(buf, size, "reason %#llx", (unsigned long long)code);
}

/* -- details -- */

struct text {
    char *buf;
    size_t size, used;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->buf + t->used, t->size - t->used, format, args);
    va_end(args);
    if (n > 0)
        t->used = t->used + (size_t)n < t->size ? t->used + (size_t)n : t->size - 1;
}

static void add_io(struct text *t, bool in, bool string, bool rep, unsigned size, unsigned port)
{
    add(t, ": %s%s%s port %#x, %u byte%s", rep ? "REP " : "", in ? "IN" : "OUT", string ? "S" : "", port, size,
        size == 1 ? "" : "s");
}

static void add_page_fault_code(struct text *t, u64 error)
{
    add(t, " (%s%s, page %spresent%s)",
        error & BIT(1)   ? "write"
        : error & BIT(4) ? "fetch"
                         : "read",
        error & BIT(2) ? ", user mode" : "", error & BIT(0) ? "" : "not ", error & BIT(3) ? ", reserved bit" : "");
}

static const char *exception_name(unsigned vector)
{
    static const char *const names[EXC_COUNT] = {
        [EXC_DE] = "#DE", [EXC_DB] = "#DB", [EXC_NMI] = "NMI", [EXC_BP] = "#BP", [EXC_OF] = "#OF", [EXC_BR] = "#BR",
        [EXC_UD] = "#UD", [EXC_NM] = "#NM", [EXC_DF] = "#DF",  [EXC_TS] = "#TS", [EXC_NP] = "#NP", [EXC_SS] = "#SS",
        [EXC_GP] = "#GP", [EXC_PF] = "#PF", [EXC_MF] = "#MF",  [EXC_AC] = "#AC", [EXC_MC] = "#MC", [EXC_XM] = "#XM",
        [EXC_VE] = "#VE", [EXC_CP] = "#CP", [EXC_HV] = "#HV",  [EXC_VC] = "#VC", [EXC_SX] = "#SX",
    };
    return vector < EXC_COUNT && names[vector] ? names[vector] : NULL;
}

static void add_vector(struct text *t, unsigned vector, bool exception)
{
    const char *name = exception ? exception_name(vector) : NULL;
    if (name)
        add(t, ": %s", name);
    else
        add(t, ": vector %#x", vector);
}

static void vmx_event(struct text *t, const struct cpu_exit_seen *s)
{
    if (!(s->info2 & INTR_VALID))
        return;
    unsigned vector = s->info2 & INTR_VECTOR_MASK;
    add_vector(t, vector, INTR_TYPE(s->info2) != INTR_TYPE_EXTINT && INTR_TYPE(s->info2) != INTR_TYPE_SOFT_INT);
    if (s->info2 & INTR_ERROR_VALID)
        add(t, ", error code %#llx", (unsigned long long)s->error);
    if (vector == EXC_PF && INTR_TYPE(s->info2) == INTR_TYPE_EXCEPTION) {
        add(t, " at %#llx", (unsigned long long)s->info1);
        add_page_fault_code(t, s->error);
    }
}

static void vmx_cr(struct text *t, u64 q)
{
    unsigned cr = q & 0xf;
    const char *reg = registers[q >> CRQ_GPR_SHIFT & 0xf];
    switch (q >> CRQ_TYPE_SHIFT & 3) {
    case CRQ_MOV_TO: add(t, ": MOV CR%u, %s", cr, reg); break;
    case CRQ_MOV_FROM: add(t, ": MOV %s, CR%u", reg, cr); break;
    case CRQ_CLTS: add(t, ": CLTS"); break;
    case CRQ_LMSW: add(t, ": LMSW %#x", (unsigned)(q >> CRQ_LMSW_SOURCE_SHIFT & 0xffff)); break;
    }
}

static void vmx_ept(struct text *t, const struct cpu_exit_seen *s)
{
    u64 q = s->info1, perms = q >> EPTQ_PERMS_SHIFT;
    add(t, ": %s%s%s of guest-physical %#llx", q & EPTQ_READ ? "read" : "",
        q & EPTQ_WRITE ? q & EPTQ_READ ? " and write" : "write" : "", q & EPTQ_FETCH ? "fetch" : "",
        (unsigned long long)s->gpa);
    if (q & EPTQ_LA_VALID)
        add(t, ", linear %#llx%s", (unsigned long long)s->la, q & EPTQ_FINAL ? "" : " (its page tables)");
    add(t, ", EPT permits %c%c%c", perms & EPT_R ? 'r' : '-', perms & EPT_W ? 'w' : '-', perms & EPT_X ? 'x' : '-');
}

static void add_msr(struct text *t, const struct cpu_exit_seen *s, bool write)
{
    add(t, ": MSR %#x", (u32)s->gpr[RCX]);
    if (write)
        add(t, " = %#llx", (unsigned long long)(s->gpr[RDX] << 32 | (u32)s->gpr[RAX]));
}

static void add_task(struct text *t, u64 selector, const char *by)
{
    add(t, ": to selector %#x by %s", (unsigned)selector & 0xffff, by);
}

static void vmx_details(struct text *t, const struct cpu_exit_seen *s)
{
    static const char *const task_by[] = {"CALL", "IRET", "JMP", "a task gate"};
    u64 q = s->info1;
    switch (s->code & EXIT_REASON_BASIC) {
    case EXIT_EXCEPTION_NMI:
    case EXIT_EXTINT: vmx_event(t, s); break;
    case EXIT_SIPI: add_vector(t, q & 0xff, false); break;
    case EXIT_TASK_SWITCH: add_task(t, q, task_by[q >> TASKQ_SOURCE_SHIFT & 3]); break;
    case EXIT_CPUID: add(t, ": leaf %#x, %#x", (u32)s->gpr[RAX], (u32)s->gpr[RCX]); break;
    case EXIT_VMCALL: add(t, ": RAX %#llx", (unsigned long long)s->gpr[RAX]); break;
    case EXIT_INVLPG: add(t, ": %#llx", (unsigned long long)q); break;
    case EXIT_CR_ACCESS: vmx_cr(t, q); break;
    case EXIT_MOV_DR: {
        const char *reg = registers[q >> DRQ_GPR_SHIFT & 0xf];
        if (q & DRQ_FROM)
            add(t, ": MOV %s, DR%u", reg, (unsigned)q & 7);
        else
            add(t, ": MOV DR%u, %s", (unsigned)q & 7, reg);
        break;
    }
    case EXIT_IO:
        add_io(t, q & IOQ_IN, q & IOQ_STRING, q & IOQ_REP, (q & 7) + 1, (unsigned)(q >> IOQ_PORT_SHIFT & 0xffff));
        break;
    case EXIT_RDMSR: add_msr(t, s, false); break;
    case EXIT_WRMSR: add_msr(t, s, true); break;
    case EXIT_EPT_VIOLATION: vmx_ept(t, s); break;
    case EXIT_EPT_MISCONFIG: add(t, ": guest-physical %#llx", (unsigned long long)s->gpa); break;
    case EXIT_XSETBV:
        add(t, ": XCR%u = %#llx", (u32)s->gpr[RCX], (unsigned long long)(s->gpr[RDX] << 32 | (u32)s->gpr[RAX]));
        break;
    default:
        if (q)
            add(t, ": qualification %#llx", (unsigned long long)q);
    }
}

static void svm_cr_or_dr(struct text *t, const struct cpu_exit_seen *s)
{
    if (s->code >= SVM_EXIT_READ_DR0)
        add(t, ": %s", registers[s->info1 & 0xf]);
    else if (s->info1 & SVM_CR_INFO_MOV)
        add(t, ": MOV, %s", registers[s->info1 & 0xf]);
}

static void svm_npf(struct text *t, const struct cpu_exit_seen *s)
{
    add(t, ": guest-physical %#llx%s", (unsigned long long)s->info2,
        s->info1 & SVM_NPF_TABLE ? ", of L2's page tables" : "");
    add_page_fault_code(t, s->info1);
}

static void svm_details(struct text *t, const struct cpu_exit_seen *s)
{
    if (s->code < SVM_EXIT_EXCP) {
        svm_cr_or_dr(t, s);
        return;
    }
    if (s->code < SVM_EXIT_INTR) {
        unsigned vector = (unsigned)(s->code - SVM_EXIT_EXCP);
        add_vector(t, vector, true);
        if (vector == EXC_PF) {
            add(t, ", error code %#llx at %#llx", (unsigned long long)s->info1, (unsigned long long)s->info2);
            add_page_fault_code(t, s->info1);
        }
        return;
    }
    switch (s->code) {
    case SVM_EXIT_CPUID: add(t, ": leaf %#x, %#x", (u32)s->gpr[RAX], (u32)s->gpr[RCX]); break;
    case SVM_EXIT_VMMCALL: add(t, ": RAX %#llx", (unsigned long long)s->gpr[RAX]); break;
    case SVM_EXIT_SWINT: add_vector(t, s->info1 & 0xff, false); break;
    case SVM_EXIT_INVLPG: add(t, ": %#llx", (unsigned long long)s->info1); break;
    case SVM_EXIT_IOIO:
        add_io(t, s->info1 & IO_INFO_IN, s->info1 & IO_INFO_STRING, s->info1 & IO_INFO_REP, IO_INFO_SIZE_OF(s->info1),
               IO_INFO_PORT_OF((u32)s->info1));
        break;
    case SVM_EXIT_MSR: add_msr(t, s, s->info1); break;
    case SVM_EXIT_TASK_SWITCH:
        add_task(t, s->info1,
                 s->info2 & SVM_TASK_IRET  ? "IRET"
                 : s->info2 & SVM_TASK_JMP ? "JMP"
                                           : "CALL or a task gate");
        break;
    case SVM_EXIT_NPF: svm_npf(t, s); break;
    default:
        if (s->info1 || s->info2)
            add(t, ": EXITINFO1 %#llx, EXITINFO2 %#llx", (unsigned long long)s->info1, (unsigned long long)s->info2);
    }
}

void exit_line(enum vendor vendor, const struct cpu_exit_seen *seen, char *buf, size_t size)
{
    char name[64];
    struct text t = {buf, size, 0};
    exit_name(vendor, seen->code, name, sizeof(name));
    add(&t, "L%u%s leaves at RIP %#llx: %s", seen->level, seen->level > 3 ? "+" : "", (unsigned long long)seen->rip,
        name);
    if (vendor == VENDOR_INTEL)
        vmx_details(&t, seen);
    else
        svm_details(&t, seen);
}
