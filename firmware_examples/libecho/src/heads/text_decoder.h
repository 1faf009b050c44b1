/* Second pass of words: an attention decoder reads the latents of a stretch of speech, token by
 * token. The same rules as echo_edge/heads/text_decoder.py. */
#ifndef EE_TEXT_DECODER_H
#define EE_TEXT_DECODER_H

#include "graph.h"

/* A word as written; its confidence is the geometric mean of its tokens' posteriors. */
typedef struct {
    char text[EE_WORD_BYTES];
    double logprobs; /* sum over its tokens */
    int n_tokens;
    double confidence; /* 0 to 1 */
} ee_text_word;

typedef struct {
    ee_graph maker, reader; /* asr_memory: latents to keys and values; asr_decoder reads those */
    const ee_second_pass_spec *spec;
    const char **subwords;
    int n_subwords;
    int max_steps;       /* that can be read at once */
    int max_tokens;      /* of a text, its prompt included */
    int chunk_steps;     /* of one call of `maker` */
    int width;           /* latents per step */
    ee_text_word *words; /* [max_tokens]: the text that was read last */
    int n_words;         /* 0 for no text */
} ee_text_decoder;

bool ee_text_decoder_open(ee_text_decoder *decoder, const ee_bundle *bundle, ee_memory *memory,
                          ee_error *error);

/* Reads latents [n_steps, width], `max_steps` at most, the likeliest token after the other, and
 * leaves the text in `words`: none if it has no end, or a word that is too long to be one. */
bool ee_text_decoder_read(ee_text_decoder *decoder, const float *latents, int n_steps,
                          ee_error *error);

void ee_text_decoder_close(ee_text_decoder *decoder);

#endif
