/* Audio in, results out: everything that changes while a recording flows through a bundle. Memory
 * and cost per second do not depend on how much came before. */
#ifndef EE_STREAM_H
#define EE_STREAM_H

#include "attribution/live.h"
#include "audio/condition.h"
#include "heads/second_pass.h"
#include "heads/separation.h"
#include "session.h"

struct ee_stream {
    ee_stream_options options;
    const ee_manifest *manifest;
    ee_memory memory;
    const ee_memory *session_memory;
    ee_language_model language;
    ee_condition condition;
    int gain; /* of the frontend's state, as an exponent of two */
    ee_graph frontend, encoder;
    ee_ctc ctc;
    ee_diarization diarization;
    ee_second_pass second_pass;
    ee_activity *activities; /* of one chunk */
    ee_separation separation;
    ee_attribution attribution;
    int n_pending; /* samples of a chunk that is not whole yet, in the frontend's input */
    int64_t n_received, n_emitted; /* samples: pushed; separated and emitted */
};

#endif
