/*
 * The whole way of a session without a VM: a command's end (agent/run.c), the worker's port, and nestbox-agent on a
 * Unix socket in the place of the guest's port.
 */
#include "worker/agent.h"

#include "agent/request.h"
#include "agent/run.h"
#include "agent/tree.h"

#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSIONS 50

static char work[] = "/tmp/nestbox-agent-XXXXXX", address[64], program[PATH_MAX];
static pid_t agent;

/* -- the worker: a thread with a loop, which takes members and requests by a pipe -- */

enum wish { JOIN, CALL, RECONNECT, STOP };

struct message {
    enum wish wish;
    int fd;
    const char *const *argv;
};

static struct loop loop;
static struct agent_port *port;
static int messages[2];
static _Atomic int ready_count, call_status;
static struct agent_call call;
static const char *call_tell; /* is sent once something was said */

static void changed(void *opaque, bool ready)
{
    ready_count += ready;
}

static void call_said(struct agent_call *c)
{
    if (call_tell)
        agent_call_tell(port, c, call_tell);
}

static void call_ended(struct agent_call *c, int status)
{
    call_status = status;
}

static int dial(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    for (int i = 0; connect(fd, (struct sockaddr *)&to, sizeof(to)) && i < 500; i++)
        usleep(10000);
    return fd;
}

static void serve(struct watch *watch, u32 events)
{
    static const struct agent_port_events port_events = {changed, NULL};
    struct message m;
    if (read(watch->fd, &m, sizeof(m)) != sizeof(m))
        return;
    switch (m.wish) {
    case JOIN: agent_port_join(port, m.fd); break;
    case CALL:
        call.said = call_said;
        call.ended = call_ended;
        agent_call(port, &call, m.argv);
        break;
    case RECONNECT:
        agent_port_free(port, "the VM was stopped");
        port = agent_port_new(&loop, dial(), &port_events);
        break;
    case STOP: loop_stop(&loop); break;
    }
}

static void *work_thread(void *opaque)
{
    static struct watch watch;
    watch = (struct watch){messages[0], serve};
    if (loop_init(&loop) || loop_watch(&loop, &watch, EPOLLIN) || loop_run(&loop))
        abort();
    agent_port_free(port, "the end");
    loop_free(&loop);
    return NULL;
}

static void request(enum wish what, int fd, const char *const *argv)
{
    struct message m = {what, fd, argv};
    if (write(messages[1], &m, sizeof(m)) != sizeof(m))
        abort();
}

static void start_agent(void)
{
    agent = fork();
    if (agent == 0) {
        execl(program, program, "--socket", address, (char *)NULL);
        _exit(127);
    }
}

static bool until(_Atomic int *value, int wanted)
{
    for (int i = 0; i < 1000 && *value != wanted; i++)
        usleep(10000);
    return *value == wanted;
}

/* -- commands -- */

static int member(void)
{
    int fd[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd))
        abort();
    request(JOIN, fd[1], NULL);
    return fd[0];
}

static char said[4096];
static struct error error;

/* Runs it with `in` as what it reads; what it prints on both streams is in `said`. */
static int run(struct agent_run how, const char *const *argv, const char *in)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/in", work);
    int fd = member();
    how.argument = argv;
    how.in = how.signals = -1;
    if (in) {
        how.in = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (write(how.in, in, strlen(in)) < 0 || lseek(how.in, 0, SEEK_SET))
            abort();
    }
    snprintf(path, sizeof(path), "%s/out", work);
    how.out = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0600);
    how.error = how.out;
    memset(&error, 0, sizeof(error));
    int e = agent_run(fd, "lab", &how, &error);
    ssize_t n = pread(how.out, said, sizeof(said) - 1, 0);
    said[n > 0 ? n : 0] = 0;
    close(how.out);
    if (how.in >= 0)
        close(how.in);
    close(fd);
    return e;
}

static int shell(const char *text, const char *in)
{
    const char *const argv[] = {"sh", "-c", text, NULL};
    return run((struct agent_run){0}, argv, in);
}

