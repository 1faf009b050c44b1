/* Who is active when: overlapping windows of local speakers, linked to voices, averaged, decided.
 * The same rules as echo_edge/heads/diarization.py. */
#ifndef EE_DIARIZATION_H
#define EE_DIARIZATION_H

#include "graph.h"
#include "heads/clustering.h"
#include "heads/stretches.h"

/* Decided steps from `first_step` on: how sure each voice is active. */
typedef struct {
    int64_t first_step;
    int n_steps, n_voices;
    const float *scores; /* [n_steps, n_voices], until the next push */
} ee_activity;

typedef struct {
    ee_graph segmentation, embedding;
    ee_clusters clusters;
    const ee_manifest *manifest;
    int window, hop, latency, history; /* steps; `history` are the latents remembered */
    int width;                         /* latents per step */
    int64_t steps, done, decided;      /* steps pushed, segmented, decided */
    float *latents[2];                 /* [history, width], the newest last: for either graph */
    float *votes, *voters; /* [window, voices], [window]: sums over windows, and how many */
    float *active, *clean; /* [window, n_local]: probability of speech, of clean speech */
    float *spoken;         /* [window]: that somebody speaks, as the last window alone says */
    float *scores;         /* [window + chunk, voices]: of all that is decided after a push */
    int n_scores;          /* steps of them */
    ee_turn_rules rules;
    ee_stretch *stretches;              /* of this window */
    float *embeddings;                  /* [stretches, embedding_dim] */
    int64_t last_active[EE_MAX_VOICES]; /* step; -1 for a voice not yet found */
} ee_diarization;

/* What is asked of a decoder. */
typedef struct {
    int latency_steps; /* how long a step may stay undecided */
    int min_voices, max_voices;
} ee_diarization_options;

bool ee_diarization_open(ee_diarization *decoder, const ee_bundle *bundle,
                         ee_diarization_options options, ee_memory *memory, ee_error *error);

/* Takes `n_steps` (at most a chunk) of both latents, each [n_steps, width]. */
void ee_diarization_push(ee_diarization *decoder, const float *diarization, const float *speaker,
                         int n_steps);

/* The next decided steps: call after `push` until it returns false with no error set. With
 * `everything`, once, whatever was pushed. */
bool ee_diarization_decide(ee_diarization *decoder, bool everything, ee_activity *activity,
                           ee_error *error);

/* Voices found so far, the last active one first; how many. */
int ee_diarization_recent(const ee_diarization *decoder, int voices[EE_MAX_VOICES]);

void ee_diarization_close(ee_diarization *decoder);

#endif
