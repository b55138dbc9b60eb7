/*
 * Cmdlets of the language: writing, asking, variables, files, time.
 */
#include "shell/bundled.h"
#include "shell/cmdlet.h"
#include "shell/output.h"
#include "shell/script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* -- writing -- */

static void put_object(const struct value *v, const char *between, struct text *text)
{
    if (v && v->kind == VALUE_ARRAY)
        for (size_t i = 0; i < v->array.count; i++) {
            text_puts(text, i ? between : "");
            value_put(v->array.item[i], text);
        }
    else if (v)
        value_put(v, text);
}

static enum flow write_output(struct call *call)
{
    struct value *v = call_argument(call, "InputObject");
    return v ? sink_put_each(call->out, v) : FLOW_NEXT;
}

static const char colour_names[] = "Black|DarkRed|DarkGreen|DarkYellow|DarkBlue|DarkMagenta|DarkCyan|Gray|DarkGray|Red|"
                                   "Green|Yellow|Blue|Magenta|Cyan|White";

/* ANSI's number of a colour, -1 for none. */
static int colour(const char *name)
{
    int index = 0;
    for (const char *at = colour_names; name && *at; at += strcspn(at, "|"), at += *at == '|', index++)
        if (strlen(name) == strcspn(at, "|") && text_begins(at, name))
            return index < 8 ? 30 + index : 90 + index - 8;
    return -1;
}

static enum flow write_host(struct call *call)
{
    struct shell *shell = call->shell;
    struct text text = {0};
    const char *between = call_text(call, "Separator");
    int front = colour(call_text(call, "ForegroundColor")), back = colour(call_text(call, "BackgroundColor"));
    put_object(call_argument(call, "Object"), between ? between : " ", &text);
    output_flush(shell);
    if (shell->colours && front >= 0)
        fprintf(shell->out, "\x1b[%dm", front);
    if (shell->colours && back >= 0)
        fprintf(shell->out, "\x1b[%dm", back + 10);
    fputs(text_get(&text), shell->out);
    if (shell->colours && (front >= 0 || back >= 0))
        fputs("\x1b[0m", shell->out);
    if (!call_on(call, "NoNewline"))
        fputc('\n', shell->out);
    fflush(shell->out);
    text_free(&text);
    return FLOW_NEXT;
}

static enum flow write_error(struct call *call)
{
    const char *id = call_text(call, "ErrorId"), *message = call_text(call, "Message");
    return call_error(call, NOT_SPECIFIED, id ? id : "Microsoft.PowerShell.Commands.WriteErrorException", NULL, "%s",
                      message ? message : "");
}

static enum flow write_warning(struct call *call)
{
    call_warn(call, "%s", call_text(call, "Message"));
    return FLOW_NEXT;
}

static enum flow write_verbose(struct call *call)
{
    call_verbose(call, "%s", call_text(call, "Message"));
    return FLOW_NEXT;
}

static enum flow read_host(struct call *call)
{
    const char *prompt = call_text(call, "Prompt");
    char *line = NULL;
    size_t size = 0;
    output_flush(call->shell);
    if (prompt)
        fprintf(call->shell->out, "%s: ", prompt);
    fflush(call->shell->out);
    ssize_t length = getline(&line, &size, stdin);
    while (length > 0 && strchr("\r\n", line[length - 1]))
        length--;
    enum flow flow;
    if (length >= 0)
        flow = call_put(call, value_text_n(&call->shell->heap, line, (size_t)length));
    else
        flow = call_error(call, INVALID_OPERATION, "InputEnded", NULL, "nobody is there to answer");
    free(line);
    return flow == FLOW_NEXT && length < 0 ? (call->shell->status = 1, FLOW_EXIT) : flow;
}

static enum flow clear_host(struct call *call)
{
    if (call->shell->colours)
        fputs("\x1b[H\x1b[2J", call->shell->out);
    return FLOW_NEXT;
}

/* -- variables -- */

