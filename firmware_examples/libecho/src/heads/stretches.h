/* Stretches of speech of local speakers in a window. The same rules as `TurnRules` and
 * `find_stretches` of echo_edge/heads/diarization.py. */
#ifndef EE_STRETCHES_H
#define EE_STRETCHES_H

#include "bundle/manifest.h"

/* How activity becomes turns, in steps. */
typedef struct {
    float onset;           /* a voice is active where its score is at least this */
    int64_t min_off_steps; /* pauses up to this long do not end a turn */
    int64_t min_on_steps;  /* shorter turns are dropped */
} ee_turn_rules;

/* Speech of one local speaker without a pause; steps of the window, ends exclusive. */
typedef struct {
    int local, start, end;
    int first, last; /* from here to here no other stretch of the local speaker is nearer */
    float speech_s;  /* clean speech: without that of others */
    int voice;       /* found by clustering */
} ee_stretch;

/* The thresholds of the manifest, in steps. */
ee_turn_rules ee_turn_rules_from_manifest(const ee_manifest *manifest);

/* The most stretches of one local speaker that a window of so many steps can have. */
size_t ee_max_stretches(const ee_turn_rules *rules, int window);

/* The stretches of all local speakers, who are `active` [window, n_local]; how many. */
int ee_find_stretches(const ee_turn_rules *rules, const float *active, int window, int n_local,
                      ee_stretch *found);

#endif
