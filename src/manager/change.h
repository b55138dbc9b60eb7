/*
 * How a face changes settings that are there: the operation reads the definition, has the face put its changes into it,
 * checks the result and writes it, all under the store's lock.
 */
#ifndef MANAGER_CHANGE_H
#define MANAGER_CHANGE_H

#include "base/error.h"

struct change {
    /* `settings` is of the type that the operation is about. Texts that are put there stay the face's. */
    int (*apply)(const struct change *change, void *settings, struct error *error);
};

#endif
