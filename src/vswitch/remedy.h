/*
 * The command that lets frames pass which a switch drops.
 */
#ifndef VSWITCH_REMEDY_H
#define VSWITCH_REMEDY_H

#include "vswitch/port.h"

#define REMEDY_MAX 256

/* Writes it as a line to copy. Returns false if there is none for that reason or that kind of port, or if the
 * port's rule is off by now. */
bool remedy(const struct port *port, enum drop drop, char *line, size_t size);

#endif
