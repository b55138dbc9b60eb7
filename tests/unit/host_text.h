/*
 * Host code as text, for tests of what the translator emits: one line per instruction in Zydis' Intel syntax, without
 * the sizes that say nothing. Fields of the vCPU and of the TLB context go by name, and jumps by where they go: #N is a
 * line of the same text, `cold` and `hot` are the block's parts, `out` is elsewhere. `link N` is the block's N-th link,
 * `insn` another address. With host_cache, calls of what blocks share go by name ("call check_read8_direct"), the data
 * behind a shared jump follows in braces ("jmp rcx {0xD000}"), and a line "site" is the site of a shared check.
 */
#ifndef TESTS_UNIT_HOST_TEXT_H
#define TESTS_UNIT_HOST_TEXT_H

#include <stdio.h>
#include <string.h>

#include "cpu/jit/translate.h"
#include "unit/test.h"

#define HOST_LINES 64

static const struct cache *host_cache; /* of the code that is shown, if set */

struct host_text {
    unsigned n;
    const u8 *at[HOST_LINES + 1];
    char line[HOST_LINES][80];
};

static const struct host_field {
    const char *name;
    u64 offset;
} host_vcpu_fields[] = {
#define FIELD(name)                                                                                                    \
    {                                                                                                                  \
#name, offsetof(struct vcpu, name)                                                                             \
    }
    FIELD(bit_mask[0]),      FIELD(bit_mask[1]),
    FIELD(bit_mask[2]),      FIELD(slow_mem),
    FIELD(slow_done),        FIELD(slow_segment),
    FIELD(call_thunk),       FIELD(direct),
    FIELD(leave_lookup),     FIELD(leave_chain),
    FIELD(leave_request),    FIELD(tlb_mask),
    FIELD(victim_mask),      FIELD(jump_victim_mask),
    FIELD(return_mask),      FIELD(jump_mask),
    FIELD(page_la),          FIELD(request),
    FIELD(spill[0]),         FIELD(spill[1]),
    FIELD(group[0]),         FIELD(group[1]),
    FIELD(neg_cs_base),      FIELD(gpr[RCX]),
    FIELD(gpr[RSP]),         FIELD(gpr[R11]),
    FIELD(gpr[R14]),         FIELD(gpr[R15]),
    FIELD(gpr[RDX]),         FIELD(gpr[R12]),
    FIELD(gpr[R13]),         FIELD(seg[SEG_CS].base),
    FIELD(seg[SEG_FS].base), FIELD(seg[SEG_GS].base),
    FIELD(page_mask),        FIELD(check_missed),
    FIELD(jump_missed),      FIELD(back_missed),
    FIELD(sample_left),      FIELD(resume_r11),

    FIELD(crossing.mask),    FIELD(crossing.page_offset),
    FIELD(crossing.after),   FIELD(crossing.last),
    FIELD(crossing.twin),    FIELD(one),
};
#undef FIELD
static const struct host_field host_tlb_fields[] = {
#define FIELD(name)                                                                                                    \
    {                                                                                                                  \
#name, offsetof(struct tlb, name)                                                                              \
    }
    FIELD(rtag),   FIELD(wtag),  FIELD(radd),       FIELD(wadd),         FIELD(dtag),          FIELD(vrtag),
    FIELD(vwtag),  FIELD(vradd), FIELD(vwadd),      FIELD(jtag),         FIELD(jcode),         FIELD(jvtag),
    FIELD(jvcode), FIELD(link),  FIELD(returns.la), FIELD(returns.host), FIELD(returns.la[1]), FIELD(returns.host[1]),
};
#undef FIELD

static inline const char *host_field_name(const struct host_field *f, unsigned n, u64 offset)
{
    for (unsigned i = 0; i < n; i++)
        if (f[i].offset == offset)
            return f[i].name;
    return "?";
}

/* Puts `with` in place of the part of the line from `from` to behind `to`, if it has one. */
static inline void host_replace(char *line, const char *from, const char *to, const char *with)
{
    char *a = strstr(line, from), *b = a ? strstr(a + strlen(from), to) : NULL, rest[80];
    if (!b)
        return;
    snprintf(rest, sizeof rest, "%s", b + strlen(to));
    snprintf(a, (size_t)(80 - (a - line)), "%s%s", with, rest);
}

/* How many bytes of return addresses lie on the stack there: in code that blocks share fields of the vCPU are so much
 * further on. */
static inline unsigned host_pushed(const u8 *p)
{
    const struct cache *c = host_cache;
    if (!c || p < c->code || p >= (c->block_count ? c->blocks[0].far_entry : c->hot))
        return 0;
    return p >= c->linked[1] || p < c->pair ? 8 : p >= c->lost ? 0 : 16;
}

