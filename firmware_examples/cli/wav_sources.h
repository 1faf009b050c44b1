/* Separated voices to WAV files as they are made, and the speaker of each. The same rules as
 * echo_edge/writers/wav_sources.py, for turns of up to ten minutes. */
#ifndef WAV_SOURCES_H
#define WAV_SOURCES_H

#include <echo_edge.h>

typedef struct {
    ee_wav files[EE_MAX_SOURCES];
    int n_slots, n_turns; /* of files; of turns that wait for their audio */
    float *blocks;        /* [n_slots, history], rings: mean power per block of 0.1 s */
    int64_t n_blocks;
    double square[EE_MAX_SOURCES], total[EE_MAX_SOURCES]; /* of the block begun; of all blocks */
    int n_in_block;
    double power[EE_MAX_SOURCES][EE_MAX_SPEAKERS + 1]; /* during the turns of each speaker */
    ee_turn *turns;
} wav_sources;

/* Creates source_1.wav, ... in `folder`, which it makes if its parent is there. */
bool wav_sources_open(wav_sources *sources, const char *folder, int n_slots, ee_stream *stream,
                      ee_error *error);

/* Appends `n` samples of each slot, which are `stride` samples apart. */
bool wav_sources_write(wav_sources *sources, const float *samples, int stride, int n,
                       ee_error *error);

/* A turn that became final. */
void wav_sources_add_turn(wav_sources *sources, const ee_turn *turn);

/* Completes the files, removes those of slots without a voice, and writes the speaker of each of
 * the others to `out`. With an error set, all files are removed. */
bool wav_sources_close(wav_sources *sources, FILE *out, ee_error *error);

#endif
