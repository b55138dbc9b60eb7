/*
 * The manager's hints name commands of `nestbox`, between backticks or as all of the hint, because most who read them
 * type these. In the shell each is said as the cmdlet that does the same: one row per command, walked by the test of
 * this file, which also finds each command that a hint in the sources has.
 */
#include "shell/advice.h"

#include "base/error.h"

#include <string.h>

/* In a row * is one word, as it stands; @ is VM/CARD, which cmdlets take apart; $ is a word without its quotes. */
/* clang-format off */
const struct advice advices[] = {
    {"list", "Get-VM"},
    {"show", "Get-VM"},
    {"create", "New-VM"},
    {"delete", "Remove-VM"},
    {"clone", NULL},
    {"export", "Export-VM"},
    {"import PATH NAME", "Import-VM PATH -VMName NAME"},
    {"start", "Start-VM"},
    {"start --wait", "Wait-VM"},
    {"start *", "Start-VM *"},
    {"stop", "Stop-VM"},
    {"stop --turn-off", "Stop-VM -TurnOff"},
    {"stop * --turn-off", "Stop-VM * -TurnOff"},
    {"stop *", "Stop-VM *"},
    {"resume *", "Resume-VM *"},
    {"restart --hard", "Restart-VM -Type Reset"},
    {"console", NULL},
    {"set * --dynamic-memory off", "Set-VMMemory * -DynamicMemoryEnabled $false"},
    {"set * --memory 1G", "Set-VMMemory * -StartupBytes 1GB"},
    {"set * --memory 1G --memory-cap 0", NULL},
    {"set * --memory-cap 0", NULL},
    {"set * --nested off", "Set-VMProcessor * -ExposeVirtualizationExtensions $false"},
    {"set * --nested intel", NULL},
    {"set * --cpus 4", "Set-VMProcessor * -Count 4"},
    {"set * --metering on", "Enable-VMResourceMetering *"},
    {"set * --checkpoints standard", "Set-VM * -CheckpointType Standard"},
    {"shell -c $", "$"},
    {"checkpoint list", "Get-VMSnapshot"},
    {"checkpoint create", "Checkpoint-VM"},
    {"disk list", "Get-VMHardDiskDrive"},
    {"disk list *", "Get-VMHardDiskDrive *"},
    {"disk convert", "Convert-VHD"},
    {"disk remove", "Remove-VMHardDiskDrive"},
    {"disk set * --path FILE", NULL},
    {"share add * FOLDER --tag *", NULL},
    {"image", NULL},
    {"image build", NULL},
    {"image list", NULL},
    {"image show *", NULL},
    {"image import FILE NAME", NULL},
    {"switch list", "Get-VMSwitch"},
    {"switch create", "New-VMSwitch"},
    {"switch create *", "New-VMSwitch * -SwitchType Private"},
    {"switch delete", "Remove-VMSwitch"},
    {"switch start", NULL},
    {"switch start *", NULL},
    {"switch stop", NULL},
    {"switch stop *", NULL},
    {"nic list", "Get-VMNetworkAdapter"},
    {"nic add", "Add-VMNetworkAdapter"},
    {"nic remove", "Remove-VMNetworkAdapter"},
    {"nic set", "Connect-VMNetworkAdapter"},
    {"nic set --mac", "Set-VMNetworkAdapter -StaticMacAddress"},
    {"nic set @ --switch SW", "Connect-VMNetworkAdapter @ -SwitchName SW"},
    {"nic set @ --spoofing on", "Set-VMNetworkAdapter @ -MacAddressSpoofing On"},
    {"nic set @ --dhcp-guard off", "Set-VMNetworkAdapter @ -DhcpGuard Off"},
    {"nic set @ --router-guard off", "Set-VMNetworkAdapter @ -RouterGuard Off"},
    {"nic set @ --trunk 1-4094", "Set-VMNetworkAdapterVlan @ -Trunk -AllowedVlanIdList 1-4094"},
    {"nic set @ --storm-limit 0", "Set-VMNetworkAdapter @ -StormLimit 0"},
    {"nic set @ --protect off", "Set-VMNetworkAdapter @ -PortIsolation Off"},
    {"nat list", "Get-NetNat"},
    {"nat create", "New-NetNat"},
    {"nat delete *", "Remove-NetNat *"},
    {"nat unmap", "Remove-NetNatStaticMapping"},
    {"nat set --prefix", "Set-NetNat -InternalIPInterfaceAddressPrefix"},
    {"nat release", NULL},
    {0},
};
/* clang-format on */

