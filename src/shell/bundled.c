/*
 * The scripts lie beside this file, and the assembler takes them as they are.
 */
#include "shell/bundled.h"

#include "shell/text.h"

#include <string.h>

#define BUNDLED(symbol, file)                                                                                          \
    __asm__(".pushsection .rodata\n" #symbol "_begin:\n.incbin \"src/shell/scripts/" file "\"\n" #symbol               \
            "_end:\n.byte 0\n.popsection\n");                                                                          \
    extern const char symbol##_begin[], symbol##_end[]

BUNDLED(enable_nested_vm, "Enable-NestedVm.ps1");
BUNDLED(get_nested_virt_status, "Get-NestedVirtStatus.ps1");

__asm__(".pushsection .rodata\n.globl bundled_guest\n.hidden bundled_guest\nbundled_guest:\n.incbin "
        "\"src/shell/scripts/guest.sh\"\n.byte 0\n.popsection\n");

static const struct {
    const char *name, *begin, *end;
} scripts[] = {
    {"Enable-NestedVm.ps1", enable_nested_vm_begin, enable_nested_vm_end},
    {"Get-NestedVirtStatus.ps1", get_nested_virt_status_begin, get_nested_virt_status_end},
};

bool bundled_is(const char *name)
{
    for (unsigned i = 0; i < ARRAY_LEN(scripts); i++)
        if (text_same(name, scripts[i].name))
            return true;
    return false;
}

const char *bundled_script(const char *address, size_t *length)
{
    static const char *const places[] = {
        "raw.githubusercontent.com/Microsoft/Virtualization-Documentation/",
        "raw.githubusercontent.com/MicrosoftDocs/Virtualization-Documentation/",
        "github.com/Microsoft/Virtualization-Documentation/raw/",
    };
    static const char folder[] = "/hyperv-tools/Nested/";
    const char *at = strstr(address, "://");
    at = at ? at + 3 : address;
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        const char *branch = text_begins(at, places[i]) ? at + strlen(places[i]) : NULL;
        const char *rest = branch ? strchr(branch, '/') : NULL;
        if (!rest || !text_begins(rest, folder))
            continue;
        for (unsigned j = 0; j < ARRAY_LEN(scripts); j++)
            if (text_same(rest + sizeof(folder) - 1, scripts[j].name)) {
                *length = (size_t)(scripts[j].end - scripts[j].begin);
                return scripts[j].begin;
            }
    }
    return NULL;
}
