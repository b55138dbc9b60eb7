/*
 * QEMU's command line as `nestbox qemu` completes it.
 */
#include "cli/qemu_args.h"

#include <stdio.h>
#include <string.h>

#include "unit/test.h"

/* Returns the result as one line. */
static const char *line(const char *vendor, bool engine, bool shared, const char *const *argv)
{
    static char text[512];
    char **args = qemu_args("qemu", (char **)(uintptr_t)argv, vendor, engine, shared);
    size_t used = 0;
    for (char **a = args; *a; a++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "", *a);
    qemu_args_free(args);
    return text;
}
#define LINE(vendor, ...) line(vendor, false, false, (const char *const[]){__VA_ARGS__, NULL})
#define CHECK_LINE(want, vendor, ...) CHECK(strcmp(LINE(vendor, __VA_ARGS__), want) == 0)

static void test_accelerator(void)
{
    TEST("an accelerator is added where none is named");
    CHECK_LINE("qemu -accel kvm -cpu host -m 1G", NULL, "-m", "1G");
    CHECK_LINE("qemu -cpu host --accel kvm", NULL, "--accel", "kvm");
    CHECK_LINE("qemu -cpu host -enable-kvm", NULL, "-enable-kvm");
    CHECK_LINE("qemu -cpu host -machine q35,accel=kvm:tcg", NULL, "-machine", "q35,accel=kvm:tcg");
    CHECK_LINE("qemu -cpu host -M accel=kvm", NULL, "-M", "accel=kvm");
    CHECK_LINE("qemu -accel kvm -cpu host -M q35,xaccel=1", NULL, "-M", "q35,xaccel=1");
    CHECK_LINE("qemu -accel kvm -cpu host -machine", NULL, "-machine");
}

static bool tries_kvm(const char *want, const char *const *argv)
{
    char name[8];
    bool kvm = qemu_args_accel((char **)(uintptr_t)argv, name, sizeof(name));
    CHECK(strcmp(name, want) == 0);
    return kvm;
}
#define TRIES_KVM(want, ...) tries_kvm(want, (const char *const[]){__VA_ARGS__, NULL})

static void test_other_accelerator(void)
{
    TEST("with an accelerator that is not KVM nothing is added");
    CHECK_LINE("qemu -accel tcg", "amd", "-accel", "tcg");
    CHECK_LINE("qemu -machine q35,accel=tcg -cpu max", "amd", "-machine", "q35,accel=tcg", "-cpu", "max");
    CHECK(!TRIES_KVM("tcg", "-accel", "tcg,thread=multi"));
    CHECK(!TRIES_KVM("tcg", "-accel", "accel=tcg,thread=multi"));
    CHECK(!TRIES_KVM("xen", "-M", "accel=xen"));
    CHECK(!TRIES_KVM("kvmx", "-accel", "kvmx"));

    TEST("the first that is named counts");
    CHECK(TRIES_KVM("", "-m", "1G"));
    CHECK(TRIES_KVM("kvm", "-enable-kvm"));
    CHECK(TRIES_KVM("kvm", "-accel"));
    CHECK(TRIES_KVM("kvm", "-accel", "kvm,kernel-irqchip=split", "-accel", "tcg"));
    CHECK(!TRIES_KVM("tcg", "-accel", "tcg", "-accel", "kvm"));
    CHECK(TRIES_KVM("kvm", "-machine", "none,accel=kvm:tcg"));
    CHECK(!TRIES_KVM("tcg", "-machine", "accel=tcg:kvm"));
}

static const char *misplaced(const char *const *argv)
{
    const char *found = qemu_args_misplaced((char **)(uintptr_t)argv);
    return found ? found : "none";
}
#define CHECK_MISPLACED(want, ...) CHECK(strcmp(misplaced((const char *const[]){__VA_ARGS__, NULL}), want) == 0)

static void test_misplaced(void)
{
    TEST("our options among QEMU's");
    CHECK_MISPLACED("none", "-m", "1G", "--nographic", "--cpu", "max", "--accel", "kvm", "--trace", "x");
    CHECK_MISPLACED("--nested", "-m", "1G", "--nested", "amd");
    CHECK_MISPLACED("--nested=amd", "--nested=amd", "-m", "1G");
    CHECK_MISPLACED("--stats", "-S", "--stats", "f");
    CHECK_MISPLACED("--", "-S", "--", "-s");
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
    CHECK(strcmp(line(vendor, true, false, (const char *const[]){__VA_ARGS__, NULL}), want) == 0)

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

#define MEMFD(size)                                                                                                    \
    "-object memory-backend-memfd,id=pc.ram,size=" size                                                                \
    "M,share=on,x-use-canonical-path-for-ramblock-id=off -machine memory-backend=pc.ram"
#define CHECK_SHARED(want, ...)                                                                                        \
    CHECK(strcmp(line(NULL, false, true, (const char *const[]){"-cpu", "EPYC", __VA_ARGS__, NULL}),                    \
                 "qemu -accel kvm " want) == 0)

static void test_shared_memory(void)
{
    TEST("memory that is mapped shared is added where no other is named, and its size is plain");
    CHECK_SHARED(MEMFD("128") " -cpu EPYC -S", "-S");
    CHECK_SHARED(MEMFD("512") " -cpu EPYC -m 512", "-m", "512");
    CHECK_SHARED(MEMFD("2048") " -cpu EPYC -m 2G", "-m", "2G");
    CHECK_SHARED(MEMFD("1024") " -cpu EPYC -m size=1024M,maxmem=4G", "-m", "size=1024M,maxmem=4G");
    CHECK_SHARED("-cpu EPYC -m 1.5G", "-m", "1.5G");
    CHECK_SHARED("-cpu EPYC -m 1G -mem-path /dev/shm", "-m", "1G", "-mem-path", "/dev/shm");
    CHECK_SHARED("-cpu EPYC -M q35,memory-backend=ram", "-M", "q35,memory-backend=ram");
    CHECK_SHARED("-cpu EPYC -object memory-backend-ram,id=ram,size=1G", "-object", "memory-backend-ram,id=ram,size=1G");
    CHECK_SHARED("-cpu EPYC -M none", "-M", "none");

    TEST("a sandbox that forbids processes");
    CHECK(qemu_args_no_processes((char *[]){"-sandbox", "on,spawn=deny", NULL}));
    CHECK(!qemu_args_no_processes((char *[]){"-sandbox", "on,spawn=allow", NULL}));
    CHECK(!qemu_args_no_processes((char *[]){"-sandbox", "on", NULL}));
}

int main(void)
{
    test_accelerator();
    test_other_accelerator();
    test_misplaced();
    test_cpu();
    test_width();
    test_shared_memory();
    return TEST_END();
}
