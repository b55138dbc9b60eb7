/*
 * QEMU's guest agent as a program on a Unix socket; where it is not installed, an agent that is played here shows what
 * becomes of broken answers only.
 */
#include "worker/ga.h"

#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 300000

static char work[] = "/tmp/nestbox-ga-XXXXXX", address[64], path[96];
static struct error error;

static void test_program(void)
{
    struct ga ga;
    struct ga_result r;
    TEST("qemu-ga: commands");
    for (int i = 0; i < 500 && access(address, F_OK); i++)
        usleep(10000);
    CHECK_EQ(ga_open(&ga, address, "lab", 5000, &error), 0);
    static const char *const shell[] = {"/bin/sh", "-c", "cat; echo $A >&2; exit 3", NULL}, *const env[] = {"A=b",
                                                                                                            NULL};
    struct ga_command c = {shell, env, "in", 2};
    CHECK_EQ(ga_exec(&ga, &c, &r, &error), 0);
    CHECK(r.status == 3 && !strcmp(r.output, "in") && !strcmp(r.errors, "b\n") && !r.cut);
    free(r.output);
    free(r.errors);
    static const char *const none[] = {"/no/such", NULL};
    CHECK_EQ(ga_exec(&ga, &(struct ga_command){none}, &r, &error), -EREMOTEIO);
    CHECK(strstr(error.text, "lab: QEMU's agent: "));

    TEST("qemu-ga: files, any bytes");
    static u8 bytes[SIZE], back[SIZE + 1];
    for (u32 i = 0; i < SIZE; i++)
        bytes[i] = (u8)(i * 7 + (i >> 8));
    snprintf(path, sizeof(path), "%s/file", work);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(write(fd, bytes, SIZE) == SIZE && lseek(fd, 0, SEEK_SET) == 0);
    snprintf(path, sizeof(path), "%s/there", work);
    CHECK_EQ(ga_put(&ga, fd, path, &error), 0);
    CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    CHECK_EQ(ga_get(&ga, path, fd, &error), 0);
    CHECK(pread(fd, back, sizeof(back), 0) == SIZE && !memcmp(bytes, back, SIZE));
    CHECK_EQ(ga_get(&ga, "/no/such", fd, &error), -EREMOTEIO);
    close(fd);

    TEST("qemu-ga: interfaces");
    json_t *interfaces = NULL;
    CHECK_EQ(ga_interfaces(&ga, &interfaces, &error), 0);
    CHECK(json_is_array(interfaces));
    json_decref(interfaces);

    TEST("qemu-ga: whoever comes next finds the place in the stream");
    CHECK(send(ga.fd, "{\"execute\": \"guest-in", 21, 0) == 21);
    ga_close(&ga);
    CHECK_EQ(ga_open(&ga, address, "lab", 5000, &error), 0);
    CHECK_EQ(ga_call(&ga, "guest-ping", NULL, NULL, &error), 0);
    ga_close(&ga);
}

/* -- one that answers what it is given -- */

static const char *answer;

static void *play(void *opaque)
{
    int listener = *(int *)opaque, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    char text[4096];
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    while (n > 0 && !memchr(text, '\n', (size_t)n)) {
        ssize_t more = recv(fd, text + n, sizeof(text) - 1 - (size_t)n, 0);
        n = more > 0 ? n + more : 0;
    }
    text[n > 0 ? n : 0] = 0;
    char *id = strstr(text, "\"id\":");
    dprintf(fd, "old}\n{\"return\": 1}\n\xff{\"return\": %ld}\n", id ? atol(id + 5) : 0);
    do
        n = recv(fd, text, sizeof(text), 0);
    while (n > 0 && text[n - 1] != '\n');
    if (answer)
        dprintf(fd, "%s", answer);
    if (answer)
        close(fd);
    return NULL;
}

static void test_played(void)
{
    static const struct {
        const char *answer;
        int code;
    } cases[] = {
        {"{\"return\": {}}\n", 0},
        {"\n\n[]x\n{\"return\": {}}\n", 0},
        {"{\"error\": {\"class\": \"x\", \"desc\": \"no \\u001b[0m way\"}}\n", -EREMOTEIO},
        {"{\"error\": 5}\n", -EREMOTEIO},
        {"[7]\n", -EREMOTEIO},
        {"{\"return\": ", -EPIPE},
        {"", -EPIPE},
    };
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    pthread_t thread;
    struct ga ga;
    TEST("answers of any kind");
    snprintf(to.sun_path, sizeof(to.sun_path), "%s/played", work);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&to, sizeof(to)) == 0 && listen(listener, 4) == 0);
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        answer = cases[i].answer;
        pthread_create(&thread, NULL, play, &listener);
        CHECK_EQ(ga_open(&ga, to.sun_path, "lab", 5000, &error), 0);
        CHECK_EQ(ga_call(&ga, "guest-ping", NULL, NULL, &error), cases[i].code);
        CHECK(!strchr(error.text, '\33'));
        ga_close(&ga);
        pthread_join(thread, NULL);
    }
    TEST("no answer");
    CHECK_EQ(ga_open(&ga, to.sun_path, "lab", 200, &error), -ENOTCONN);
    CHECK(strstr(error.text, "does not answer"));
    CHECK_EQ(ga_open(&ga, "/no/such", "lab", 200, &error), -ENOTCONN);
    close(listener);
}

int main(void)
{
    alarm(60);
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(work))
        return 1;
    snprintf(address, sizeof(address), "%s/ga", work);
    bool installed = access("/usr/sbin/qemu-ga", X_OK) == 0;
    pid_t program = installed ? fork() : -1;
    if (program == 0) {
        execl("/usr/sbin/qemu-ga", "qemu-ga", "-m", "unix-listen", "-p", address, "-t", work, (char *)NULL);
        _exit(127);
    }
    if (program > 0) {
        test_program();
        kill(program, SIGKILL); /* a signal that it handles is lost on it just before it goes to sleep */
        waitpid(program, NULL, 0);
    }
    test_played();
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", work);
    CHECK(system(command) == 0); /* NOLINT */
    return TEST_END();
}
