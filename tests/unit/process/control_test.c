/*
 * The control socket with peers of every kind: whole requests, pieces, garbage, too much, peers that do not read, more
 * peers than there is room for. What is asked of the switch is asked of a table of this test.
 */
#include "process/control.h"

#include "unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct loop loop;
static struct control *control;
static char path[64];
static int taken = -1;
static unsigned asked;

static int do_count(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    asked++;
    return json_object_set_new(reply, "count", json_integer(asked));
}

static int do_fail(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    error_set(error, -ENOENT, "there is no " SETTING("thing"));
    return error_hint(error, "look elsewhere");
}

static int do_big(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    static char text[4 << 20];
    memset(text, 'x', sizeof(text) - 1);
    return json_object_set_new(reply, "text", json_string(text));
}

static int do_take(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    return 0;
}

static void take(void *opaque, const json_t *request, int fd)
{
    taken = fd;
}

static u64 asker;

static int do_later(void *opaque, const json_t *request, json_t *reply, struct error *error)
{
    asker = control_asker(control);
    return CONTROL_LATER;
}

static const struct control_request requests[] = {{"count", do_count},     {"fail", do_fail},   {"big", do_big},
                                                  {"take", do_take, take}, {"later", do_later}, {0}};

static void turns(unsigned n)
{
    while (n--)
        CHECK_EQ(loop_turn(&loop, false), 0);
}

static int connected(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
        abort();
    turns(3);
    return fd;
}

static void put(int fd, const char *text, size_t length)
{
    (void)!send(fd, text, length, MSG_NOSIGNAL);
    turns(3);
}

/* Returns what was answered; NULL if the connection is closed, "" if nothing came. */
static const char *got(int fd)
{
    static char text[65536];
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return NULL;
    text[n > 0 ? n : 0] = 0;
    return text;
}

static bool answers(const char *request, const char *answer)
{
    int fd = connected();
    put(fd, request, strlen(request));
    const char *text = got(fd);
    bool same = text && strcmp(text, answer) == 0;
    if (!same)
        printf("# %s\n", text ? text : "closed");
    close(fd);
    turns(2);
    return same;
}

static void test_requests(void)
{
    static const char none[] =
        "{\"ok\":false,\"error\":{\"code\":-22,\"text\":\"this is no request\",\"hint\":\"\"}}\n";
    static const char unknown[] =
        "{\"ok\":false,\"error\":{\"code\":-22,\"text\":\"there is no such request\",\"hint\":\"\"}}\n";
    asked = 0;
    TEST("requests");
    CHECK(answers("{\"do\": \"count\"}\n", "{\"ok\":true,\"count\":1}\n"));
    CHECK(
        answers("{\"do\":\"count\"}\n{\"do\":\"count\"}\n", "{\"ok\":true,\"count\":2}\n{\"ok\":true,\"count\":3}\n"));
    CHECK(answers("{\"do\": \"fail\"}\n", "{\"ok\":false,\"error\":{\"code\":-2,\"text\":\"there is no "
                                          "\\u0001thing\\u0002\",\"hint\":\"look elsewhere\"}}\n"));

    TEST("what is no request");
    CHECK(answers("\n", none));
    CHECK(answers("{\n", none));
    CHECK(answers("[]\n", none));
    CHECK(answers("7\n", none));
    CHECK(answers("\xff\xfe\n", none));
    CHECK(answers("{\"do\": \"count\", \"do\": \"count\"}\n", none));
    CHECK(answers("{}\n", unknown));
    CHECK(answers("{\"do\": 7}\n", unknown));
    CHECK(answers("{\"do\": \"nothing\"}\n", unknown));
    CHECK(answers("{\"do\": \"count\"}", ""));
    CHECK_EQ(asked, 3);
}

static void test_pieces(void)
{
    static const char request[] = "{\"do\": \"count\"}\n";
    int fd = connected();
    asked = 0;
    TEST("a request byte by byte");
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        const char *text = got(fd);
        CHECK(text && !*text);
        put(fd, request + i, 1);
    }
    CHECK(strcmp(got(fd), "{\"ok\":true,\"count\":1}\n") == 0);
    close(fd);
    turns(2);
}

static void test_too_much(void)
{
    char text[8192];
    memset(text, '[', sizeof(text));
    int fd = connected();
    TEST("a line that does not end");
    put(fd, text, sizeof(text));
    const char *answer = got(fd);
    CHECK(answer && strstr(answer, "at most 4095 bytes"));
    CHECK(!got(fd));
    close(fd);

    TEST("more requests at once than anybody has");
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = '\n';
    fd = connected();
    put(fd, text, sizeof(text));
    turns(3);
    while ((answer = got(fd)) && *answer)
        ;
    CHECK(!answer);
    close(fd);
    CHECK(answers("{\"do\": \"count\"}\n", "{\"ok\":true,\"count\":2}\n"));
}

