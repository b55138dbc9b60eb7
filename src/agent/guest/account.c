/*
 * Reads the files of users: see account.h. Lines that are not well formed are passed over.
 */
#include "agent/guest/account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 65536

/* Splits a line at its colons. Returns the number of fields. */
static u32 split(char *line, char **field, u32 most)
{
    u32 n = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *at = line; at && n < most;)
        field[n++] = strsep(&at, ":");
    return n;
}

static bool number(const char *text, u32 *value)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    *value = (u32)n;
    return *text >= '0' && *text <= '9' && !*end && n < ~0u;
}

static bool take(struct account *a, char **field)
{
    u32 uid, gid;
    if (!number(field[2], &uid) || !number(field[3], &gid))
        return false;
    a->uid = uid;
    a->gid = gid;
    snprintf(a->name, sizeof(a->name), "%s", field[0]);
    snprintf(a->home, sizeof(a->home), "%s", *field[5] ? field[5] : "/");
    snprintf(a->shell, sizeof(a->shell), "%s", *field[6] ? field[6] : "/bin/sh");
    return true;
}

static bool find_user(const char *user, char *line, struct account *a)
{
    char *field[7];
    u32 wanted = 0, uid;
    bool by_number = !user || number(user, &wanted), found = false;
    if (!user)
        wanted = geteuid();
    FILE *file = fopen("/etc/passwd", "re");
    while (file && !found && fgets(line, LINE_MAX_BYTES, file))
        found = split(line, field, 7) == 7 &&
                ((user && strcmp(field[0], user) == 0) || (by_number && number(field[2], &uid) && uid == wanted)) &&
                take(a, field);
    if (file)
        fclose(file);
    if (found || (by_number ? wanted != 0 : strcmp(user, "root") != 0))
        return found;
    char *root[] = {"root", "", "0", "0", "", access("/root", F_OK) ? "/" : "/root", ""};
    return take(a, root);
}

static void find_groups(char *line, struct account *a)
{
    char *field[4];
    u32 gid;
    a->group[0] = a->gid;
    a->groups = 1;
    FILE *file = fopen("/etc/group", "re");
    while (file && a->groups < GROUPS_MAX && fgets(line, LINE_MAX_BYTES, file)) {
        if (split(line, field, 4) != 4 || !number(field[2], &gid) || gid == a->gid)
            continue;
        for (char *members = field[3], *member; (member = strsep(&members, ","));) {
            if (strcmp(member, a->name) == 0) {
                a->group[a->groups++] = gid;
                break;
            }
        }
    }
    if (file)
        fclose(file);
}

bool account_find(const char *user, struct account *account)
{
    char *line = malloc(LINE_MAX_BYTES);
    bool found = line && find_user(user, line, account);
    if (found)
        find_groups(line, account);
    free(line);
    return found;
}
