/*
 * Commands in guests, by the agent there: PowerShell Direct, for Linux. What is run is text of bash, behind functions
 * that give commands of Windows their meaning (scripts/guest.sh). The same functions serve who types these commands in
 * the guest, in a shell of ours.
 */
#include "manager/guest.h"

#include "shell/bundled.h"
#include "shell/external.h"
#include "shell/model.h"
#include "shell/output.h"
#include "shell/script.h"
#include "shell/vms.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static enum flow put_lines(struct call *call, int fd)
{
    FILE *f = lseek(fd, 0, SEEK_SET) ? NULL : fdopen(dup(fd), "r");
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    enum flow flow = FLOW_NEXT;
    while (f && flow == FLOW_NEXT && (length = getline(&line, &size, f)) >= 0) {
        if (length && line[length - 1] == '\n')
            length--;
        flow = call_put(call, value_text_n(&call->shell->heap, line, (size_t)length));
    }
    free(line);
    if (f)
        fclose(f);
    return flow;
}

/* Runs text in a guest. What it prints goes where ours goes, or through the pipeline as lines. */
static enum flow run_in(struct call *call, const char *vm, const char *text)
{
    struct shell *shell = call->shell;
    struct text whole = {0};
    struct error error;
    enum flow flow = FLOW_NEXT;
    bool ours = call->out == &shell->output && fileno(shell->out) == STDOUT_FILENO;
    text_format(&whole, "%s\n%s\n", bundled_guest, text);
    const char *const argument[] = {"bash", "-c", text_get(&whole), NULL};
    int out = ours ? STDOUT_FILENO : memfd_create("output", MFD_CLOEXEC);
    const struct agent_run run = {.argument = argument, .in = -1, .out = out, .error = STDERR_FILENO, .signals = -1};
    output_flush(shell);
    fflush(shell->out);
    int status = guest_exec(shell->store, vm, &run, &error);
    if (status == -ENXIO && !(status = guest_await(shell->store, vm, NULL, &error)))
        status = guest_exec(shell->store, vm, &run, &error);
    text_free(&whole);
    if (!ours && out >= 0) {
        flow = put_lines(call, out);
        close(out);
    }
    if (status < 0)
        return call_manager_error(call, &error, vm);
    scope_set(&shell->global, "LASTEXITCODE", value_number(&shell->heap, status));
    call->failed |= status != 0;
    return flow;
}

static enum flow read_script(struct call *call, const char *name, struct text *text)
{
    char *path = script_path(name), piece[4096];
    FILE *f = fopen(path, "re");
    size_t n;
    enum flow flow = FLOW_NEXT;
    if (!f)
        flow = call_error(call, OBJECT_NOT_FOUND, "PathNotFound", path, "cannot read %s: %m", path);
    while (f && (n = fread(piece, 1, sizeof(piece), f)))
        text_put(text, piece, n);
    if (f)
        fclose(f);
    free(path);
    return flow;
}

static enum flow invoke(struct call *call)
{
    const struct value *block = call_argument(call, "ScriptBlock");
    const char *file = call_text(call, "FilePath");
    struct text text = {0};
    json_t *vms, *vm;
    size_t index;
    enum flow flow = FLOW_NEXT;
    if (block) {
        node_text(block->block, &text); /* with its braces, which bash understands as well */
        if (text.used > 2)
            text.at[0] = text.at[text.used - 1] = ' ';
    } else {
        flow = read_script(call, file, &text);
    }
    if (flow == FLOW_NEXT && !call->failed) {
        flow = vms_find(call, &vms);
        json_array_foreach (vms, index, vm)
            if (flow == FLOW_NEXT)
                flow = run_in(call, model_text(vm, "name"), text_get(&text));
        json_decref(vms);
    }
    text_free(&text);
    return flow;
}

static void complain(void *opaque, const char *text)
{
    struct call *call = opaque;
    fprintf(call->shell->err, "%s\n", text);
    call->failed = true;
}

static enum flow copy_one(struct call *call, const char *name)
{
    char *path = script_path(call_text(call, "SourcePath"));
    const struct guest_copy copy = {.vm = name,
                                    .guest_path = call_text(call, "DestinationPath"),
                                    .host_path = path,
                                    .to_guest = true,
                                    .recursive = call_on(call, "Recurse"),
                                    .signals = -1,
                                    .complain = complain,
                                    .opaque = call};
    struct error error;
    int e = guest_copy(call->shell->store, &copy, &error);
    if (e == -ENXIO && !(e = guest_await(call->shell->store, name, NULL, &error)))
        e = guest_copy(call->shell->store, &copy, &error);
    free(path);
    return e < 0 ? call_manager_error(call, &error, name) : FLOW_NEXT;
}

static enum flow copy_file(struct call *call)
{
    return vms_each(call, copy_one, NULL);
}

/* The user's shell in the guest, on our terminal, until it ends. */
static enum flow enter(struct call *call)
{
    struct value *words = value_array(&call->shell->heap);
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return call_error(call, INVALID_OPERATION, "NoTerminal", call_text(call, "VMName"),
                          "there is no terminal for a session; Invoke-Command runs script blocks");
    array_add(words, value_text(&call->shell->heap, "exec"));
    array_add(words, value_text(&call->shell->heap, call_text(call, "VMName")));
    enum flow flow = external_start(call->shell, call->node, "/proc/self/exe", words, call->out);
    call->failed = !call->shell->ok;
    return flow;
}

