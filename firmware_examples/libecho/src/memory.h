/* All memory of a program: taken at the start, under the name of who uses it, freed at the end.
 * Nothing is taken while audio flows, so what `ee_print_memory` says holds for days. */
#ifndef EE_MEMORY_H
#define EE_MEMORY_H

#include "error.h"

#include <stddef.h>
#include <stdio.h>

enum {
    EE_MOST_BLOCKS = 256,
    EE_VECTOR_BYTES = 64, /* of the widest registers; LiteRT wants its buffers aligned to them */
};

typedef struct {
    const char *owner; /* a literal */
    size_t bytes;
    void *data;
} ee_block;

typedef struct {
    ee_block blocks[EE_MOST_BLOCKS];
    int count;
    bool failed;
} ee_memory;

/* `count` zeroed elements of `size` bytes; NULL if there are none, which is remembered: take all
 * that is needed, then ask `ee_memory_holds` once, then use it. */
void *ee_take(ee_memory *memory, const char *owner, size_t count, size_t size);

/* The same for `count` floats that an engine computes with: they begin at a multiple of
 * EE_VECTOR_BYTES, and as many bytes after them may be read; neither room is in the account. */
float *ee_take_vectors(ee_memory *memory, const char *owner, size_t count);

/* False, with an error, if any of what was taken could not be had. */
bool ee_memory_holds(const ee_memory *memory, ee_error *error);

/* One line per owner, in bytes, in order of first use, and the sum. */
void ee_print_memory(const ee_memory *memory, FILE *out);

void ee_memory_free(ee_memory *memory);

#endif
