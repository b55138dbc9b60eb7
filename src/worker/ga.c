/*
 * See ga.h. The commands are those of QEMU's documentation, "QEMU Guest Agent Protocol Reference".
 */
#include "worker/ga.h"

#include "base/base64.h"
#include "base/monotonic.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NS_PER_MS 1000000ull
#define ANSWER_MAX (48u << 20) /* 16 MiB of output and of errors, in base 64 */
#define POLL_MS 50u
#define PIECE 49152u /* of a file: a multiple of 3 */
#define SENTINEL 0xff

/* -- lines -- */

static int no_answer(const struct ga *ga, struct error *error)
{
    error_set(error, -ETIMEDOUT, "%s: QEMU's agent in the guest does not answer", ga->vm);
    return error_hint(error, "is qemu-guest-agent installed there, and does it run?");
}

static bool wait_for(const struct ga *ga, short events)
{
    for (;;) {
        u64 now = monotonic_ns();
        struct pollfd p = {ga->fd, events};
        int n = now < ga->until_ns ? poll(&p, 1, (int)((ga->until_ns - now) / NS_PER_MS) + 1) : 0;
        if (n >= 0 || errno != EINTR)
            return n > 0;
    }
}

static void patience(struct ga *ga, u32 ms)
{
    ga->until_ns = monotonic_ns() + ms * NS_PER_MS;
}

static int put(struct ga *ga, const void *bytes, size_t length, struct error *error)
{
    const char *at = bytes;
    while (length) {
        ssize_t n = send(ga->fd, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            at += n;
            length -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (!wait_for(ga, POLLOUT))
                return no_answer(ga, error);
        } else if (n < 0 && errno != EINTR) {
            return error_set(error, -errno, "%s: QEMU's agent: %s", ga->vm, strerror(errno));
        }
    }
    return 0;
}

static int put_json(struct ga *ga, json_t *request, struct error *error)
{
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    int e = text ? put(ga, text, strlen(text), error) : error_memory(error);
    if (!e)
        e = put(ga, "\n", 1, error);
    free(text);
    json_decref(request);
    return e;
}

/* Reads up to the end of a line, which *length counts without it. */
static int get_line(struct ga *ga, size_t *length, struct error *error)
{
    for (;;) {
        char *end = ga->used ? memchr(ga->line, '\n', ga->used) : NULL;
        if (end) {
            *length = (size_t)(end - ga->line);
            return 0;
        }
        if (ga->used == ga->size) {
            size_t size = ga->size ? 2 * ga->size : 4096;
            char *bigger = size <= ANSWER_MAX ? realloc(ga->line, size) : NULL;
            if (!bigger)
                return error_set(error, -ENOMEM, "%s: no memory for what QEMU's agent answers", ga->vm);
            ga->line = bigger;
            ga->size = size;
        }
        ssize_t n = recv(ga->fd, ga->line + ga->used, ga->size - ga->used, MSG_DONTWAIT);
        if (n > 0)
            ga->used += (size_t)n;
        else if (n == 0)
            return error_set(error, -EPIPE, "%s: the connection to QEMU's agent ended", ga->vm);
        else if (errno == EAGAIN && !wait_for(ga, POLLIN))
            return no_answer(ga, error);
        else if (errno != EAGAIN && errno != EINTR)
            return error_set(error, -errno, "%s: QEMU's agent: %s", ga->vm, strerror(errno));
    }
}

static void drop(struct ga *ga, size_t bytes)
{
    ga->used -= bytes;
    memmove(ga->line, ga->line + bytes, ga->used);
}

/* Reads an answer; what is not JSON, a remainder of something else, is passed over. */
static int get_json(struct ga *ga, json_t **object, struct error *error)
{
    size_t length;
    for (;;) {
        int e = get_line(ga, &length, error);
        if (e)
            return e;
        *object = json_loadb(ga->line, length, 0, NULL);
        drop(ga, length + 1);
        if (*object)
            return 0;
    }
}

/* -- calls -- */

/* A byte that JSON cannot have ends what the agent has read by halves, and another one marks its answer. */
static int synchronize(struct ga *ga, struct error *error)
{
    static const u8 sentinel = SENTINEL;
    json_int_t number = (json_int_t)(monotonic_ns() & 0x7fffffff);
    int e = put(ga, &sentinel, 1, error);
    if (!e)
        e = put_json(ga, json_pack("{s:s, s:{s:I}}", "execute", "guest-sync-delimited", "arguments", "id", number),
                     error);
    while (!e) {
        size_t length;
        e = get_line(ga, &length, error);
        if (e)
            break;
        char *mark = memrchr(ga->line, SENTINEL, length);
        size_t from = mark ? (size_t)(mark - ga->line) + 1 : 0;
        json_t *object = mark ? json_loadb(ga->line + from, length - from, 0, NULL) : NULL;
        bool ours = json_integer_value(json_object_get(object, "return")) == number;
        json_decref(object);
        drop(ga, length + 1);
        if (ours)
            return 0;
    }
    return e;
}

