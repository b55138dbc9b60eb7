/*
 * Settings as JSON, by walking their table: one function each way for all that is defined on disk and shown to others.
 * The key of a setting is its name with underscores for dashes.
 */
#ifndef STORE_SETTING_JSON_H
#define STORE_SETTING_JSON_H

#include "rules/setting.h"

#include <jansson.h>

#define SETTING_KEY_MAX 40

/* An object with all settings of the table; texts that are not there are null. NULL if there is no memory. */
json_t *setting_json(const struct setting *table, const void *from);
/* Sets what the object has, and nothing else; texts become copies of their own, for setting_texts_free, also after an
 * error. Unknown keys and values out of range are refused. Returns 0, -EINVAL or -ENOMEM. */
int MUST_CHECK setting_json_read(const struct setting *table, const json_t *object, void *into, struct error *error);

#endif
