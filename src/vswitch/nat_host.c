/*
 * What a NAT network by the kernel takes of the host: see nat_host.h.
 */
#include "vswitch/nat_host.h"

#include "net/ifname.h"
#include "vswitch/host_setting.h"
#include "vswitch/link.h"
#include "vswitch/tap.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* -- The interface -- */

static int add_address(int index, const struct ip *ip, u8 length, struct error *error)
{
    char text[IP_TEXT_MAX];
    int err = ip->version ? link_add_address(index, ip, length) : 0;
    if (!err)
        return 0;
    ip_format(ip, text);
    return error_set(error, err, "the host's interface cannot have the address %s: %s", text, strerror(-err));
}

/* The host believes no guest that it is a router, and its own connections to 127.0.0.1 reach mapped ports. */
static void set_interface(const char *interface)
{
    static const struct {
        const char *name;
        char value;
    } setting[] = {{"ipv6/conf/%s/accept_ra", '0'}, {"ipv4/conf/%s/route_localnet", '1'}};
    for (u32 i = 0; i < ARRAY_LEN(setting); i++) {
        char path[80] = "/proc/sys/net/";
        snprintf(path + strlen(path), sizeof(path) - strlen(path), setting[i].name, interface);
        FILE *f = fopen(path, "we");
        if (f) {
            fputc(setting[i].value, f);
            fclose(f);
        }
    }
}

int nat_host_configure(const struct nat *nat, const char *interface, struct error *error)
{
    int index = link_index(interface), err = link_set_mac(index, &nat->mac);
    set_interface(interface);
    if (!nat->prefix6.address.version)
        link_hide(interface);
    if (!err)
        err = link_up(index);
    if (err)
        return error_set(error, err, "the interface %s cannot be set up: %s", interface, strerror(-err));
    err = add_address(index, &nat->gateway, nat->prefix.length, error);
    if (!err)
        err = add_address(index, &nat->dns, 32, error);
    if (!err)
        err = add_address(index, &nat->gateway6, nat->prefix6.length, error);
    return err ? err : add_address(index, &nat->dns6, 128, error);
}

/* -- Forwarding -- */

static const char ipv4[] = "net/ipv4/ip_forward", ipv6[] = "net/ipv6/conf/all/forwarding";

/* Interfaces that accept advertisements of routers do so only as long as they do not forward, or if told twice. */
static int keep_accepting(const char *shared, struct error *error)
{
    struct if_nameindex *all = if_nameindex();
    int result = 0;
    for (struct if_nameindex *i = all; i && i->if_index && result >= 0; i++) {
        char name[80], path[128], value = 0;
        snprintf(name, sizeof(name), "net/ipv6/conf/%s/accept_ra", i->if_name);
        snprintf(path, sizeof(path), "/proc/sys/%s", name);
        FILE *f = fopen(path, "re");
        bool foreign = strcmp(i->if_name, "lo") != 0 && !ifname_is(IFNAME_NAT, i->if_name);
        if (f && fread(&value, 1, 1, f) == 1 && value == '1' && foreign)
            result = host_setting_want(shared, name, "2", error);
        if (f)
            fclose(f);
    }
    if_freenameindex(all);
    return result;
}

int nat_host_forward(struct nat *nat, struct error *error)
{
    int result = 0, changed = 0;
    if (nat->prefix.address.version)
        changed = result = host_setting_want(nat->dirs.shared, ipv4, "1", error);
    if (result >= 0 && nat->prefix6.address.version) {
        result = keep_accepting(nat->dirs.shared, error);
        if (result >= 0)
            result = host_setting_want(nat->dirs.shared, ipv6, "1", error);
        changed |= result > 0;
    }
    if (changed > 0)
        snprintf(nat->note, sizeof(nat->note),
                 "the host forwards packets between all its interfaces as long as the network runs");
    return result < 0 ? result : 0;
}

/* -- What somebody changed -- */

static bool has_lost(int index, const struct ip *ip)
{
    return ip->version && !link_has_address(index, ip);
}

const char *nat_host_missing(const struct nat *nat, const char *interface)
{
    struct link_info info;
    if (!tap_has(nat->up.port, interface) || link_get(interface, &info))
        return "its interface was deleted";
    if (!info.is_up)
        return "its interface was down";
    if (memcmp(&info.mac, &nat->mac, sizeof(info.mac)) != 0)
        return "its interface had another Ethernet address";
    if (has_lost(info.index, &nat->gateway) || has_lost(info.index, &nat->dns) ||
        has_lost(info.index, &nat->gateway6) || has_lost(info.index, &nat->dns6))
        return "its interface had lost an address";
    if ((nat->prefix.address.version && !host_setting_is(ipv4, "1")) ||
        (nat->prefix6.address.version && !host_setting_is(ipv6, "1")))
        return "the host did not forward packets any more";
    return NULL;
}