/* The name of what starts there, if blocks share it. */
static inline bool host_shared_name(const u8 *target, char *name, size_t size)
{
    const struct cache *c = host_cache;
    for (u32 kind = 0; c && kind < CHECK_KINDS; kind++)
        for (u32 log = 0; log < CHECK_SIZES; log++)
            if (c->check[kind][log] == target) {
                snprintf(name, size, "check_%s%u%s", kind & CHECK_WRITE ? "write" : "read", check_size(log),
                         kind & CHECK_DIRECT ? "_direct" : "");
                return true;
            }
    for (u32 check = 0; c && check < ARRAY_LEN(c->jump); check++)
        if (c->jump[check] == target) {
            snprintf(name, size, check ? "jump_checked" : "jump");
            return true;
        }
    const struct {
        const u8 *at;
        const char *name;
    } others[] = {{c ? c->back : NULL, "back"},        {c ? c->missed : NULL, "missed"},
                  {c ? c->linked[0] : NULL, "linked"}, {c ? c->linked[1] : NULL, "linked_checked"},
                  {c ? c->aside : NULL, "aside"},      {c ? c->pair : NULL, "pair"},
                  {c ? c->ret : NULL, "return"},       {c ? c->lost : NULL, "lost"},
                  {c ? c->unknown : NULL, "unknown"}};
    for (u32 i = 0; i < ARRAY_LEN(others); i++)
        if (others[i].at == target) {
            snprintf(name, size, "%s", others[i].name);
            return true;
        }
    return false;
}

/* Is there the site of one of the block's shared checks? */
static inline bool host_is_site(const struct block *b, const u8 *p)
{
    for (u32 i = 0; b && i < b->cold_place_from; i++)
        if (b->places[i].site && b->cold + b->places[i].site - 1 == p)
            return true;
    return false;
}

/* What the instruction leaves of what the text itself has on the stack. A CALL of the next instruction but one has
 * pushed there; others come back, and the shared pair takes what was pushed. */
static inline unsigned host_pushed_behind(unsigned pushed, const struct host_text *t, unsigned i,
                                          const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *zo)
{
    const u8 *next = t->at[i] + zi->length;
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_PUSH: return pushed + 8;
    case ZYDIS_MNEMONIC_POP: return pushed - 8;
    case ZYDIS_MNEMONIC_RET: return 0;
    case ZYDIS_MNEMONIC_CALL:
        if (!zo[0].imm.is_relative)
            return pushed;
        if (i + 2 < t->n && next + zo[0].imm.value.s == t->at[i + 2])
            return 8;
        return host_cache && next + zo[0].imm.value.s == host_cache->pair ? 0 : pushed;
    default: return pushed;
    }
}

static inline void host_line(struct host_text *t, unsigned i, unsigned pushed, const ZydisDecodedInstruction *zi,
                             const ZydisDecodedOperand *zo, const ZydisFormatter *f, const struct block *b)
{
    char *line = t->line[i], with[80];
    const u8 *end = t->at[t->n], *next = t->at[i] + zi->length;
    ZydisFormatterFormatInstruction(f, zi, zo, zi->operand_count_visible, line, 80, (u64)t->at[i], NULL);
    for (unsigned k = 0; k < zi->operand_count_visible; k++) {
        const ZydisDecodedOperand *o = &zo[k];
        if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o->imm.is_relative) {
            const u8 *target = next + o->imm.value.s;
            unsigned to = 0;
            while (to < t->n && t->at[to] != target)
                to++;
            if (to < t->n || target == end)
                snprintf(with, sizeof with, "#%u", to);
            else if (!host_shared_name(target, with, sizeof with))
                snprintf(with, sizeof with, "%s",
                         b && target >= b->cold && target <= b->cold_end      ? "cold"
                         : b && target >= b->far_entry && target < b->hot_end ? "hot"
                                                                              : "out");
            char *space = strrchr(line, ' ');
            snprintf(space + 1, (size_t)(80 - (space + 1 - line)), "%s", with);
        }
        if (b && o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o->imm.value.u >> 32 && o->size == 64) {
            u64 link = (o->imm.value.u - (u64)b->links) / sizeof *b->links;
            char *number = strstr(line, "0x");
            snprintf(number, (size_t)(80 - (number - line)), link < b->link_count ? "link %u" : "insn", (unsigned)link);
        }
        if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        host_replace(line, "qword ptr ", "", "");
        host_replace(line, "ss:", "", "");
        host_replace(line, "ds:", "", "");
        if (o->mem.base == ZYDIS_REGISTER_RSP && o->mem.segment != ZYDIS_REGISTER_GS) {
            u64 offset = (u64)(o->mem.disp.value + VCPU_BIAS) - pushed;
            snprintf(with, sizeof with, "[vcpu.%s]",
                     host_field_name(host_vcpu_fields, ARRAY_LEN(host_vcpu_fields), offset));
            host_replace(line, "[", "]", with);
        } else if (o->mem.segment == ZYDIS_REGISTER_GS) {
            int n =
                snprintf(with, sizeof with, "gs:%s",
                         host_field_name(host_tlb_fields, ARRAY_LEN(host_tlb_fields), (u64)o->mem.disp.value - pushed));
            if (o->mem.index != ZYDIS_REGISTER_NONE)
                snprintf(with + n, sizeof with - (size_t)n, "[%s*%u]", ZydisRegisterGetString(o->mem.index),
                         o->mem.scale);
            host_replace(line, "gs:", "]", with);
        }
    }
}

