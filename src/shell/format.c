/*
 * Tables and lists. Columns are as wide as what is in them; where they do not fit, the last ones are cut.
 */
#include "shell/format.h"

#include "shell/failure.h"
#include "shell/output.h"

#include <stdlib.h>
#include <string.h>

#define ITEMS_SHOWN 4u

static void put_plain(const struct value *value, bool whole, struct text *to)
{
    if (value->kind != VALUE_ARRAY) {
        if (value->kind == VALUE_OBJECT && object_get(value, "Name") && !value_is(value, "ErrorRecord") &&
            !value_is(value, "PSCustomObject") && !value_is(value, "Hashtable"))
            value = object_get(value, "Name");
        value_put(value, to);
        return;
    }
    text_char(to, '{');
    for (size_t i = 0; i < value->array.count; i++) {
        if (i)
            text_puts(to, ", ");
        if (i == ITEMS_SHOWN && !whole) {
            text_puts(to, "...");
            break;
        }
        put_plain(value->array.item[i], whole, to);
    }
    text_char(to, '}');
}

enum flow format_cell(struct shell *shell, const struct value *object, const struct column *column, bool whole,
                      struct text *to)
{
    struct value *value = &value_null;
    enum flow flow = FLOW_NEXT;
    if (column->block) {
        struct collect c;
        collect_begin(&c, shell);
        flow = run_block(shell, column->block, (struct value *)(uintptr_t)object, NULL, false, &c.sink);
        value = collect_end(&c);
    } else {
        flow = member_get(shell, NULL, (struct value *)(uintptr_t)object, column->property, &value);
    }
    if (column->unit && value->kind == VALUE_NUMBER)
        value = value_number(&shell->heap, value->number / column->unit);
    struct text raw = {0};
    put_plain(value, whole, &raw);
    for (size_t i = 0; i < raw.used; i++) { /* one line, and nothing that moves a terminal's cursor */
        u8 c = (u8)raw.at[i];
        text_char(to, c == '\n' && !whole ? ' ' : (c < 0x20 && c != '\n') || c == 0x7f ? '?' : (char)c);
    }
    text_free(&raw);
    return flow;
}

/* The first `columns` columns of a text. */
static void put_cut(const struct text *text, size_t columns, struct text *to)
{
    size_t at = 0, seen = 0;
    if (text_columns(text_get(text), text->used) <= columns) {
        text_puts(to, text_get(text));
        return;
    }
    size_t shown = columns > 3 ? columns - 3 : columns;
    while (at < text->used && seen < shown) {
        at++;
        while (at < text->used && (text->at[at] & 0xc0) == 0x80)
            at++;
        seen++;
    }
    text_put(to, text_get(text), at);
    text_puts(to, columns > 3 ? "..." : "");
}

struct table {
    size_t rows, columns;
    struct text *cell;
    size_t *width;
};

static void put_row(const struct table *t, const struct column *columns, size_t row, size_t most, struct text *to)
{
    struct text line = {0};
    for (size_t c = 0; c < t->columns; c++) {
        const struct text *cell = &t->cell[row * t->columns + c];
        size_t cell_width = text_columns(text_get(cell), cell->used);
        size_t used = text_columns(text_get(&line), line.used), room = most && used < most ? most - used : 0;
        size_t width = most && t->width[c] > room ? room : t->width[c];
        if (most && !room)
            break;
        if (columns[c].right)
            text_pad(&line, cell_width < width ? cell_width : width, width);
        put_cut(cell, width, &line);
        if (c + 1 < t->columns) {
            if (!columns[c].right)
                text_pad(&line, cell_width < width ? cell_width : width, width);
            text_char(&line, ' ');
        }
    }
    while (line.used && line.at[line.used - 1] == ' ')
        line.used--;
    text_put(to, text_get(&line), line.used);
    text_char(to, '\n');
    text_free(&line);
}

/* A table whose first two rows are headings and lines under them. */
static enum flow fill(struct shell *shell, struct table *t, const struct value *objects, const struct column *columns)
{
    enum flow flow = FLOW_NEXT;
    for (size_t c = 0; c < t->columns; c++) {
        text_puts(&t->cell[c], columns[c].label);
        for (size_t i = text_columns(columns[c].label, strlen(columns[c].label)); i; i--)
            text_char(&t->cell[t->columns + c], '-');
    }
    for (size_t r = 2; r < t->rows; r++)
        for (size_t c = 0; c < t->columns && flow == FLOW_NEXT; c++)
            flow = format_cell(shell, objects->array.item[r - 2], &columns[c], false, &t->cell[r * t->columns + c]);
    return flow;
}

