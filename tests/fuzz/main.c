/*
 * Runs the targets of this folder: old failures first, then random inputs. Each target runs in a process of its own, so
 * a crash or a hang costs one case: the input is shrunk to the fewest records and bytes that still fail, and printed as
 * a line for corpus.txt.
 * usage: fuzz [--corpus FILE] [--target NAME] [--seed N] [--cases N | --seconds N] [--replay LINE]
 */
#include "fuzz.h"

#include "base/monotonic.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_SECONDS 20
#define SHRINK_RUNS 3000u

/* What the processes see of each other. */
struct shared {
    struct input input; /* of the case that runs */
    u64 cases, fed;
    u64 random;
};

static const struct fuzz_target *const targets[] = {&fuzz_frames,  &fuzz_stream, &fuzz_definitions,
                                                    &fuzz_control, &fuzz_agent,  &fuzz_shell};
static struct shared *shared;
char fuzz_folder[64];

/* -- random -- */

u64 random_u64(void)
{
    u64 x = shared->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    shared->random = x;
    return x * 0x2545f4914f6cdd1dull;
}

u32 below(u32 n)
{
    return (u32)(random_u64() >> 32) % n;
}

bool one_in(u32 n)
{
    return !below(n);
}

u32 mutate(u8 *bytes, u32 length, u32 room)
{
    static const u8 odd[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe, 4, 0x40};
    for (u32 times = 1 + below(3); times && length; times--) {
        u32 at = below(length), size = 1 + below(8);
        switch (below(6)) {
        case 0: bytes[at] = (u8)below(256); break;
        case 1: bytes[at] = odd[below(ARRAY_LEN(odd))]; break;
        case 2: bytes[at] ^= (u8)(1u << below(8)); break;
        case 3: length = at; break;
        case 4: /* a piece is taken out */
            size = size < length - at ? size : length - at;
            memmove(bytes + at, bytes + at + size, length - at - size);
            length -= size;
            break;
        default: /* or is there twice */
            size = size < length - at ? size : length - at;
            if (length + size <= room) {
                memmove(bytes + at + size, bytes + at, length - at);
                length += size;
            }
        }
    }
    return length;
}

struct record *record_add(struct input *input)
{
    if (input->records == RECORDS_MAX)
        return NULL;
    struct record *r = &input->record[input->records++];
    r->length = 0;
    return r;
}

void wrong(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "fuzz: ");
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    abort();
}

/* A server at every address that sends back what it gets, until this program ends. */
static void echo(u16 number)
{
    enum { PEERS = 32 };
    struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_port = htons(number)};
    struct pollfd peer[PEERS + 1];
    u8 data[4096];
    memset(peer, -1, sizeof(peer));
    int listening = socket(AF_INET6, SOCK_STREAM, 0);
    if (listening < 0 || bind(listening, (struct sockaddr *)&here, sizeof(here)) || listen(listening, 64))
        _exit(1);
    peer[PEERS] = (struct pollfd){listening, POLLIN, 0};
    for (u32 next = 0; poll(peer, PEERS + 1, -1) >= 0;) {
        for (u32 i = 0; i < PEERS; i++) {
            ssize_t n = peer[i].revents ? recv(peer[i].fd, data, sizeof(data), MSG_DONTWAIT) : 1;
            if (n > 0 && peer[i].revents)
                n = send(peer[i].fd, data, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n <= 0) {
                close(peer[i].fd);
                peer[i].fd = -1;
            }
        }
        if (peer[PEERS].revents) { /* the oldest gives way */
            close(peer[next % PEERS].fd);
            peer[next++ % PEERS] = (struct pollfd){accept(listening, NULL, NULL), POLLIN, 0};
        }
    }
}

/* A network namespace of the program's own, where every address is the host's: what guests send must reach no network
 * that is real. */
