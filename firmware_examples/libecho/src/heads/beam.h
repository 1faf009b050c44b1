/* CTC prefix beam search with a language model: the likeliest words, not the likeliest sounds. The
 * same search as echo_edge/heads/beam.py, over a fixed number of spellings. */
#ifndef EE_BEAM_H
#define EE_BEAM_H

#include "spellings.h"

enum { EE_BEAM_WIDTH = 64 /* spellings kept per frame */ };

/* One word: its text, first frame, frame after the last, confidence in [0, 1]. */
typedef struct {
    const char *text;
    int64_t first, end;
    double confidence;
} ee_spelled;

typedef struct {
    double weight;        /* of the language model's log-probabilities beside those of the sounds */
    double word_bonus;    /* nats per word */
    int64_t silence, lag; /* frames: words end after so much silence, are final at that age */
    void *context;
    void (*spelled)(void *context, const ee_spelled *spelled); /* gets every word, once */
} ee_beam_options;

typedef struct {
    const ee_language *language;
    int root;
    ee_beam_options options;
    int64_t frame, silent;
    ee_spellings tree;
    int beam[EE_BEAM_WIDTH], n_beam; /* the spellings kept, best first */
    int *touched, n_touched;         /* this frame's candidates, at most EE_MOST_NODES */
    double *scores;                  /* of the candidates */
    int *chain;                      /* a spelling's nodes, first sound first */
} ee_beam;

/* `language` must outlive it. */
bool ee_beam_open(ee_beam *beam, const ee_language *language, ee_beam_options options,
                  ee_memory *memory, ee_error *error);

/* One more frame of log-posteriors [n_phones]. */
void ee_beam_push(ee_beam *beam, const float *logprobs);

/* The words that are left; the search starts anew. */
void ee_beam_finish(ee_beam *beam);

#endif
