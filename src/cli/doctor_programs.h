/*
 * Whether the programs and files are installed that each VM of the manager needs, for nestbox doctor. What only some
 * settings need (a TPM, a viewer, building images) is named by who needs it.
 */
#ifndef CLI_DOCTOR_PROGRAMS_H
#define CLI_DOCTOR_PROGRAMS_H

#include "base/error.h"

/* Fills an error with what is missing and the command that installs it; code 0: nothing is. */
void doctor_programs_find(struct error *missing);

#endif
