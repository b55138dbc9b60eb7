/*
 * The table of settings of the manager's VMs, row by row, and what no row can say.
 */
#include "rules/vm_settings.h"

#include "unit/setting_rows.h"
#include "unit/test.h"

#include <string.h>

static void defaults(struct vm_settings *settings)
{
    *settings = (struct vm_settings){0};
    setting_defaults(vm_settings_table, settings);
}

static void test_rows(void)
{
    TEST("groups, each in one piece");
    CHECK_EQ(rows_check(vm_settings_table, sizeof(struct vm_settings)), 5);
}

static void test_defaults(void)
{
    struct vm_settings settings;
    struct error error;
    defaults(&settings);
    TEST("what a VM is by default");
    CHECK_EQ(settings.generation, 2);
    CHECK_EQ(settings.cpus, 1);
    CHECK_EQ(settings.memory, 1ull << 30);
    CHECK_EQ(settings.nested, NESTED_OFF);
    CHECK_EQ(settings.checkpoints, CHECKPOINT_PRODUCTION);
    CHECK_EQ(settings.auto_start, AUTO_START_IF_RUNNING);
    CHECK_EQ(settings.auto_stop, AUTO_STOP_SAVE);
    CHECK_EQ(settings.error_action, ERROR_PAUSE);
    CHECK_EQ(settings.error_timeout_ms, 1800000);
    CHECK_EQ(settings.memory_priority, 50);
    CHECK(!settings.dynamic_memory && !settings.secure_boot && !settings.boot);
    CHECK(!vm_settings_check(&settings, &error));

    TEST("names are the values they should be");
    CHECK(!setting_parse(setting_find(vm_settings_table, "nested", 6), "on", &settings, &error));
    CHECK_EQ(settings.nested, NESTED_HOST);
    CHECK(!setting_parse(setting_find(vm_settings_table, "checkpoints", 11), "standard", &settings, &error));
    CHECK_EQ(settings.checkpoints, CHECKPOINT_STANDARD);
    CHECK(!setting_parse(setting_find(vm_settings_table, "auto-stop", 9), "shut-down", &settings, &error));
    CHECK_EQ(settings.auto_stop, AUTO_STOP_SHUT_DOWN);
}

#define REFUSED(word)                                                                                                  \
    do {                                                                                                               \
        CHECK(vm_settings_check(&settings, &error) == -22 && strstr(error.text, word));                                \
        defaults(&settings);                                                                                           \
    } while (0)

static void test_check(void)
{
    struct vm_settings settings;
    struct error error;
    TEST("values that do not go together");
    defaults(&settings);
    settings.memory = (1ull << 30) + (1u << 20);
    REFUSED("memory");
    settings.dynamic_memory = true;
    settings.memory_minimum = 2ull << 30;
    REFUSED("memory-minimum");
    settings.dynamic_memory = true;
    settings.memory_maximum = 512u << 20;
    REFUSED("memory-maximum");
    settings.memory_cap = 512u << 20;
    REFUSED("memory-cap");
    settings.cpu_maximum = 50;
    settings.cpu_reserve = 51;
    REFUSED("cpu-reserve");
    settings.accel = ACCEL_KVM;
    settings.cpu = "x86-64-v2";
    REFUSED("needs the engine");
    settings.generation = 1;
    settings.secure_boot = true;
    REFUSED("secure-boot");
    static const char *const wrong[] = {"tape", "disk,", ",disk", "disk,,cd", "disks"};
    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        settings.boot = wrong[i];
        REFUSED("boot");
    }
    settings.boot = "network,disk,cd,floppy";
    CHECK(!vm_settings_check(&settings, &error));
}

static void test_addresses(void)
{
    TEST("the width of addresses that memory needs");
    CHECK_EQ(vm_address_bits(1ull << 30), 40);
    CHECK_EQ(vm_address_bits(972ull << 30), 40);
    CHECK_EQ(vm_address_bits(973ull << 30), 41); /* above 1 TiB on AMD's machines */
    CHECK_EQ(vm_address_bits(1ull << 40), 42);
    CHECK_EQ(vm_address_bits(4ull << 40), 43);
}

int main(void)
{
    test_rows();
    test_defaults();
    test_check();
    test_addresses();
    return TEST_END();
}