int ga_open(struct ga *ga, const char *path, const char *vm, u32 wait_ms, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *ga = (struct ga){.fd = -1, .vm = vm};
    patience(ga, wait_ms);
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(error, -ENAMETOOLONG, "%.200s: the path is too long for a socket", path);
    strcpy(address.sun_path, path);
    ga->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ga->fd < 0)
        return error_set(error, -errno, "cannot make a socket: %s", strerror(errno));
    int e = 0;
    if (connect(ga->fd, (struct sockaddr *)&address, sizeof(address)))
        e = error_set(error, -ENOTCONN, "%s: there is no port of QEMU's agent: %s", vm, strerror(errno));
    if (!e)
        e = synchronize(ga, error);
    if (e)
        ga_close(ga);
    return e == -ETIMEDOUT ? error->code = -ENOTCONN : e;
}

void ga_close(struct ga *ga)
{
    if (ga->fd >= 0)
        close(ga->fd);
    free(ga->line);
    *ga = (struct ga){.fd = -1};
}

int ga_call(struct ga *ga, const char *command, json_t *arguments, json_t **answer, struct error *error)
{
    json_t *object, *value;
    int e = put_json(ga, json_pack("{s:s, s:o*}", "execute", command, "arguments", arguments), error);
    if (!e)
        e = get_json(ga, &object, error);
    if (e)
        return e;
    value = json_object_get(object, "return");
    if (value && answer)
        *answer = json_incref(value);
    if (!value) {
        const char *text = json_string_value(json_object_get(json_object_get(object, "error"), "desc"));
        char plain[200];
        error_plain(text ? text : "no reason given", plain, sizeof(plain));
        e = error_set(error, -EREMOTEIO, "%s: QEMU's agent: %s", ga->vm, plain);
    }
    json_decref(object);
    return e;
}

static int call(struct ga *ga, const char *command, json_t *arguments, json_t **answer, struct error *error)
{
    patience(ga, GA_MS);
    return ga_call(ga, command, arguments, answer, error);
}

/* -- commands -- */

static json_t *texts(const char *const *list)
{
    json_t *array = json_array();
    for (; list && *list; list++)
        if (json_array_append_new(array, json_string(*list)))
            break; /* not UTF-8 */
    return array;
}

static char *decode(const json_t *text, size_t *length)
{
    const char *from = json_string_value(text);
    size_t size = from ? strlen(from) : 0;
    char *bytes = malloc(size + 1);
    *length = bytes && from ? base64_decode(from, size, (u8 *)bytes) : 0;
    if (bytes)
        bytes[*length] = 0;
    return bytes;
}

static json_t *encode(const void *bytes, size_t length)
{
    char *text = malloc(base64_length(length) + 1);
    if (!text)
        return NULL;
    base64_encode(bytes, length, text);
    json_t *value = json_string(text);
    free(text);
    return value;
}

static void take_result(const json_t *answer, struct ga_result *r)
{
    json_t *signal = json_object_get(answer, "signal");
    r->status = signal ? 128 + (int)json_integer_value(signal)
                       : (int)json_integer_value(json_object_get(answer, "exitcode")) & 255;
    r->output = decode(json_object_get(answer, "out-data"), &r->output_length);
    r->errors = decode(json_object_get(answer, "err-data"), &r->errors_length);
    r->cut = json_is_true(json_object_get(answer, "out-truncated")) ||
             json_is_true(json_object_get(answer, "err-truncated"));
}

int ga_exec(struct ga *ga, const struct ga_command *command, struct ga_result *result, struct error *error)
{
    json_t *answer = NULL, *arguments = json_pack("{s:s, s:o, s:b}", "path", command->argument[0], "arg",
                                                  texts(command->argument + 1), "capture-output", 1);
    if (!arguments)
        return error_set(error, -EINVAL, "%s: QEMU's agent takes commands in UTF-8 only", ga->vm);
    if (command->variable && *command->variable)
        json_object_set_new(arguments, "env", texts(command->variable));
    if (command->input)
        json_object_set_new(arguments, "input-data", encode(command->input, command->input_length));
    int e = call(ga, "guest-exec", arguments, &answer, error);
    json_int_t pid = e ? 0 : json_integer_value(json_object_get(answer, "pid"));
    for (bool over = e; !over; usleep(POLL_MS * 1000)) {
        json_decref(answer);
        answer = NULL;
        e = call(ga, "guest-exec-status", json_pack("{s:I}", "pid", pid), &answer, error);
        over = e || json_is_true(json_object_get(answer, "exited"));
        if (over)
            break;
    }
    if (!e)
        take_result(answer, result);
    json_decref(answer);
    return e;
}

