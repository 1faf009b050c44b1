/* Words in two passes: CTC while people speak, an attention decoder when a stretch of speech ends.
 * The same rules as echo_edge/heads/second_pass.py. */
#ifndef EE_SECOND_PASS_H
#define EE_SECOND_PASS_H

#include "heads/ctc.h"
#include "heads/dating.h"
#include "heads/diarization.h"

typedef struct {
    const ee_ctc *first;
    const ee_diarization *diarization;
    ee_text_decoder decoder;
    ee_dating dating;
    double step_s;
    float min_speech;                     /* posterior of a step that somebody speaks at */
    int64_t pause, lead, tail, max_steps; /* steps */
    int per_step, n_tokens;               /* frames of a step; characters of a frame */
    float *latents, *logprobs;            /* [capacity, width], [capacity * per_step, n_tokens] */
    bool *active;                         /* [capacity]: whether somebody speaks at a step */
    bool *spoken;                         /* [capacity + 1]: the same, and where words are */
    int capacity, n_rows, n_known;        /* steps: of memory, in it, of which `active` is known */
    int64_t origin;                       /* step of the first row */
    ee_word *words;                       /* of the first pass, not yet read again */
    int n_words, max_words;
    double end_s; /* of the last word given out */
    void *context;
    void (*emit)(void *context, const ee_word *word); /* gets every word, once, without a speaker */
} ee_second_pass;

/* Words go to `emit`. `first`, whose words go to `ee_second_pass_add_word`, and `diarization` are
 * open and outlive it. */
bool ee_second_pass_open(ee_second_pass *pass, const ee_bundle *bundle, const ee_ctc *first,
                         const ee_diarization *diarization,
                         void (*emit)(void *context, const ee_word *word), void *context,
                         ee_memory *memory, ee_error *error);

/* A word of the first pass. `pass` is an ee_second_pass. */
void ee_second_pass_add_word(void *pass, const ee_word *word);

/* One chunk of latents [chunk_steps, width], after the diarization and the first pass took it. */
bool ee_second_pass_push(ee_second_pass *pass, const float *latents, ee_error *error);

/* The words that are left, after the diarization and the first pass finished. */
bool ee_second_pass_finish(ee_second_pass *pass, ee_error *error);

void ee_second_pass_close(ee_second_pass *pass);

#endif