static void be_alone(void)
{
    if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
        printf("no network namespace can be made here\n");
        exit(77);
    }
    if (system("{ ip link set lo up && ip route add local 0.0.0.0/0 dev lo && ip -6 route add local ::/0 dev lo; } "
               ">/dev/null 2>&1"))
        fprintf(stderr, "fuzz: without the program ip no address is reached\n");
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        echo(80);
    }
}

/* -- inputs as text -- */

static void print_input(const struct fuzz_target *target, const struct input *input)
{
    printf("%s", target->name);
    for (u32 i = 0; i < input->records; i++) {
        printf(" ");
        for (u32 j = 0; j < input->record[i].length; j++)
            printf("%02x", input->record[i].byte[j]);
        if (!input->record[i].length)
            printf("-");
    }
    printf("\n");
}

static int digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static const struct fuzz_target *parse_input(char *line, struct input *input)
{
    const struct fuzz_target *target = NULL;
    char *rest, *word = strtok_r(line, " \n", &rest);
    for (u32 i = 0; word && i < ARRAY_LEN(targets); i++)
        if (!strcmp(targets[i]->name, word))
            target = targets[i];
    input->records = 0;
    while (target && (word = strtok_r(NULL, " \n", &rest))) {
        struct record *r = record_add(input);
        for (; r && digit(word[0]) >= 0 && digit(word[1]) >= 0 && r->length < RECORD_MAX; word += 2)
            r->byte[r->length++] = (u8)(digit(word[0]) << 4 | digit(word[1]));
    }
    return target;
}

/* -- processes -- */

/* Forks. The child feeds the input that is there, or makes `cases` ones until `end_ns`. Returns how it ended, as wait()
 * has it. */
static int in_child(const struct fuzz_target *target, bool makes, u64 cases, u64 end_ns, bool quiet)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        perror("fuzz: fork");
        exit(3);
    }
    if (child) {
        while (waitpid(child, &status, 0) != child)
            ;
        return status;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (quiet && (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout)))
        _exit(3);
    if (target->begin)
        target->begin();
    for (u64 i = 0; i < cases && monotonic_ns() < end_ns; i++) {
        if (makes) {
            shared->input.records = 0;
            target->make(&shared->input);
        }
        alarm(CASE_SECONDS);
        shared->fed += target->run(&shared->input);
        shared->cases++;
    }
    exit(0);
}

static bool failed(int status)
{
    return !WIFEXITED(status) || WEXITSTATUS(status);
}

static void describe(const struct fuzz_target *target, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        printf("%s: hangs for %d seconds\n", target->name, CASE_SECONDS);
    else if (WIFSIGNALED(status))
        printf("%s: ends by signal %d (%s)\n", target->name, WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        printf("%s: ends with status %d\n", target->name, WEXITSTATUS(status));
}

/* -- what failed -- */

static struct input smallest;

/* Tries what is in the shared input; if it fails as well it is the smallest now. Returns whether it does. */
static bool try_smaller(const struct fuzz_target *target, u32 *runs)
{
    if (*runs == 0)
        return false;
    (*runs)--;
    if (!failed(in_child(target, false, 1, UINT64_MAX, true)))
        return false;
    smallest = shared->input;
    return true;
}

static void shrink(const struct fuzz_target *target)
{
    u32 runs = SHRINK_RUNS;
    bool again = true;
    struct input *input = &shared->input;
    smallest = *input;
    if (!try_smaller(target, &runs)) {
        printf("%s: this input alone does not fail again\n", target->name);
        return;
    }
    while (again && runs) {
        again = false;
        for (u32 i = smallest.records; i-- > 0;) {
            *input = smallest;
            memmove(&input->record[i], &input->record[i + 1], (--input->records - i) * sizeof(struct record));
            again |= try_smaller(target, &runs);
        }
        for (u32 i = 0; i < smallest.records; i++)
            for (u32 size = smallest.record[i].length / 2; size; size /= 2)
                for (u32 at = 0; at + size <= smallest.record[i].length;) {
                    *input = smallest;
                    struct record *r = &input->record[i];
                    memmove(r->byte + at, r->byte + at + size, r->length - at - size);
                    r->length -= size;
                    if (try_smaller(target, &runs))
                        again = true;
                    else
                        at += size;
                }
    }
    *input = smallest;
}

static void report(const struct fuzz_target *target, int status)
{
    describe(target, status);
    shrink(target);
    printf("a line for tests/fuzz/corpus.txt:\n");
    print_input(target, &smallest);
}

static bool replay_line(char *line)
{
    const struct fuzz_target *target = parse_input(line, &shared->input);
    if (!target) {
        printf("no target: %.40s\n", line);
        return false;
    }
    int status = in_child(target, false, 1, UINT64_MAX, false);
    if (!failed(status))
        return true;
    describe(target, status);
    print_input(target, &shared->input);
    return false;
}

/* All of a file, because children that end would move the place up to which it is read. */
static char *whole_file(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = fopen(path, "r");
    if (!f || getdelim(&text, &size, 0, f) < 0) {
        perror(path);
        exit(2);
    }
    fclose(f);
    return text;
}

static bool replay_corpus(const char *path)
{
    bool good = true;
    u32 lines = 0;
    char *text = whole_file(path), *rest;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (line[0] == '#')
            continue;
        lines++;
        good &= replay_line(line);
    }
    free(text);
    printf("%u inputs of the corpus%s\n", lines, good ? "" : ", not all right");
    return good;
}

