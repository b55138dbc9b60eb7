/*
 * What a memory access is, as the MMU and the second stage see it.
 */
#ifndef CPU_CORE_ACCESS_H
#define CPU_CORE_ACCESS_H

#include "base/types.h"

enum access {
    ACCESS_READ = 0,
    ACCESS_WRITE = BIT(0),
    ACCESS_FETCH = BIT(1),
    ACCESS_IMPLICIT = BIT(2),  /* supervisor access whatever the CPL: descriptor tables, TSS; SMAP always applies */
    ACCESS_UNCHECKED = BIT(4), /* no alignment check */
    ACCESS_AHEAD = BIT(5),     /* nobody asked yet: the page must not become dirty by it */
    ACCESS_USER = BIT(3),      /* as if CPL 3 whatever the CPL (unused by most) */
};

#endif
