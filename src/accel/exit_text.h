/*
 * VM exits in words, from the rows of x86/vmx_exit.h and x86/svm_exit.h.
 */
#ifndef ACCEL_EXIT_TEXT_H
#define ACCEL_EXIT_TEXT_H

#include "cpu/cpu.h"

/* The name of a VMX exit-reason field or an SVM exit code: "EPT violation", "write of CR8". */
void exit_name(enum vendor vendor, u64 code, char *buf, size_t size);
/* One line without its end: level, RIP, name, and what the qualification or EXITINFO says. */
void exit_line(enum vendor vendor, const struct cpu_exit_seen *seen, char *buf, size_t size);

#endif
