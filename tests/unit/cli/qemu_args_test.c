/*
 * QEMU's command line as `nestbox qemu` completes it.
 */
#include "cli/qemu_args.h"

#include <stdio.h>
#include <string.h>

#include "unit/test.h"

/* Returns the result as one line. */
static const char *line(const char *vendor, bool engine, const char *const *argv)
{
    static char text[512];
    char **args = qemu_args("qemu", (char **)(uintptr_t)argv, vendor, engine);
    size_t used = 0;
    for (char **a = args; *a; a++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "", *a);
    qemu_args_free(args);
    return text;
}
#define LINE(vendor, ...) line(vendor, false, (const char *const[]){__VA_ARGS__, NULL})
#define CHECK_LINE(want, vendor, ...) CHECK(strcmp(LINE(vendor, __VA_ARGS__), want) == 0)

static void test_accelerator(void)
{
    TEST("an accelerator is added where none is named");
    CHECK_LINE("qemu -accel kvm -cpu host -m 1G", NULL, "-m", "1G");
    CHECK_LINE("qemu -cpu host -accel tcg", NULL, "-accel", "tcg");
    CHECK_LINE("qemu -cpu host --accel kvm", NULL, "--accel", "kvm");
    CHECK_LINE("qemu -cpu host -enable-kvm", NULL, "-enable-kvm");
    CHECK_LINE("qemu -cpu host -machine q35,accel=kvm:tcg", NULL, "-machine", "q35,accel=kvm:tcg");
    CHECK_LINE("qemu -cpu host -M accel=kvm", NULL, "-M", "accel=kvm");
    CHECK_LINE("qemu -accel kvm -cpu host -M q35,xaccel=1", NULL, "-M", "q35,xaccel=1");
    CHECK_LINE("qemu -accel kvm -cpu host -machine", NULL, "-machine");
}

static void test_cpu(void)
{
    TEST("a CPU is added where none is named and the machine has one");
    CHECK_LINE("qemu -accel kvm -cpu EPYC", NULL, "-cpu", "EPYC");
    CHECK_LINE("qemu -accel kvm -M none", NULL, "-M", "none");
    CHECK_LINE("qemu -machine none,accel=kvm:tcg", "amd", "-machine", "none,accel=kvm:tcg");
    CHECK_LINE("qemu -accel kvm -machine type=none", NULL, "-machine", "type=none");
    CHECK_LINE("qemu -accel kvm -cpu", "amd", "-cpu");

    TEST("another vendor goes with each CPU that names none");
    CHECK_LINE(
        "qemu -accel kvm -cpu host,vendor=AuthenticAMD,family=25,model=17,stepping=1,model-id=nestbox virtual CPU -S",
        "amd", "-S");
    CHECK_LINE(
        "qemu -accel kvm -cpu max,-avx,vendor=GenuineIntel,family=6,model=106,stepping=6,model-id=nestbox virtual CPU",
        "intel", "-cpu", "max,-avx");
    CHECK_LINE("qemu -accel kvm -cpu host,family=6,vendor=AuthenticAMD", "amd", "-cpu", "host,family=6");
    CHECK_LINE("qemu -accel kvm -cpu EPYC,vendor=AuthenticAMD", "amd", "-cpu", "EPYC");
    CHECK_LINE("qemu -accel kvm -cpu host,vendor=X", "amd", "-cpu", "host,vendor=X");
    CHECK_LINE("qemu -accel kvm -cpu help", "amd", "-cpu", "help");
}

#define CHECK_ENGINE(want, vendor, ...)                                                                                \
    CHECK(strcmp(line(vendor, true, (const char *const[]){__VA_ARGS__, NULL}), want) == 0)

static void test_width(void)
{
    TEST("on the engine the host's models have narrow physical addresses, unless a width is named");
    CHECK_ENGINE("qemu -accel kvm -cpu host,host-phys-bits-limit=40 -S", NULL, "-S");
    CHECK_ENGINE("qemu -accel kvm -cpu max,-avx,host-phys-bits-limit=40", NULL, "-cpu", "max,-avx");
    CHECK_ENGINE("qemu -accel kvm -cpu max,phys-bits=46", NULL, "-cpu", "max,phys-bits=46");
    CHECK_ENGINE("qemu -accel kvm -cpu max,host-phys-bits-limit=42", NULL, "-cpu", "max,host-phys-bits-limit=42");
    CHECK_ENGINE("qemu -accel kvm -cpu EPYC", NULL, "-cpu", "EPYC");
    CHECK_ENGINE("qemu -accel kvm -cpu host,family=6,vendor=AuthenticAMD,host-phys-bits-limit=40", "amd", "-cpu",
                 "host,family=6");
}

int main(void)
{
    test_accelerator();
    test_cpu();
    test_width();
    return TEST_END();
}
