/*
 * Finds a program and looks at its file before it is executed: where LD_PRELOAD does not apply, ld.so ignores it
 * without a word.
 */
#include "cli/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPTS_MAX 4 /* as many interpreters as Linux follows */
#define HEAD_SIZE 4096
#define HEADERS_MAX 64

/* -- finding -- */

static int executable(const char *path)
{
    struct stat s;
    if (stat(path, &s) < 0)
        return -errno;
    if (S_ISDIR(s.st_mode))
        return -EISDIR;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static int cannot(const char *path, int code, struct error *error)
{
    return error_set(error, code, "cannot execute %s: %s", path, strerror(-code));
}

int program_find(const char *name, char path[PROGRAM_PATH_MAX], struct error *error)
{
    if (strchr(name, '/')) {
        snprintf(path, PROGRAM_PATH_MAX, "%s", name);
        int e = executable(path);
        return e ? cannot(path, e, error) : 0;
    }
    const char *folders = getenv("PATH");
    char refused[PROGRAM_PATH_MAX];
    int why = 0;
    for (const char *p = folders ? folders : "/bin:/usr/bin"; p && *name;) {
        size_t n = strcspn(p, ":");
        snprintf(path, PROGRAM_PATH_MAX, "%.*s%s%s", (int)n, p, n ? "/" : "./", name);
        int e = executable(path);
        if (!e)
            return 0;
        if (e != -ENOENT && e != -ENOTDIR && e != -EISDIR) {
            why = e;
            memcpy(refused, path, sizeof(refused));
        }
        p = p[n] ? p + n + 1 : NULL;
    }
    return why ? cannot(refused, why, error)
               : error_set(error, -ENOENT, "there is no program %s: is its package installed?", name);
}

/* -- looking at it -- */

static int refuse(struct error *error, const char *path, const char *why)
{
    return error_set(error, -ENOEXEC, "%s %s, so it cannot be given a /dev/kvm", path, why);
}

/* Does executing it give rights that the caller has not? Then ld.so takes no library from the caller. */
static const char *gains_rights(int fd)
{
    struct stat s;
    if (fstat(fd, &s) < 0)
        return NULL;
    if (s.st_mode & S_ISUID && s.st_uid != getuid())
        return "is set-user-ID";
    if (s.st_mode & S_ISGID && s.st_mode & S_IXGRP && s.st_gid != getgid())
        return "is set-group-ID";
    if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
        return "has file capabilities";
    return NULL;
}

/* Go's compiler marks its programs by a note with a build ID. */
static bool is_go(int fd, const Elf64_Phdr *note)
{
    struct {
        Elf64_Nhdr head;
        char name[4];
    } n;
    return pread(fd, &n, sizeof(n), (off_t)note->p_offset) == sizeof(n) && n.head.n_namesz == 4 && n.head.n_type == 4 &&
           memcmp(n.name, "Go", 3) == 0;
}

static int check_elf(int fd, const char *path, const Elf64_Ehdr *head, struct error *error, struct error *note)
{
    if (head->e_ident[EI_CLASS] != ELFCLASS64)
        return refuse(error, path, "is a 32-bit program");
    if (head->e_machine != EM_X86_64)
        return refuse(error, path, "is a program for another kind of CPU");
    Elf64_Phdr headers[HEADERS_MAX];
    size_t count = head->e_phnum < HEADERS_MAX ? head->e_phnum : HEADERS_MAX;
    ssize_t got = pread(fd, headers, count * sizeof(headers[0]), (off_t)head->e_phoff);
    count = got > 0 ? (size_t)got / sizeof(headers[0]) : 0;
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_NOTE && is_go(fd, &headers[i]))
            error_set(note, 0,
                      "%s is written in Go, which does not ask libc: only programs that it starts find a /dev/kvm",
                      path);
    for (size_t i = 0; i < count; i++) {
        char loader[256] = "";
        if (headers[i].p_type != PT_INTERP)
            continue;
        size_t size = headers[i].p_filesz < sizeof(loader) ? headers[i].p_filesz : sizeof(loader) - 1;
        if (pread(fd, loader, size, (off_t)headers[i].p_offset) <= 0 || strstr(loader, "/ld-linux-x86-64.so."))
            return 0;
        return refuse(error, path, "is linked with another C library than glibc");
    }
    return refuse(error, path, "is statically linked");
}

/* Finds the interpreter of a script; returns false if its first line names none. */
static bool interpreter(char *head, char next[PROGRAM_PATH_MAX])
{
    char *word = head + 2 + strspn(head + 2, " \t");
    word[strcspn(word, " \t\n")] = 0;
    snprintf(next, PROGRAM_PATH_MAX, "%s", word);
    return *word;
}

int program_takes_preload(const char *path, struct error *error, struct error *note)
{
    char current[PROGRAM_PATH_MAX];
    snprintf(current, sizeof(current), "%s", path);
    for (unsigned depth = 0; depth <= SCRIPTS_MAX; depth++) {
        union {
            char text[HEAD_SIZE + 1];
            Elf64_Ehdr elf;
        } head = {0};
        int fd = open(current, O_RDONLY | O_CLOEXEC);
        if (fd < 0) /* a file may be executable and not readable */
            return errno == EACCES ? refuse(error, current, "may not be read")
                                   : error_set(error, -errno, "cannot open %s: %s", current, strerror(errno));
        ssize_t n = read(fd, head.text, HEAD_SIZE);
        const char *rights = gains_rights(fd);
        if (n > 2 && head.text[0] == '#' && head.text[1] == '!') {
            close(fd);
            if (!interpreter(head.text, current))
                return error_set(error, -ENOEXEC, "%s does not name its interpreter", path);
            continue;
        }
        int e = 0;
        if (n >= (ssize_t)sizeof(head.elf) && memcmp(head.text, ELFMAG, SELFMAG) == 0)
            e = rights ? refuse(error, current, rights) : check_elf(fd, current, &head.elf, error, note);
        else
            e = error_set(error, -ENOEXEC, "%s is neither an ELF program nor a script", current);
        close(fd);
        return e;
    }
    return error_set(error, -ELOOP, "%s has too many interpreters of interpreters", path);
}
