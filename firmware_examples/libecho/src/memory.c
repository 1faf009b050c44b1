#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *ee_take(ee_memory *memory, const char *owner, size_t count, size_t size)
{
    if (memory->count == EE_MAX_BLOCKS) {
        memory->failed = true;
        return NULL;
    }
    void *data = calloc(count ? count : 1, size);
    if (data == NULL) {
        memory->failed = true;
        return NULL;
    }
    memory->blocks[memory->count++] = (ee_block){owner, count * size, data};
    return data;
}

float *ee_take_vectors(ee_memory *memory, const char *owner, size_t count)
{
    /* room to begin later, and to be read past the end */
    const size_t room = 2 * EE_VECTOR_BYTES / sizeof(float);
    char *data = ee_take(memory, owner, count + room, sizeof(float));
    if (data == NULL)
        return NULL;
    memory->blocks[memory->count - 1].bytes = count * sizeof(float);
    return (float *)(data + EE_VECTOR_BYTES - (uintptr_t)data % EE_VECTOR_BYTES);
}

bool ee_memory_holds(const ee_memory *memory, ee_error *error)
{
    if (memory->failed)
        return ee_fail(error, EE_FAILED,
                       "memory: found too little, expected room for all buffers "
                       "(--memory lists them): stop other programs");
    return true;
}

/* Of one owner, NULL for all. */
static size_t bytes_of(const ee_memory *memory, const char *owner)
{
    size_t sum = 0;
    for (int i = 0; i < memory->count; i++)
        if (owner == NULL || strcmp(memory->blocks[i].owner, owner) == 0)
            sum += memory->blocks[i].bytes;
    return sum;
}

static bool has_owner(const ee_memory *memory, int n_blocks, const char *owner)
{
    for (int i = 0; i < n_blocks; i++)
        if (strcmp(memory->blocks[i].owner, owner) == 0)
            return true;
    return false;
}

static void print_line(const ee_memory *first, const ee_memory *second, const char *owner,
                       FILE *out)
{
    fprintf(out, "%-12s %9zu bytes\n", owner ? owner : "total",
            bytes_of(first, owner) + bytes_of(second, owner));
}

void ee_memory_print(const ee_memory *first, const ee_memory *second, FILE *out)
{
    for (int i = 0; i < first->count; i++)
        if (!has_owner(first, i, first->blocks[i].owner))
            print_line(first, second, first->blocks[i].owner, out);
    for (int i = 0; i < second->count; i++)
        if (!has_owner(first, first->count, second->blocks[i].owner) &&
            !has_owner(second, i, second->blocks[i].owner))
            print_line(first, second, second->blocks[i].owner, out);
    print_line(first, second, NULL, out);
}

void ee_memory_free(ee_memory *memory)
{
    while (memory->count > 0)
        free(memory->blocks[--memory->count].data);
}
