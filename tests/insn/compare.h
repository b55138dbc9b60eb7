/*
 * Comparing outcomes, and cases as text: `seed start cpl unit...`, all in hexadecimal but the CPL.
 */
#ifndef TESTS_INSN_COMPARE_H
#define TESTS_INSN_COMPARE_H

#include "tests/insn/case.h"

#include <stdio.h>

bool outcomes_agree(const struct test_case *c, const struct result *a, const struct result *b);
void show_difference(const struct test_case *c, const struct result *a, const struct result *b);
void case_print(FILE *f, const struct test_case *c);
bool case_parse(const char *line, struct test_case *c);
void case_disassemble(const struct test_case *c);
/* Returns the ZydisMnemonic of the first instruction. */
unsigned case_mnemonic(const struct test_case *c);

#endif
