/*
 * nestbox top: VMs that run and what they use per second, again and again; elsewhere than on a terminal, once.
 */
#include "manager/top.h"
#include "cli/command.h"
#include "cli/print.h"
#include "cli/vm.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

struct options {
    bool json;
    u64 interval_ms;
};

#define AT(field) offsetof(struct options, field)
static const struct setting rows[] = {
    {"seconds", SETTING_SECONDS, AT(interval_ms), "SECONDS", "time between two looks", .def = "2", .min = 200,
     .max = 3600000},
    {"json", SETTING_FLAG, AT(json), NULL, "print JSON, once"},
    {0},
};

/* -- rates -- */

static const struct column {
    char key;
    const char *name; /* of the counter */
    const char *rate; /* of what it becomes */
} columns[] = {{'c', "cpu_ms", "cpu"},      {'m', NULL, "memory"},
               {'r', "read_bytes", "read"}, {'w', "written_bytes", "written"},
               {'i', "in_bytes", "in"},     {'o', "out_bytes", "out"}};

static double per_second(long long now, long long before, long long ms)
{
    return ms > 0 && now > before ? (double)(now - before) * 1000 / (double)ms : 0;
}

static json_t *exits_of(const json_t *now, const json_t *before, long long ms)
{
    json_t *rates = json_object(), *value;
    const char *name;
    json_object_foreach (json_object_get(now, "exits"), name, value) {
        double rate = per_second(json_integer_value(value), number_at(json_object_get(before, "exits"), name), ms);
        if (rate > 0)
            (void)!json_object_set_new(rates, name, json_real(rate));
    }
    return rates;
}

/* Two looks become an array of VMs: "cpu" is per cent of one CPU; bytes and exits are per second. */
static json_t *rates_of(const json_t *now, const json_t *before)
{
    json_t *list = json_array(), *vm;
    const char *name;
    json_object_foreach ((json_t *)(uintptr_t)now, name, vm) {
        const json_t *was = json_object_get(before, name);
        long long ms = was ? number_at(vm, "at_ms") - number_at(was, "at_ms") : 0;
        json_t *one =
            json_pack("{s:s, s:O, s:O, s:O, s:O, s:o}", "name", name, "state", json_object_get(vm, "state"), "cpus",
                      json_object_get(vm, "cpus"), "memory", json_object_get(vm, "memory"), "hypervisor_active",
                      json_object_get(vm, "hypervisor_active"), "exits", exits_of(vm, was, ms));
        for (unsigned i = 0; i < ARRAY_LEN(columns); i++) {
            if (!columns[i].name)
                continue;
            double rate = per_second(number_at(vm, columns[i].name), number_at(was, columns[i].name), ms);
            (void)!json_object_set_new(one, columns[i].rate, json_real(columns[i].key == 'c' ? rate / 10 : rate));
        }
        if (json_object_get(vm, "memory_demand"))
            (void)!json_object_set(one, "memory_demand", json_object_get(vm, "memory_demand"));
        (void)!json_array_append_new(list, one);
    }
    return list;
}

/* -- text -- */

static char order = 'c';

static double rank(const json_t *vm)
{
    for (unsigned i = 0; i < ARRAY_LEN(columns); i++)
        if (columns[i].key == order)
            return json_number_value(json_object_get(vm, columns[i].rate));
    return 0;
}

