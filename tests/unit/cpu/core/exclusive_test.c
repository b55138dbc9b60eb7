/*
 * The exclusive section: who is parked, who waits for whom, and that three vCPUs which want it all the time get it one
 * at a time while the others are out of translated code.
 */
#include <pthread.h>
#include <string.h>

#include "cpu/core/exclusive.h"
#include "unit/test.h"

#define CPUS 3
#define ROUNDS 20000

static struct vm vm;
static struct vcpu vcpu[CPUS];
static u32 sections, intruders; /* changed within the section only */
static u32 in_code[CPUS];       /* [a] */
static pthread_barrier_t start;

static void create(void)
{
    memset(vcpu, 0, sizeof(vcpu));
    vm = (struct vm){.vcpu_count = CPUS};
    for (u32 i = 0; i < CPUS; i++) {
        vcpu[i].vm = &vm;
        vcpu[i].index = i;
        vm.vcpu[i] = &vcpu[i];
    }
}

static void alone(void)
{
    TEST("nobody else runs");
    create();
    run_begin(&vcpu[1]);
    CHECK(!exclusive_begin(&vcpu[1]));
    CHECK_EQ(vm.exclusive, 2);
    CHECK(vcpu[0].request == REQ_EXCLUSIVE && vcpu[2].request == REQ_EXCLUSIVE && !vcpu[1].request);
    CHECK(vcpu[1].running);

    TEST("its owner may leave translated code and come back");
    run_end(&vcpu[1]);
    run_begin(&vcpu[1]);
    CHECK(vcpu[1].running);
    exclusive_end(&vcpu[1]);
    CHECK_EQ(vm.exclusive, 0);

    TEST("parking takes the request away and goes on when there is no owner");
    vcpu[0].request = REQ_EXCLUSIVE | REQ_EVENT;
    run_begin(&vcpu[0]);
    park(&vcpu[0]);
    CHECK(vcpu[0].running && vcpu[0].request == REQ_EVENT);
}

static void translated_code(u32 cpu)
{
    __atomic_store_n(&in_code[cpu], 1, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < 20; i++)
        __builtin_ia32_pause();
    __atomic_store_n(&in_code[cpu], 0, __ATOMIC_SEQ_CST);
}

static void *turns(void *arg)
{
    struct vcpu *v = arg;
    pthread_barrier_wait(&start);
    run_begin(v);
    for (u32 i = 0; i < ROUNDS; i++) {
        translated_code(v->index);
        if (__atomic_load_n(&v->request, __ATOMIC_SEQ_CST) & REQ_EXCLUSIVE)
            park(v);
        if (i % 4)
            continue;
        exclusive_begin(v);
        sections++;
        for (u32 k = 0; k < CPUS; k++)
            intruders += __atomic_load_n(&in_code[k], __ATOMIC_SEQ_CST);
        intruders += vm.exclusive != v->index + 1;
        exclusive_end(v);
    }
    run_end(v);
    return NULL;
}

static void contended(void)
{
    TEST("one at a time, nobody else in translated code");
    pthread_t thread[CPUS];
    create();
    pthread_barrier_init(&start, NULL, CPUS);
    for (u32 i = 0; i < CPUS; i++)
        pthread_create(&thread[i], NULL, turns, &vcpu[i]);
    for (u32 i = 0; i < CPUS; i++)
        pthread_join(thread[i], NULL);
    CHECK_EQ(sections, CPUS * (ROUNDS / 4));
    CHECK_EQ(intruders, 0);
    CHECK_EQ(vm.exclusive, 0);
}

int main(void)
{
    alone();
    contended();
    return TEST_END();
}
