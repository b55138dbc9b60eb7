/*
 * The client of QMP against a peer that is played by the test: answers in any order, events between them, errors,
 * descriptors, a peer that goes.
 */
#include "worker/qmp.h"

#include "unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop loop;
static struct qmp *qmp;
static int peer;
static char last_event[64];
static unsigned losses;

static void on_event(struct qmp_events *events, const char *name, const json_t *data)
{
    snprintf(last_event, sizeof(last_event), "%s %s", name, json_string_value(json_object_get(data, "reason")));
}

static void on_lost(struct qmp_events *events)
{
    losses++;
}

static struct qmp_events events = {on_event, on_lost};

struct asked {
    struct qmp_call call;
    int times, code;
    json_int_t value;
    char text[320];
};

static void done(struct qmp_call *call, json_t *result, const struct error *error)
{
    struct asked *a = container_of(call, struct asked, call);
    a->times++;
    a->code = error ? error->code : 0;
    a->value = json_integer_value(json_object_get(result, "value"));
    snprintf(a->text, sizeof(a->text), "%s", error ? error->text : "");
}

static void turns(void)
{
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(loop_turn(&loop, false), 0);
}

static void say(const char *text)
{
    CHECK_EQ(write(peer, text, strlen(text)), (ssize_t)strlen(text));
    turns();
}

/* What the client sent. */
static const char *heard(void)
{
    static char text[4096];
    ssize_t n = recv(peer, text, sizeof(text) - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void begin(void)
{
    struct error error;
    int fd[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) || !(qmp = qmp_new(&loop, fd[0], &events, &error)))
        abort();
    peer = fd[1];
    CHECK(strstr(heard(), "\"qmp_capabilities\""));
    say("{\"QMP\": {\"version\": {}}}\r\n{\"return\": {}, \"id\": 1}\r\n");
}

int main(void)
{
    struct asked a = {{done}}, b = {{done}};
    if (loop_init(&loop))
        abort();
    begin();

    TEST("answers in another order, in pieces, with an event between them");
    qmp_send(qmp, "first", json_pack("{s:i}", "x", 7), &a.call);
    qmp_send(qmp, "second", NULL, &b.call);
    const char *text = heard();
    CHECK(strstr(text, "{\"execute\":\"first\",\"id\":2,\"arguments\":{\"x\":7}}"));
    CHECK(strstr(text, "{\"execute\":\"second\",\"id\":3}"));
    say("{\"return\": {\"value\": 30}, \"id\": 3}\r\n{\"event\": \"STOP\", \"data\": {\"reason\": \"x\"}}\r\n{\"ret");
    CHECK(b.times == 1 && b.value == 30);
    CHECK(strcmp(last_event, "STOP x") == 0);
    CHECK_EQ(a.times, 0);
    say("urn\": {\"value\": 20}, \"id\": 2}\r\n");
    CHECK(a.times == 1 && a.value == 20);

    TEST("an error has QEMU's text");
    qmp_send(qmp, "third", NULL, &a.call);
    heard();
    say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}, \"id\": 4}\r\n");
    CHECK(a.times == 2 && a.code == -EIO && strcmp(a.text, "QEMU: no such thing") == 0);

    TEST("a number that is too large for an integer is a real");
    qmp_send(qmp, "fourth", NULL, &b.call);
    heard();
    say("{\"return\": {\"value\": 18446744073709551615}, \"id\": 5}\r\n");
    CHECK_EQ(b.times, 2);

    TEST("what nobody asked for, and garbage");
    say("{\"return\": {}, \"id\": 99}\n[]\n}{\n\"x\"\n");
    CHECK_EQ(losses, 0);

    TEST("a descriptor goes with its command");
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    char bytes[256];
    struct iovec part = {bytes, sizeof(bytes)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    qmp_send_fd(qmp, "getfd", json_pack("{s:s}", "fdname", "f"), 0, NULL);
    CHECK(recvmsg(peer, &message, 0) > 0);
    CHECK(message.msg_controllen && control.head.cmsg_type == SCM_RIGHTS);

    TEST("a peer that goes: who waits gets an error, and so does who asks later");
    qmp_send(qmp, "fourth", NULL, &a.call);
    close(peer);
    turns();
    CHECK_EQ(losses, 1);
    CHECK(a.times == 3 && a.code == -EPIPE);
    qmp_send(qmp, "fifth", NULL, &a.call);
    CHECK(a.times == 4 && a.code == -EPIPE);
    qmp_free(qmp);

    TEST("a peer that does not read is lost, and nothing waits for it");
    losses = 0;
    begin();
    for (unsigned i = 0; i < 60; i++)
        qmp_send(qmp, "long", json_pack("{s:s}", "text", (char[16384]){[0 ... 16382] = 'x'}), NULL);
    CHECK_EQ(losses, 1);
    qmp_free(qmp);
    close(peer);
    loop_free(&loop);
    return TEST_END();
}
