/*
 * The pulse of a worker: one alarm every two seconds, from the time that QEMU is there until it has gone.
 */
#include "worker/pulse.h"

#include "worker/inside.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RESERVE_BEATS 5

u64 process_cpu_ms(pid_t process, u64 *resident)
{
    char path[40], text[1024];
    unsigned long long user = 0, system = 0, pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)process);
    FILE *f = fopen(path, "re");
    const char *at = f && fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
    if (f)
        fclose(f);
    for (unsigned field = 2; at && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (!at || sscanf(at, " %llu %llu", &user, &system) != 2)
        user = system = 0;
    if (resident) {
        snprintf(path, sizeof(path), "/proc/%d/statm", (int)process);
        f = fopen(path, "re");
        if (!f || fscanf(f, "%*u %llu", &pages) != 1)
            pages = 0;
        if (f)
            fclose(f);
        *resident = pages * (u64)sysconf(_SC_PAGESIZE);
    }
    return (user + system) * 1000 / (u64)sysconf(_SC_CLK_TCK);
}

void cpu_use_look(struct cpu_use *use, u64 now_ns, u64 cpu_ms)
{
    if (use->at_ns && now_ns > use->at_ns && cpu_ms >= use->cpu_ms)
        use->per_mille = (u32)((cpu_ms - use->cpu_ms) * 1000000000ull / (now_ns - use->at_ns));
    use->at_ns = now_ns;
    use->cpu_ms = cpu_ms;
}

void pulse_beat(struct alarm *alarm)
{
    struct worker *w = container_of(alarm, struct worker, pulse);
    if (!w->connected)
        return;
    cpu_use_look(&w->cpu, w->loop.now_ns, process_cpu_ms(w->qemu.pid, NULL));
    w->beats++;
    memory_beat(w->memory);
    meter_beat(w->meter);
    if (w->def.set.cpu_reserve && !(w->beats % RESERVE_BEATS)) /* other groups came and went */
        change_limit_cpu(w);
    loop_alarm(&w->loop, &w->pulse, w->loop.now_ns + PULSE_NS);
}