static enum flow get_variable(struct call *call)
{
    const char *wanted = call_text(call, "Name");
    enum flow flow = FLOW_NEXT;
    for (const struct scope *scope = call->shell->scope; scope; scope = scope->parent)
        for (const struct variable *v = scope->variables; v && flow == FLOW_NEXT; v = v->next) {
            if (strchr(v->name, ' ') || (wanted && !text_like(v->name, wanted, false)))
                continue;
            struct value *one = value_object(&call->shell->heap, "PSVariable");
            object_set(one, "Name", value_text(&call->shell->heap, v->name));
            object_set(one, "Value", v->value);
            flow = call_on(call, "ValueOnly") ? call_put(call, v->value) : call_put(call, one);
        }
    return flow;
}

static enum flow set_variable(struct call *call)
{
    struct value *value = call_argument(call, "Value");
    const char *name = call_text(call, "Name");
    if (variable_set(call->shell, name, value ? value : &value_null))
        return FLOW_NEXT;
    return call_error(call, INVALID_OPERATION, "VariableNotWritable", name, "variable %s is the shell's own", name);
}

static enum flow remove_variable(struct call *call)
{
    return variable_set(call->shell, call_text(call, "Name"), &value_null) ? FLOW_NEXT : FLOW_NEXT;
}

/* -- running -- */

static enum flow invoke_expression(struct call *call)
{
    const char *command = call_text(call, "Command");
    const struct node *body;
    enum flow flow = script_parse(call->shell, call->node, NULL, command, strlen(command), &body);
    if (flow != FLOW_NEXT)
        return flow;
    return eval_statements(call->shell, body->list, call->out);
}

static enum flow start_sleep(struct call *call)
{
    const struct value *seconds = call_argument(call, "Seconds");
    s64 milliseconds = 0, number = 0;
    double real = 0;
    bool whole;
    call_number(call, "Milliseconds", &milliseconds);
    if (seconds && value_numeric(seconds, &number, &real, &whole))
        milliseconds += (s64)((whole ? (double)number : real) * 1000);
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (milliseconds > 0 && nanosleep(&time, &time) && errno == EINTR && !shell_interrupted())
        ;
    return FLOW_NEXT;
}

static enum flow get_date(struct call *call)
{
    static const struct {
        const char *net, *c;
    } parts[] = {{"yyyy", "%Y"}, {"MM", "%m"}, {"dd", "%d"}, {"HH", "%H"}, {"mm", "%M"}, {"ss", "%S"}};
    const char *format = call_text(call, "Format");
    struct text how = {0};
    char text[200];
    struct tm tm;
    time_t now = time(NULL);
    localtime_r(&now, &tm);
    for (const char *at = format ? format : "MM/dd/yyyy HH:mm:ss"; *at;) {
        unsigned i = 0;
        while (i < ARRAY_LEN(parts) && strncmp(at, parts[i].net, strlen(parts[i].net)) != 0)
            i++;
        if (i < ARRAY_LEN(parts)) {
            text_puts(&how, parts[i].c);
            at += strlen(parts[i].net);
        } else {
            text_puts(&how, *at == '%' ? "%%" : (char[]){*at, 0});
            at++;
        }
    }
    size_t length = strftime(text, sizeof(text), text_get(&how), &tm);
    text_free(&how);
    return call_put(call, value_text_n(&call->shell->heap, text, length));
}

/* -- files -- */

static enum flow test_path(struct call *call)
{
    char *path = script_path(call_text(call, "Path"));
    bool there = access(path, F_OK) == 0;
    free(path);
    return call_put(call, value_bool(there));
}

static enum flow get_content(struct call *call)
{
    char *path = script_path(call_text(call, "Path")), *line = NULL;
    FILE *f = fopen(path, "re");
    struct text whole = {0};
    size_t size = 0;
    ssize_t length;
    enum flow flow = FLOW_NEXT;
    if (!f)
        flow = call_error(call, OBJECT_NOT_FOUND, "PathNotFound", path, "cannot read %s: %m", path);
    while (f && flow == FLOW_NEXT && (length = getline(&line, &size, f)) >= 0) {
        if (call_on(call, "Raw")) {
            text_put(&whole, line, (size_t)length);
            continue;
        }
        if (length && line[length - 1] == '\n')
            length--;
        flow = call_put(call, value_text_n(&call->shell->heap, line, (size_t)length));
    }
    if (f && call_on(call, "Raw") && flow == FLOW_NEXT)
        flow = call_put(call, value_text_take(&call->shell->heap, &whole));
    if (f)
        fclose(f);
    text_free(&whole);
    free(line);
    free(path);
    return flow;
}

