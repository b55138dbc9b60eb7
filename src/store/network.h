/*
 * What is defined of networks, on the host's disk: switches, NAT networks, cards. Each definition is one JSON file that
 * is replaced by a new one in one step, with fsync, so that a crash leaves the old or the new. docs/network.md has the
 * layout. Whoever changes something holds the store's lock from before it reads until after it wrote.
 */
#ifndef STORE_NETWORK_H
#define STORE_NETWORK_H

#include "net/mac.h"
#include "rules/name.h"
#include "rules/network_settings.h"

struct store; /* an open home folder */

struct switch_def {
    char name[NAME_MAX_LEN + 1];
    struct switch_settings set; /* its texts belong to the definition */
};

struct nat_mapping {
    bool udp;
    char external[64]; /* "ADDRESS:PORT", with brackets around version 6; an address of zeros is every address */
    char internal[64];
};

struct nat_def {
    char name[NAME_MAX_LEN + 1];
    struct nat_settings set;
    struct nat_mapping *mapping;
    u32 mappings;
};

struct card_def {
    char id[ID_TEXT_MAX]; /* unique in the home folder, hexadecimal, begins with a letter; names the socket */
    char vm[NAME_MAX_LEN + 1], name[NAME_MAX_LEN + 1];
    struct mac mac;
    struct card_settings set; /* set.mac is not used: see mac */
};

/*
 * Opens NESTBOX_HOME, or what stands for it: /var/lib/nestbox for root, nestbox in XDG_DATA_HOME or ~/.local/share
 * otherwise. Creates it. The run folder (sockets) is "run" in NESTBOX_HOME if that is set, otherwise /run/nestbox or
 * nestbox in XDG_RUNTIME_DIR, or nestbox-UID in /tmp. NULL with an error.
 */
struct store *store_open(struct error *error);
void store_close(struct store *store);
const char *store_home(const struct store *store);
const char *store_run(const struct store *store);
/* Who hears of what does not stop a command but its user should know: the face. NULL: nobody. */
void store_notes_to(struct store *store, void (*note)(const struct error *note));
void store_note(const struct store *store, const struct error *note);
/* Waits for other commands, for a while: -EBUSY. Released by store_unlock, and by the end of the process. */
int MUST_CHECK store_lock(struct store *store, struct error *error);
void store_unlock(struct store *store);
/* What is put and removed between the two happens together or not at all, whatever ends the process. */
void store_begin(struct store *store);
int MUST_CHECK store_commit(struct store *store, struct error *error);

/* Files that are damaged. */
struct damage {
    struct error *list;
    u32 count;
};
/* From now on lists go without damaged files, which are added to `damage`. NULL: a damaged file is an error again. */
void store_tolerate(struct store *store, struct damage *damage);

/*
 * Lists are arrays in memory of their own, released by the function below them; names compare without case. A file that
 * is damaged is an error that names it; nothing is overwritten then.
 */
int MUST_CHECK store_switches(struct store *store, struct switch_def **list, u32 *count, struct error *error);
void switch_defs_free(struct switch_def *list, u32 count);
int MUST_CHECK store_nats(struct store *store, struct nat_def **list, u32 *count, struct error *error);
void nat_defs_free(struct nat_def *list, u32 count);
int MUST_CHECK store_cards(struct store *store, struct card_def **list, u32 *count, struct error *error);
void card_defs_free(struct card_def *list, u32 count);

/* Each replaces the definition of that name (for cards: that id), or creates it. */
int MUST_CHECK store_switch_put(struct store *store, const struct switch_def *def, struct error *error);
int MUST_CHECK store_nat_put(struct store *store, const struct nat_def *def, struct error *error);
int MUST_CHECK store_card_put(struct store *store, const struct card_def *def, struct error *error);
int MUST_CHECK store_switch_remove(struct store *store, const char *name, struct error *error);
int MUST_CHECK store_nat_remove(struct store *store, const char *name, struct error *error);
int MUST_CHECK store_card_remove(struct store *store, const char *id, struct error *error);

/* The paths of a card's socket, where QEMU listens, and of a switch's control socket. -ENAMETOOLONG if a socket's
 * address has no room for it. */
int MUST_CHECK store_card_socket(const struct store *store, const char *id, char *path, size_t size, struct error *e);
int MUST_CHECK store_switch_socket(const struct store *store, const char *name, char *path, size_t size,
                                   struct error *e);
/* Makes folders again that were removed since the store was opened. -ENOENT: the home folder itself is gone. */
int MUST_CHECK store_folders(const struct store *store, struct error *error);
/* The paths of a switch's definition, of the file that its process locks, in the home folder, and of its log. */
int MUST_CHECK store_switch_file(const struct store *store, const char *name, char *path, size_t size, struct error *e);
int MUST_CHECK store_switch_lock(const struct store *store, const char *name, char *path, size_t size, struct error *e);
int MUST_CHECK store_switch_log(const struct store *store, const char *name, char *path, size_t size, struct error *e);
/* Folders for what a switch keeps besides its definition, in the home folder (`state`: leases) and in the run folder
 * (`run`: what it changed on the host). Both are created. */
int MUST_CHECK store_switch_folders(const struct store *store, const char *name, char *state, char *run, size_t size,
                                    struct error *e);
/* Removes what is in them, when the switch is deleted. */
void store_switch_forget(const struct store *store, const char *name);
/* Whether what an ended command had begun can be finished; 0 also if there is nothing. */
int MUST_CHECK store_check(const struct store *store, struct error *error);
/* Appends a line with the time to the log of a VM. Never fails for the caller. */
void store_vm_log(const struct store *store, const char *vm, const char *line);

#endif