/* Bytes of data behind the instruction at `from`, if it is a CALL, or the jump that follows the CALL of a shared jump:
 * TRANSFER_*, and the number of a link. */
static inline unsigned host_data(const u8 *from, const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *zo)
{
    if (host_cache && zi->mnemonic == ZYDIS_MNEMONIC_JMP && zo[0].type == ZYDIS_OPERAND_TYPE_REGISTER) {
        u32 transfer;
        memcpy(&transfer, from + zi->length, sizeof transfer);
        return transfer & TRANSFER_LINKS ? 2 * sizeof(u32) : sizeof(u32);
    }
    if (zi->mnemonic != ZYDIS_MNEMONIC_CALL || zo[0].type != ZYDIS_OPERAND_TYPE_MEMORY)
        return 0;
    switch ((u64)(zo[0].mem.disp.value + VCPU_BIAS)) {
    case offsetof(struct vcpu, slow_mem): return sizeof(struct site);
    case offsetof(struct vcpu, slow_done): return sizeof(struct site_done);
    case offsetof(struct vcpu, slow_segment): return sizeof(struct site_segment);
    default: return 0;
    }
}

/* The text of [from, to), which belongs to the block, if to any. */
static inline void host_text(struct host_text *t, const u8 *from, const u8 *to, const struct block *b)
{
    static ZydisDecodedInstruction zi[HOST_LINES];
    static ZydisDecodedOperand zo[HOST_LINES][ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecoder d;
    ZydisFormatter f;
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
    for (t->n = 0; from < to && t->n < HOST_LINES; t->n++) {
        t->at[t->n] = from;
        zi[t->n].length = 0;
        if (host_is_site(b, from)) {
            from += sizeof(struct site);
            continue;
        }
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, from, (size_t)(to - from), &zi[t->n], zo[t->n])))
            break;
        from += zi[t->n].length + host_data(from, &zi[t->n], zo[t->n]);
    }
    t->at[t->n] = from;
    for (unsigned i = 0, pushed = 0; i < t->n; i++) {
        if (!zi[i].length) {
            snprintf(t->line[i], 80, "site");
            continue;
        }
        host_line(t, i, host_pushed(t->at[i]) + pushed, &zi[i], zo[i], &f, b);
        pushed = host_pushed_behind(pushed, t, i, &zi[i], zo[i]);
        if (zi[i].mnemonic == ZYDIS_MNEMONIC_JMP && host_data(t->at[i], &zi[i], zo[i])) {
            u32 data;
            memcpy(&data, t->at[i] + zi[i].length, sizeof data);
            snprintf(t->line[i] + strlen(t->line[i]), 20, " {0x%04X}", data);
        }
    }
    if (from != to && t->n < HOST_LINES)
        snprintf(t->line[t->n++], 80, "not an instruction");
}

/* All lines are those of `want`, or the first ones. */
static inline void host_text_check(const char *file, int line, const struct host_text *t, bool all,
                                   const char *const *want)
{
    unsigned n = 0;
    while (want[n] && n < t->n && !strcmp(want[n], t->line[n]))
        n++;
    if (!want[n] && (n == t->n || !all))
        return;
    test_bad++;
    printf("# %s:%d: line %u is not: %s\n", file, line, n, want[n] ? want[n] : "(the end)");
    for (unsigned i = 0; i < t->n; i++)
        printf("#     \"%s\",\n", t->line[i]);
}

#define CHECK_TEXT(text, ...)                                                                                          \
    host_text_check(__FILE__, __LINE__, text, true, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define CHECK_START(text, ...)                                                                                         \
    host_text_check(__FILE__, __LINE__, text, false, (const char *const[]){__VA_ARGS__, NULL})

#endif
