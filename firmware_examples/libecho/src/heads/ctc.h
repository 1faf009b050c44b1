/* CTC to words: the best character of every frame, or a search with a language model. The same
 * rules as echo_edge/heads/ctc.py and echo_edge/heads/beam.py. */
#ifndef EE_CTC_H
#define EE_CTC_H

#include "graph.h"
#include "heads/beam.h"

/* Greedy decoding: the word begun, and how the last frame ended. */
typedef struct {
    char text[EE_WORD_BYTES];
    size_t length;
    int64_t first, last; /* frames */
    double logprobs;     /* sum over its characters */
    int n_characters;
    int previous; /* token of the last frame */
} ee_greedy_word;

typedef struct {
    ee_graph graph;
    const ee_token *tokens;
    int n_tokens, n_phones;
    int n_frames; /* per chunk */
    double frame_s;
    int64_t frame;          /* frames received */
    int64_t silence_frames; /* so many without a character end a word */
    ee_greedy_word word;
    bool uses_beam; /* with a language model */
    ee_beam beam;
    double received_s;
    void *context;
    void (*emit)(void *context, const ee_word *word); /* gets every word, once, without a speaker */
} ee_ctc;

/* Words go to `emit`. `language`, which must outlive `ctc`, may be NULL: then greedy decoding. */
bool ee_ctc_open(ee_ctc *ctc, const ee_bundle *bundle, const ee_language_model *language,
                 void (*emit)(void *context, const ee_word *word), void *context, ee_memory *memory,
                 ee_error *error);

/* One chunk of latents [chunk_steps, width]; `received_s` is the end of the audio, which is before
 * the end of a padded chunk. */
bool ee_ctc_push(ee_ctc *ctc, const float *latents, double received_s, ee_error *error);

/* The time before which no word that is still to come begins. */
double ee_ctc_next_s(const ee_ctc *ctc);

/* End of the frames so far, `ee_ctc_next_s` where no word is begun. */
double ee_ctc_heard_s(const ee_ctc *ctc);

/* Log-posteriors of the characters of the last chunk [n_frames, n_tokens]. */
const float *ee_ctc_logprobs(const ee_ctc *ctc);

/* The words that are left; nothing ends after `received_s`. */
void ee_ctc_finish(ee_ctc *ctc, double received_s);

void ee_ctc_close(ee_ctc *ctc);

#endif
