/*
 * Hints of the manager in words of cmdlets: each row names a cmdlet and parameters that there are, and none hides
 * another; what no row has stays.
 */
#include "shell/advice.h"

#include "base/error.h"
#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

static const struct parameter parameters[] = {{"MemoryStartupBytes", PARAMETER_NUMBER, .setting = "memory"}, {0}};

static bool says(const char *hint, const char *expected)
{
    struct text text = {0};
    advice_put(parameters, hint, &text);
    bool same = strcmp(text_get(&text), expected) == 0;
    if (!same)
        printf("# '%s', not '%s'\n", text_get(&text), expected);
    text_free(&text);
    return same;
}

static const struct parameter *parameter_named(const struct cmdlet *cmdlet, const char *name, size_t length)
{
    for (const struct parameter *p = cmdlet->parameters; p && p->name; p++)
        if (strlen(p->name) == length && strncmp(p->name, name, length) == 0)
            return p;
    return NULL;
}

/* Does the row's cmdlet exist, with all its parameters? */
static bool is_there(const char *line)
{
    char name[64];
    size_t length = strcspn(line, " ");
    snprintf(name, sizeof(name), "%.*s", (int)length, line);
    const struct cmdlet *cmdlet = cmdlet_find(name);
    bool all = cmdlet;
    for (const char *at = line + length; all && *at; at += strcspn(at, " ")) {
        at += strspn(at, " ");
        size_t word = strcspn(at, " ");
        if (*at == '@')
            all = parameter_named(cmdlet, "VMName", 6);
        else if (*at == '-')
            all = parameter_named(cmdlet, at + 1, word - 1);
    }
    if (!all)
        printf("# %s\n", line);
    return all;
}

int main(void)
{
    TEST("rows name cmdlets and parameters that there are, and each is reached");
    for (const struct advice *a = advices; a->command; a++) {
        CHECK(!a->cmdlet || *a->cmdlet == '$' || is_there(a->cmdlet));
        for (const struct advice *b = advices; b < a; b++)
            CHECK(strcmp(a->command, b->command) != 0);
    }

    TEST("a hint that is one command");
    CHECK(says("nestbox set lab --dynamic-memory off", "Set-VMMemory lab -DynamicMemoryEnabled $false"));
    CHECK(says("nestbox set 'my lab' --dynamic-memory off", "Set-VMMemory 'my lab' -DynamicMemoryEnabled $false"));
    CHECK(says("nestbox set lab " SETTING("metering") " on", "Enable-VMResourceMetering lab"));
    CHECK(says("nestbox stop lab", "Stop-VM lab"));
    CHECK(says("nestbox nic set lab/nic0 --spoofing on",
               "Set-VMNetworkAdapter -VMName lab -Name nic0 -MacAddressSpoofing On"));
    CHECK(says("nestbox nic set 'my lab/nic0' --spoofing on",
               "Set-VMNetworkAdapter -VMName 'my lab' -Name nic0 -MacAddressSpoofing On"));
    CHECK(says("nestbox shell -c 'Update-VMVersion lab -Force'", "Update-VMVersion lab -Force"));
    CHECK(says("nestbox shell -c 'Update-VMVersion \"my lab\" -Force'", "Update-VMVersion \"my lab\" -Force"));

    TEST("commands within a sentence");
    CHECK(says("`nestbox stop " SETTING("turn-off") "` ends it, `nestbox start` starts it",
               "Stop-VM -TurnOff ends it, Start-VM starts it"));
    CHECK(says("`nestbox stop 'my lab'` first", "Stop-VM 'my lab' first"));
    CHECK(says("`nestbox console` shows what it does", "nestbox console shows what it does"));
    CHECK(says("put the nestbox-agent there", "put the nestbox-agent there"));

    TEST("settings are parameters where the cmdlet has them");
    CHECK(
        says(SETTING("memory") " is more than " SETTING("memory-cap"), "-MemoryStartupBytes is more than memory-cap"));
    CHECK(says("a ` alone, \1 and \2", "a ` alone,  and "));
    CHECK(says("", ""));
    return TEST_END();
}