static void test_slow(void)
{
    static const char big[] = "{\"do\": \"big\"}\n";
    int slow = connected();
    asked = 0;
    TEST("a peer that does not read waits, and others do not");
    for (unsigned i = 0; i < 100; i++)
        put(slow, big, sizeof(big) - 1);
    CHECK(answers("{\"do\": \"count\"}\n", "{\"ok\":true,\"count\":1}\n"));
    size_t length = 0, lines = 0;
    for (unsigned i = 0; i < 100000 && lines < 3; i++) {
        const char *text = got(slow);
        if (!text)
            break;
        length += strlen(text);
        for (; (text = strchr(text, '\n')); text++)
            lines++;
        turns(1);
    }
    CHECK_EQ(lines, 3);
    CHECK(length > 3 * ((4u << 20) - 1));
    close(slow);
    turns(3);

    TEST("one that goes in the middle of an answer");
    slow = connected();
    put(slow, big, sizeof(big) - 1);
    close(slow);
    turns(3);
    CHECK(answers("{\"do\": \"count\"}\n", "{\"ok\":true,\"count\":2}\n"));
}

static void test_many(void)
{
    int fd[40];
    asked = 0;
    TEST("of many peers the oldest give way");
    for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
        fd[i] = connected();
    CHECK(!got(fd[0]));
    CHECK(!got(fd[ARRAY_LEN(fd) - 17]));
    put(fd[ARRAY_LEN(fd) - 1], "{\"do\": \"count\"}\n", 16);
    CHECK(strcmp(got(fd[ARRAY_LEN(fd) - 1]), "{\"ok\":true,\"count\":1}\n") == 0);
    for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
        close(fd[i]);
    turns(5);
    CHECK(answers("{\"do\": \"count\"}\n", "{\"ok\":true,\"count\":2}\n"));
}

static void test_taken(void)
{
    int fd = connected();
    TEST("a connection that leaves with its taker");
    put(fd, "{\"do\": \"take\"}\n{\"do\": \"count\"}\n", 32);
    CHECK(strcmp(got(fd), "{\"ok\":true}\n") == 0);
    CHECK(taken >= 0);
    CHECK_EQ(write(taken, "mine", 4), 4);
    CHECK(strcmp(got(fd), "mine") == 0);
    close(taken);
    CHECK(!got(fd));
    close(fd);
}

static void test_later(void)
{
    static const char later[] = "{\"do\": \"later\"}\n{\"do\": \"count\"}\n";
    int fd = connected();
    asked = 0;
    TEST("an answer that comes later, with progress before it; the next request waits for it");
    put(fd, later, sizeof(later) - 1);
    CHECK(strcmp(got(fd), "") == 0);
    CHECK(control_progress(control, asker, json_pack("{s:i}", "done", 1)));
    CHECK(strcmp(got(fd), "{\"progress\":{\"done\":1}}\n") == 0);
    CHECK_EQ(asked, 0);
    control_answer(control, asker, json_pack("{s:b}", "ok", 1));
    CHECK(strcmp(got(fd), "{\"ok\":true}\n{\"ok\":true,\"count\":1}\n") == 0);

    TEST("an asker that goes before its answer");
    put(fd, later, sizeof("{\"do\": \"later\"}"));
    CHECK(strcmp(got(fd), "") == 0);
    close(fd);
    turns(2);
    CHECK(!control_progress(control, asker, json_object()));
    control_answer(control, asker, json_object());
}

static void test_stale(void)
{
    struct stat st;
    TEST("a socket that nobody serves is replaced, and removed at the end");
    control_free(control);
    CHECK(stat(path, &st) < 0);
    FILE *f = fopen(path, "w");
    if (f)
        fclose(f);
    struct error error;
    control = control_new(&loop, path, requests, NULL, &error);
    CHECK(control);
    asked = 0;
    CHECK(answers("{\"do\": \"count\"}\n", "{\"ok\":true,\"count\":1}\n"));
}

int main(void)
{
    struct error error;
    snprintf(path, sizeof(path), "/tmp/nestbox-unit-control-%d", (int)getpid());
    control = !loop_init(&loop) ? control_new(&loop, path, requests, NULL, &error) : NULL;
    if (!control)
        abort();
    test_requests();
    test_pieces();
    test_too_much();
    test_slow();
    test_many();
    test_taken();
    test_later();
    test_stale();
    control_free(control);
    loop_free(&loop);
    return TEST_END();
}
