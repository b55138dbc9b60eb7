/*
 * The keys of the console that are not for the guest.
 */
#include "vmproc/escape.h"

#include "unit/test.h"

static enum escape_action after_escape(u8 byte)
{
    struct escape e = {false};
    CHECK_EQ(escape_feed(&e, ESCAPE_KEY), ESCAPE_NONE);
    enum escape_action action = escape_feed(&e, byte);
    CHECK_EQ(escape_feed(&e, 'x'), ESCAPE_PASS);
    return action;
}

int main(void)
{
    struct escape e = {false};
    TEST("keys are the guest's");
    CHECK_EQ(escape_feed(&e, 'x'), ESCAPE_PASS);
    CHECK_EQ(escape_feed(&e, 3), ESCAPE_PASS);

    TEST("after Ctrl-a one key is ours");
    CHECK_EQ(after_escape('x'), ESCAPE_QUIT);
    CHECK_EQ(after_escape('X'), ESCAPE_QUIT);
    CHECK_EQ(after_escape('h'), ESCAPE_HELP);
    CHECK_EQ(after_escape('?'), ESCAPE_HELP);
    CHECK_EQ(after_escape('p'), ESCAPE_POWER);
    CHECK_EQ(after_escape('P'), ESCAPE_POWER);
    CHECK_EQ(after_escape('r'), ESCAPE_RESET);
    CHECK_EQ(after_escape('b'), ESCAPE_BREAK);
    CHECK_EQ(after_escape('n'), ESCAPE_NMI);
    CHECK_EQ(after_escape('z'), ESCAPE_STOP);
    CHECK_EQ(after_escape('j'), ESCAPE_NONE);
    CHECK_EQ(after_escape('!'), ESCAPE_NONE); /* Ctrl-a with another bit */

    TEST("Ctrl-a twice is one for the guest");
    CHECK_EQ(after_escape(ESCAPE_KEY), ESCAPE_PASS);
    return TEST_END();
}
