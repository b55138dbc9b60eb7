/*
 * Errors as PowerShell has them: records with a message, a category, an identifier, and the place in the text. Wording
 * is ours.
 */
#ifndef SHELL_FAILURE_H
#define SHELL_FAILURE_H

#include "base/error.h"
#include "shell/shell.h"

enum category {
    NOT_SPECIFIED,
    INVALID_ARGUMENT,
    INVALID_DATA,
    INVALID_OPERATION,
    INVALID_TYPE,
    OBJECT_NOT_FOUND,
    OPERATION_STOPPED,
    OPERATION_TIMEOUT,
    PARSER_ERROR,
    PERMISSION_DENIED,
    RESOURCE_BUSY,
    RESOURCE_EXISTS,
    RESOURCE_UNAVAILABLE,
    NOT_IMPLEMENTED,
    METADATA_ERROR,
};

struct failure {
    enum category category;
    const char *id;        /* "ParameterArgumentValidationError" */
    const char *exception; /* "ParameterBindingException" */
    const char *target;    /* what it was about; NULL: nothing */
    const char *command;   /* NULL: none */
    const char *remedy;    /* what to do; NULL: nothing */
    const struct node *node;
};

/* Makes a record of it, throws it and returns FLOW_THROW: the statement ends. */
enum flow failure_throw(struct shell *shell, const struct failure *failure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct value *failure_record(struct shell *shell, const struct failure *failure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum flow failure_throw_record(struct shell *shell, struct value *record, bool fatal);
/* Prints a record and puts it into $Error; $? is false. */
void failure_report(struct shell *shell, struct value *record);
/* As it is printed: message, place, category, identifier. */
void failure_text(const struct value *record, struct text *to);

/* Fills category, id and exception by what an operation of the manager returned. */
void failure_of_error(const struct error *error, struct failure *failure);

/* Any value that was thrown, as a record. */
struct value *failure_from(struct shell *shell, const struct node *node, struct value *value);

#endif