/* There is no network behind this: the documents' two scripts are bundled. */
static enum flow web_request(struct call *call)
{
    const char *address = call_text(call, "Uri"), *file = call_text(call, "OutFile");
    size_t length;
    const char *script = bundled_script(address, &length);
    if (!script)
        return call_error(call, NOT_IMPLEMENTED, "NotSupported", address,
                          "nothing is fetched from the network: only the scripts Enable-NestedVm.ps1 and "
                          "Get-NestedVirtStatus.ps1 of Hyper-V's documents are here, which are bundled; curl fetches "
                          "other things");
    if (!file) {
        struct value *response = value_object(&call->shell->heap, "WebResponse");
        object_set(response, "StatusCode", value_number(&call->shell->heap, 200));
        object_set(response, "Content", value_text_n(&call->shell->heap, script, length));
        return call_put(call, response);
    }
    char *path = script_path(file);
    FILE *f = fopen(path, "we");
    enum flow flow = FLOW_NEXT;
    if (!f || fwrite(script, 1, length, f) != length || fclose(f))
        flow = call_error(call, RESOURCE_UNAVAILABLE, "FileOpenFailure", path, "cannot write %s: %m", path);
    free(path);
    return flow;
}

static struct value *location(struct shell *shell)
{
    char *path = getcwd(NULL, 0);
    struct value *where = value_object(&shell->heap, "PathInfo");
    object_set(where, "Path", value_text(&shell->heap, path));
    free(path);
    return where;
}

static enum flow get_location(struct call *call)
{
    return call_put(call, location(call->shell));
}

static enum flow set_location(struct call *call)
{
    const char *wanted = call_text(call, "Path");
    char *path = script_path(wanted ? wanted : "~");
    enum flow flow = FLOW_NEXT;
    if (chdir(path))
        flow = call_error(call, OBJECT_NOT_FOUND, "PathNotFound", path, "cannot go to %s: %m", path);
    free(path);
    return flow;
}

/* clang-format off */
static const struct parameter output_parameters[] = {
    {"InputObject", PARAMETER_ANY, BY_VALUE | REST, 1, .help = "what is put out"}, {0},
};
static const struct parameter host_parameters[] = {
    {"Object", PARAMETER_ANY, BY_VALUE | REST, 1, .help = "what is written"},
    {"NoNewline", PARAMETER_SWITCH, .help = "the line goes on"},
    {"Separator", PARAMETER_TEXT, .help = "what stands between values; a space without it"},
    {"ForegroundColor", PARAMETER_CHOICE, .aliases = "fore", .words = colour_names, .help = "the colour of letters"},
    {"BackgroundColor", PARAMETER_CHOICE, .aliases = "back", .words = colour_names, .help = "the colour behind them"},
    {0},
};
static const struct parameter message_parameters[] = {
    {"Message", PARAMETER_TEXT, MANDATORY | BY_VALUE, 1, .help = "the text"}, {0},
};
static const struct parameter error_parameters[] = {
    {"Message", PARAMETER_TEXT, MANDATORY | BY_VALUE, 1, .aliases = "Msg", .help = "the text"},
    {"ErrorId", PARAMETER_TEXT, .help = "the identifier"}, {0},
};
static const struct parameter read_parameters[] = {
    {"Prompt", PARAMETER_TEXT, REST, 1, .help = "the question; a colon follows it"}, {0},
};
static const struct parameter no_parameters[] = {{0}};
static const struct parameter get_variable_parameters[] = {
    {"Name", PARAMETER_TEXT, BY_VALUE, 1, .help = "which, with wildcards"},
    {"ValueOnly", PARAMETER_SWITCH, .help = "only the value"}, {0},
};
static const struct parameter set_variable_parameters[] = {
    {"Name", PARAMETER_TEXT, MANDATORY, 1, .help = "the name, without $"},
    {"Value", PARAMETER_ANY, BY_VALUE, 2, .help = "the value; null without it"}, {0},
};
static const struct parameter remove_variable_parameters[] = {
    {"Name", PARAMETER_TEXT, MANDATORY, 1, .help = "the name, without $"}, {0},
};
static const struct parameter expression_parameters[] = {
    {"Command", PARAMETER_TEXT, MANDATORY | BY_VALUE, 1, .help = "the text"}, {0},
};
static const struct parameter sleep_parameters[] = {
    {"Seconds", PARAMETER_ANY, BY_VALUE, 1, .help = "seconds, with decimals"},
    {"Milliseconds", PARAMETER_NUMBER, .aliases = "ms", .most = INT32_MAX, .help = "milliseconds"}, {0},
};
static const struct parameter date_parameters[] = {
    {"Format", PARAMETER_TEXT, .help = "as yyyy-MM-dd HH:mm:ss"}, {0},
};
static const struct parameter path_parameters[] = {
    {"Path", PARAMETER_TEXT, MANDATORY | BY_VALUE, 1, .aliases = "LiteralPath|FullName", .help = "the path"}, {0},
};
static const struct parameter content_parameters[] = {
    {"Path", PARAMETER_TEXT, MANDATORY | BY_VALUE, 1, .aliases = "LiteralPath|FullName", .help = "the file"},
    {"Raw", PARAMETER_SWITCH, .help = "one text instead of lines"}, {0},
};
static const struct parameter location_parameters[] = {
    {"Path", PARAMETER_TEXT, BY_VALUE, 1, .help = "the folder; home without it"}, {0},
};

