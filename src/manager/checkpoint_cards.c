/*
 * The cards of a VM in its checkpoints: they are kept as they are in its file, and come back with those who have them.
 * An id, which names a socket, is another card's by then if the VM was imported beside the one that it comes from.
 */
#include "manager/checkpoint_files.h"

#include "store/definition.h"
#include "store/intent.h"
#include "store/networks.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

json_t *checkpoint_cards(struct store *store, const char *vm)
{
    char path[DEFINITION_PATH_MAX];
    struct error ignored;
    json_t *file = NULL;
    definition_path("vms", vm, "/nics.json", path);
    if (store_read(store, path, &file, &ignored))
        return json_array();
    json_t *cards = json_incref(json_object_get(file, "nics"));
    json_decref(file);
    return cards ? cards : json_array();
}

/* Is the id that of a card of another VM? */
static bool is_strangers(const struct networks *all, const char *vm, const char *id)
{
    for (u32 i = 0; i < all->card_count; i++)
        if (strcmp(all->cards[i].id, id) == 0 && !name_equal(all->cards[i].vm, vm))
            return true;
    return false;
}

/* One card as it comes back; what cannot be is noted. */
static void settle(struct store *store, const struct networks *all, const char *vm, json_t *card)
{
    const char *name = text_of(card, "name"), *at = text_of(json_object_get(card, "settings"), "switch");
    struct error note;
    char id[ID_TEXT_MAX], uuid[UUID_TEXT_MAX], hint[sizeof(note.hint)], word[NAME_WORD_MAX];
    const struct card_def *now = networks_card(all, vm, name);
    if (now) {
        (void)!json_object_set_new(card, "id", json_string(now->id));
    } else if (is_strangers(all, vm, text_of(card, "id")) && !uuid_make(uuid, &note)) {
        snprintf(id, sizeof(id), "a%.7s", uuid);
        (void)!json_object_set_new(card, "id", json_string(id));
    }
    if (networks_switch(all, at))
        return;
    error_set(&note, -ENOENT, "card %s/%s is at the switch %.64s, which is not there", vm, name, at);
    snprintf(hint, sizeof(hint), "`nestbox nic set %s " SETTING("switch") " SW` takes another",
             name_words(vm, name, word));
    error_hint(&note, hint);
    store_note(store, &note);
}

int checkpoint_cards_back(struct store *store, const char *vm, const json_t *checkpoint, json_t *steps,
                          struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    struct networks all;
    size_t i;
    json_t *kept = json_object_get(checkpoint, "cards"), *card, *file = NULL;
    if (!json_is_array(kept))
        return 0; /* it was taken when checkpoints had none: the VM keeps those that it has */
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    json_t *cards = json_deep_copy(kept);
    json_array_foreach (cards, i, card)
        settle(store, &all, vm, card);
    networks_free(&all);
    definition_path("vms", vm, "/nics.json", path);
    if (json_array_size(cards))
        file = json_pack("{s:i, s:s, s:O}", "version", DEFINITION_VERSION, "vm", vm, "nics", cards);
    e = json_array_append_new(steps, intent_write(path, file)) ? error_memory(error) : 0;
    json_decref(file);
    json_decref(cards);
    return e;
}
