#include "bundle/language_model.h"

#include "bundle/npz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PHONES, PRONUNCIATIONS, WORDS, UNIGRAM, BACKOFF, ROWS, COLUMNS, BIGRAM, ARRAYS };

static const char *const NAMES[ARRAYS] = {"phones.npy",  "sounds.npy", "words.npy",   "unigram.npy",
                                          "backoff.npy", "rows.npy",   "columns.npy", "bigram.npy"};
static const char KINDS[ARRAYS + 1] = "SSSffuuf";

static float from_half(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 0    ? ldexpf((float)fraction, -24)
                 : exponent == 31 ? (fraction ? NAN : INFINITY)
                                  : ldexpf((float)(1024 + fraction), exponent - 25);
    return bits & 0x8000 ? -size : size;
}

/* Floats of 2 or 4 bytes as float32; NULL if there is no memory. */
static const float *take_floats(const ee_array *array, ee_memory *memory)
{
    float *out = ee_take(memory, "language", (size_t)array->count, sizeof *out);
    if (out == NULL || (array->item_bytes != 2 && array->item_bytes != 4))
        return NULL;
    for (int i = 0; i < array->count; i++) {
        uint16_t half;
        if (array->item_bytes == 4) {
            memcpy(&out[i], array->data + 4 * (size_t)i, 4);
        } else {
            memcpy(&half, array->data + 2 * (size_t)i, 2);
            out[i] = from_half(half);
        }
    }
    return out;
}

static const void *take_bytes(const ee_array *array, int item_bytes, ee_memory *memory)
{
    size_t n_bytes = (size_t)array->count * (size_t)array->item_bytes;
    void *out = ee_take(memory, "language", n_bytes, 1);
    if (out == NULL || array->item_bytes != item_bytes)
        return NULL;
    return memcpy(out, array->data, n_bytes);
}

