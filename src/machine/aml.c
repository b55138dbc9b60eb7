/*
 * Writes AML terms. A PkgLength always has its three-byte form, so that it can be filled in when the object ends; the
 * specification allows longer forms than needed.
 */
#include "machine/aml.h"

#include <string.h>

enum {
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_DUAL_NAME = 0x2e,
    OP_MULTI_NAME = 0x2f,
    OP_EXT = 0x5b,
    OP_CREATE_DWORD_FIELD = 0x8a,
    OP_EQUAL = 0x93,
    OP_IF = 0xa0,
    OP_ELSE = 0xa1,
    EXT_DEVICE = 0x82,
};

#define SERIALIZED BIT(3)
#define PKG_LENGTH_BYTES 3
#define SEGMENT 4 /* characters of a name; "." between two */

/* First bytes and flags of resource items: ACPI specification, "Resource Data Types for ACPI". */
enum {
    RESOURCE_IRQ = 0x22, /* without flags: edge-triggered, active high */
    RESOURCE_IO = 0x47,
    RESOURCE_END = 0x79,
    RESOURCE_MEMORY32 = 0x86,
    RESOURCE_DWORD_WINDOW = 0x87,
    RESOURCE_WORD_WINDOW = 0x88,
};
#define IO_DECODE16 1
#define IO_WHOLE_RANGE 3
#define MEMORY_WRITABLE 1
#define WINDOW_MIN_FIXED BIT(2)
#define WINDOW_MAX_FIXED BIT(3)

void aml_bytes(struct aml *a, const void *data, size_t size)
{
    if (size > a->size - a->length) {
        a->overflow = true;
        return;
    }
    memcpy(a->data + a->length, data, size);
    a->length += size;
}

void aml_byte(struct aml *a, u8 value)
{
    aml_bytes(a, &value, 1);
}

void aml_number(struct aml *a, u64 value, unsigned size)
{
    aml_bytes(a, &value, size);
}

void aml_path(struct aml *a, const char *path)
{
    if (*path == '\\')
        aml_byte(a, *path++);
    size_t segments = (strlen(path) + 1) / (SEGMENT + 1);
    if (segments == 2) {
        aml_byte(a, OP_DUAL_NAME);
    } else if (segments > 2) {
        aml_byte(a, OP_MULTI_NAME);
        aml_byte(a, (u8)segments);
    }
    for (size_t i = 0; i < segments; i++)
        aml_bytes(a, path + i * (SEGMENT + 1), SEGMENT);
}

void aml_integer(struct aml *a, u64 value)
{
    if (value <= 1) {
        aml_byte(a, (u8)value); /* ZeroOp, OneOp */
    } else if (value <= 0xff) {
        aml_byte(a, OP_BYTE);
        aml_number(a, value, 1);
    } else if (value <= 0xffff) {
        aml_byte(a, OP_WORD);
        aml_number(a, value, 2);
    } else if (value <= 0xffffffff) {
        aml_byte(a, OP_DWORD);
        aml_number(a, value, 4);
    } else {
        aml_byte(a, OP_QWORD);
        aml_number(a, value, 8);
    }
}

void aml_string(struct aml *a, const char *text)
{
    aml_byte(a, OP_STRING);
    aml_bytes(a, text, strlen(text) + 1);
}

static size_t length_open(struct aml *a)
{
    size_t mark = a->length;
    aml_bytes(a, (u8[PKG_LENGTH_BYTES]){0}, PKG_LENGTH_BYTES);
    return mark;
}

void aml_close(struct aml *a, size_t mark)
{
    if (a->overflow)
        return;
    size_t length = a->length - mark;
    a->data[mark] = (u8)((PKG_LENGTH_BYTES - 1) << 6 | (length & 0xf));
    a->data[mark + 1] = (u8)(length >> 4);
    a->data[mark + 2] = (u8)(length >> 12);
}

size_t aml_scope(struct aml *a, const char *path)
{
    aml_byte(a, OP_SCOPE);
    size_t mark = length_open(a);
    aml_path(a, path);
    return mark;
}

size_t aml_device(struct aml *a, const char *name)
{
    aml_byte(a, OP_EXT);
    aml_byte(a, EXT_DEVICE);
    size_t mark = length_open(a);
    aml_path(a, name);
    return mark;
}

size_t aml_method(struct aml *a, const char *name, u8 arguments)
{
    aml_byte(a, OP_METHOD);
    size_t mark = length_open(a);
    aml_path(a, name);
    aml_byte(a, arguments | SERIALIZED);
    return mark;
}

