/*
 * For signals.c: where a fault of user_read or user_write happens, and where execution goes on.
 */
#ifndef KVMAPI_USERCOPY_H
#define KVMAPI_USERCOPY_H

extern const char user_copy_at[], user_copy_end[];

#endif