/* -- files -- */

static int open_file(struct ga *ga, const char *path, const char *mode, json_int_t *handle, struct error *error)
{
    json_t *answer = NULL;
    int e = call(ga, "guest-file-open", json_pack("{s:s, s:s}", "path", path, "mode", mode), &answer, error);
    *handle = json_integer_value(answer);
    json_decref(answer);
    return e;
}

static int close_file(struct ga *ga, json_int_t handle, int e, struct error *error)
{
    struct error other;
    int closed = call(ga, "guest-file-close", json_pack("{s:I}", "handle", handle), NULL, e ? &other : error);
    return e ? e : closed;
}

int ga_put(struct ga *ga, int from, const char *path, struct error *error)
{
    json_int_t handle;
    u8 *bytes = malloc(PIECE);
    int e = bytes ? open_file(ga, path, "w", &handle, error) : error_memory(error);
    if (e) {
        free(bytes);
        return e;
    }
    while (!e) {
        ssize_t n = read(from, bytes, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            e = error_set(error, -errno, "cannot read: %s", strerror(errno));
        if (n <= 0)
            break;
        json_t *answer = NULL;
        e = call(ga, "guest-file-write", json_pack("{s:I, s:o}", "handle", handle, "buf-b64", encode(bytes, (size_t)n)),
                 &answer, error);
        if (!e && json_integer_value(json_object_get(answer, "count")) != n)
            e = error_set(error, -EIO, "%s: %.200s: not all was written; is there no room?", ga->vm, path);
        json_decref(answer);
    }
    free(bytes);
    return close_file(ga, handle, e, error);
}

int ga_get(struct ga *ga, const char *path, int to, struct error *error)
{
    json_int_t handle;
    int e = open_file(ga, path, "r", &handle, error);
    if (e)
        return e;
    for (bool over = false; !e && !over;) {
        json_t *answer = NULL;
        size_t length = 0;
        e = call(ga, "guest-file-read", json_pack("{s:I, s:i}", "handle", handle, "count", (int)PIECE), &answer, error);
        char *bytes = e ? NULL : decode(json_object_get(answer, "buf-b64"), &length);
        over = json_is_true(json_object_get(answer, "eof")) || !length;
        for (size_t at = 0; !e && at < length;) {
            ssize_t n = write(to, bytes + at, length - at);
            if (n > 0)
                at += (size_t)n;
            else if (n < 0 && errno != EINTR)
                e = error_set(error, -errno, "cannot write: %s", strerror(errno));
        }
        free(bytes);
        json_decref(answer);
    }
    return close_file(ga, handle, e, error);
}

/* -- the guest -- */

static int count_of(struct ga *ga, const char *command, struct error *error)
{
    json_t *answer = NULL;
    patience(ga, 12 * GA_MS); /* all that is dirty is written first */
    int e = ga_call(ga, command, NULL, &answer, error);
    int count = (int)json_integer_value(answer);
    json_decref(answer);
    return e ? e : count;
}

int ga_freeze(struct ga *ga, struct error *error)
{
    return count_of(ga, "guest-fsfreeze-freeze", error);
}

int ga_thaw(struct ga *ga, struct error *error)
{
    return count_of(ga, "guest-fsfreeze-thaw", error);
}

int ga_interfaces(struct ga *ga, json_t **interfaces, struct error *error)
{
    json_t *answer = NULL, *one, *address;
    size_t i, j;
    int e = call(ga, "guest-network-get-interfaces", NULL, &answer, error);
    *interfaces = e ? NULL : json_array();
    json_array_foreach (answer, i, one) {
        json_t *addresses = json_array();
        json_array_foreach (json_object_get(one, "ip-addresses"), j, address)
            json_array_append_new(addresses,
                                  json_sprintf("%s/%d", json_string_value(json_object_get(address, "ip-address")),
                                               (int)json_integer_value(json_object_get(address, "prefix"))));
        const char *mac = json_string_value(json_object_get(one, "hardware-address"));
        if (mac && strcmp(mac, "00:00:00:00:00:00") != 0)
            json_array_append_new(*interfaces, json_pack("{s:O, s:s, s:O}", "name", json_object_get(one, "name"), "mac",
                                                         mac, "addresses", addresses));
        json_decref(addresses);
    }
    json_decref(answer);
    return e;
}
