/*
 * Copies from and to addresses that the program gave. Where an address is not the program's memory, the copy ends, and
 * the handler of SIGSEGV and SIGBUS (signals.c) goes on behind the copy. Called on any thread.
 */
#include "kvmapi/usercopy.h"

#include "kvmapi/api.h"

#include <errno.h>

/* The only instruction that may fault is at `user_copy_at`; after a fault the rest of the count is not zero. */
__asm__(".text\n"
        ".globl user_copy, user_copy_at, user_copy_end\n"
        ".hidden user_copy, user_copy_at, user_copy_end\n"
        ".type user_copy, @function\n"
        "user_copy:\n"
        "    mov %rdx, %rcx\n"
        "user_copy_at:\n"
        "    rep movsb\n"
        "user_copy_end:\n"
        "    mov %rcx, %rax\n"
        "    ret\n"
        ".size user_copy, . - user_copy\n");

size_t user_copy(void *to, const void *from, size_t size);

int user_read(void *to, u64 from, size_t size)
{
    return user_copy(to, (const void *)from, size) ? -EFAULT : 0;
}

int user_write(u64 to, const void *from, size_t size)
{
    return user_copy((void *)to, from, size) ? -EFAULT : 0;
}
