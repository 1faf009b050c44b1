#include "bundle/sha256.h"

#include <stdio.h>
#include <string.h>

static const uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t word, int by)
{
    return word >> by | word << (32 - by);
}

static void take_block(ee_sha256 *hash, const uint8_t *block)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) +
               (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
    }
    memcpy(s, hash->state, sizeof s);
    for (int i = 0; i < 64; i++) {
        /* Instead of moving the eight words by one place, the places move. */
        uint32_t *a = &s[(64 - i) & 7], b = s[(65 - i) & 7], c = s[(66 - i) & 7];
        uint32_t *d = &s[(67 - i) & 7], e = s[(68 - i) & 7], f = s[(69 - i) & 7];
        uint32_t g = s[(70 - i) & 7], *h = &s[(71 - i) & 7];
        uint32_t choice = (e & f) ^ (~e & g), majority = (*a & b) ^ (*a & c) ^ (b & c);
        uint32_t one =
            *h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + choice + ROUND[i] + w[i];
        *d += one;
        *h = one + (rotated(*a, 2) ^ rotated(*a, 13) ^ rotated(*a, 22)) + majority;
    }
    for (int i = 0; i < 8; i++)
        hash->state[i] += s[i];
}

void ee_sha256_start(ee_sha256 *hash)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(hash->state, start, sizeof start);
    hash->n_bytes = 0;
}

void ee_sha256_add(ee_sha256 *hash, const void *data, size_t n_bytes)
{
    const uint8_t *bytes = data;
    while (n_bytes > 0) {
        size_t held = hash->n_bytes % 64;
        size_t taken = n_bytes < 64 - held ? n_bytes : 64 - held;
        memcpy(hash->block + held, bytes, taken);
        hash->n_bytes += taken;
        bytes += taken;
        n_bytes -= taken;
        if (held + taken == 64)
            take_block(hash, hash->block);
    }
}

void ee_sha256_finish(ee_sha256 *hash, char hex[EE_SHA256_HEX + 1])
{
    uint64_t n_bits = 8 * hash->n_bytes;
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(n_bits >> (56 - 8 * i));
    ee_sha256_add(hash, "\x80", 1);
    while (hash->n_bytes % 64 != 56)
        ee_sha256_add(hash, "", 1);
    ee_sha256_add(hash, length, sizeof length);
    for (int i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08x", hash->state[i]);
}