static const struct parameter web_parameters[] = {
    {"Uri", PARAMETER_TEXT, MANDATORY | BY_VALUE, 1, .help = "the address"},
    {"OutFile", PARAMETER_TEXT, .help = "the file that it is written to"},
    {"UseBasicParsing", PARAMETER_SWITCH, .help = "as without it"}, {0},
};

const struct cmdlet cmdlets_core[] = {
    {"Write-Output", "echo|write", output_parameters, .process = write_output, .summary = "Puts values out"},
    {"Write-Host", NULL, host_parameters, .process = write_host, .summary = "Writes to the terminal"},
    {"Write-Error", NULL, error_parameters, .process = write_error, .summary = "Makes an error"},
    {"Write-Warning", NULL, message_parameters, .process = write_warning, .summary = "Writes a warning"},
    {"Write-Verbose", NULL, message_parameters, .process = write_verbose,
     .summary = "Writes what is shown with -Verbose"},
    {"Read-Host", NULL, read_parameters, .process = read_host, .summary = "Reads a line from the terminal"},
    {"Clear-Host", "cls|clear", no_parameters, .process = clear_host, .summary = "Clears the terminal"},
    {"Get-Variable", "gv", get_variable_parameters, .process = get_variable, .summary = "Lists variables",
     .gives = "PSVariable"},
    {"Set-Variable", "sv|set", set_variable_parameters, .process = set_variable, .summary = "Sets a variable"},
    {"Remove-Variable", "rv", remove_variable_parameters, .process = remove_variable,
     .summary = "Makes a variable null"},
    {"Invoke-Expression", "iex", expression_parameters, .process = invoke_expression,
     .summary = "Runs a text as commands"},
    {"Start-Sleep", "sleep", sleep_parameters, .process = start_sleep, .summary = "Waits"},
    {"Get-Date", NULL, date_parameters, .process = get_date, .summary = "Returns the time as a text"},
    {"Test-Path", NULL, path_parameters, .process = test_path, .summary = "Returns whether a file is there"},
    {"Get-Content", "gc|cat|type", content_parameters, .process = get_content, .summary = "Reads a file by lines"},
    {"Invoke-WebRequest", "iwr", web_parameters, .process = web_request,
     .summary = "Delivers the bundled scripts of Hyper-V's documents",
     .examples = "Invoke-WebRequest https://raw.githubusercontent.com/Microsoft/Virtualization-Documentation/master/"
                 "hyperv-tools/Nested/Enable-NestedVm.ps1 -OutFile ~/Enable-NestedVm.ps1"},
    {"Get-Location", "gl|pwd", no_parameters, .process = get_location, .summary = "Returns the working folder",
     .gives = "PathInfo"},
    {"Set-Location", "sl|cd|chdir", location_parameters, .process = set_location,
     .summary = "Changes the working folder"},
    {0},
};
/* clang-format on */
