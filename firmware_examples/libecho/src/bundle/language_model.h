/* A small n-gram language model: pronunciations and which word follows which. The same file and
 * rules as echo_edge/bundle/language_model.py. Log-probabilities in nats. */
#ifndef EE_LANGUAGE_MODEL_H
#define EE_LANGUAGE_MODEL_H

#include "memory.h"

#include <stdint.h>

enum {
    EE_START = -1, /* the word before the first one */
    EE_BLANK = 0,
    EE_SPACE = 1, /* of the phones: nothing new, and the end of a word */
};

typedef struct {
    int n_phones, n_words, pronunciation_bytes, word_bytes, n_bigrams;
    /* [n_words, pronunciation_bytes], a byte per phone, sorted, zeros behind */
    const uint8_t *pronunciations;
    const uint8_t *words;    /* [n_words, word_bytes], how they are written, zeros behind */
    const float *unigram;    /* [n_words] */
    const float *backoff;    /* [n_words + 1] */
    const uint32_t *rows;    /* [n_words + 2]; the last row is that of the start */
    const uint16_t *columns; /* [n_bigrams], ascending within a row */
    const float *bigram;     /* [n_bigrams] */
} ee_language_model;

/* Words `low` to `high` (exclusive), whose pronunciations begin alike. */
typedef struct {
    int low, high;
} ee_word_range;

/* Out of the bytes of a .npz file, called `name` in errors. Code EE_REFUSED if it is not one. */
bool ee_language_model_read(ee_language_model *language, const void *data, size_t n_bytes,
                            const char *name, ee_memory *memory, ee_error *error);

/* Of words whose first `depth` phones are the same, those that go on with `phone` (EE_BLANK: those
 * that end there). */
ee_word_range ee_prefix_range(const ee_language_model *language, ee_word_range range, int depth,
                              int phone);

/* Look-ahead: log-probability of the most frequent of these words; there is at least one. */
float ee_prefix_lookahead(const ee_language_model *language, ee_word_range range);

/* Log-probability of `word` after `previous` (an index, or EE_START). */
double ee_bigram_logprob(const ee_language_model *language, int previous, int word);

#endif
