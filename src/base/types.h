/*
 * The integer types, the typed addresses and the few bit macros that every file uses.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef unsigned __int128 u128;

/* A guest-physical address of the VM (what L1 calls physical). */
typedef struct {
    u64 a;
} gpa_t;

/* A guest-physical address of L2 (goes through EPT or NPT to become a gpa_t). */
typedef struct {
    u64 a;
} ngpa_t;

#define GPA(x) ((gpa_t){(x)})
#define NGPA(x) ((ngpa_t){(x)})

#define BIT(n) (1u << (n))
#define BIT64(n) (1ull << (n))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MUST_CHECK __attribute__((warn_unused_result))
/* Of functions that are called while the host's vector registers hold a guest's. */
#define KEEPS_VECTORS __attribute__((target("general-regs-only")))

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ull
#define PAGE_MASK (PAGE_SIZE - 1)

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The next multiple of `to`, a power of two. */
static inline u64 align_up(u64 n, u64 to)
{
    return (n + (to - 1)) & ~(to - 1);
}

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
