/*
 * The end of a pipeline that nobody takes further.
 */
#include "shell/output.h"

void output_flush(struct shell *shell)
{
    struct value *waiting = shell->waiting;
    struct text text = {0};
    if (!waiting)
        return;
    shell->waiting = NULL;
    output_format(shell, waiting, &text);
    fputs(text_get(&text), shell->out);
    text_free(&text);
}

static enum flow put_out(struct sink *sink, struct value *value)
{
    struct shell *shell = container_of(sink, struct shell, output);
    if (!shell->waiting)
        shell->waiting = value_array(&shell->heap);
    array_add(shell->waiting, value);
    if (value->kind != VALUE_OBJECT) {
        output_flush(shell);
        fflush(shell->out);
    }
    return FLOW_NEXT;
}

struct sink *output_sink(struct shell *shell)
{
    shell->output.put = put_out;
    return &shell->output;
}
