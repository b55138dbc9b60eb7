/*
 * /proc/cpuinfo with a flag added.
 */
#include "kvmapi/cpuinfo.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit/test.h"

/* What becomes of the text with the flag svm. */
static const char *with_svm(const char *text)
{
    static char got[512];
    int fd = memfd_create("test", 0);
    CHECK_EQ(cpuinfo_write(fd, text, strlen(text), "svm"), 0);
    ssize_t n = pread(fd, got, sizeof(got) - 1, 0);
    CHECK(n >= 0);
    got[n > 0 ? n : 0] = 0;
    close(fd);
    return got;
}
#define CHECK_TEXT(text, want) CHECK(strcmp(with_svm(text), want) == 0)

int main(void)
{
    TEST("lines of flags get the word, others stay");
    CHECK_TEXT("processor\t: 0\nflags\t\t: fpu vme\nbugs\t\t:\n\nflags\t\t: fpu\n",
               "processor\t: 0\nflags\t\t: fpu vme svm\nbugs\t\t:\n\nflags\t\t: fpu svm\n");
    CHECK_TEXT("vmx flags\t: ept\n", "vmx flags\t: ept\n");

    TEST("the word is added only where it is missing");
    CHECK_TEXT("flags\t: fpu svm vme\n", "flags\t: fpu svm vme\n");
    CHECK_TEXT("flags\t: svm\n", "flags\t: svm\n");
    CHECK_TEXT("flags\t: fpu svm_lock xsvm\n", "flags\t: fpu svm_lock xsvm svm\n");

    TEST("the last line may have no end");
    CHECK_TEXT("flags\t: fpu", "flags\t: fpu svm");
    CHECK_TEXT("", "");
    return TEST_END();
}
