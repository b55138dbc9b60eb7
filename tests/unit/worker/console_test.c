/*
 * The serial port of a VM: what it says last is one line of ASCII, whatever the guest prints and however it comes.
 */
#include "unit/test.h"
#include "worker/console.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop loop;
static struct console *console;
static int guest;

static void prints(const char *text, const char *want)
{
    char line[40];
    CHECK_EQ(write(guest, text, strlen(text)), (ssize_t)strlen(text));
    CHECK_EQ(loop_turn(&loop, false), 0);
    console_last_line(console, line, sizeof(line));
    if (strcmp(line, want) != 0) {
        test_bad++;
        printf("# '%s', not '%s'\n", line, want);
    }
}

int main(void)
{
    struct error error;
    int pair[2];
    if (loop_init(&loop) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
        return 1;
    guest = pair[0];
    console = console_new(&loop, pair[1], &error);
    if (!console)
        return 1;
    TEST("the last line that is not empty");
    prints("first\r\nsecond\r\n\r\n", "second");
    prints("no end", "no end");
    TEST("without what moves a terminal's cursor");
    prints("\n\x1b[32m OK \x7f\a", "[32m OK ");
    TEST("other characters are a mark each, also where their bytes come one by one");
    prints("\nupdate-ut\xe2", "update-ut?");
    prints("\x80", "update-ut?");
    prints("\xa6"
           "cord",
           "update-ut?cord");
    prints("\n\xff\xfe\x80 x", "?? x");
    prints("\n0123456789012345678901234567890123456789\xe2\x80\xa6 end", "89012345678901234567890123456789? end");
    console_free(console);
    loop_free(&loop);
    close(guest);
    return TEST_END();
}
