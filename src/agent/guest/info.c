/*
 * What the host wants to know of the guest, as JSON on standard output.
 */
#include "agent/guest/builtin.h"

#include "base/types.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* As a JSON string; what is no ASCII becomes '?', so that it is UTF-8 in any case. */
static void put_text(const char *text)
{
    putchar('"');
    for (const u8 *c = (const u8 *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else
            putchar(*c >= ' ' && *c < 127 ? *c : '?');
    }
    putchar('"');
}

/* Reads the value of NAME=VALUE in a file, or its first line if there is no name. */
static const char *value_in(const char *path, const char *name, char *text, size_t size)
{
    char line[512];
    size_t length = strlen(name);
    FILE *file = fopen(path, "re");
    *text = 0;
    while (file && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, name, length) != 0)
            continue;
        const char *value = line + length + (line[length] == '"');
        snprintf(text, size, "%.*s", (int)strcspn(value, "\""), value);
        break;
    }
    if (file)
        fclose(file);
    return text;
}

static u32 prefix_length(const struct sockaddr *mask, u32 family)
{
    u32 bits = 0, bytes = family == AF_INET ? 4 : 16;
    const u8 *at = family == AF_INET ? (const u8 *)&((const struct sockaddr_in *)mask)->sin_addr
                                     : (const u8 *)&((const struct sockaddr_in6 *)mask)->sin6_addr;
    for (u32 i = 0; i < bytes; i++)
        bits += (u32)__builtin_popcount(at[i]);
    return bits;
}

static void put_addresses(const struct ifaddrs *all, const char *name)
{
    const char *comma = "";
    char text[INET6_ADDRSTRLEN];
    printf(", \"addresses\": [");
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
        if (strcmp(i->ifa_name, name) != 0 || (family != AF_INET && family != AF_INET6))
            continue;
        const void *address = family == AF_INET ? (void *)&((struct sockaddr_in *)i->ifa_addr)->sin_addr
                                                : (void *)&((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
        if (inet_ntop(family, address, text, sizeof(text)) && i->ifa_netmask) {
            printf("%s\"%s/%u\"", comma, text, prefix_length(i->ifa_netmask, (u32)family));
            comma = ", ";
        }
    }
    putchar(']');
}

/* Interfaces with a hardware address: what the host calls cards is found by it. */
static void put_interfaces(void)
{
    struct ifaddrs *all = NULL;
    const char *comma = "";
    printf(", \"interfaces\": [");
    if (getifaddrs(&all))
        all = NULL;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        const struct sockaddr_ll *hardware = (const struct sockaddr_ll *)i->ifa_addr;
        if (!hardware || hardware->sll_family != AF_PACKET || hardware->sll_halen != 6 || i->ifa_flags & IFF_LOOPBACK)
            continue;
        const u8 *m = hardware->sll_addr;
        printf("%s{\"name\": ", comma);
        put_text(i->ifa_name);
        printf(", \"mac\": \"%02x:%02x:%02x:%02x:%02x:%02x\"", m[0], m[1], m[2], m[3], m[4], m[5]);
        put_addresses(all, i->ifa_name);
        putchar('}');
        comma = ", ";
    }
    putchar(']');
    freeifaddrs(all);
}

int info_run(int argc, char **argv)
{
    struct utsname name = {0};
    struct sysinfo system = {0};
    struct timespec now;
    char text[256];
    uname(&name);
    sysinfo(&system);
    clock_gettime(CLOCK_REALTIME, &now);
    printf("{\"hostname\": ");
    put_text(name.nodename);
    printf(", \"os\": ");
    put_text(value_in("/etc/os-release", "PRETTY_NAME=", text, sizeof(text)));
    printf(", \"kernel\": ");
    put_text(name.release);
    printf(", \"boot_id\": ");
    put_text(value_in("/proc/sys/kernel/random/boot_id", "", text, sizeof(text)));
    printf(", \"uptime\": %ld, \"time\": %lld.%03ld", system.uptime, (long long)now.tv_sec, now.tv_nsec / 1000000);
    printf(", \"load\": %.2f", (double)system.loads[0] / (1 << SI_LOAD_SHIFT));
    u64 available = 0;
    if (sscanf(value_in("/proc/meminfo", "MemAvailable:", text, sizeof(text)), "%lu", &available) != 1)
        available = (u64)system.freeram * system.mem_unit >> 10;
    printf(", \"memory\": %llu, \"memory_available\": %llu", (unsigned long long)system.totalram * system.mem_unit,
           (unsigned long long)available << 10);
    put_interfaces();
    printf("}\n");
    return ferror(stdout) || fflush(stdout);
}
