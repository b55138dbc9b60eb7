/*
 * Whether a hypervisor runs in a VM, from answers to query-stats of the engine and of the kernel.
 */
#include "worker/hypervisor.h"

#include "unit/test.h"

static bool active(const char *text)
{
    json_t *stats = json_loads(text, 0, NULL);
    bool is = hypervisor_active(stats);
    json_decref(stats);
    return is;
}

int main(void)
{
    TEST("no answer, and no hypervisor");
    CHECK(!hypervisor_active(NULL));
    CHECK(!active("[]"));
    CHECK(!active("[{\"stats\": [{\"name\": \"nested_run\", \"value\": 0}, {\"name\": \"exits\", \"value\": 7}]}]"));
    CHECK(!active("[{\"stats\": [{\"name\": \"hypervisor_active\", \"value\": 0}]}]"));

    TEST("on one of two vCPUs, as the engine and as the kernel report it");
    CHECK(active("[{\"stats\": [{\"name\": \"hypervisor_active\", \"value\": 0}]},"
                 " {\"stats\": [{\"name\": \"hypervisor_active\", \"value\": 1}]}]"));
    CHECK(active("[{\"stats\": [{\"name\": \"nested_run\", \"value\": 12}]}]"));

    TEST("counters are sums, and those that are 0 are left out");
    json_t *stats =
        json_loads("[{\"stats\": [{\"name\": \"exits\", \"value\": 7}, {\"name\": \"x\", \"value\": 0}]},"
                   " {\"stats\": [{\"name\": \"exits\", \"value\": 5}, {\"name\": \"h\", \"value\": [1]}]}]",
                   0, NULL);
    json_t *sum = hypervisor_counters(stats);
    CHECK_EQ(json_object_size(sum), 1);
    CHECK_EQ(json_integer_value(json_object_get(sum, "exits")), 12);
    json_decref(sum);
    json_decref(stats);
    return TEST_END();
}
