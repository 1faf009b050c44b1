/* Audio in, results out: everything that changes while a recording flows through a bundle. Memory
 * and cost per second do not depend on how much came before. */
#ifndef EE_STREAM_H
#define EE_STREAM_H

#include "asr.h"
#include "condition.h"
#include "separation.h"

typedef struct {
    double latency_s; /* how long a decision may be held back; finite */
    int min_speakers, max_speakers; /* 1 to EE_MOST_VOICES */
    bool language_model, separate;
    ee_sink sink;
    /* Gets [K] waveforms of `n` final samples each, `stride` samples apart; NULL for none. */
    void (*sources)(void *context, const float *samples, int stride, int n);
} ee_stream_options;

typedef struct {
    ee_stream_options options;
    const ee_manifest *manifest;
    ee_language language;
    ee_condition condition;
    int gain; /* of the frontend's state, as an exponent of two */
    ee_graph frontend, encoder;
    ee_asr asr;
    ee_diarization diarization;
    ee_separation separation;
    ee_turns turns;
    int n_pending;  /* samples of a chunk that is not whole yet, in the frontend's input */
    int64_t n_heard, n_emitted;
} ee_stream;

/* Loads all graphs and takes all memory. `stream` is zeroed; close it even if this failed. */
bool ee_stream_open(ee_stream *stream, const ee_bundle *bundle, ee_stream_options options,
                    ee_memory *memory, ee_error *error);

/* Any number of 16 kHz mono samples; what becomes final goes to the sink. */
bool ee_stream_push(ee_stream *stream, const int16_t *pcm, size_t n_samples, ee_error *error);

/* Everything that was still held back; the stream ends. */
bool ee_stream_finish(ee_stream *stream, ee_error *error);

/* Audio heard so far. */
double ee_stream_heard_s(const ee_stream *stream);

void ee_stream_close(ee_stream *stream);

#endif
