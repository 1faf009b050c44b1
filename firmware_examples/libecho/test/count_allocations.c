/* Linked in for a test (-Wl,--wrap=malloc and the like): counts this program's allocations, its
 * libraries' included, the engine's excluded, and prints the count on stderr at the end. */
#include <stddef.h>
#include <stdio.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *data, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *data, size_t size);

static long n_allocations;

void *__wrap_malloc(size_t size)
{
    n_allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    n_allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *data, size_t size)
{
    n_allocations++;
    return __real_realloc(data, size);
}

__attribute__((destructor)) static void print_count(void)
{
    fprintf(stderr, "allocations: %ld\n", n_allocations);
}
