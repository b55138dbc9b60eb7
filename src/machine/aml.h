/*
 * Writes ACPI Machine Language into a buffer: the few terms that the machine's DSDT needs.
 * Source: ACPI specification 6.4, chapter "ACPI Machine Language (AML) Specification".
 */
#ifndef MACHINE_AML_H
#define MACHINE_AML_H

#include "base/types.h"

/* Terms that are one byte, for aml_byte. */
enum { AML_ARG0 = 0x68, AML_AND = 0x7b, AML_OR = 0x7d, AML_RETURN = 0xa4 };

struct aml {
    u8 *data;
    size_t size, length;
    bool overflow; /* something did not fit and was dropped */
};

void aml_byte(struct aml *a, u8 value);
void aml_bytes(struct aml *a, const void *data, size_t size);
void aml_number(struct aml *a, u64 value, unsigned size); /* little-endian, no prefix */

/* A path such as "\\_SB_", "PCI0" or "A___.B___": its segments have four characters. */
void aml_path(struct aml *a, const char *path);
void aml_integer(struct aml *a, u64 value);
void aml_string(struct aml *a, const char *text);

/* Objects with a PkgLength: what opens one returns a mark, which aml_close takes. */
size_t aml_scope(struct aml *a, const char *path);
size_t aml_device(struct aml *a, const char *name);
size_t aml_method(struct aml *a, const char *name, u8 arguments);
size_t aml_if_equal(struct aml *a); /* the two operands follow */
size_t aml_else(struct aml *a);
size_t aml_package(struct aml *a, u8 elements);
size_t aml_buffer(struct aml *a, u8 size); /* the bytes follow */
void aml_close(struct aml *a, size_t mark);

void aml_name(struct aml *a, const char *name); /* the value follows */
void aml_name_integer(struct aml *a, const char *name, u64 value);
void aml_name_eisa(struct aml *a, const char *name, const char *id); /* "PNP0A03" */
void aml_create_dword_field(struct aml *a, u8 argument, u8 offset, const char *name);

/* Resource descriptors, between aml_resources and aml_resources_end. */
struct aml_resources {
    size_t package, size_at, start;
};
struct aml_resources aml_resources(struct aml *a, const char *name);
void aml_resources_end(struct aml *a, const struct aml_resources *r);
void aml_io(struct aml *a, u16 start, u8 size);
void aml_irq(struct aml *a, unsigned irq);
void aml_memory32(struct aml *a, u32 start, u32 size);
enum aml_space { AML_MEMORY = 0, AML_IO = 1, AML_BUS = 2 };
/* A WordIO, WordBusNumber (`width` is 2) or DWordMemory (4) descriptor of what a bridge passes on. */
void aml_window(struct aml *a, enum aml_space space, unsigned width, u64 first, u64 last);

#endif
