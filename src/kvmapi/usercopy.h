/*
 * For signals.c: where a fault of user_read or user_write comes up, and where to go on.
 */
#ifndef KVMAPI_USERCOPY_H
#define KVMAPI_USERCOPY_H

extern const char user_copy_at[], user_copy_end[];

#endif