size_t aml_if_equal(struct aml *a)
{
    aml_byte(a, OP_IF);
    size_t mark = length_open(a);
    aml_byte(a, OP_EQUAL);
    return mark;
}

size_t aml_else(struct aml *a)
{
    aml_byte(a, OP_ELSE);
    return length_open(a);
}

size_t aml_package(struct aml *a, u8 elements)
{
    aml_byte(a, OP_PACKAGE);
    size_t mark = length_open(a);
    aml_byte(a, elements);
    return mark;
}

size_t aml_buffer(struct aml *a, u8 size)
{
    aml_byte(a, OP_BUFFER);
    size_t mark = length_open(a);
    aml_byte(a, OP_BYTE);
    aml_byte(a, size);
    return mark;
}

void aml_name(struct aml *a, const char *name)
{
    aml_byte(a, OP_NAME);
    aml_path(a, name);
}

void aml_name_integer(struct aml *a, const char *name, u64 value)
{
    aml_name(a, name);
    aml_integer(a, value);
}

static unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

/* ACPI specification, "EISAID": three letters of five bits, four hexadecimal digits, big-endian. */
void aml_name_eisa(struct aml *a, const char *name, const char *id)
{
    u32 value = (u32)(id[0] - '@') << 26 | (u32)(id[1] - '@') << 21 | (u32)(id[2] - '@') << 16;
    for (unsigned i = 0; i < 4; i++)
        value |= hex_digit(id[3 + i]) << (12 - 4 * i);
    aml_name(a, name);
    aml_byte(a, OP_DWORD);
    aml_number(a, __builtin_bswap32(value), 4);
}

void aml_create_dword_field(struct aml *a, u8 argument, u8 offset, const char *name)
{
    aml_byte(a, OP_CREATE_DWORD_FIELD);
    aml_byte(a, AML_ARG0 + argument);
    aml_integer(a, offset);
    aml_path(a, name);
}

struct aml_resources aml_resources(struct aml *a, const char *name)
{
    struct aml_resources r;
    aml_name(a, name);
    aml_byte(a, OP_BUFFER);
    r.package = length_open(a);
    aml_byte(a, OP_WORD);
    r.size_at = a->length;
    aml_number(a, 0, 2);
    r.start = a->length;
    return r;
}

void aml_resources_end(struct aml *a, const struct aml_resources *r)
{
    aml_byte(a, RESOURCE_END);
    aml_byte(a, 0); /* checksum: none */
    if (a->overflow)
        return;
    size_t size = a->length - r->start;
    a->data[r->size_at] = (u8)size;
    a->data[r->size_at + 1] = (u8)(size >> 8);
    aml_close(a, r->package);
}

void aml_io(struct aml *a, u16 start, u8 size)
{
    aml_byte(a, RESOURCE_IO);
    aml_byte(a, IO_DECODE16);
    aml_number(a, start, 2); /* lowest and highest */
    aml_number(a, start, 2);
    aml_byte(a, 1); /* alignment */
    aml_byte(a, size);
}

void aml_irq(struct aml *a, unsigned irq)
{
    aml_byte(a, RESOURCE_IRQ);
    aml_number(a, BIT(irq), 2);
}

void aml_memory32(struct aml *a, u32 start, u32 size)
{
    aml_byte(a, RESOURCE_MEMORY32);
    aml_number(a, 1 + 2 * sizeof(u32), 2);
    aml_byte(a, MEMORY_WRITABLE);
    aml_number(a, start, 4);
    aml_number(a, size, 4);
}

void aml_window(struct aml *a, enum aml_space space, unsigned width, u64 first, u64 last)
{
    static const u8 type_flags[] = {[AML_MEMORY] = MEMORY_WRITABLE, [AML_IO] = IO_WHOLE_RANGE, [AML_BUS] = 0};
    aml_byte(a, width == sizeof(u16) ? RESOURCE_WORD_WINDOW : RESOURCE_DWORD_WINDOW);
    aml_number(a, 3 + 5 * width, 2);
    aml_byte(a, (u8)space);
    aml_byte(a, WINDOW_MIN_FIXED | WINDOW_MAX_FIXED);
    aml_byte(a, type_flags[space]);
    aml_number(a, 0, width); /* granularity */
    aml_number(a, first, width);
    aml_number(a, last, width);
    aml_number(a, 0, width); /* translation */
    aml_number(a, last - first + 1, width);
}
