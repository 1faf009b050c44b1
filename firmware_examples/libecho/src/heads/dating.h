/* When the words of a second text were said, and whether it is to be taken: the first pass's
 * posteriors tell. The same rules as `SecondPass._dated` of echo_edge/heads/second_pass.py. */
#ifndef EE_DATING_H
#define EE_DATING_H

#include "heads/alignment.h"
#include "heads/text_decoder.h"

/* A text, character by character: a word, a space, a word. */
typedef struct {
    int *tokens; /* [max_frames + 1]: a text that has more does not fit into its frames */
    int n;
} ee_spelling;

typedef struct {
    ee_alignment alignment;
    const ee_token *tokens; /* characters, which the posteriors are of */
    int n_tokens, space;
    double max_loss; /* nats per character that a second text may be less likely */
    ee_spelling own, again;
    int *lengths;       /* of the words of `again`, in characters */
    int *firsts, *ends; /* frames: the first of each word, and the one after its last */
} ee_dating;

/* For texts of up to `max_words` in up to `max_frames`. */
void ee_dating_open(ee_dating *dating, const ee_bundle *bundle, int max_frames, int max_words,
                    ee_memory *memory);

/* Whether `n_words` that were read are, by log-posteriors [n_frames, n_tokens], about as likely as
 * the `n_own` words of the first pass. Then `firsts` and `ends` say when they were. */
bool ee_date(ee_dating *dating, const ee_text_word *words, int n_words, const ee_word *own,
             int n_own, const float *logprobs, int n_frames);

#endif
