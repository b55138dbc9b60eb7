/*
 * The console against readers that are slow, stop, or go away. Each test has a console of its own; the other end is a
 * named pipe with little room, or a socket.
 */
#include "vmproc/console.h"

#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PIPE_SIZE 4096
#define HELD 16 /* bytes that wait in the device */
#define WAIT_MS 10000

struct fixture {
    struct console *console;
    int reader;            /* the other end of the pipe */
    u64 put, read;         /* bytes so far; byte n is pattern(n) */
    unsigned held;         /* [a] as a device does: bytes to put when there is room */
    unsigned rooms;        /* [a] events */
    unsigned hangups;      /* [a] */
    unsigned clients;      /* [a] first ones */
    char input[1 << 20];   /* what came in */
    unsigned takes, taken; /* [a] how much of it is taken; how much was */
};

static char dir[] = "/tmp/nestbox-console-test-XXXXXX";
static char path[64], where[80];

static u8 pattern(u64 n)
{
    return (u8)(n ^ n >> 8 ^ n >> 16);
}

static u64 now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

static unsigned count_of(const unsigned *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static bool reaches(const unsigned *counter, unsigned value)
{
    for (u64 end = now_ms() + WAIT_MS; count_of(counter) < value && now_ms() < end;)
        usleep(1000);
    return count_of(counter) >= value;
}

/* -- the machine's side -- */

static bool put(struct fixture *f)
{
    if (!console_put(f->console, pattern(f->put)))
        return false;
    f->put++;
    return true;
}

static void on_room(void *opaque)
{
    struct fixture *f = opaque;
    for (; count_of(&f->held) && put(f); __atomic_fetch_sub(&f->held, 1, __ATOMIC_SEQ_CST))
        ;
    __atomic_fetch_add(&f->rooms, 1, __ATOMIC_SEQ_CST);
}

static void on_hangup(void *opaque)
{
    struct fixture *f = opaque;
    __atomic_fetch_add(&f->hangups, 1, __ATOMIC_SEQ_CST);
}

static void on_key(void *opaque, enum escape_action action)
{
}

static void on_client(void *opaque)
{
    struct fixture *f = opaque;
    __atomic_fetch_add(&f->clients, 1, __ATOMIC_SEQ_CST);
}

static unsigned on_input(void *opaque, const u8 *bytes, unsigned count)
{
    struct fixture *f = opaque;
    unsigned taken = count_of(&f->taken);
    unsigned room = count_of(&f->takes) - taken;
    if (count > room)
        count = room;
    memcpy(f->input + taken, bytes, count);
    __atomic_fetch_add(&f->taken, count, __ATOMIC_SEQ_CST);
    return count;
}

static const struct run_settings settings;

static int open_text(struct console **c, const char *text, struct error *error)
{
    struct serial serial;
    struct outputs outputs = {.settings = &settings};
    *c = NULL;
    int e = serial_parse(text, &serial, error);
    return e ? e : console_open(c, "serial", &serial, &outputs, error);
}

static void open_console(struct fixture *f, const char *serial)
{
    struct error error;
    const struct console_events events = {
        .input = on_input, .key = on_key, .room = on_room, .hangup = on_hangup, .client = on_client, .opaque = f};
    int e = open_text(&f->console, serial, &error);
    if (!e)
        e = console_start(f->console, &events);
    if (e) {
        printf("# %s: %s\n", serial, error.text);
        abort();
    }
}

static struct fixture *fixture_create(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        abort();
    f->reader = -1;
    unlink(path);
    return f;
}

static struct fixture *pipe_create(void)
{
    struct fixture *f = fixture_create();
    if (mkfifo(path, 0600))
        abort();
    f->reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    fcntl(f->reader, F_SETPIPE_SZ, PIPE_SIZE);
    fcntl(f->reader, F_SETFL, 0);
    open_console(f, path);
    return f;
}

static int fixture_close(struct fixture *f)
{
    int e = console_close(f->console);
    if (f->reader >= 0)
        close(f->reader);
    free(f);
    return e;
}

/* Puts until there is no room, and the writer has done with the pipe what it can. */
static void fill(struct fixture *f)
{
    unsigned refused = 0;
    int bytes = 0, before = 0;
    for (u64 end = now_ms() + WAIT_MS; refused < 5 && now_ms() < end; before = bytes) {
        if (put(f)) {
            refused = 0;
            continue;
        }
        usleep(20000);
        if (ioctl(f->reader, FIONREAD, &bytes) || !bytes || bytes != before)
            refused = 0;
        else
            refused++;
    }
}

/* -- the reader's side -- */

/* Reads up to `count` bytes and checks them. Returns false at the end, or for a wrong byte. */
static bool take(struct fixture *f, u64 count)
{
    u8 bytes[1024];
    while (count) {
        ssize_t n = read(f->reader, bytes, count < sizeof(bytes) ? count : sizeof(bytes));
        if (n <= 0)
            return false;
        for (ssize_t i = 0; i < n; i++)
            if (bytes[i] != pattern(f->read++))
                return false;
        count -= (u64)n;
    }
    return true;
}

static void *take_all(void *opaque)
{
    struct fixture *f = opaque;
    return (void *)(uintptr_t)!take(f, UINT64_MAX);
}

static void test_full(void)
{
    struct fixture *f = pipe_create();
    TEST("a put does not wait; it says what it refused, and the console says when there is room");
    u64 begin = now_ms();
    fill(f);
    CHECK(now_ms() - begin < WAIT_MS / 2);
    CHECK(f->put >= 65536 && f->put <= 65536 + 2 * PIPE_SIZE);
    unsigned rooms = count_of(&f->rooms); /* the pipe may have taken some while it was filled */
    usleep(50000);
    CHECK_EQ(count_of(&f->rooms), rooms);
    u64 first = f->put;
    CHECK(take(f, PIPE_SIZE));
    CHECK(reaches(&f->rooms, rooms + 1));
    CHECK(put(f));

    TEST("a reader that makes room now and then gets everything in order");
    for (unsigned round = 0; round < 20; round++) {
        fill(f);
        CHECK(take(f, PIPE_SIZE / 2 + round * 100));
    }
    CHECK(f->put > first + 20 * PIPE_SIZE / 4);
    CHECK(take(f, f->put - f->read));
    CHECK_EQ(count_of(&f->hangups), 0);
    CHECK_EQ(fixture_close(f), 0);
}

static void test_close_waits(void)
{
    struct fixture *f = pipe_create();
    pthread_t thread;
    void *wrong;
    TEST("the end waits for a reader, and for what the device still holds");
    fill(f);
    f->held = HELD;
    u64 total = f->put + HELD;
    CHECK(!put(f));
    pthread_create(&thread, NULL, take_all, f);
    CHECK_EQ(console_close(f->console), 0);
    pthread_join(thread, &wrong);
    CHECK_EQ(f->held, 0);
    CHECK_EQ(f->read, total);
    close(f->reader);
    free(f);

    f = pipe_create();
    TEST("the end waits a second for a reader that does not read");
    fill(f);
    u64 begin = now_ms();
    CHECK_EQ(fixture_close(f), 0);
    CHECK(now_ms() - begin >= 900 && now_ms() - begin < 5000);

    TEST("with nothing left the end comes at once");
    bool at_once = false;
    for (unsigned try = 0; try < 5 && !at_once; try++) { /* a busy host may take its time */
        f = pipe_create();
        begin = now_ms();
        CHECK_EQ(fixture_close(f), 0);
        at_once = now_ms() - begin < 900;
    }
    CHECK(at_once);
}

static void test_lost(void)
{
    struct fixture *f = pipe_create();
    TEST("the reader goes away");
    put(f);
    CHECK(take(f, 1));
    close(f->reader);
    f->reader = -1;
    put(f);
    CHECK(reaches(&f->hangups, 1));
    for (unsigned i = 0; i < 300000; i++)
        if (!put(f))
            usleep(100);
    CHECK(f->put > 100000); /* dropped, not kept */
    CHECK_EQ(fixture_close(f), 0);

    f = fixture_create();
    TEST("a full disk");
    open_console(f, "/dev/full");
    put(f);
    CHECK(reaches(&f->hangups, 1));
    CHECK_EQ(fixture_close(f), -ENOSPC);
}

static int client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
        abort();
    return fd;
}

