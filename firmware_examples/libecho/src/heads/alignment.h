/* CTC forced alignment: at which frames each character of a known text was said, and how likely the
 * text is. The same trellis as echo_edge/heads/alignment.py. */
#ifndef EE_ALIGNMENT_H
#define EE_ALIGNMENT_H

#include "memory.h"

#include <stdint.h>

/* First and last frame of a character. */
typedef struct {
    int first, last;
} ee_character_span;

typedef struct {
    int n_outputs;            /* log-posteriors per frame */
    int max_frames;           /* that can be aligned at once */
    double *score;            /* of each state: characters with a blank before, between and after */
    uint8_t *moves;           /* [frames, states]: how many states the best path came up */
    double logprob;           /* of the best path of the last text that fitted, in nats ... */
    ee_character_span *spans; /* ... and where its characters are */
} ee_alignment;

void ee_alignment_open(ee_alignment *alignment, int n_outputs, int max_frames, ee_memory *memory);

/* Aligns `n_tokens` to log-posteriors [n_frames, n_outputs]; false where the text does not fit. */
bool ee_align(ee_alignment *alignment, const float *logprobs, int n_frames, const int *tokens,
              int n_tokens);

#endif
