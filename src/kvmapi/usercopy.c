/*
 * Copies from and to addresses that the program gave: where they are not its memory the copy ends, and the handler of
 * SIGSEGV and SIGBUS (signals.c) goes on behind it. Any thread.
 */
#include "kvmapi/usercopy.h"

#include "kvmapi/api.h"

#include <errno.h>

/* rep movsb stands alone at `user_copy_at`; what is left of the count is not zero after a fault. */
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
