/*
 * Bits of paging-structure entries: those of the processor's own paging, which nested paging of AMD-V uses too, and
 * those of the extended page tables of VT-x. Operands of the instructions that invalidate translations.
 *
 * Source: SDM vol. 3A "Paging"; APM vol. 2 "Page Translation and Protection"; SDM vol. 3C "The Extended Page Table
 * Mechanism (EPT)".
 */
#ifndef X86_PAGING_H
#define X86_PAGING_H

#include "base/types.h"

#define PTE_P BIT64(0)
#define PTE_W BIT64(1)
#define PTE_U BIT64(2)
#define PTE_PWT BIT64(3)
#define PTE_PCD BIT64(4)
#define PTE_A BIT64(5)
#define PTE_D BIT64(6)
#define PTE_PS BIT64(7) /* maps a large page; in entries of 4 KiB pages it is PAT */
#define PTE_G BIT64(8)
#define PTE_KEY_SHIFT 59 /* protection key: bits 62:59 */
#define PTE_KEY_MASK (0xfull << PTE_KEY_SHIFT)
#define PTE_NX BIT64(63)
/* Bits 51:12 are the address of the page or of the next table. */
#define PTE_ADDRESS 0x000ffffffffff000ull
/* Reserved besides those above MAXPHYADDR: in the page-directory-pointer entries of PAE paging; in all entries of PAE
 * paging. */
#define PDPTE_RESERVED 0x1e6ull
#define PTE_PAE_RESERVED 0x7ff0000000000000ull

/* INVPCID: what is invalidated. Its descriptor is the PCID in bits 11:0 of 64, then the address. */
enum { INVPCID_ADDRESS, INVPCID_SINGLE, INVPCID_ALL, INVPCID_ALL_NONGLOBAL };

#define EPT_R BIT64(0)
#define EPT_W BIT64(1)
#define EPT_X BIT64(2)
#define EPT_LEAF BIT64(7)
#define EPT_A BIT64(8)
#define EPT_D BIT64(9)
#define EPT_XU BIT64(10)
#define EPT_MEMTYPE_SHIFT 3 /* of leaves: bits 5:3 */
#define EPT_ADDRESS PTE_ADDRESS

#endif
