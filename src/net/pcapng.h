/*
 * Numbers of the format of captures (draft-ietf-opsawg-pcapng).
 */
#ifndef NET_PCAPNG_H
#define NET_PCAPNG_H

enum {
    BLOCK_SECTION = 0x0a0d0d0a,
    BLOCK_INTERFACE = 1,
    BLOCK_STATISTICS = 5,
    BLOCK_PACKET = 6,
    BYTE_ORDER_MAGIC = 0x1a2b3c4d,
    LINKTYPE_ETHERNET = 1,
    DIRECTION_IN = 1,
    DIRECTION_OUT = 2,
};

/* Codes of options, each within its kind of block. */
enum {
    OPT_END = 0,
    OPT_COMMENT = 1,
    SHB_USERAPPL = 4,
    IF_NAME = 2,
    IF_MACADDR = 6,
    IF_TSRESOL = 9,
    EPB_FLAGS = 2,
    ISB_IFRECV = 4,
    ISB_IFDROP = 5,
};

#endif