static void test_commands(void)
{
    TEST("output, errors and exit status");
    CHECK_EQ(shell("echo out; echo err >&2; exit 7", NULL), 7);
    CHECK(strstr(said, "out\n") && strstr(said, "err\n"));
    CHECK_EQ(shell("kill -9 $$", NULL), 137);
    CHECK_EQ(shell("true", NULL), 0);

    TEST("input, and its end");
    CHECK_EQ(shell("tr a-z A-Z", "some text"), 0);
    CHECK(!strcmp(said, "SOME TEXT"));
    CHECK_EQ(shell("cat", NULL), 0);
    CHECK_EQ(shell("read x; echo $x", "1\n2\n"), 0);
    CHECK(!strcmp(said, "1\n"));

    TEST("environment, folder, a program that is not there, a user who is not there");
    static const char *const variables[] = {"A=b c", NULL}, *const env[] = {"sh", "-c", "echo $A; pwd; echo $HOME",
                                                                            NULL};
    CHECK_EQ(run((struct agent_run){.variable = variables, .folder = "/tmp"}, env, NULL), 0);
    CHECK(!strncmp(said, "b c\n/tmp\n/", 10));
    static const char *const none[] = {"no-such-program", NULL}, *const folder[] = {"/etc", NULL};
    CHECK_EQ(run((struct agent_run){0}, none, NULL), 127);
    CHECK(strstr(said, "no-such-program: No such file"));
    CHECK_EQ(run((struct agent_run){0}, folder, NULL), 126);
    CHECK_EQ(run((struct agent_run){.user = "no-such-user"}, env, NULL), 125);
    CHECK(strstr(said, "there is no user no-such-user"));
    CHECK_EQ(run((struct agent_run){.folder = "/no/such"}, env, NULL), 125);
    if (geteuid() == 0) {
        static const char *const id[] = {"id", "-un", NULL};
        CHECK_EQ(run((struct agent_run){.user = "daemon"}, id, NULL), 0);
        CHECK(!strcmp(said, "daemon\n"));
    }

    TEST("what a command leaves behind is not waited for");
    CHECK_EQ(shell("sleep 20 & echo done", NULL), 0);
    CHECK(!strcmp(said, "done\n"));

    TEST("a large environment and many arguments");
    static const char *many[2003];
    many[0] = "sh", many[1] = "-c", many[2] = "echo $#";
    for (u32 i = 3; i < 2002; i++)
        many[i] = "an argument of some length, so that the request takes several frames";
    CHECK_EQ(run((struct agent_run){0}, many, NULL), 0);
    CHECK(!strcmp(said, "1998\n"));

    TEST("a terminal");
    static const char *const tty[] = {"sh", "-c", "stty size; test -t 0 && test -t 2 && echo tty; read x; echo got $x",
                                      NULL};
    CHECK_EQ(run((struct agent_run){.terminal = true}, tty, "line\n"), 0);
    CHECK(strstr(said, "24 80\r\n") && strstr(said, "tty\r\n") && strstr(said, "got line\r\n"));
    static const char *const cat[] = {"cat", NULL};
    CHECK_EQ(run((struct agent_run){.terminal = true}, cat, "x\n"), 0); /* the end of input is Ctrl-d */
    CHECK_EQ(run((struct agent_run){.terminal = true}, cat, "\3"), 130);
}

/* 100 MiB each way, as a digest. */
static void test_bulk(void)
{
    TEST("100 MiB out and in");
    CHECK_EQ(shell("head -c 104857600 /dev/zero | sha256sum", NULL), 0);
    char digest[80];
    snprintf(digest, sizeof(digest), "%.64s", said);
    int fd = member(), data[2], sum[2];
    if (pipe2(data, O_CLOEXEC) || pipe2(sum, O_CLOEXEC))
        abort();
    if (fork() == 0) {
        dup2(data[0], 0);
        dup2(sum[1], 1);
        execlp("sha256sum", "sha256sum", (char *)NULL);
        _exit(1);
    }
    static const char *const zeros[] = {"head", "-c", "104857600", "/dev/zero", NULL};
    struct agent_run out = {.argument = zeros, .in = -1, .out = data[1], .error = 2, .signals = -1};
    CHECK_EQ(agent_run(fd, "lab", &out, &error), 0);
    close(fd);
    close(data[0]);
    close(data[1]);
    CHECK(read(sum[0], said, 64) == 64 && !memcmp(said, digest, 64));
    close(sum[0]);
    close(sum[1]);

    FILE *source = popen("head -c 104857600 /dev/zero", "r");
    static const char *const consumer[] = {"sha256sum", NULL};
    char path[64];
    snprintf(path, sizeof(path), "%s/sum", work);
    int to = open(path, O_RDWR | O_CREAT, 0600);
    fd = member();
    struct agent_run in = {.argument = consumer, .in = fileno(source), .out = to, .error = 2, .signals = -1};
    CHECK_EQ(agent_run(fd, "lab", &in, &error), 0);
    CHECK(pread(to, said, 64, 0) == 64 && !memcmp(said, digest, 64));
    pclose(source);
    close(to);
    close(fd);
}

