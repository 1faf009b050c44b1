/* Separated voices to WAV files while they are being made, and whose voice each one is. The same
 * rules as echo_edge/writers/wav_sources.py, for turns of up to ten minutes. */
#ifndef EE_SOURCES_H
#define EE_SOURCES_H

#include "audio.h"
#include "turns.h"

typedef struct {
    ee_wav files[EE_MOST_SLOTS];
    int n_slots, n_turns;   /* of files; of turns that wait for their sound */
    float *blocks;          /* [n_slots, kept], rings: mean power per block of 0.1 s */
    int64_t n_blocks;
    double square[EE_MOST_SLOTS], total[EE_MOST_SLOTS]; /* of the block begun; of all blocks */
    int n_in_block;
    double heard[EE_MOST_SLOTS][EE_MOST_VOICES + 1]; /* power during the turns of each speaker */
    ee_turn *turns;
} ee_sources;

/* Creates source_1.wav, ... in `folder`, which it makes if its parent is there. */
bool ee_sources_open(ee_sources *sources, const char *folder, int n_slots, ee_memory *memory,
                     ee_error *error);

/* Appends `n` samples of each slot, which are `stride` samples apart. */
bool ee_sources_write(ee_sources *sources, const float *samples, int stride, int n,
                      ee_error *error);

/* A turn that became final. */
void ee_sources_add_turn(ee_sources *sources, const ee_turn *turn);

/* Finishes the files, removes those of slots that held nobody, and says in `out` whose voice is in
 * the others. With an error set, all files are removed. */
bool ee_sources_close(ee_sources *sources, FILE *out, ee_error *error);

#endif
