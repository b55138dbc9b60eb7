/* The pages of unfit.c's functions begin behind a page of their own. */
.section .user.text, "ax"
.balign 4096
nop
.section .note.GNU-stack, "", @progbits
