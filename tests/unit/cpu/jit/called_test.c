/*
 * Names of called instructions: each handler has one row, and each handler of the instruction table is in it.
 */
#include "cpu/jit/called.h"

#include <string.h>

#include "cpu/jit/insn_table.h"
#include "unit/test.h"

int main(void)
{
    TEST("a handler has a row with its name");
    CHECK(!strcmp(called_name(called_row(op_mov_to_cr)), "mov_to_cr"));
    CHECK(!strcmp(called_name(called_row(op_vmrun)), "vmrun"));
    CHECK(called_name(CALLED_COUNT - 1) && !called_name(CALLED_COUNT));
    CHECK_EQ(called_row(NULL), CALLED_ud);

    TEST("each handler of the instruction table has one");
    for (unsigned i = 0; i < ARRAY_LEN(insn_table); i++) {
        const struct insn_row *row = &insn_table[i];
        CHECK(!row->fn || row->fn == op_ud || called_row(row->fn) != CALLED_ud);
        for (const struct insn_form *f = row->forms; f && f->fn; f++)
            CHECK(called_row(f->fn) != CALLED_ud);
    }
    return TEST_END();
}
