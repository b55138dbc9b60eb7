/*
 * Shows the rule that a failed VM entry broke. Called where VMLAUNCH, VMRESUME (vmx/entry.c) or VMRUN (svm/exit.c)
 * fails, on the vCPU's own thread.
 */
#include "cpu/core/rule.h"
#include "cpu/core/vectors.h"

void rule_trace(struct vcpu *v, u64 rip)
{
    const struct cpu_host *host = v->vm->host;
    if (!host || !host->trace)
        return;
    const char *parts[] = {"VM entry fails: ", v->broken_rule->text, " (", v->broken_rule->source, ")"};
    char line[256];
    size_t n = 0;
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        for (const char *p = parts[i]; *p && n < sizeof(line) - 1; p++)
            line[n++] = *p;
    }
    line[n] = 0;
    vector_save(v);
    host->trace(host->opaque, v->index, rip, line);
}
