#include "bundle/npz.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Layout of the two records that matter; fields are little-endian and not aligned. */
enum { END_BYTES = 22, ENTRY_BYTES = 46, LOCAL_BYTES = 30, MAX_MEMBER_BYTES = 64 << 20 };

static uint32_t number(const uint8_t *at, int n_bytes)
{
    uint32_t value = 0;
    for (int i = n_bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* The member's record in the central directory; NULL if there is none. */
static const uint8_t *find_entry(const uint8_t *data, size_t n_bytes, const char *name)
{
    if (n_bytes < END_BYTES || memcmp(data + n_bytes - END_BYTES, "PK\5\6", 4) != 0)
        return NULL;
    const uint8_t *end = data + n_bytes - END_BYTES;
    uint32_t count = number(end + 10, 2), at = number(end + 16, 4);
    for (uint32_t i = 0; i < count; i++) {
        if (at > n_bytes - END_BYTES || n_bytes - END_BYTES - at < ENTRY_BYTES)
            return NULL;
        const uint8_t *entry = data + at;
        uint32_t name_bytes = number(entry + 28, 2);
        uint32_t rest = number(entry + 30, 2) + number(entry + 32, 2);
        if (memcmp(entry, "PK\1\2", 4) != 0 || at + ENTRY_BYTES + name_bytes > n_bytes)
            return NULL;
        if (name_bytes == strlen(name) && memcmp(entry + ENTRY_BYTES, name, name_bytes) == 0)
            return entry;
        at += ENTRY_BYTES + name_bytes + rest;
    }
    return NULL;
}

/* Unpacks `packed` into exactly `size` bytes at `out`. */
static bool inflate_all(const uint8_t *packed, uint32_t n_packed, uint8_t *out, uint32_t size)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)packed,
                       .avail_in = n_packed,
                       .next_out = out,
                       .avail_out = size};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return false;
    bool whole = inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out == size;
    inflateEnd(&stream);
    return whole;
}

/* The member's bytes, to be freed by the caller; NULL if it is damaged. */
static uint8_t *unpack(const uint8_t *data, size_t n_bytes, const uint8_t *entry, uint32_t *size)
{
    uint32_t method = number(entry + 10, 2), packed = number(entry + 20, 4);
    uint32_t at = number(entry + 42, 4);
    *size = number(entry + 24, 4);
    if (*size > MAX_MEMBER_BYTES || at > n_bytes || n_bytes - at < LOCAL_BYTES)
        return NULL;
    size_t start = (size_t)at + LOCAL_BYTES + number(data + at + 26, 2) + number(data + at + 28, 2);
    if (start > n_bytes || n_bytes - start < packed || (method != 0 && method != Z_DEFLATED))
        return NULL;
    uint8_t *out = malloc(*size ? *size : 1);
    if (out == NULL)
        return NULL;
    bool good = method == Z_DEFLATED ? inflate_all(data + start, packed, out, *size)
                                     : packed == *size && memcpy(out, data + start, packed);
    if (good && crc32(0, out, *size) == number(entry + 16, 4))
        return out;
    free(out);
    return NULL;
}

/* The header of version 1.0 of a row; false if it says anything else. */
static bool read_header(ee_array *array, const uint8_t *npy, uint32_t size, uint32_t *start)
{
    char text[256], order;
    if (size < 10 || memcmp(npy, "\x93NUMPY\1\0", 8) != 0)
        return false;
    uint32_t length = number(npy + 8, 2);
    *start = 10 + length;
    if (length >= sizeof text || *start > size)
        return false;
    memcpy(text, npy + 10, length);
    text[length] = 0;
    if (sscanf(text, "{'descr': '%c%c%4d', 'fortran_order': False, 'shape': (%9d,), }", &order,
               &array->kind, &array->item_bytes, &array->count) != 4)
        return false;
    bool is_known = (order == '<' || order == '|') && strchr("fuS", array->kind) != NULL;
    return is_known && array->item_bytes > 0 && array->count >= 0 &&
           (uint64_t)array->count * (uint64_t)array->item_bytes == size - *start;
}

bool ee_npz_read(ee_array *array, const uint8_t *data, size_t n_bytes, const char *name,
                 const char *file, ee_error *error)
{
    uint32_t size, start;
    const uint8_t *entry = find_entry(data, n_bytes, name);
    uint8_t *npy = entry ? unpack(data, n_bytes, entry, &size) : NULL;
    if (npy == NULL || !read_header(array, npy, size, &start)) {
        free(npy);
        return ee_fail(error, EE_REFUSED,
                       "%s: %s: found no such row of numbers, expected a "
                       "language model: copy or export the bundle again",
                       file, name);
    }
    memmove(npy, npy + start, size - start);
    array->data = npy;
    return true;
}
