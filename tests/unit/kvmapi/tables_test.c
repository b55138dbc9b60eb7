/*
 * The tables of ioctls and capabilities: each number once, each row whole, and docs/kvm-api.md says the same.
 */
#include "kvmapi/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/test.h"

static char *page;        /* docs/kvm-api.md */
static const char *never; /* what follows "## Not offered" */

static bool page_read(void)
{
    FILE *f = fopen("docs/kvm-api.md", "r");
    if (!f)
        return false;
    page = calloc(1, 1 << 20);
    bool ok = page && fread(page, 1, (1 << 20) - 1, f) > 0;
    fclose(f);
    never = ok ? strstr(page, "## Not offered") : NULL;
    return never;
}

/* Returns where the page names it first. */
static const char *named(const char *name)
{
    char text[128];
    snprintf(text, sizeof(text), "`%s`", name);
    return strstr(page, text);
}

static bool offered_on_page(const char *name)
{
    const char *at = named(name);
    bool ok = at && at < never;
    if (!ok)
        printf("# %s is not among the offered ones of docs/kvm-api.md\n", name);
    return ok;
}

static bool ioctl_known(const char *name)
{
    for (const struct api_part *const *p = api_parts; *p; p++)
        for (const struct api_ioctl *r = (*p)->ioctls; r && r->name; r++)
            if (!strcmp(r->name, name))
                return true;
    return false;
}

static bool cap_known(const char *name)
{
    for (const struct api_part *const *p = api_parts; *p; p++)
        for (const struct api_cap *c = (*p)->caps; c && c->name; c++)
            if (!strcmp(c->name, name))
                return true;
    return false;
}

/* Returns how many rows there are for the request on that kind of object. */
static unsigned rows(const struct api_ioctl *row)
{
    unsigned n = 0;
    for (const struct api_part *const *p = api_parts; *p; p++)
        for (const struct api_ioctl *r = (*p)->ioctls; r && r->name; r++)
            n += r->request == row->request && !r->system == !row->system && !r->vm == !row->vm;
    return n;
}

static unsigned caps(u32 number)
{
    unsigned n = 0;
    for (const struct api_part *const *p = api_parts; *p; p++)
        for (const struct api_cap *c = (*p)->caps; c && c->name; c++)
            n += c->number == number;
    return n;
}

int main(void)
{
    TEST("the page is there");
    CHECK(page_read());
    if (!never)
        return TEST_END();

    TEST("rows of ioctls");
    for (const struct api_part *const *p = api_parts; *p; p++)
        for (const struct api_ioctl *r = (*p)->ioctls; r && r->name; r++) {
            CHECK_EQ((r->system != NULL) + (r->vm != NULL) + (r->vcpu != NULL), 1);
            CHECK_EQ(rows(r), 1);
            CHECK(offered_on_page(r->name));
        }

    TEST("rows of capabilities");
    for (const struct api_part *const *p = api_parts; *p; p++)
        for (const struct api_cap *c = (*p)->caps; c && c->name; c++) {
            CHECK_EQ(caps(c->number), 1);
            CHECK(api_cap_find(c->number) == c);
            CHECK(offered_on_page(c->name));
        }

    TEST("what the page does not offer is not there");
    for (char *at = strstr(page, "KVM_"); at; at = strstr(at + strlen("KVM_"), "KVM_")) {
        char name[128] = "";
        sscanf(at, "%127[A-Z0-9_]", name);
        bool offered = ioctl_known(name) || cap_known(name), wrong = at > never ? offered : at[-1] == '`' && !offered;
        if (strstr(name, "_EXIT_") || strstr(name, "KVM_MEM_"))
            continue;
        if (wrong)
            printf("# %s is at the wrong place of docs/kvm-api.md\n", name);
        CHECK(!wrong);
    }
    free(page);
    return TEST_END();
}