static const char program[] = "nestbox ";

struct word {
    const char *text;
    size_t length;
};
#define WORDS_MAX 3u

/* How long the word is, which may be in quotes or have parts in them. */
static size_t word_length(const char *at)
{
    size_t n = 0;
    while (at[n] && at[n] != ' ') {
        if (at[n] == '\'' && strchr(at + n + 1, '\''))
            n = (size_t)(strchr(at + n + 1, '\'') - at);
        n++;
    }
    return n;
}

/* Does the command have the row's form? Fills the words that stand for *, @ and $. */
static bool fits(const char *row, const char *command, struct word word[static WORDS_MAX])
{
    for (unsigned n = 0; *row; row++) {
        if (!strchr("*@$", *row)) {
            if (*row != *command++)
                return false;
            continue;
        }
        if (n == WORDS_MAX)
            return false;
        word[n] = (struct word){command, word_length(command)};
        if (!word[n].length || *command == '-')
            return false;
        command += word[n++].length;
    }
    return !*command;
}

static void put_quoted(const char *text, size_t length, struct text *to)
{
    const char *quote = memchr(text, ' ', length) ? "'" : "";
    text_puts(to, quote);
    text_put(to, text, length);
    text_puts(to, quote);
}

static void put_cmdlet(const char *cmdlet, const struct word *word, struct text *to)
{
    for (; *cmdlet; cmdlet++) {
        const char *at = word->text, *slash;
        size_t length = word->length;
        bool end = !cmdlet[1] || cmdlet[1] == ' '; /* $false is no word */
        if (!end || !strchr("*@$", *cmdlet)) {
            text_char(to, *cmdlet);
            continue;
        }
        if (*cmdlet != '*' && length > 1 && *at == '\'')
            at++, length -= 2;
        if (*cmdlet != '@') {
            text_put(to, at, length);
        } else {
            slash = memchr(at, '/', length);
            size_t vm = slash ? (size_t)(slash - at) : length;
            text_puts(to, "-VMName ");
            put_quoted(at, vm, to);
            if (slash) {
                text_puts(to, " -Name ");
                put_quoted(slash + 1, length - vm - 1, to);
            }
        }
        word++;
    }
}

static void put_command(const char *command, struct text *to)
{
    struct word word[WORDS_MAX] = {{0}};
    for (const struct advice *row = advices; row->command; row++)
        if (row->cmdlet && fits(row->command, command + sizeof(program) - 1, word)) {
            put_cmdlet(row->cmdlet, word, to);
            return;
        }
    text_puts(to, command);
}

static const struct parameter *parameter_of(const struct parameter *parameters, const char *setting, size_t length)
{
    for (const struct parameter *p = parameters; p && p->name; p++)
        if (p->setting && strlen(p->setting) == length && !strncmp(p->setting, setting, length))
            return p;
    return NULL;
}

static bool is_command(const char *text, size_t length)
{
    return length >= sizeof(program) && !strncmp(text, program, sizeof(program) - 1);
}

/* A part of a text that is one command: its settings are options. */
static void put_command_of(const char *from, size_t length, struct text *to)
{
    char command[sizeof(((struct error *)0)->hint) * 2];
    size_t used = 0;
    for (size_t i = 0; i < length && used + 3 < sizeof(command); i++) {
        if (from[i] == SETTING("")[0])
            command[used++] = '-', command[used++] = '-';
        else if (from[i] != SETTING("")[1])
            command[used++] = from[i];
    }
    command[used] = 0;
    put_command(command, to);
}

void advice_put(const struct parameter *parameters, const char *from, struct text *to)
{
    if (is_command(from, strlen(from)) && !strchr(from, '`')) {
        put_command_of(from, strlen(from), to);
        return;
    }
    while (*from) {
        size_t quoted = *from == '`' ? strcspn(from + 1, "`") : 0;
        if (quoted && from[1 + quoted] && is_command(from + 1, quoted)) {
            put_command_of(from + 1, quoted, to);
            from += quoted + 2;
            continue;
        }
        size_t length = *from == SETTING("")[0] ? strcspn(from + 1, SETTING("") + 1) : 0;
        if (length) {
            const struct parameter *found = parameter_of(parameters, from + 1, length);
            if (found)
                text_format(to, "-%s", found->name);
            else
                text_put(to, from + 1, length);
            from += length + 1;
        } else if (*from != SETTING("")[1] && *from != SETTING("")[0]) {
            text_char(to, *from);
        }
        from++;
    }
}
