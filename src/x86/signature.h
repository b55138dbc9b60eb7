/*
 * CPUID leaf 1, EAX: family, model and stepping of the CPUs that guests see.
 */
#ifndef X86_SIGNATURE_H
#define X86_SIGNATURE_H

#define SIGNATURE_INTEL 0x000606a6u /* family 6 model 6Ah: Ice Lake server */
#define SIGNATURE_AMD 0x00a10f11u   /* family 19h model 11h: Zen 4 server */

#define SIGNATURE_FAMILY(s) (((s) >> 8 & 0xf) == 0xf ? 0xf + ((s) >> 20 & 0xff) : (s) >> 8 & 0xf)
#define SIGNATURE_MODEL(s) (((s) >> 4 & 0xf) | ((s) >> 12 & 0xf0))
#define SIGNATURE_STEPPING(s) ((s)&0xf)

#endif
