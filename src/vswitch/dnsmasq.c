/*
 * dnsmasq and how it is started: see dnsmasq.h.
 *
 * It has no more rights than it needs from its first instruction, and dies with us: a program that gives up its rights
 * itself would outlive us, because the kernel forgets then whose death it wanted to follow (prctl(2),
 * PR_SET_PDEATHSIG).
 */
#include "vswitch/dnsmasq.h"

#include "process/program.h"

#include <errno.h>
#include <stdio.h>

#define PROGRAM_MAX 64
#define WORDS_MAX 40
#define RIGHTS "+net_bind_service,+net_raw,+net_admin"

static const char *const setpriv_options[] = {"--reuid=65534",
                                              "--regid=65534",
                                              "--clear-groups",
                                              "--no-new-privs",
                                              "--inh-caps=-all," RIGHTS,
                                              "--ambient-caps=" RIGHTS,
                                              "--bounding-set=-all," RIGHTS,
                                              "--pdeathsig=KILL",
                                              "--"};

static const char *const dnsmasq_options[] = {"--keep-in-foreground",
                                              "--conf-file=/dev/null",
                                              "--bind-dynamic",
                                              "--except-interface=lo",
                                              "--no-hosts",
                                              "--no-ping",
                                              "--log-facility=-",
                                              "--pid-file=",
                                              "--leasefile-ro",
                                              "--cache-size=1000",
                                              "--user=",
                                              "--group="};

struct words {
    const char *word[WORDS_MAX];
    u32 count;
};

static void add(struct words *w, const char *word)
{
    w->word[w->count++] = word;
}

static void add_all(struct words *w, const char *const *words, u32 count)
{
    for (u32 i = 0; i < count; i++)
        add(w, words[i]);
}

int dnsmasq_start(const struct nat *nat, const char *interface, struct child **child, struct error *error)
{
    char dnsmasq[PROGRAM_MAX], setpriv[PROGRAM_MAX], on[40], range[100], server[100], ip[IP_TEXT_MAX];
    struct words w = {.count = 0};
    *child = NULL;
    if (!nat->names && !nat->prefix6.address.version)
        return 0;
    int err = program_locate("dnsmasq", "dnsmasq-base", dnsmasq, sizeof(dnsmasq), error);
    if (!err)
        err = program_locate("setpriv", "util-linux", setpriv, sizeof(setpriv), error);
    if (err)
        return err;
    add(&w, setpriv);
    add_all(&w, setpriv_options, ARRAY_LEN(setpriv_options));
    add(&w, dnsmasq);
    add_all(&w, dnsmasq_options, ARRAY_LEN(dnsmasq_options));
    snprintf(on, sizeof(on), "--interface=%s", interface);
    add(&w, on);
    if (!nat->names)
        add(&w, "--port=0");
    if (nat->prefix6.address.version) {
        ip_format(&nat->prefix6.address, ip);
        snprintf(range, sizeof(range), "--dhcp-range=%s,ra-only,64", ip);
        add(&w, "--enable-ra");
        add(&w, range);
    }
    if (nat->dns6.version) {
        ip_format(&nat->dns6, ip);
        snprintf(server, sizeof(server), "--dhcp-option=option6:dns-server,[%s]", ip);
        add(&w, server);
    }
    *child = child_start(nat->up.sw, w.word);
    return *child ? 0 : error_set(error, -ENOMEM, "no memory to start dnsmasq");
}
