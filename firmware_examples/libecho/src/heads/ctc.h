/* CTC to words: the best character of every frame, or a search with a language model. The same
 * rules as echo_edge/heads/ctc.py and echo_edge/heads/beam.py. */
#ifndef EE_ASR_H
#define EE_ASR_H

#include "beam.h"
#include "graph.h"
#include "turns.h"

/* The word being spelled, and how the last frame ended. */
typedef struct {
    char text[EE_WORD_BYTES];
    size_t length;
    int64_t first, last; /* frames */
    double logprobs;     /* sum */
    int n_letters, previous;
} ee_letters;

typedef struct {
    ee_graph graph;
    const ee_token *tokens;
    int n_tokens, n_phones, n_frames; /* frames per chunk */
    double frame_s;
    int64_t frame, silence; /* frames heard; frames of silence that end a word */
    ee_letters letters;
    bool uses_beam; /* with a language model */
    ee_beam beam;
    ee_turns *turns;
    double heard_s;
} ee_asr;

/* Words go to `turns`. `language` may be NULL. */
bool ee_asr_open(ee_asr *asr, const ee_bundle *bundle, const ee_language *language,
                 ee_turns *turns, ee_memory *memory, ee_error *error);

/* One chunk of latents; `heard_s` is the end of the audio, before that of a padded chunk. */
bool ee_asr_push(ee_asr *asr, const float *latents, double heard_s, ee_error *error);

/* The words that are left; nothing ends after `heard_s`. */
void ee_asr_finish(ee_asr *asr, double heard_s);

void ee_asr_close(ee_asr *asr);

#endif
