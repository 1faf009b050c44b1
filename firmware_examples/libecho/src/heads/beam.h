/* CTC prefix beam search with a language model: the likeliest words, not the likeliest phones. The
 * same search as echo_edge/heads/beam.py, over a fixed number of prefixes. After Hannun et al.,
 * "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs"
 * (2014). */
#ifndef EE_BEAM_H
#define EE_BEAM_H

#include "bundle/decoding.h"
#include "heads/prefix_tree.h"

enum { EE_MAX_BEAM_WIDTH = 256 /* prefixes that survive a frame: `beam_width` at most */ };

/* One word: its text, first frame, frame after the last, confidence in [0, 1]. */
typedef struct {
    const char *text;
    int64_t first, end;
    double confidence;
} ee_decoded_word;

typedef struct {
    const ee_decoding *decoding; /* must outlive the search */
    int64_t silence_frames;      /* so many without a phone end a word */
    int64_t max_lag_frames;      /* an older word is final, whatever the beam thinks */
    void *context;
    void (*emit)(void *context, const ee_decoded_word *word); /* gets every word, once */
} ee_beam_options;

typedef struct {
    const ee_language_model *language;
    int root;
    ee_beam_options options;
    int width, commit_frames;
    double likely;           /* log-posterior from which a frame is silent, or its phone lasts */
    int64_t frame, n_silent; /* frames received; frames of silence up to now */
    ee_prefix_tree tree;
    int beam[EE_MAX_BEAM_WIDTH], n_beam; /* the surviving prefixes, best first */
    int *candidates, n_candidates;       /* of this frame, at most as many as nodes */
    double *scores;                      /* of the candidates */
    int *lineage;                        /* the nodes of one prefix, first phone first */
} ee_beam;

/* `language` must outlive it. */
bool ee_beam_open(ee_beam *beam, const ee_language_model *language, ee_beam_options options,
                  ee_memory *memory, ee_error *error);

/* One more frame of log-posteriors [n_phones], in nats. */
void ee_beam_push(ee_beam *beam, const float *logprobs);

/* The frame before which no word that is still to come begins: the earliest first phone of the
 * prefixes. It may become later, never earlier. */
int64_t ee_beam_next_frame(const ee_beam *beam);

/* The words that are left; the search starts anew. */
void ee_beam_finish(ee_beam *beam);

#endif
