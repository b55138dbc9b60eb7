/*
 * nestbox meter: what a VM has used over all its starts.
 */
#include "manager/meter.h"
#include "cli/command.h"
#include "cli/print.h"
#include "cli/vm.h"

#include <stdio.h>
#include <time.h>

struct options {
    bool json, reset;
};

#define AT(field) offsetof(struct options, field)
static const struct setting reset_row[] = {
    {"reset", SETTING_FLAG, AT(reset), NULL, "count from 0 from now on, after what was is printed"}, {0}};

static double real_at(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void print_meter(const json_t *m)
{
    char when[32], text[32], more[32], third[32];
    const char *id;
    json_t *part;
    time_t since = (time_t)number_at(m, "since");
    struct tm tm;
    localtime_r(&since, &tm);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
    printf("%s: since %s, of which it ran %s\n", text_at(m, "name"), when,
           duration_text((u64)(real_at(m, "seconds") * 1000), text, sizeof(text)));
    printf("  CPU         %s, %.1f %% of one CPU on average (%.0f MHz)\n",
           duration_text((u64)number_at(m, "cpu_ms"), text, sizeof(text)), real_at(m, "cpu_average"),
           real_at(m, "cpu_mhz"));
    printf("  memory      %s on average, %s to %s\n",
           bytes_text((u64)number_at(m, "memory_average"), text, sizeof(text)),
           bytes_text((u64)number_at(m, "memory_minimum"), more, sizeof(more)),
           bytes_text((u64)number_at(m, "memory_maximum"), third, sizeof(third)));
    printf("  disks       %s, %s on the host\n", bytes_text((u64)number_at(m, "disk_size"), text, sizeof(text)),
           bytes_text((u64)number_at(m, "disk_bytes"), more, sizeof(more)));
    json_object_foreach (json_object_get(m, "disks"), id, part)
        printf("  %-11s read %s in %lld, written %s in %lld\n", id,
               bytes_text((u64)number_at(part, "rd_bytes"), text, sizeof(text)), number_at(part, "rd_operations"),
               bytes_text((u64)number_at(part, "wr_bytes"), more, sizeof(more)), number_at(part, "wr_operations"));
    json_object_foreach (json_object_get(m, "nics"), id, part)
        printf("  %-11s in %s, out %s\n", id, bytes_text((u64)number_at(part, "in_bytes"), text, sizeof(text)),
               bytes_text((u64)number_at(part, "out_bytes"), more, sizeof(more)));
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    json_t *object = NULL;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int e = meter_show(store, word[0], o.reset, &object, &error);
    return command_show(store, e, &error, object, o.json, print_meter);
}

const struct verb verb_meter = {
    .name = "meter",
    .summary = "What a VM has used over all its starts",
    .usage = "VM [--reset] [--json]",
    .options = {{reset_row}, {json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}},
    .about = "Prints what a VM has used since *nestbox set VM --metering on*, or since it was reset: CPU time, memory, "
             "disks, network by card. It is kept over restarts of the VM.",
    .run = run,
};
