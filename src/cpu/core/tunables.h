/*
 * Tunables of the engine: sizes and limits that trade memory for speed, or that a benchmark chose. No guest sees them,
 * and any of them may change without another line of code.
 */
#ifndef CPU_CORE_TUNABLES_H
#define CPU_CORE_TUNABLES_H

/* -- translations (jit) -- */

/* Host code, and the blocks, links and tables that describe it. Together at most 224 MiB of the 256 MiB that a VM
 * process may take beyond its guest's memory. When either is full, all translations are thrown away. */
#define CACHE_CODE_SIZE (112ull << 20)
#define CACHE_DATA_SIZE (112ull << 20)
/* The hot part of the code; the cold part is mostly two thirds of its size. */
#define CACHE_HOT(code_size) ((code_size) / 7 * 4)
/* A block is only begun with so many bytes left in each part of the code and in the data. The largest takes less. */
#define CACHE_ROOM 65536
#define CACHE_BLOCKS (9u << 15)
#define CACHE_LINKS (7u << 17) /* most blocks have two or three */
#define HASH_BITS 18           /* blocks by address and mode */
#define CHECKED_AFTER 3        /* faults of an instruction that mapped memory does not serve */
#define CHECKED_SEEN 1024      /* entries to count them */
#define RECALL_BITS 10         /* instructions that are kept as they were decoded */
#define PAGE_HASH_BITS 14      /* blocks by page, for invalidation */

#define BLOCK_MAX_INSNS 64 /* longer blocks seldom help, and die as a whole */
#define LOOP_ALIGN 64      /* bytes: short loops differ by as much as a third by where they lie */

#define GROUP_MAX 64      /* groups per block, those of a single access included */
#define GROUP_REACH 4096  /* bytes from a register's value that are followed */
#define CROSSING_BITS 8   /* entries for checks of groups whose windows cross into another page */
#define MISSED_SITES 1024 /* checks that failed, whose sites are kept */
#define GROUP_SPAN 256    /* bytes that one check covers: the longer, the more often the end of a page lies inside */

/* Which blocks get code without shared checks (docs/engine.md "Code for size"): one jump in about SAMPLE_JUMPS is
 * looked at. If HEAT_WINDOW of those lead to at most HEAT_SET places, and so do the next ones, HEAT_STEADY times,
 * code for speed fits into the host's caches, and the blocks that jump get it. If they lead to COLD_SET places or more,
 * as often in a row, it does not, and all blocks lose it; the next time it takes twice as long, up to HEAT_DOUBLINGS.
 */
#define SAMPLE_JUMPS 256
#define HEAT_WINDOW 1024
#define HEAT_SET 64
#define COLD_SET 256
#define HEAT_STEADY 16u
#define HEAT_DOUBLINGS 8
#define HEAT_MARKS 2048 /* marks of places */
#define HEAT_LINKED 128 /* blocks at most that get it together, as they are linked */
#define HEAT_LINKED_LASTING 16
#define HEAT_OFTEN 8 /* code that lasts gets it when it is seen so often in a window, and keeps it */

#define LOOP_WEIGHT 16 /* how often a loop is taken to run */
#define LOAN_COST 6    /* what making and ending a loan costs, in uses of a register without a home */

/* -- software TLBs (mmu) -- */

#define TLB_BITS 12        /* entries of a context for each kind of access; docs/memory.md says why not more */
#define VICTIM_BITS 10     /* entries for pages that another one took the place of */
#define JUMP_BITS 14       /* entries of a context's jump cache */
#define JUMP_VICTIM_LOW 4  /* bits of those that another jump took the place of: from bit 4 of the address on, */
#define JUMP_VICTIM_HIGH 6 /* and from above the bits of the jump cache on */
#define RETURN_BITS 9      /* entries of the return stack, by the eight bytes of the stack: it covers 4 KiB of that */
#define TLB_CONTEXTS 32    /* contexts per vCPU */
#define TLB_HINTS 64       /* where the context of a key was last */
#define TLB_LISTED 256     /* filled entries that are emptied one by one; beyond that the array is */
#define JUMP_LISTED 512    /* the same of the jump cache */
#define FETCH_LISTED 32    /* the same of entries for fetches alone */
#define COMPARE_AGAIN 256  /* pages compared before entries for fetches are dropped, to see which ones are in use */
#define FETCH_COMPARED 8   /* entries for fetches whose pages are compared at once rather than when they run again */
#define CODE_WRITES 32     /* pages with code that are written, whose translations a context keeps */
#define FILL_AHEAD 32      /* pages, for whoever goes through memory page by page */

