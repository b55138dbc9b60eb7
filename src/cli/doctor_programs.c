/*
 * What VMs of the manager need of the host's packages: see doctor_programs.h.
 */
#include "cli/doctor_programs.h"

#include "process/program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static const struct {
    const char *name; /* a program, or the path of a file */
    const char *package;
} needed[] = {
    {"qemu-system-x86_64", "qemu-system-x86"}, {"qemu-img", "qemu-utils"}, {"/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf"}};

static bool is_there(const char *name, const char *package)
{
    char path[PATH_MAX];
    struct error ignored;
    return name[0] == '/' ? !access(name, R_OK) : !program_locate(name, package, path, sizeof(path), &ignored);
}

void doctor_programs_find(struct error *missing)
{
    char text[sizeof(missing->hint)] = "as root: apt-get install";
    int used = (int)sizeof("as root: apt-get install") - 1, begin = used;
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (!is_there(needed[i].name, needed[i].package))
            used += snprintf(text + used, sizeof(text) - (size_t)used, " %s", needed[i].package);
    error_begin(missing, 0);
    if (used == begin)
        return;
    error_set(missing, -ENOENT, "packages are missing that VMs need");
    error_hint(missing, text);
}
