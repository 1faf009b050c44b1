/* Separated voices: chunk by chunk waveforms of up to K slots, joined without clicks. A slot gets
 * the centroid of a voice that diarization has found, and keeps that voice. The same rules as
 * echo_edge/heads/separation.py. */
#ifndef EE_SEPARATION_H
#define EE_SEPARATION_H

#include "heads/diarization.h"

typedef struct {
    ee_graph graph;
    const ee_manifest *manifest;
    int voices[EE_MAX_SLOTS]; /* the voice of each slot, or EE_NOBODY */
    float energies[EE_MAX_SLOTS];
    float *tail;  /* [K, overlap]: the end of the chunk before */
    float *ready; /* [K, chunk + overlap] */
    int skip;     /* samples of the start that are only delay */
} ee_separation;

bool ee_separation_open(ee_separation *separation, const ee_bundle *bundle, ee_memory *memory,
                        ee_error *error);

/* One chunk, whose spectrum is multiplied by `factor`. Returns how many samples of each slot became
 * final, -1 with an error; they are in `ready`, a slot's `chunk + overlap` samples after the one
 * before. */
int ee_separation_push(ee_separation *separation, const float *latents, const float *features,
                       const float *spectrum, float factor, const ee_diarization *diarization,
                       ee_error *error);

/* The samples that are left, as `push` returns them. */
int ee_separation_finish(ee_separation *separation);

void ee_separation_close(ee_separation *separation);

#endif
