/*
 * The matrix of states and requests, restated: one letter per state in the order of enum vm_state.
 */
#include "rules/vm_state.h"

#include "unit/test.h"

#include <string.h>

/* O off, T starting, R running, U pausing, P paused, M resuming, V saving, S saved, X stopping. */
static const char states[] = "OTRUPMVSX";

/* What each state makes of it: the state where it leads, "=": already so, "-": refused. */
static const struct {
    enum vm_request request;
    const char *leads, *through;
} matrix[] = {
    {VM_START, "R-=-R--R-", "T---M--T-"},       {VM_SHUT_DOWN, "=-O----==", "--X------"},
    {VM_TURN_OFF, "=-O-O--OO", "--X-X--SX"},    {VM_SAVE, "--S-S--=-", "--V-V----"},
    {VM_PAUSE, "--P-=----", "--U------"},       {VM_RESUME, "--=-R----", "----M----"},
    {VM_RESTART, "--R------", "--R------"},     {VM_DISCARD_STATE, "=------O-", "-------S-"},
    {VM_CHECKPOINT, "O-R-P--S-", "O-R-P--S-"},  {VM_APPLY_CHECKPOINT, "O-O-O--O-", "O-X-X--S-"},
    {VM_DELETE, "O------S-", "O------S-"},      {VM_RENAME, "O------S-", "O------S-"},
    {VM_EXPORT, "O-R-P--S-", "O-R-P--S-"},      {VM_CLONE, "O--------", "O--------"},
    {VM_CHANGE_OFF, "O--------", "O--------"},  {VM_CHANGE_HOT, "O-R------", "O-R------"},
    {VM_CHANGE_LIVE, "O-R-P--S-", "O-R-P--S-"},
};

static void test_matrix(void)
{
    TEST("each state and each request");
    CHECK_EQ(ARRAY_LEN(matrix), VM_REQUESTS);
    for (unsigned r = 0; r < ARRAY_LEN(matrix); r++) {
        CHECK_EQ(matrix[r].request, r);
        for (unsigned s = 0; s < VM_STATES; s++) {
            struct vm_step step = vm_step((enum vm_state)s, matrix[r].request);
            char leads = step.answer == VM_ALLOWED ? states[step.next] : step.answer == VM_ALREADY ? '=' : '-';
            CHECK_EQ(leads, matrix[r].leads[s]);
            if (step.answer == VM_ALLOWED)
                CHECK_EQ(states[step.through], matrix[r].through[s]);
            else
                CHECK(step.next == s && step.through == s);
        }
    }
}

static void test_names(void)
{
    TEST("names both ways");
    for (unsigned s = 0; s < VM_STATES; s++)
        CHECK_EQ(vm_state_find(vm_state_name((enum vm_state)s)), s);
    CHECK_EQ(vm_state_find("running"), VM_RUNNING);
    CHECK_EQ(vm_state_find("Broken"), VM_STATES);
    CHECK(vm_state_passes(VM_SAVING) && !vm_state_passes(VM_SAVED));
}

static void test_refusals(void)
{
    struct error error;
    TEST("a refusal says what to do first");
    for (unsigned r = 0; r < VM_REQUESTS; r++)
        for (unsigned s = 0; s < VM_STATES; s++) {
            if (vm_step((enum vm_state)s, (enum vm_request)r).answer != VM_REFUSED)
                continue;
            CHECK_EQ(vm_refuse("lab", (enum vm_state)s, (enum vm_request)r, &error), -1);
            CHECK(strstr(error.text, "lab") && strstr(error.text, vm_state_name((enum vm_state)s)));
            CHECK(error.hint[0]);
        }
    (void)vm_refuse("lab", VM_RUNNING, VM_CHANGE_OFF, &error);
    CHECK(strcmp(error.hint, "`nestbox stop lab` first") == 0);
    (void)vm_refuse("lab", VM_PAUSED, VM_RESTART, &error);
    CHECK(strcmp(error.hint, "`nestbox resume lab`") == 0);
}

int main(void)
{
    test_matrix();
    test_names();
    test_refusals();
    return TEST_END();
}
