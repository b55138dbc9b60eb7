/*
 * The table of settings of a VM, row by row.
 */
#include "rules/run_settings.h"

#include "cpu/core/cpuid.h"
#include "unit/setting_rows.h"
#include "unit/test.h"

#include <string.h>

static void test_rows(void)
{
    unsigned run = rows_check(run_settings_table, sizeof(struct run_settings)),
             kvm = rows_check(kvm_settings_table, sizeof(struct run_settings));
    TEST("groups, each in one piece");
    CHECK_EQ(run, 4);
    CHECK_EQ(kvm, 2);
}

static void test_defaults(void)
{
    struct run_settings settings = {0};
    setting_defaults(run_settings_table, &settings);
    TEST("what a VM is by default");
    CHECK(!settings.kernel && !settings.append.count && !settings.cpu && !settings.initrd.count);
    CHECK_EQ(settings.memory, 1ull << 30);
    CHECK_EQ(settings.cpus, 1);
    CHECK_EQ(settings.nested, NESTED_OFF);
    CHECK_EQ(settings.accel, ACCEL_AUTO);
    CHECK(!settings.serial.count && !settings.serial_log && !settings.shutdown_ms);
    CHECK(!settings.no_reboot && !settings.debug_exit && !settings.stats && !settings.timeout_ms && !settings.trace);

    TEST("names are the values they should be");
    struct error error;
    CHECK(!setting_parse(setting_find(run_settings_table, "nested", 6), "amd", &settings, &error));
    CHECK_EQ(settings.nested, NESTED_AMD);
    CHECK(!setting_parse(setting_find(run_settings_table, "accel", 5), "kvm", &settings, &error));
    CHECK_EQ(settings.accel, ACCEL_KVM);
    CHECK(!setting_parse(setting_find(run_settings_table, "trace", 5), "entry", &settings, &error));
    CHECK_EQ(settings.trace, TRACE_ENTRY);
}

/* The core knows the models; the table offers them. */
static void test_models(void)
{
    char models[256] = "";
    const struct setting *cpu = setting_find(run_settings_table, "cpu", 3);
    TEST("the CPU models offered are those that there are");
    for (unsigned i = 0; cpuid_model_name(i); i++) {
        char starred[32];
        snprintf(models + strlen(models), sizeof(models) - strlen(models), "%s%s", i ? " " : "", cpuid_model_name(i));
        snprintf(starred, sizeof(starred), "*%s*", cpuid_model_name(i));
        CHECK(strstr(cpu->about, starred));
    }
    CHECK(strcmp(models, cpu->examples) == 0);
}

int main(void)
{
    test_rows();
    test_defaults();
    test_models();
    return TEST_END();
}
