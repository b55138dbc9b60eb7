/*
 * Counters of a VM, for people.
 */
#include "kvmapi/settings.h"
#include "kvmapi/vm.h"

#include <stdio.h>

void stats_write(struct api_vm *vm)
{
    const char *file = api_settings()->stats_file;
    FILE *to = file && vm->cpus ? fopen(file, "ae") : NULL;
    if (!to)
        return;
    struct cpu_cache_use c;
    cpu_cache_use(vm->cpus, &c);
    fprintf(to, "blocks %llu, code %llu KiB hot %llu KiB cold, cache flushes %llu\n", (unsigned long long)c.blocks,
            (unsigned long long)c.hot >> 10, (unsigned long long)c.cold >> 10, (unsigned long long)c.flushes);
    for (u32 i = 0; i < vm->vcpu_count; i++) {
        const char *text;
        u64 value;
        fprintf(to, "vCPU %u: exits to the program %llu", vm->vcpu[i]->id, (unsigned long long)vm->vcpu[i]->exits);
        for (unsigned row = 0; (text = cpu_counter(vm->vcpu[i]->cpu, row, &value)); row++)
            fprintf(to, " %s %llu", text, (unsigned long long)value);
        fprintf(to, "\n");
    }
    fclose(to);
}