enum flow format_table(struct shell *shell, const struct value *objects, const struct column *columns, size_t count,
                       bool headers, size_t width, struct text *to)
{
    struct table t = {objects->array.count + 2, count, NULL, NULL};
    t.cell = memory_get(t.rows * count * sizeof(t.cell[0]));
    t.width = memory_get(count * sizeof(t.width[0]));
    enum flow flow = fill(shell, &t, objects, columns);
    for (size_t r = headers ? 0 : 2; r < t.rows; r++)
        for (size_t c = 0; c < count; c++) {
            size_t w = text_columns(text_get(&t.cell[r * count + c]), t.cell[r * count + c].used);
            t.width[c] = w > t.width[c] ? w : t.width[c];
        }
    text_char(to, '\n');
    for (size_t r = headers ? 0 : 2; r < t.rows; r++)
        put_row(&t, columns, r, width, to);
    text_char(to, '\n');
    for (size_t i = 0; i < t.rows * count; i++)
        text_free(&t.cell[i]);
    free(t.cell);
    free(t.width);
    return flow;
}

enum flow format_list(struct shell *shell, const struct value *objects, const struct column *columns, size_t count,
                      struct text *to)
{
    enum flow flow = FLOW_NEXT;
    text_char(to, '\n');
    for (size_t i = 0; i < objects->array.count && flow == FLOW_NEXT; i++) {
        struct column all[COLUMNS_MAX];
        const struct value *object = objects->array.item[i];
        size_t shown = count, wide = 0;
        if (!count)
            shown = format_columns(object, all);
        const struct column *these = count ? columns : all;
        for (size_t c = 0; c < shown; c++) {
            size_t w = text_columns(these[c].label, strlen(these[c].label));
            wide = w > wide ? w : wide;
        }
        for (size_t c = 0; c < shown && flow == FLOW_NEXT; c++) {
            text_puts(to, these[c].label);
            text_pad(to, text_columns(these[c].label, strlen(these[c].label)), wide);
            text_puts(to, " : ");
            flow = format_cell(shell, object, &these[c], true, to);
            text_char(to, '\n');
        }
        text_char(to, '\n');
    }
    return flow;
}

size_t format_columns(const struct value *object, struct column *columns)
{
    size_t count = 0;
    if (object->kind != VALUE_OBJECT)
        return 0;
    for (; count < object->object.count && count < COLUMNS_MAX; count++) {
        const struct property *p = &object->object.property[count];
        bool right = p->value->kind == VALUE_NUMBER || p->value->kind == VALUE_REAL;
        columns[count] = (struct column){p->name, p->name, .right = right};
    }
    return count;
}

/* -- printing without being asked -- */

#define TABLE_PROPERTIES 4u /* more are a list */

static void format_group(struct shell *shell, const struct value *objects, struct text *to)
{
    struct column columns[COLUMNS_MAX];
    const struct value *first = objects->array.item[0];
    const struct view *view = format_view(first->object.type);
    size_t count = 0;
    enum flow flow;
    if (value_is(first, "Hashtable")) {
        struct value *pairs = value_array(&shell->heap);
        static const struct column two[] = {{"Name", "Name"}, {"Value", "Value"}};
        for (size_t o = 0; o < objects->array.count; o++)
            for (size_t i = 0; i < objects->array.item[o]->object.count; i++) {
                struct value *pair = value_object(&shell->heap, "DictionaryEntry");
                object_set(pair, "Name", value_text(&shell->heap, objects->array.item[o]->object.property[i].name));
                object_set(pair, "Value", objects->array.item[o]->object.property[i].value);
                array_add(pairs, pair);
            }
        flow = format_table(shell, pairs, two, 2, true, shell->width, to);
    } else if (view) {
        while (count < ARRAY_LEN(view->columns) && view->columns[count].label)
            count++;
        flow = view->list ? format_list(shell, objects, view->columns, count, to)
                          : format_table(shell, objects, view->columns, count, true, shell->width, to);
    } else {
        count = format_columns(first, columns);
        if (count && count <= TABLE_PROPERTIES)
            flow = format_table(shell, objects, columns, count, true, shell->width, to);
        else
            flow = format_list(shell, objects, NULL, 0, to);
    }
    (void)flow; /* columns without blocks do not fail */
}

void output_format(struct shell *shell, const struct value *objects, struct text *to)
{
    struct value *group = value_array(&shell->heap);
    for (size_t i = 0; i < objects->array.count; i++) {
        struct value *v = objects->array.item[i];
        bool alone = v->kind != VALUE_OBJECT || value_is(v, "Type");
        if (group->array.count && (alone || !value_is(v, group->array.item[0]->object.type))) {
            format_group(shell, group, to);
            group = value_array(&shell->heap);
        }
        if (!alone) {
            array_add(group, v);
        } else if (v->kind == VALUE_ARRAY) {
            output_format(shell, v, to);
        } else if (v->kind != VALUE_NULL) {
            value_put(v, to);
            text_char(to, '\n');
        }
    }
    if (group->array.count && value_is(group->array.item[0], "ErrorRecord"))
        for (size_t i = 0; i < group->array.count; i++)
            failure_text(group->array.item[i], to);
    else if (group->array.count)
        format_group(shell, group, to);
}
