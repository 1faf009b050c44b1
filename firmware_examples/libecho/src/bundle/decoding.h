/* Constants of the decoders: the `decoding` section of a manifest. The same keys, ranges and
 * defaults as `DecodingSpec` of echo_edge/bundle/decoding.py, which says what each one means. The C
 * library checks all of them, also those that only a decision at the end of a recording needs. */
#ifndef EE_DECODING_H
#define EE_DECODING_H

#include "strict_json.h"

#include <math.h>

/* X(key, kind, lowest, highest, default): an integer or a number. NAN: a manifest must give it. */
#define EE_DECODING_KEYS(X)                                                                        \
    X(active_threshold, NUMBER, 0, 1, NAN)                                                         \
    X(gap_s, NUMBER, 0, 60, NAN)                                                                   \
    X(group_threshold, NUMBER, -1, 1, NAN)                                                         \
    X(language_weight, NUMBER, 0, 100, NAN)                                                        \
    X(new_voice_s, NUMBER, 0, 600, NAN)                                                            \
    X(shortest_turn_s, NUMBER, 0, 60, NAN)                                                         \
    X(stretch_threshold, NUMBER, -1, 1, NAN)                                                       \
    X(word_bonus, NUMBER, -100, 100, NAN)                                                          \
    X(brief_s, NUMBER, 0, 3600, 30)                                                                \
    X(brief_share, NUMBER, 0, 1, 0.1)                                                              \
    X(brief_threshold, NUMBER, -1, 1, 0.2)                                                         \
    X(count_confidence, NUMBER, 0, 1, 0.66)                                                        \
    X(count_slope, NUMBER, 0, 1000, 10)                                                            \
    X(deferred_voices, INTEGER, 16, 256, 128)                                                      \
    X(enrol_min_s, NUMBER, 0.1, 600, 3)                                                            \
    X(enrol_min_share, NUMBER, 0, 1, 0.75)                                                         \
    X(expected_voice_margin, NUMBER, 0, 2, 0.2)                                                    \
    X(given_count_share, NUMBER, 0, 1, 0.1)                                                        \
    X(given_count_threshold, NUMBER, -1, 1, 0.75)                                                  \
    X(min_embedded_steps, NUMBER, 0.5, 250, 3)                                                     \
    X(min_logged_score, NUMBER, 0, 1, 0.05)                                                        \
    X(name_min_s, NUMBER, 0, 600, 3)                                                               \
    X(slot_decay, NUMBER, 0, 1, 0.8)                                                               \
    X(slot_threshold, NUMBER, -1, 1, 0.25)                                                         \
    X(voice_threshold, NUMBER, -1, 1, 0.59)                                                        \
    X(beam_margin, NUMBER, 0, 1000, 12)                                                            \
    X(beam_width, INTEGER, 1, 256, 64)                                                             \
    X(commit_frames, INTEGER, 1, 1000, 10)                                                         \
    X(frame_posterior, NUMBER, 0.01, 0.99, 0.5)                                                    \
    X(min_phone_logprob, NUMBER, -1000, 0, -6)                                                     \
    X(second_pass_lead_s, NUMBER, 0, 5, 0.2)                                                       \
    X(second_pass_max_loss, NUMBER, 0, 1000, 1)                                                    \
    X(second_pass_min_speech, NUMBER, 0, 1, 0.5)                                                   \
    X(second_pass_pause_s, NUMBER, 0, 10, 0.8)                                                     \
    X(second_pass_tail_s, NUMBER, 0, 5, 0.4)                                                       \
    X(stability_margin, NUMBER, 0, 1000, 3)                                                        \
    X(unfinished_logprob, NUMBER, -1000, 0, -20)                                                   \
    X(word_lag_s, NUMBER, 0.1, 60, 4)                                                              \
    X(word_memory_s, NUMBER, 20, 600, 60)                                                          \
    X(word_reach_s, NUMBER, 0, 10, 0.48)                                                           \
    X(word_silence_s, NUMBER, 0.1, 60, 0.8)

typedef struct {
#define EE_DECODING_FIELD(key, kind, lowest, highest, default) double key;
    EE_DECODING_KEYS(EE_DECODING_FIELD)
#undef EE_DECODING_FIELD
} ee_decoding;

/* Reads the section. False, with code EE_REFUSED, for a key that is missing, unknown or out of its
 * range. */
bool ee_decoding_read(ee_decoding *decoding, json_t *section, ee_error *error);

#endif