#define STAGE2_CONTEXTS 4 /* second-stage TLBs per vCPU */
#define STAGE2_SIZE 1024u /* entries of 4 KiB */
#define STAGE2_LARGE 64u  /* and of 2 MiB */

#define DIRECT_SURE 256u /* votes for the direct difference at most */
#define DIRECT_NEW 64u   /* votes that a new difference starts with */

/* -- pages of users and of L2's kernels at host addresses (mmu/users.c); cycles are the TSC's -- */

#define USERS_AROUND 16u                /* pages that are mapped around a fault, as far as they can be, */
#define USERS_AROUND_LARGE 64u          /* and of a large page */
#define USERS_YOUNG_CYCLES 20000000ull  /* that a process ran before its pages are mapped */
#define USERS_PART 4u                   /* of its time may be what signals and mappings take, */
#define USERS_CREDIT_CYCLES 20000000ull /* after this at the beginning */
#define USERS_PAUSE_CYCLES 200000000ull /* until they are mapped again, if it was more */
#define USERS_SEEN_CYCLES 4000000ull    /* that may lie between two looks at what runs */
#define USERS_PLACE_SIZE BIT64(34)      /* bytes that a process's data of threads lie in */
#define USERS_SIGNAL_CYCLES 8000ull     /* a signal takes, and */
#define USERS_CALL_CYCLES 8000ull       /* a change of mappings */

/* -- user code that the host's CPU executes (direct) -- */

#define DIRECT_NOTES 256     /* notes of pages that address spaces have not read yet */
#define DIRECT_SPACES 16     /* address spaces per vCPU */
#define DIRECT_REGIONS 2048u /* regions of 2 MiB of all of them */
#define DIRECT_AROUND 16u    /* pages that are mapped around a fault, as far as they can be */
/* Of auto. A space gets credit while it is translated. Its user code goes direct if it has enough and ran, in a window
 * of some time, for many costs of a stop at a time; it comes back when it has none left. What it loses twice as much is
 * needed for the next time. */
#define DIRECT_COST_NS 20000u    /* of a stop, until one took less */
#define DIRECT_SAMPLE_NS 500000u /* between samples of translated code, at least */
#define DIRECT_WINDOW_NS 4000000u
#define DIRECT_ENTER 12u /* costs of a stop */
#define DIRECT_LEAVE 3u  /* costs of a stop: code that runs for less between system calls is translated */
#define DIRECT_GAIN 2u   /* how much longer than it ran direct code would take translated, in times of that */
#define DIRECT_PLACES 4u /* of thread-local data that a process of the guest is known by, */
#define DIRECT_PLACE_SIZE (4ll << 30) /* and how far apart those of one place are at most */
#define DIRECT_YOUNG_NS 200000000u /* of its time translated: until then it gets more credit, for what is done once */
#define DIRECT_SHARE_YOUNG 8u
#define DIRECT_SHARE 24u             /* time in the translator for each time of credit */
#define DIRECT_SPENT_NS 1000000u     /* on one turn of a process, at most */
#define DIRECT_FIRST_NS 1000000      /* the credit with which it goes direct for the first time, */
#define DIRECT_WANTED_NS 4000000     /* from which on it is not doubled, */
#define DIRECT_CREDIT_NS 16000000    /* and the most that there is */
#define DIRECT_UNFIT_NS 200000u      /* in translated code of unfit pages: then one gets breakpoints */
#define DIRECT_UNFIT_MOST_NS 500000u /* that one entry counts */
#define DIRECT_TRAPS_NS 1000u        /* that a turn of a process takes more with breakpoints */
#define DIRECT_TURNS_TRAPPED 64u     /* turns for each stop at a breakpoint, or the page is translated, ... */
#define DIRECT_TRAPPED_FIRST 16u     /* ... but so many stops are free */
/* Of programs that are known by what their processes won. */
#define DIRECT_PREDICTIONS 1024u
#define DIRECT_PROVED_NS 32000000 /* the most that counts as won */
#define DIRECT_STAKE_NS 8000000   /* credit at most for who will win; who lost as much gets no more credit when young */
#define DIRECT_TRIAL_NS 4000000   /* credit of the first process of a program */
#define DIRECT_PATIENCE 2         /* credit that is needed, in times of what was lost */

/* -- waiting for another thread -- */

#define SPIN_YIELD 256 /* turns of a waiting loop before the host may run another thread */

#endif