static int by_rank(const void *a, const void *b)
{
    double x = rank(*(json_t *const *)a), y = rank(*(json_t *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

static void per_second_text(const json_t *vm, const char *key, char *text, size_t size)
{
    bytes_text((u64)json_number_value(json_object_get(vm, key)), text, size);
}

static int by_rate(const void *a, const void *b)
{
    double x = json_number_value(json_object_get(*(json_t *const *)a, "rate")),
           y = json_number_value(json_object_get(*(json_t *const *)b, "rate"));
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Prints a line as far as it fits: one that went on below would move the screen. */
__attribute__((format(printf, 2, 3))) static void print_line(int width, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    printf("%.*s%s\n", width, text, isatty(STDOUT_FILENO) ? "\033[K" : "");
}

/* The exits of a VM, the most frequent first, on one line. */
static void print_exits(const json_t *vm, int width)
{
    json_t *exits = json_object_get(vm, "exits"), *value, *sorted[64];
    const char *name;
    unsigned count = 0;
    int used = 0;
    json_object_foreach (exits, name, value)
        if (count < ARRAY_LEN(sorted))
            sorted[count++] = json_pack("{s:s, s:O}", "name", name, "rate", value);
    qsort(sorted, count, sizeof(sorted[0]), by_rate);
    for (unsigned i = 0; i < count; i++) {
        char text[100];
        int length = snprintf(text, sizeof(text), "%s%s %.0f/s", i ? ", " : "    exits: ", text_at(sorted[i], "name"),
                              json_number_value(json_object_get(sorted[i], "rate")));
        if (used + length < width)
            used += printf("%s", text);
        json_decref(sorted[i]);
    }
    if (used)
        fputs(isatty(STDOUT_FILENO) ? "\033[K\n" : "\n", stdout);
}

static void print_screen(const json_t *list, bool exits, int height, int width)
{
    size_t count = json_array_size(list), i;
    json_t **sorted = calloc(count + 1, sizeof(*sorted)), *vm;
    if (!sorted)
        return;
    json_array_foreach ((json_t *)(uintptr_t)list, i, vm)
        sorted[i] = vm;
    qsort(sorted, count, sizeof(*sorted), by_rank);
    print_line(width, "%-20s %-9s %7s %10s %10s %10s %10s %10s", "NAME", "STATE", "CPU %", "MEMORY", "READ/s",
               "WRITTEN/s", "IN/s", "OUT/s");
    for (i = 0; i < count && (height <= 0 || (int)i * (exits ? 2 : 1) + 3 < height); i++) {
        char memory[24], text[4][24];
        bytes_text((u64)number_at(sorted[i], "memory"), memory, sizeof(memory));
        for (unsigned k = 0; k < 4; k++)
            per_second_text(sorted[i], columns[k + 2].rate, text[k], sizeof(text[k]));
        print_line(width, "%-20.20s %-9.9s %7.1f %10s %10s %10s %10s %10s%s", text_at(sorted[i], "name"),
                   text_at(sorted[i], "state"), json_number_value(json_object_get(sorted[i], "cpu")), memory, text[0],
                   text[1], text[2], text[3], true_at(sorted[i], "hypervisor_active") ? " L1" : "");
        if (exits)
            print_exits(sorted[i], width);
    }
    free(sorted);
}

/* -- the terminal -- */

static struct termios before;
static volatile sig_atomic_t ended; /* a signal's number; negative: there is no more input */

static void end_it(int signal)
{
    ended = signal;
}

static void terminal_begin(void)
{
    struct sigaction stop = {.sa_handler = end_it};
    struct termios raw;
    tcgetattr(STDIN_FILENO, &before);
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    fputs("\033[?1049h\033[?25l", stdout);
}

static void terminal_end(void)
{
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

/* Waits, and returns what was pressed, 0 for nothing. */
static char wait_key(u64 ms)
{
    char key = 0;
    if (poll(&(struct pollfd){STDIN_FILENO, POLLIN}, 1, (int)ms) > 0 && read(STDIN_FILENO, &key, 1) != 1)
        ended = ended ? ended : -1;
    return key;
}

static int live(struct store *store, u64 interval_ms, struct error *error)
{
    json_t *last = NULL, *now;
    bool exits = true;
    int e = 0;
    terminal_begin();
    while (!ended && !(e = top_look(store, &now, error))) {
        static const char keys[] = "q ends; order: c CPU, m memory, r read, w written, i in, o out; e exits";
        struct winsize size = {.ws_row = 24, .ws_col = 80};
        json_t *list = rates_of(now, last);
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
        fputs("\033[H", stdout);
        print_screen(list, exits, size.ws_row - 1, size.ws_col - 1);
        printf("\033[J\033[%d;1H%.*s", size.ws_row, size.ws_col - 1, keys);
        fflush(stdout);
        json_decref(list);
        char key = wait_key(last ? interval_ms : 500);
        json_decref(last);
        last = now;
        if (key == 'q')
            break;
        if (key == 'e')
            exits = !exits;
        else if (key && strchr("cmrwio", key))
            order = key;
    }
    json_decref(last);
    terminal_end();
    if (ended > 0) {
        signal(ended, SIG_DFL);
        raise(ended);
    }
    return e;
}

static int once(struct store *store, const struct options *o, struct error *error)
{
    json_t *first, *second;
    int e = top_look(store, &first, error);
    if (e)
        return e;
    usleep((useconds_t)(o->interval_ms * 1000));
    e = top_look(store, &second, error);
    if (!e) {
        json_t *list = rates_of(second, first);
        if (o->json) {
            command_json(list);
        } else {
            print_screen(list, true, 0, 200);
            json_decref(list);
        }
        json_decref(second);
    }
    json_decref(first);
    return e;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    verb_defaults(verb, &o);
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    bool terminal = !o.json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    return command_end(store, terminal ? live(store, o.interval_ms, &error) : once(store, &o, &error), &error);
}

const struct verb verb_top = {
    .name = "top",
    .summary = "A live screen of the VMs that run and what they use",
    .usage = "[--seconds N] [--json]",
    .options = {{rows}},
    .about = "Shows the VMs that run: CPU in per cent of one CPU, memory, drives and network per second, and their "
             "exits per second by level and reason. Keys: *q* ends; *c*, *m*, *r*, *w*, *i* and *o* choose the order; "
             "*e* shows and hides exits. Elsewhere than on a terminal it prints one table.",
    .run = run,
};