static bool fuzz(const struct fuzz_target *target, u64 seed, u64 cases, double seconds)
{
    u64 start = monotonic_ns(), end = seconds ? start + (u64)(seconds * 1e9) : UINT64_MAX;
    shared->random = seed * 0x9e3779b97f4a7c15ull | 1;
    shared->cases = shared->fed = 0;
    while (shared->cases < cases && monotonic_ns() < end) {
        u64 left = cases - shared->cases;
        int status = in_child(target, true, left < target->cases_per_fork ? left : target->cases_per_fork, end, false);
        if (failed(status)) {
            report(target, status);
            return false;
        }
    }
    printf("%s: %llu inputs, %llu pieces fed, %.0f s\n", target->name, (unsigned long long)shared->cases,
           (unsigned long long)shared->fed, (double)(monotonic_ns() - start) / 1e9);
    return true;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove(path);
}

static void usage(void)
{
    fprintf(stderr, "usage: fuzz [--corpus FILE] [--target NAME] [--seed N] [--cases N | --seconds N]\n"
                    "            [--replay LINE]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"corpus", 1, NULL, 'c'},
                                            {"target", 1, NULL, 't'},
                                            {"seed", 1, NULL, 's'},
                                            {"cases", 1, NULL, 'n'},
                                            {"seconds", 1, NULL, 'e'},
                                            {"replay", 1, NULL, 'r'},
                                            {0}};
    const char *corpus = NULL, *only = NULL;
    char *replay = NULL;
    u64 seed = 1, cases = UINT64_MAX;
    double seconds = 0;
    bool good = true;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'c': corpus = optarg; break;
        case 't': only = optarg; break;
        case 's': seed = strtoull(optarg, NULL, 0); break;
        case 'n': cases = strtoull(optarg, NULL, 0); break;
        case 'e': seconds = atof(optarg); break;
        case 'r': replay = optarg; break;
        default: usage();
        }
    }
    if (cases == UINT64_MAX && !seconds)
        cases = 0;
    be_alone();
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("fuzz");
        return 3;
    }
    snprintf(fuzz_folder, sizeof(fuzz_folder), "%s/nestbox-fuzz-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(fuzz_folder)) {
        perror(fuzz_folder);
        return 3;
    }
    if (replay)
        good = replay_line(replay);
    if (corpus)
        good &= replay_corpus(corpus);
    for (u32 i = 0; cases && i < ARRAY_LEN(targets); i++)
        if (!only || !strcmp(only, targets[i]->name))
            good &= fuzz(targets[i], seed, cases, seconds / (only ? 1 : (double)ARRAY_LEN(targets)));
    nftw(fuzz_folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return good ? 0 : 1;
}
