/*
 * Which hosts the engine refuses, and what it says of them.
 */
#include "accel/hostcpu.h"

#include "unit/test.h"

#include <string.h>

/* This host, as if it had what the engine needs. */
static struct hostcpu suitable(void)
{
    struct hostcpu cpu;
    hostcpu_read(&cpu);
    cpu.bmi2 = cpu.fsgsbase = true;
    return cpu;
}

int main(void)
{
    struct error error;
    struct hostcpu cpu = suitable();
    TEST("a host for the engine");
    CHECK(hostcpu_suits_engine(&cpu, &error));

    TEST("a host without BMI2");
    cpu.bmi2 = false;
    CHECK(!hostcpu_suits_engine(&cpu, &error));
    CHECK(strstr(error.text, "BMI2"));

    TEST("a host without FSGSBASE");
    cpu = suitable();
    cpu.fsgsbase = false;
    CHECK(!hostcpu_suits_engine(&cpu, &error));
    CHECK(strstr(error.text, "FSGSBASE"));
    return TEST_END();
}
