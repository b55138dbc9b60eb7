/*
 * A program that is built with sanitizers, for strange.h: threads, memory, exceptions of the undefined. Without an
 * argument it does nothing wrong; with one it does what its sanitizer reports by the exit status 23.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t sum, raced;

static void *work(void *opaque)
{
    uint64_t mine = (uintptr_t)opaque;
    for (unsigned i = 0; i < 60; i++) {
        uint8_t *p = malloc(16 + i * 7);
        memset(p, (int)i, 16 + i * 7);
        for (unsigned k = 0; k < 16 + i * 7; k++)
            mine = mine * 31 + p[k];
        p = realloc(p, 5000 + i);
        mine += p[15];
        free(p);
        pthread_mutex_lock(&lock);
        sum += mine;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void *race(void *opaque)
{
    for (unsigned i = 0; i < 1000; i++)
        raced++;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t t[4];
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, work, (void *)i);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    if (argc == 1) {
        printf("%#lx\n", (unsigned long)sum);
        return sum != 0xebea60cbb804b320;
    }
#ifdef __SANITIZE_THREAD__
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, race, NULL);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
#else
    volatile char *volatile p = malloc((size_t)argc * 10);
    free((void *)p);
    race(NULL);
    p[3] = 1;
#endif
    return 0;
}
