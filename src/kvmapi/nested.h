/*
 * State of VT-x and AMD-V by the API: see nested.c.
 */
#ifndef KVMAPI_NESTED_H
#define KVMAPI_NESTED_H

#include "kvmapi/api.h"

extern const struct api_part nested_part;

#endif