static bool are_finite(const float *values, int count)
{
    for (int i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

/* Whether (pronunciation, word) ascends, each pair once. */
static bool are_sorted(const ee_language_model *l)
{
    for (int i = 1; i < l->n_words; i++) {
        const uint8_t *phones = l->pronunciations + (size_t)i * (size_t)l->pronunciation_bytes;
        const uint8_t *word = l->words + (size_t)i * (size_t)l->word_bytes;
        int order = memcmp(phones - l->pronunciation_bytes, phones, (size_t)l->pronunciation_bytes);
        if (order == 0)
            order = memcmp(word - l->word_bytes, word, (size_t)l->word_bytes);
        if (order >= 0)
            return false;
    }
    return true;
}

/* Whether every word has a pronunciation, of phones with nothing but zeros behind. */
static bool are_known(const ee_language_model *l)
{
    for (int i = 0; i < l->n_words; i++) {
        const uint8_t *phones = l->pronunciations + (size_t)i * (size_t)l->pronunciation_bytes;
        for (int k = 0; k < l->pronunciation_bytes; k++)
            if (phones[k] == EE_SPACE || phones[k] >= l->n_phones || (phones[k] == 0 && k == 0) ||
                (k > 0 && phones[k] != 0 && phones[k - 1] == 0))
                return false;
    }
    return true;
}

/* Whether every index points into its array and every number is finite. */
static bool is_sound(const ee_language_model *l, const ee_array *arrays)
{
    if (!l->pronunciations || !l->words || !l->unigram || !l->backoff || !l->rows || !l->columns ||
        !l->bigram || l->n_words < 1 || l->word_bytes >= EE_WORD_BYTES ||
        arrays[WORDS].count != l->n_words || arrays[UNIGRAM].count != l->n_words ||
        arrays[BACKOFF].count != l->n_words + 1 || arrays[ROWS].count != l->n_words + 2 ||
        arrays[COLUMNS].count != l->n_bigrams || l->rows[0] != 0 ||
        l->rows[l->n_words + 1] != (uint32_t)l->n_bigrams)
        return false;
    for (int i = 0; i <= l->n_words; i++)
        if (l->rows[i] > l->rows[i + 1])
            return false;
    if (!are_sorted(l) || !are_known(l))
        return false;
    for (int i = 0; i < l->n_bigrams; i++)
        if (l->columns[i] >= l->n_words)
            return false;
    return are_finite(l->unigram, l->n_words) && are_finite(l->backoff, l->n_words + 1) &&
           are_finite(l->bigram, l->n_bigrams);
}

static bool take_arrays(ee_language_model *language, const ee_array *arrays, const char *name,
                        ee_memory *memory, ee_error *error)
{
    *language = (ee_language_model){
        .n_phones = arrays[PHONES].count,
        .n_words = arrays[PRONUNCIATIONS].count,
        .pronunciation_bytes = arrays[PRONUNCIATIONS].item_bytes,
        .word_bytes = arrays[WORDS].item_bytes,
        .n_bigrams = arrays[BIGRAM].count,
        .pronunciations =
            take_bytes(&arrays[PRONUNCIATIONS], arrays[PRONUNCIATIONS].item_bytes, memory),
        .words = take_bytes(&arrays[WORDS], arrays[WORDS].item_bytes, memory),
        .unigram = take_floats(&arrays[UNIGRAM], memory),
        .backoff = take_floats(&arrays[BACKOFF], memory),
        .rows = take_bytes(&arrays[ROWS], sizeof *language->rows, memory),
        .columns = take_bytes(&arrays[COLUMNS], sizeof *language->columns, memory),
        .bigram = take_floats(&arrays[BIGRAM], memory),
    };
    if (!ee_memory_holds(memory, error))
        return false;
    if (!is_sound(language, arrays))
        return ee_fail(error, EE_REFUSED,
                       "%s: found arrays that do not fit together, expected a "
                       "language model of up to 65536 words: export it again",
                       name);
    return true;
}

bool ee_language_model_read(ee_language_model *language, const void *data, size_t n_bytes,
                            const char *name, ee_memory *memory, ee_error *error)
{
    ee_array arrays[ARRAYS] = {{0}};
    bool good = true;
    for (int i = 0; i < ARRAYS && good; i++) {
        good = ee_npz_read(&arrays[i], data, n_bytes, NAMES[i], name, error);
        if (good && arrays[i].kind != KINDS[i])
            good = ee_fail(error, EE_REFUSED, "%s: %s: found kind %c, expected %c: export it again",
                           name, NAMES[i], arrays[i].kind, KINDS[i]);
    }
    good = good && take_arrays(language, arrays, name, memory, error);
    for (int i = 0; i < ARRAYS; i++)
        free(arrays[i].data);
    return good;
}

/* The first word from `low` on whose phone at `depth` is at least `phone`. */
static int first_from(const ee_language_model *l, ee_word_range range, int depth, int phone)
{
    while (range.low < range.high) {
        int middle = range.low + (range.high - range.low) / 2;
        if (l->pronunciations[(size_t)middle * (size_t)l->pronunciation_bytes + (size_t)depth] <
            phone)
            range.low = middle + 1;
        else
            range.high = middle;
    }
    return range.low;
}

ee_word_range ee_prefix_range(const ee_language_model *l, ee_word_range range, int depth, int phone)
{
    if (depth >= l->pronunciation_bytes)
        return phone ? (ee_word_range){range.low, range.low} : range;
    return (ee_word_range){first_from(l, range, depth, phone),
                           first_from(l, range, depth, phone + 1)};
}

float ee_prefix_lookahead(const ee_language_model *l, ee_word_range range)
{
    float best = l->unigram[range.low];
    for (int word = range.low + 1; word < range.high; word++)
        best = l->unigram[word] > best ? l->unigram[word] : best;
    return best;
}

double ee_bigram_logprob(const ee_language_model *l, int previous, int word)
{
    int row = previous < 0 ? l->n_words : previous;
    uint32_t low = l->rows[row], high = l->rows[row + 1], end = high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (l->columns[middle] < word)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < end && l->columns[low] == word)
        return l->bigram[low];
    return l->backoff[row] + l->unigram[word];
}
