/* All buffers of a session or stream: taken when it is opened, under the name of their owner,
 * freed when it is closed. Nothing is taken while audio flows, so what `ee_memory_print` says
 * holds for days. */
#ifndef EE_MEMORY_H
#define EE_MEMORY_H

#include "echo_edge.h"

#define EE_NO_MEMORY "memory: found too little: stop other programs"

enum {
    EE_MAX_BLOCKS = 512,
    EE_VECTOR_BYTES = 64, /* of the widest registers; LiteRT wants its buffers aligned to them */
};

typedef struct {
    const char *owner; /* a literal */
    size_t bytes;
    void *data;
} ee_block;

typedef struct {
    ee_block blocks[EE_MAX_BLOCKS];
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

/* One line per owner, in bytes, in order of first use, and the sum, over two accounts. */
void ee_memory_print(const ee_memory *first, const ee_memory *second, FILE *out);

void ee_memory_free(ee_memory *memory);

#endif
