/* One-dimensional arrays out of a .npz file, as numpy writes it: a zip of .npy files. */
#ifndef EE_NPZ_H
#define EE_NPZ_H

#include "memory.h"

#include <stdint.h>

typedef struct {
    char kind;      /* 'f', 'u' or 'S', little-endian */
    int item_bytes; /* size of an element */
    int count;
    uint8_t *data; /* to be freed by the caller */
} ee_array;

/* Reads the member `name` of the file `data`. False, with code EE_REFUSED and `file` in the error,
 * unless it is there, whole, and a row of floats, unsigned integers or bytes. */
bool ee_npz_read(ee_array *array, const uint8_t *data, size_t n_bytes, const char *name,
                 const char *file, ee_error *error);

#endif
