/*
 * Users of the guest, as /etc/passwd and /etc/group have them: a static program has no other way.
 */
#ifndef AGENT_GUEST_ACCOUNT_H
#define AGENT_GUEST_ACCOUNT_H

#include "base/types.h"

#include <sys/types.h>

#define ACCOUNT_TEXT 256
#define GROUPS_MAX 256

struct account {
    char name[ACCOUNT_TEXT], home[ACCOUNT_TEXT], shell[ACCOUNT_TEXT];
    uid_t uid;
    gid_t gid;
    gid_t group[GROUPS_MAX]; /* gid among them */
    u32 groups;
};

/* Finds a user by name or number. NULL: the one that this process runs as. Returns false if there is none; root is
 * there without any file. */
bool account_find(const char *user, struct account *account);

#endif
