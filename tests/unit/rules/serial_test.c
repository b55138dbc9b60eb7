/*
 * Where a serial port ends: each word, files, and what others write.
 */
#include "rules/serial.h"

#include "unit/test.h"

#include <errno.h>
#include <string.h>

static struct serial s;
static char said[640];

static bool is(const char *text, enum serial_kind kind, const char *path)
{
    struct error error;
    return !serial_parse(text, &s, &error) && s.kind == kind && strcmp(s.path, path) == 0;
}

static bool refused(const char *text, const char *pattern)
{
    struct error error;
    if (serial_parse(text, &s, &error) != -EINVAL)
        return false;
    error_format(&error, "--", said, sizeof(said));
    return strstr(said, pattern);
}

int main(void)
{
    TEST("the words that a serial port takes");
    CHECK(is("stdio", SERIAL_STDIO, ""));
    CHECK(is("none", SERIAL_NONE, ""));
    CHECK(is("pty", SERIAL_PTY, ""));
    CHECK(is("file:pty", SERIAL_FILE, "pty"));
    CHECK(is("file:tcp:1234", SERIAL_FILE, "tcp:1234"));
    CHECK(is("unix:/tmp/s", SERIAL_SOCKET, "/tmp/s") && !s.wait);
    CHECK(is("unix:/tmp/s,wait", SERIAL_SOCKET, "/tmp/s") && s.wait);
    CHECK(is("unix:/tmp/a,b", SERIAL_SOCKET, "/tmp/a,b") && !s.wait);

    TEST("files by their path");
    CHECK(is("log", SERIAL_FILE, "log"));
    CHECK(is("./pty", SERIAL_FILE, "./pty"));
    CHECK(is("/tmp/a:b", SERIAL_FILE, "/tmp/a:b"));
    CHECK(is("serial.log", SERIAL_FILE, "serial.log"));
    CHECK(is("boot.1:log", SERIAL_FILE, "boot.1:log"));

    TEST("words of other programs");
    CHECK(refused("tcp:1234", "unix:PATH, and socat"));
    CHECK(refused("mon:stdio", "no monitor"));
    CHECK(refused("telnet::4444,server", "socat"));
    CHECK(refused("chardev:c0", "stdio, pty"));
    CHECK(refused("null", "use none"));
    CHECK(refused("-", "use stdio"));
    CHECK(refused("stderr", "file:/dev/stderr"));
    CHECK(refused("unix:/tmp/s,server=on", "wait"));
    CHECK(refused("unix:/tmp/s,server,nowait", "wait"));

    TEST("mistyped words");
    CHECK(refused("stdoi", "did you mean stdio?"));
    CHECK(refused("unx:/tmp/s", "did you mean unix:?"));
    CHECK(refused("bogus:thing", "file:NAME"));

    TEST("empty words");
    CHECK(refused("", "without"));
    CHECK(refused("file:", "without a path"));
    CHECK(refused("unix:", "without a path"));
    CHECK(refused("unix:,wait", "without a path"));
    return TEST_END();
}