static void *one_of_many(void *opaque)
{
    int fd = member(), null = open("/dev/null", O_WRONLY | O_CLOEXEC), *status = opaque;
    struct error e;
    static const char *const argv[] = {"sh", "-c", "head -c 300000 /dev/zero; sleep 0.2; exit 3", NULL};
    struct agent_run run_it = {.argument = argv, .in = -1, .out = null, .error = 2, .signals = -1};
    *status = agent_run(fd, "lab", &run_it, &e);
    close(null);
    close(fd);
    return NULL;
}

static void test_many(void)
{
    pthread_t thread[SESSIONS];
    int status[SESSIONS], right = 0;
    TEST("50 sessions at once, while one does not read what it gets");
    int idle = member();
    u8 bytes[FRAME_MAX];
    char path[64], command[256];
    struct request_bytes endless = {0};
    snprintf(path, sizeof(path), "%s/endless", work); /* by its name it is found */
    CHECK(symlink("/usr/bin/yes", path) == 0);
    request_add_text(&endless, FIELD_ARGUMENT, path);
    u32 n = frame_put(bytes, FRAME_OPEN, 0, 1, endless.bytes, endless.used);
    CHECK(write(idle, bytes, n) == (ssize_t)n);
    free(endless.bytes);
    for (u32 i = 0; i < SESSIONS; i++)
        pthread_create(&thread[i], NULL, one_of_many, &status[i]);
    for (u32 i = 0; i < SESSIONS; i++) {
        pthread_join(thread[i], NULL);
        right += status[i] == 3;
    }
    CHECK_EQ(right, SESSIONS);
    close(idle);
    snprintf(command, sizeof(command), "for i in $(seq 100); do pgrep -f '%s/[e]ndless' || exit 9; sleep 0.1; done",
             work);
    CHECK_EQ(shell(command, NULL), 9); /* it was hung up */

    TEST("whoever breaks the protocol loses the connection, and others go on");
    int bad = member();
    memset(bytes, 0xee, sizeof(bytes));
    CHECK(write(bad, bytes, sizeof(bytes)) > 0);
    char c;
    CHECK(fcntl(bad, F_SETFL, 0) == 0 && read(bad, &c, 1) <= 0);
    close(bad);
    CHECK_EQ(shell("exit 4", NULL), 4);
}

static void test_calls(void)
{
    TEST("what the worker asks");
    static const char *const info[] = {"info", NULL}, *const wrong[] = {"no-such", NULL};
    call_status = 1000;
    request(CALL, -1, info);
    CHECK(until(&call_status, 0));
    CHECK(strstr(call.output, "{\"hostname\": \"") && strstr(call.output, "\"interfaces\": ["));
    call_status = 1000;
    request(CALL, -1, wrong);
    CHECK(until(&call_status, 127));
}

static void test_ends(void)
{
    TEST("an agent that is killed ends sessions with an error, and the next one answers");
    int before = ready_count;
    CHECK(!kill(agent, SIGKILL) && waitpid(agent, NULL, 0) == agent);
    CHECK_EQ(shell("true", NULL), -EREMOTEIO);
    CHECK(strstr(error.text, "no nestbox-agent answers") || strstr(error.text, "the VM ended"));
    start_agent();
    request(RECONNECT, -1, NULL);
    CHECK(until(&ready_count, before + 1));
    CHECK_EQ(shell("exit 5", NULL), 5);
}

int main(void)
{
    pthread_t thread;
    alarm(110);
    signal(SIGPIPE, SIG_IGN);
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 64);
    char *tests = n > 0 ? strstr(program, "/tests/unit/") : NULL;
    if (!tests || !mkdtemp(work) || pipe2(messages, O_CLOEXEC))
        return 1;
    strcpy(tests, "/nestbox-agent");
    snprintf(address, sizeof(address), "%s/socket", work);
    start_agent();
    pthread_create(&thread, NULL, work_thread, NULL);
    request(RECONNECT, -1, NULL);

    TEST("the agent answers");
    CHECK(until(&ready_count, 1));
    test_commands();
    test_bulk();
    test_many();
    test_calls();
    test_ends();
    request(STOP, -1, NULL);
    pthread_join(thread, NULL);
    kill(agent, SIGTERM);
    waitpid(agent, NULL, 0);
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", work);
    CHECK(system(command) == 0); /* NOLINT */
    return TEST_END();
}
