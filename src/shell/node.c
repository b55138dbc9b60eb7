/*
 * Where a node is in its text.
 */
#include "shell/node.h"

#include <string.h>

static u32 line_begins(const struct node *node)
{
    u32 at = node->start;
    while (at && node->source->text[at - 1] != '\n')
        at--;
    return at;
}

void node_place(const struct node *node, u32 *line, u32 *column)
{
    u32 begins = line_begins(node);
    *line = 1;
    for (u32 i = 0; i < begins; i++)
        *line += node->source->text[i] == '\n';
    *column = 1 + (u32)text_columns(node->source->text + begins, node->start - begins);
}

void node_show(const struct node *node, struct text *to)
{
    const char *text = node->source->text;
    u32 begins = line_begins(node), ends = begins;
    while (ends < node->source->length && text[ends] != '\n' && text[ends] != '\r')
        ends++;
    u32 stop = node->end < ends ? node->end : ends;
    text_puts(to, "+ ");
    text_put(to, text + begins, ends - begins);
    text_puts(to, "\n+ ");
    text_pad(to, 0, text_columns(text + begins, node->start - begins));
    size_t marks = stop > node->start ? text_columns(text + node->start, stop - node->start) : 1;
    for (size_t i = 0; i < marks; i++)
        text_char(to, '~');
    text_char(to, '\n');
}

void node_text(const struct node *node, struct text *to)
{
    text_put(to, node->source->text + node->start, node->end - node->start);
}
