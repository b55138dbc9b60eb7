/*
 * The search for instructions that the host's CPU must not execute: those whose result the guest's user would see the
 * difference in, and that do not fault on the host. RDTSC faults there where it must (PR_SET_TSC), and so does what is
 * privileged. IRETQ is one as it can set RFLAGS.RF, with which a breakpoint is passed.
 *
 * Bytes that may be the opcode of one are seldom; whether they are is found by decoding from several places before
 * them, as decoding falls into step with the code after a few instructions. Where it does not, it begins farther away.
 * So an instruction that lies hidden in another one is not found, which programs that want to be run by a hypervisor do
 * not do: docs/direct.md.
 */
#include "cpu/direct/scan.h"

#include <Zydis/Zydis.h>

#define NEAR 48u      /* bytes before, from which decoding begins, ... */
#define STARTS 4u     /* ... at so many places there */
#define MOV_SS_MAX 7u /* bytes of a MOV SS from its opcode on: ModRM, SIB, displacement */

/* May these be the opcode, or its first bytes, of an instruction that is looked for? */
static bool is_candidate(u8 a, u8 b, u8 modrm, bool xsave)
{
    unsigned reg = modrm >> 3 & 7;
    bool memory = modrm < 0xc0;
    if (b == 0xcf) /* IRETQ: REX.W and the opcode */
        return (a & 0xf8) == 0x48;
    if (a == 0xcd)
        return b == 0x80;
    if (a != 0x0f)
        return false;
    switch (b) {
    case 0x00: return reg < 2 || reg == 4 || reg == 5; /* SLDT, STR, VERR, VERW */
    case 0x01:                                         /* SGDT, SIDT, SMSW; of registers most are something else */
        return reg == 4 ||
               (memory ? reg < 2 : (modrm < 0xc8 || (modrm & 0xf8) == 0xd0 || modrm == 0xd9 || modrm >= 0xe8));
    case 0x02:
    case 0x03: return true; /* LAR, LSL */
    case 0x34: return true; /* SYSENTER */
    case 0xa2: return true; /* CPUID */
    case 0xae: return xsave && memory && reg >= 4 && reg <= 6;
    case 0xc7: return memory ? xsave && reg >= 3 && reg <= 5 : reg == 7;
    default: return false;
    }
}

static bool is_refused(const ZydisDecodedInstruction *i, u32 what)
{
    switch (i->mnemonic) {
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_WRPKRU:
    case ZYDIS_MNEMONIC_VMCALL:
    case ZYDIS_MNEMONIC_VMMCALL:
    case ZYDIS_MNEMONIC_VMFUNC:
    case ZYDIS_MNEMONIC_MONITORX:
    case ZYDIS_MNEMONIC_MWAITX:
    case ZYDIS_MNEMONIC_CLZERO:
    case ZYDIS_MNEMONIC_RDPRU:
    case ZYDIS_MNEMONIC_ENCLU:
    case ZYDIS_MNEMONIC_IRETQ: return true;
    case ZYDIS_MNEMONIC_RDTSCP: return what & SCAN_RDTSCP;
    case ZYDIS_MNEMONIC_XSAVE:
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEC:
    case ZYDIS_MNEMONIC_XSAVEC64:
    case ZYDIS_MNEMONIC_XSAVEOPT:
    case ZYDIS_MNEMONIC_XSAVEOPT64:
    case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTOR64: return what & SCAN_XSAVE;
    case ZYDIS_MNEMONIC_INT: return i->raw.imm[0].value.u == 0x80;
    default: return false;
    }
}

/* Is it XSAVE or one of its family, by its opcode? */
static bool is_xsave(u8 b, u8 modrm)
{
    return b == 0xae || (b == 0xc7 && modrm < 0xc0);
}

/* Can a process not stop before the instruction at `at`, because a MOV SS may be before it? Bytes before `from` may
 * change without notice. (POP SS is no instruction of 64-bit code.) */
static bool is_shadowed(const u8 *bytes, u32 from, u32 at)
{
    if (at - from < MOV_SS_MAX)
        return true;
    for (u32 n = 2; n <= MOV_SS_MAX; n++)
        if (bytes[at - n] == 0x8e && (bytes[at - n + 1] >> 3 & 7) == 2)
            return true;
    return false;
}

/* What decoding from several places says of a candidate. */
struct verdict {
    bool refused; /* it is one of the instructions, by one of them */
    bool sure;    /* all are in step there */
    u32 start;    /* where it begins, */
    bool several; /* or not all agree */
};

/* Decodes on at *at. Returns true if what is there reaches the candidate and is refused. */
static bool next(const ZydisDecoder *decoder, const u8 *bytes, u32 size, u32 *at, u32 candidate, u32 what)
{
    ZydisDecodedInstruction i;
    ZyanStatus status = ZydisDecoderDecodeInstruction(decoder, ZYAN_NULL, bytes + *at, size - *at, &i);
    bool ok = ZYAN_SUCCESS(status);
    if (status == ZYDIS_STATUS_NO_MORE_DATA) /* the rest is looked at with the page behind */
        *at = size;
    else
        *at += ok ? i.length : 1u;
    return ok && *at > candidate && is_refused(&i, what);
}

static struct verdict judge(const ZydisDecoder *decoder, const u8 *bytes, u32 size, u32 first, u32 candidate, u32 what)
{
    struct verdict v = {0};
    u32 at[STARTS], count = 0;
    for (u32 n = 0; n < STARTS && first + n <= candidate; n++)
        at[count++] = first + n;
    for (;;) {
        u32 least = 0;
        for (u32 n = 1; n < count; n++)
            least = at[n] < at[least] ? n : least;
        if (at[least] > candidate)
            break;
        v.sure = count == 1;
        u32 start = at[least];
        if (next(decoder, bytes, size, &at[least], candidate, what)) {
            v.several |= v.refused && v.start != start;
            v.refused = true;
            v.start = start;
        }
        for (u32 n = 0; n < count; n++)
            if (n != least && at[n] == at[least]) {
                at[least] = at[--count];
                break;
            }
    }
    v.sure &= candidate - first >= STARTS;
    return v;
}

u32 scan_list(const u8 *bytes, u32 size, u32 from, u32 to, u32 what, u32 *start, u32 most)
{
    ZydisDecoder decoder;
    bool ready = false;
    u32 count = 0;
    for (u32 i = from; i < to && i + 1 < size; i++) {
        if (bytes[i] != 0x0f && bytes[i] != 0xcd && bytes[i + 1] != 0xcf)
            continue;
        u8 modrm = i + 2 < size ? bytes[i + 2] : 0;
        if (!is_candidate(bytes[i], bytes[i + 1], modrm, what & SCAN_XSAVE))
            continue;
        if (!ready)
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        ready = true;
        struct verdict v = judge(&decoder, bytes, size, i > NEAR ? i - NEAR : 0, i, what);
        if (!v.sure && i > NEAR)
            v = judge(&decoder, bytes, size, i > SCAN_BEFORE ? i - SCAN_BEFORE : 0, i, what);
        if (!v.refused || (count && start[count - 1] == v.start))
            continue;
        if (count == most || !v.sure || v.several || v.start < from || is_shadowed(bytes, from, v.start) ||
            (bytes[i] == 0x0f && is_xsave(bytes[i + 1], modrm)))
            return ~0u;
        start[count++] = v.start;
    }
    return count;
}

bool scan_finds(const u8 *bytes, u32 size, u32 from, u32 to, u32 what)
{
    return scan_list(bytes, size, from, to, what, NULL, 0);
}
