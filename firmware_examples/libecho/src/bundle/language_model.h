/* A small n-gram language model: how words sound and which follows which. The same file and rules
 * as echo_edge/bundle/language_model.py. Log-probabilities in nats. */
#ifndef EE_LANGUAGE_H
#define EE_LANGUAGE_H

#include "memory.h"

#include <stdint.h>

enum {
    EE_START = -1,                /* the word before the first one */
    EE_BLANK = 0, EE_SPACE = 1,   /* of the phones: nothing new, and the end of a word */
};

typedef struct {
    int n_phones, n_words, sound_bytes, word_bytes, n_bigrams;
    const uint8_t *sounds;   /* [n_words, sound_bytes], a byte per phone, sorted, zeros behind */
    const uint8_t *words;    /* [n_words, word_bytes], how they are written, zeros behind */
    const float *unigram;    /* [n_words] */
    const float *backoff;    /* [n_words + 1] */
    const uint32_t *rows;    /* [n_words + 2]; the last row is that of the start */
    const uint16_t *columns; /* [n_bigrams], ascending within a row */
    const float *bigram;     /* [n_bigrams] */
} ee_language;

/* Words `low` to `high` (exclusive) that begin alike by sound. */
typedef struct {
    int low, high;
} ee_range;

/* Out of the bytes of a .npz file, called `name` in errors. Code EE_REFUSED if it is not one. */
bool ee_language_read(ee_language *language, const void *data, size_t n_bytes, const char *name,
                      ee_memory *memory, ee_error *error);

/* Of words alike in their first `depth` phones, those that go on with `phone` (EE_BLANK: those that
 * end there). */
ee_range ee_language_narrow(const ee_language *language, ee_range range, int depth, int phone);

/* Log-probability of the most frequent of these words, of which there is at least one. */
float ee_language_likeliest(const ee_language *language, ee_range range);

/* Log-probability of `word` after `previous` (an index, or EE_START). */
double ee_language_score(const ee_language *language, int previous, int word);

#endif
