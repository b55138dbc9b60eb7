/*
 * A capture as lines of JSON: an object per frame, made of the blocks of pcapng that the switch sends.
 */
#ifndef CLI_CAPTURE_LINES_H
#define CLI_CAPTURE_LINES_H

#include "base/types.h"

#include <jansson.h>

struct capture_lines {
    char (*port)[160]; /* names of the interfaces of the capture, which are ports */
    u32 ports;
};

/* Returns the object for a whole block, which the caller releases; NULL if the block is about no frame. */
json_t *capture_line(struct capture_lines *lines, const u8 *block, u32 length);
void capture_lines_free(struct capture_lines *lines);

#endif