static bool gets(int fd, const char *text)
{
    char got[16] = "";
    return recv(fd, got, strlen(text), MSG_WAITALL) == (ssize_t)strlen(text) && memcmp(got, text, strlen(text)) == 0;
}

static bool says(int fd, const char *text)
{
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static void test_socket(void)
{
    struct fixture *f = fixture_create();
    TEST("a socket: input waits until the guest takes it");
    open_console(f, where);
    f->takes = 2;
    int one = client();
    CHECK(says(one, "hello"));
    CHECK(reaches(&f->taken, 2));
    CHECK(memcmp(f->input, "he", 2) == 0);
    __atomic_store_n(&f->takes, sizeof(f->input), __ATOMIC_SEQ_CST);
    console_room(f->console);
    CHECK(reaches(&f->taken, 5));
    CHECK(memcmp(f->input, "hello", 5) == 0);
    CHECK(console_put(f->console, 'x') && console_put(f->console, 'y') && gets(one, "xy"));

    TEST("a socket: a client that ended its input still gets output");
    CHECK_EQ(shutdown(one, SHUT_WR), 0);
    usleep(50000);
    CHECK(console_put(f->console, 'v') && gets(one, "v"));

    TEST("a socket: one client at a time");
    int two = client();
    CHECK(says(two, "!"));
    usleep(50000);
    CHECK_EQ(count_of(&f->taken), 5);
    close(one);
    CHECK(reaches(&f->taken, 6));
    CHECK(f->input[5] == '!');
    CHECK(console_put(f->console, 'z') && gets(two, "z"));

    TEST("a socket: nobody there, output is dropped");
    close(two);
    for (unsigned i = 0; i < 300000; i++)
        if (!console_put(f->console, 'w'))
            usleep(100);
    CHECK_EQ(count_of(&f->hangups), 0);
    CHECK_EQ(fixture_close(f), 0);
    CHECK(access(path, F_OK) < 0);
}

static void test_refused(void)
{
    struct console *c;
    struct error error;
    TEST("what cannot be opened");
    CHECK_EQ(open_text(&c, "/nowhere/file", &error), -ENOENT);
    CHECK(strstr(error.text, SETTING("serial") " /nowhere/file: "));
    CHECK_EQ(open_text(&c, "", &error), -EINVAL);
    CHECK_EQ(open_text(&c, "unix:", &error), -EINVAL);
    CHECK_EQ(open_text(&c, "unix:/nowhere/s", &error), -ENOENT);
    CHECK(!c);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof(path), "%s/end", dir);
    snprintf(where, sizeof(where), "unix:%s", path);
    test_full();
    test_close_waits();
    test_lost();
    test_socket();
    test_refused();
    unlink(path);
    rmdir(dir);
    return TEST_END();
}
