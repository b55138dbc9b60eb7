/*
 * Host CPUID. Source: SDM vol. 2A "CPUID-CPU Identification"; AMD APM vol. 3 "Obtaining Processor
 * Information Via the CPUID Instruction"; Linux, Documentation/x86/x86_64/fsgs.rst for the
 * auxiliary vector's bit.
 */
#include "accel/hostcpu.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#define HWCAP2_FSGSBASE BIT(1)

static void brand_read(struct hostcpu *cpu)
{
    u32 r[12], a, b, c, d;
    if (!__get_cpuid(0x80000000, &a, &b, &c, &d) || a < 0x80000004)
        return;
    for (u32 i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &r[i * 4], &r[i * 4 + 1], &r[i * 4 + 2], &r[i * 4 + 3]);
    memcpy(cpu->brand, r, 48);
    size_t n = strlen(cpu->brand);
    while (n && cpu->brand[n - 1] == ' ')
        cpu->brand[--n] = 0;
    size_t skip = strspn(cpu->brand, " ");
    memmove(cpu->brand, cpu->brand + skip, n - skip + 1);
}

void hostcpu_read(struct hostcpu *cpu)
{
    u32 a, b, c, d;
    memset(cpu, 0, sizeof(*cpu));
    __cpuid(0, a, b, c, d);
    memcpy(cpu->vendor, &b, 4);
    memcpy(cpu->vendor + 4, &d, 4);
    memcpy(cpu->vendor + 8, &c, 4);
    brand_read(cpu);

    __cpuid(1, a, b, c, d);
    u32 family = (a >> 8 & 0xf) + (a >> 20 & 0xff);
    cpu->vmx = c & BIT(5);
    cpu->avx = c & BIT(28);
    cpu->rdrand = c & BIT(30);
    cpu->hypervisor = c & BIT(31);
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        cpu->bmi2 = b & BIT(8);
        cpu->fsgsbase = (b & BIT(0)) && (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE);
        cpu->avx2 = b & BIT(5);
        cpu->avx512 = b & BIT(16);
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d))
        cpu->svm = c & BIT(2);
    if (__get_cpuid(0x80000007, &a, &b, &c, &d))
        cpu->invariant_tsc = d & BIT(8);
    cpu->address_bits = __get_cpuid(0x80000008, &a, &b, &c, &d) ? a & 0xff : 36;
    cpu->amd = strcmp(cpu->vendor, "AuthenticAMD") == 0;
    cpu->slow_pext = cpu->amd && family < 0x19;
}

bool hostcpu_suits_engine(const struct hostcpu *cpu, struct error *error)
{
    if (!cpu->bmi2) {
        error_set(error, -ENOTSUP, "this host's CPU has no BMI2, which the engine is built on");
        error_hint(error, "use a host with it (Intel since 2013, AMD since 2015), or " SETTING(
                              "accel") " kvm where /dev/kvm works");
        return false;
    }
    if (!cpu->fsgsbase) {
        error_set(error, -ENOTSUP, "this host does not let programs use FSGSBASE, which the engine needs");
        error_hint(error, "run Linux 5.9 or newer, without nofsgsbase");
        return false;
    }
    return true;
}
