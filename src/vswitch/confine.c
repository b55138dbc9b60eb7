/*
 * Confinement: see confine.h. A row per kind says what is left to it.
 *
 * How each is taken is in process/confine.h; system calls are limited by a filter (confine_calls.c). Files and calls
 * are limited for programs, too, which need more, so a switch that starts programs of the host has neither.
 */
#include "vswitch/confine.h"

#include "process/confine.h"
#include "vswitch/confine_calls.h"

#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CAP(name) (1ull << CAP_##name)

const char *const confine_names[CONFINE_PARTS] = {
    [CONFINE_NETWORK] = "network", [CONFINE_RIGHTS] = "rights", [CONFINE_FILES] = "files", [CONFINE_CALLS] = "calls"};

/* DAC_OVERRIDE is for sockets of QEMUs that run as other users than root. */
static const struct row {
    u64 capabilities; /* that are left, of those that there are */
    bool takes[CONFINE_PARTS];
    bool tun, names;    /* files of the host that it needs: /dev/net/tun; the list of name servers */
    const int *domains; /* of sockets; ends with 0 */
} rows[] = {
    [CONFINE_PRIVATE] = {CAP(DAC_OVERRIDE), {true, true, true, true}, .domains = (const int[]){AF_UNIX, 0}},
    [CONFINE_SLIRP] = {CAP(DAC_OVERRIDE) | CAP(NET_BIND_SERVICE) | CAP(NET_RAW),
                       {false, true, true, true},
                       .names = true,
                       .domains = (const int[]){AF_UNIX, AF_INET, AF_INET6, 0}},
    [CONFINE_INTERNAL] = {CAP(DAC_OVERRIDE) | CAP(NET_ADMIN),
                          {false, true, true, true},
                          .tun = true,
                          .domains = (const int[]){AF_UNIX, AF_NETLINK, AF_INET, 0}},
    [CONFINE_PROGRAMS] = {CAP(DAC_OVERRIDE) | CAP(NET_ADMIN) | CAP(NET_RAW) | CAP(NET_BIND_SERVICE) | CAP(KILL) |
                              CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP),
                          {false, true}},
};

/* -- files -- */

/* The list of name servers, where its name says that it is, and where it is. */
static int allow_names(int rules)
{
    char real[PATH_MAX];
    int e = confine_files_allow(rules, "/etc", CONFINE_READ);
    return e || !realpath("/etc/resolv.conf", real) ? e : confine_files_allow(rules, dirname(real), CONFINE_READ);
}

/* A run folder that somebody removes is made again, with its sockets: place.h. */
static int allow_above(int rules, const char *run)
{
    char above[PATH_MAX];
    snprintf(above, sizeof(above), "%s", run);
    return confine_files_allow(rules, dirname(above), CONFINE_MAKE);
}

static int take_files(const struct row *row, const char *home, const char *run)
{
    int rules = confine_files_begin(true);
    if (rules < 0)
        return rules;
    int e = confine_files_allow(rules, home, CONFINE_OWN);
    if (!e)
        e = confine_files_allow(rules, run, CONFINE_OWN);
    if (!e)
        e = allow_above(rules, run);
    if (!e)
        e = confine_files_allow(rules, "/dev/urandom", CONFINE_READ);
    if (!e && row->tun)
        e = confine_files_allow(rules, "/dev/net/tun", CONFINE_WRITE);
    if (!e && row->names)
        e = allow_names(rules);
    return confine_files_end(rules, e);
}

/* -- all of it -- */

enum confine_kind confine_kind(const struct definitions *defined)
{
    switch (defined->own->set.type) {
    case SWITCH_PRIVATE: return CONFINE_PRIVATE;
    case SWITCH_INTERNAL: return CONFINE_INTERNAL;
    case SWITCH_EXTERNAL: return CONFINE_PROGRAMS;
    case SWITCH_NAT: break;
    }
    bool slirp = defined->nat && defined->nat->set.backend == NAT_SLIRP;
    return slirp || geteuid() ? CONFINE_SLIRP : CONFINE_PROGRAMS;
}

void confine(enum confine_kind kind, const char *home, const char *run, struct confined *confined)
{
    static const char *const what[CONFINE_PARTS] = {
        [CONFINE_RIGHTS] = "the rights of this process cannot be limited",
        [CONFINE_NETWORK] = "this process has no network of its own, which keeps guests from the host's",
        [CONFINE_FILES] = "the host cannot limit the files that this process may reach (Landlock)",
        [CONFINE_CALLS] = "the host cannot limit the system calls of this process (seccomp)"};
    const struct row *row = &rows[kind];
    *confined = (struct confined){.kind = kind};
    tzset(); /* reads a file of the host's, for the logs */
    for (enum confine_part part = 0; part < CONFINE_PARTS; part++) {
        int e = 0;
        if (!row->takes[part])
            continue;
        switch (part) {
        case CONFINE_NETWORK: e = confine_network(&confined->among_strangers); break;
        case CONFINE_RIGHTS: e = confine_rights(row->capabilities); break;
        case CONFINE_FILES: e = take_files(row, home, run); break;
        default: e = confine_calls(row->domains); break;
        }
        confined->taken[part] = !e;
        if (e)
            snprintf(confined->note[part], sizeof(confined->note[part]), "%s: %s", what[part], strerror(-e));
    }
}
