/* SHA-256 (FIPS 180-4), for the hashes of a bundle's files. */
#ifndef EE_SHA256_H
#define EE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { EE_SHA256_HEX = 64 };

typedef struct {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t block[64];
} ee_sha256;

void ee_sha256_start(ee_sha256 *hash);
void ee_sha256_add(ee_sha256 *hash, const void *data, size_t n_bytes);

/* The digest as 64 lowercase hexadecimal digits and a zero. */
void ee_sha256_finish(ee_sha256 *hash, char hex[EE_SHA256_HEX + 1]);

#endif