/* A command of Windows that is typed here, in a guest: by the functions, on this machine. */
static enum flow here(struct call *call)
{
    struct text text = {0};
    char *bash = external_find("bash");
    if (!bash)
        return call_error(call, OBJECT_NOT_FOUND, "CommandNotFoundException", "bash", "bash is missing here");
    text_format(&text, "%s\n\"$0\" \"$@\"\n", bundled_guest);
    struct value *words = value_array(&call->shell->heap);
    array_add(words, value_text(&call->shell->heap, "-c"));
    array_add(words, value_text_take(&call->shell->heap, &text));
    array_add(words, value_text(&call->shell->heap, call->name));
    for (size_t i = 0; i < call->rest->array.count; i++)
        array_add(words, call->rest->array.item[i]);
    enum flow flow = external_start(call->shell, call->node, bash, words, call->out);
    call->failed = !call->shell->ok;
    free(bash);
    return flow;
}

/* clang-format off */
static const struct parameter invoke_parameters[] = {
    VMS_OF_PARTS(1),
    {"ScriptBlock", PARAMETER_BLOCK, 0, 2, .aliases = "Command", .help = "text of bash, in braces"},
    {"FilePath", PARAMETER_TEXT, .help = "a file of this host with text of bash"}, {0},
};
static const struct parameter enter_parameters[] = {
    {"VMName", PARAMETER_TEXT, MANDATORY, 1, .aliases = "Name", .help = "a VM that runs"}, {0},
};
static const struct parameter copy_parameters[] = {
    {"Name", PARAMETER_TEXTS, MANDATORY | BY_VALUE | BY_NAME, 1, .aliases = "VMName", .help = "VMs, with wildcards"},
    {"SourcePath", PARAMETER_TEXT, MANDATORY, 2, .help = "a file of this host"},
    {"DestinationPath", PARAMETER_TEXT, MANDATORY, 3, .help = "its place in the guest"},
    {"FileSource", PARAMETER_CHOICE, .words = "Host", .help = "where it comes from: this host"},
    {"Recurse", PARAMETER_SWITCH, .help = "a folder with what is in it"}, {0},
};
static const struct parameter no_parameters[] = {{0}};
const struct cmdlet cmdlets_guest[] = {
    {"Invoke-Command", "icm", invoke_parameters, .process = invoke,
     .summary = "Runs a script block of bash in Linux guests, where commands of Windows do what they mean there",
     .examples = "Invoke-Command -VMName lab -ScriptBlock { uname -a; uptime }\n"
                 "Invoke-Command -VMName lab -ScriptBlock { Install-WindowsFeature -Name Hyper-V }"},
    {"Enter-PSSession", NULL, enter_parameters, .process = enter,
     .summary = "Opens the user's shell in a guest on this terminal; exit comes back",
     .examples = "Enter-PSSession -VMName lab"},
    {"Copy-VMFile", NULL, copy_parameters, IMPACT_MEDIUM, .process = copy_file,
     .summary = "Copies a file into guests",
     .examples = "Copy-VMFile lab ./data.tar /srv/ -FileSource Host"},
    {"Install-WindowsFeature", "Add-WindowsFeature", no_parameters, .raw = true, .process = here,
     .summary = "Installs and loads this machine's hypervisor: -Name Hyper-V",
     .examples = "Install-WindowsFeature -Name Hyper-V -IncludeManagementTools -Restart"},
    {"Get-WindowsFeature", NULL, no_parameters, .raw = true, .process = here,
     .summary = "Shows whether this machine's hypervisor is installed",
     .examples = "Get-WindowsFeature -Name Hyper-V"},
    {"Enable-WindowsOptionalFeature", NULL, no_parameters, .raw = true, .process = here,
     .summary = "Installs and loads this machine's hypervisor: -FeatureName Microsoft-Hyper-V -Online",
     .examples = "Enable-WindowsOptionalFeature -FeatureName Microsoft-Hyper-V -Online"},
    {"Get-WindowsOptionalFeature", NULL, no_parameters, .raw = true, .process = here,
     .summary = "Shows whether this machine's hypervisor is installed: -FeatureName Microsoft-Hyper-V -Online",
     .examples = "Get-WindowsOptionalFeature -FeatureName Microsoft-Hyper-V -Online"},
    {"Install-Module", NULL, no_parameters, .raw = true, .process = here,
     .summary = "Sees to it that this machine's container engine can be installed: -Name DockerProvider",
     .examples = "Install-Module -Name DockerProvider -Repository PSGallery -Force"},
    {"Install-Package", NULL, no_parameters, .raw = true, .process = here,
     .summary = "Installs this machine's container engine: -Name docker",
     .examples = "Install-Package -Name docker -ProviderName DockerProvider -Force"},
    {"docker", NULL, no_parameters, .raw = true, .process = here,
     .summary = "Runs containers with this machine's engine; --isolation=hyperv is still to come",
     .examples = "docker run --rm debian:12 uname -a"},
    {0},
};
/* clang-format on */
