/*
 * What VMs have used: Hyper-V's resource metering.
 */
#include "manager/meter.h"

#include "shell/model.h"
#include "shell/vms.h"

#include <string.h>

#define MIB (1 << 20)

static s64 number_of(const json_t *object, const char *key)
{
    const json_t *n = json_object_get(object, key);
    return json_is_integer(n) ? json_integer_value(n) : (s64)(json_number_value(n) + 0.5);
}

/* Bytes as Hyper-V counts them here. */
static struct value *mib_of(struct heap *heap, const json_t *object, const char *key)
{
    return value_number(heap, number_of(object, key) / MIB);
}

static struct value *disks(struct heap *heap, const json_t *meter)
{
    struct value *list = value_array(heap);
    const char *id;
    json_t *disk;
    json_object_foreach (json_object_get(meter, "disks"), id, disk) {
        struct value *v = value_object(heap, "VHDMetrics");
        object_set(v, "Name", value_text(heap, id));
        object_set(v, "DataRead", mib_of(heap, disk, "rd_bytes"));
        object_set(v, "DataWritten", mib_of(heap, disk, "wr_bytes"));
        object_set(v, "ReadOperations", value_number(heap, number_of(disk, "rd_operations")));
        object_set(v, "WriteOperations", value_number(heap, number_of(disk, "wr_operations")));
        array_add(list, v);
    }
    return list;
}

static void add_traffic(struct heap *heap, struct value *list, const char *card, const char *direction, s64 bytes)
{
    struct value *v = value_object(heap, "VMNetworkAdapterPortAclMeteringReport");
    object_set(v, "Name", value_text(heap, card));
    object_set(v, "Direction", value_text(heap, direction));
    object_set(v, "TotalTraffic", value_number(heap, bytes / MIB));
    array_add(list, v);
}

static struct value *report(struct heap *heap, const json_t *vm, const json_t *meter)
{
    struct value *v = value_object(heap, "VMMeteringReport"), *traffic = value_array(heap);
    const char *card;
    json_t *nic;
    s64 in = 0, out = 0;
    json_object_foreach (json_object_get(meter, "nics"), card, nic) {
        add_traffic(heap, traffic, card, "Inbound", number_of(nic, "in_bytes"));
        add_traffic(heap, traffic, card, "Outbound", number_of(nic, "out_bytes"));
        in += number_of(nic, "in_bytes");
        out += number_of(nic, "out_bytes");
    }
    object_set(v, "VMId", value_text(heap, model_text(vm, "id")));
    object_set(v, "VMName", value_text(heap, model_text(vm, "name")));
    object_set(v, "MeteringDuration", value_duration(heap, number_of(meter, "seconds")));
    object_set(v, "AverageProcessorUsage", value_number(heap, number_of(meter, "cpu_mhz")));
    object_set(v, "AverageMemoryUsage", mib_of(heap, meter, "memory_average"));
    object_set(v, "MaximumMemoryUsage", mib_of(heap, meter, "memory_maximum"));
    object_set(v, "MinimumMemoryUsage", mib_of(heap, meter, "memory_minimum"));
    object_set(v, "TotalDiskAllocation", mib_of(heap, meter, "disk_size"));
    object_set(v, "NetworkMeteredTrafficReport", traffic);
    object_set(v, "HardDiskMetrics", disks(heap, meter));
    object_set(v, "NetworkInbound", value_number(heap, in / MIB));
    object_set(v, "NetworkOutbound", value_number(heap, out / MIB));
    object_set(v, "ComputerName", value_host(heap));
    return v;
}

static enum flow measure(struct call *call)
{
    struct error error;
    json_t *vms, *vm, *meter;
    size_t index;
    enum flow flow = vms_find(call, &vms);
    json_array_foreach (vms, index, vm) {
        const char *name = model_text(vm, "name");
        if (flow != FLOW_NEXT)
            break;
        if (meter_show(call->shell->store, name, false, &meter, &error)) {
            flow = call_manager_error(call, &error, name);
            continue;
        }
        flow = call_put(call, report(&call->shell->heap, vm, meter));
        json_decref(meter);
    }
    json_decref(vms);
    return flow;
}

static enum flow reset_one(struct call *call, const char *name)
{
    struct error error;
    json_t *meter;
    if (meter_show(call->shell->store, name, true, &meter, &error))
        return call_manager_error(call, &error, name);
    json_decref(meter);
    return FLOW_NEXT;
}

static enum flow reset(struct call *call)
{
    return vms_each(call, reset_one, NULL);
}

static enum flow enable(struct call *call)
{
    return vms_set(call, "metering", "on", NULL);
}

static enum flow disable(struct call *call)
{
    return vms_set(call, "metering", "off", NULL);
}

/* clang-format off */
static const struct parameter measure_parameters[] = {VMS_BY_NAME, {0}};
static const struct parameter of_parameters[] = {VMS_OF_PARTS(1), {0}};
const struct cmdlet cmdlets_meter[] = {
    {"Enable-VMResourceMetering", NULL, of_parameters, IMPACT_MEDIUM, .process = enable,
     .summary = "Counts what VMs use from now on", .examples = "Enable-VMResourceMetering lab"},
    {"Disable-VMResourceMetering", NULL, of_parameters, IMPACT_MEDIUM, .process = disable,
     .summary = "Ends counting what VMs use", .examples = "Disable-VMResourceMetering lab"},
    {"Reset-VMResourceMetering", NULL, of_parameters, IMPACT_MEDIUM, .process = reset,
     .summary = "Counts from 0 again", .examples = "Reset-VMResourceMetering lab"},
    {"Measure-VM", NULL, measure_parameters, .process = measure,
     .summary = "Shows what VMs have used since their metering began", .gives = "VMMeteringReport",
     .examples = "Measure-VM lab\n(Measure-VM lab).HardDiskMetrics"},
    {0},
};
/* clang-format on */
