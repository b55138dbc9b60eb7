/*
 * VM exits in words: every row has a name of its own, and details are decoded.
 */
#include "accel/exit_text.h"

#include "unit/test.h"
#include "x86/svm_exit.h"
#include "x86/vmcs.h"
#include "x86/vmx_exit.h"

#include <string.h>

static u64 gpr[GPR_COUNT] = {[RAX] = 0x11, [RCX] = 0xc0000082, [RDX] = 0x22};
static char text[256];

static bool is_line(enum vendor vendor, struct cpu_exit_seen seen, const char *want)
{
    seen.level = 2;
    seen.rip = 0x1234;
    seen.gpr = gpr;
    exit_line(vendor, &seen, text, sizeof(text));
    const char *start = "L2 leaves at RIP 0x1234: ";
    bool same = !strncmp(text, start, strlen(start)) && !strcmp(text + strlen(start), want);
    if (!same)
        printf("# %s\n", text);
    return same;
}

static bool is_name(enum vendor vendor, u64 code, const char *want)
{
    exit_name(vendor, code, text, sizeof(text));
    return !strcmp(text, want);
}

static void test_names(void)
{
    TEST("names");
    static const u64 vmx[] = {
#define X(name, reason, words) reason,
        VMX_EXITS(X)
#undef X
    };
    for (unsigned i = 0; i < ARRAY_LEN(vmx); i++) {
        exit_name(VENDOR_INTEL, vmx[i], text, sizeof(text));
        CHECK(*text && strncmp(text, "reason", 6));
    }
    static const u64 svm[] = {
#define X(name, code, count, words) code, (code) + (count)-1,
        SVM_EXITS(X)
#undef X
    };
    for (unsigned i = 0; i < ARRAY_LEN(svm); i++) {
        exit_name(VENDOR_AMD, svm[i], text, sizeof(text));
        CHECK(*text && strncmp(text, "reason", 6));
    }
    CHECK(is_name(VENDOR_INTEL, EXIT_ENTRY_GUEST_STATE | EXIT_REASON_ENTRY_FAILURE,
                  "VM entry failed: invalid guest state"));
    CHECK(is_name(VENDOR_AMD, SVM_EXIT_INVALID, "VM entry failed: invalid state"));
    CHECK(is_name(VENDOR_AMD, SVM_EXIT_WRITE_CR0 + 8, "write of CR8"));
    CHECK(is_name(VENDOR_AMD, SVM_EXIT_INTERCEPTS, "reason 0xc0"));
    CHECK(is_name(VENDOR_INTEL, 126, "reason 0x7e"));
}

static void test_vmx(void)
{
    TEST("VT-x: qualifications");
    CHECK(is_line(VENDOR_INTEL,
                  (struct cpu_exit_seen){.code = EXIT_IO, .info1 = 0 | IOQ_IN | 0x3f8ull << IOQ_PORT_SHIFT},
                  "I/O instruction: IN port 0x3f8, 1 byte"));
    CHECK(
        is_line(VENDOR_INTEL,
                (struct cpu_exit_seen){.code = EXIT_IO, .info1 = 3 | IOQ_STRING | IOQ_REP | 0xcf8ull << IOQ_PORT_SHIFT},
                "I/O instruction: REP OUTS port 0xcf8, 4 bytes"));
    CHECK(is_line(VENDOR_INTEL,
                  (struct cpu_exit_seen){.code = EXIT_CR_ACCESS,
                                         .info1 = 3 | CRQ_MOV_FROM << CRQ_TYPE_SHIFT | R9 << CRQ_GPR_SHIFT},
                  "control-register access: MOV R9, CR3"));
    CHECK(is_line(VENDOR_INTEL, (struct cpu_exit_seen){.code = EXIT_WRMSR}, "WRMSR: MSR 0xc0000082 = 0x2200000011"));
    CHECK(is_line(VENDOR_INTEL,
                  (struct cpu_exit_seen){.code = EXIT_EPT_VIOLATION,
                                         .info1 = EPTQ_WRITE | 5u << EPTQ_PERMS_SHIFT | EPTQ_LA_VALID | EPTQ_FINAL,
                                         .gpa = 0xfee00000,
                                         .la = 0x7000},
                  "EPT violation: write of guest-physical 0xfee00000, linear 0x7000, EPT permits r-x"));
    CHECK(is_line(
        VENDOR_INTEL,
        (struct cpu_exit_seen){.code = EXIT_EXCEPTION_NMI,
                               .info1 = 0x7000,
                               .info2 = INTR_VALID | INTR_ERROR_VALID | INTR_TYPE_EXCEPTION << INTR_TYPE_SHIFT | EXC_PF,
                               .error = 7},
        "exception or NMI: #PF, error code 0x7 at 0x7000 (write, user mode, page present)"));
    CHECK(is_line(VENDOR_INTEL, (struct cpu_exit_seen){.code = EXIT_HLT}, "HLT"));
}

static void test_svm(void)
{
    TEST("AMD-V: EXITINFO");
    CHECK(is_line(
        VENDOR_AMD,
        (struct cpu_exit_seen){.code = SVM_EXIT_IOIO, .info1 = IO_INFO_IN | IO_INFO_SIZE(2) | IO_INFO_PORT(0x1f0)},
        "I/O instruction: IN port 0x1f0, 2 bytes"));
    CHECK(is_line(VENDOR_AMD, (struct cpu_exit_seen){.code = SVM_EXIT_MSR, .info1 = 1},
                  "RDMSR or WRMSR: MSR 0xc0000082 = 0x2200000011"));
    CHECK(is_line(VENDOR_AMD,
                  (struct cpu_exit_seen){.code = SVM_EXIT_NPF, .info1 = SVM_NPF_FINAL | 6, .info2 = 0xfee00000},
                  "nested page fault: guest-physical 0xfee00000 (write, user mode, page not present)"));
    CHECK(is_line(VENDOR_AMD, (struct cpu_exit_seen){.code = SVM_EXIT_EXCP + EXC_GP}, "exception 13: #GP"));
    CHECK(is_line(VENDOR_AMD, (struct cpu_exit_seen){.code = SVM_EXIT_HLT}, "HLT"));

    TEST("a line is cut where its room ends");
    struct cpu_exit_seen seen = {.level = 4, .code = SVM_EXIT_NPF, .info2 = 1, .gpr = gpr};
    memset(text, 'x', sizeof(text));
    exit_line(VENDOR_AMD, &seen, text, 40);
    CHECK(strlen(text) == 39 && !strncmp(text, "L4+ leaves", 10) && text[40] == 'x');
}

int main(void)
{
    test_names();
    test_vmx();
    test_svm();
    return TEST_END();
}
