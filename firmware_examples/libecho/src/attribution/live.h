/* Live attribution: decided activity to turns, words to the voice that was active, voices to
 * speakers in order of appearance. The same rules as echo_edge/attribution/ at a finite latency. */
#ifndef EE_LIVE_H
#define EE_LIVE_H

#include "heads/diarization.h"

enum { EE_MAX_WAITING = 512 /* words without a speaker yet: more than fit into a window */ };

/* A turn that is not closed yet; steps. */
typedef struct {
    bool is_open;
    int64_t start, last, n_steps; /* first and last active step, how many were active */
    int64_t number;               /* in which order they were opened */
    double total;                 /* of the scores */
} ee_open_turn;

typedef struct {
    ee_sink sink;
    ee_turn_rules rules;
    double step_s;
    int history;   /* decided steps remembered */
    int64_t reach; /* steps by which a word may miss a turn */
    int64_t n_opened;
    ee_open_turn open[EE_MAX_VOICES];
    int speaker[EE_MAX_VOICES]; /* of a voice, from 1; 0 for none yet */
    int n_speakers;
    double speech_s[EE_MAX_VOICES]; /* in turns, of speaker 1 on */
    float *activity;                /* [history, n_voices], a ring: the last decided scores */
    int n_voices, n_decided;
    int64_t decided_end; /* step after the last decided one */
    ee_word *waiting;    /* a ring of EE_MAX_WAITING */
    int first_waiting, n_waiting;
} ee_attribution;

void ee_attribution_open(ee_attribution *attribution, const ee_manifest *manifest, int max_voices,
                         ee_sink sink, ee_memory *memory);

/* A word that has no speaker yet. Words come in order of time. */
void ee_attribution_add_word(ee_attribution *attribution, const ee_word *word);

/* Decided steps; `received_s` is the end of the audio so far. Emits the turns that ended, then the
 * words whose steps, and some after, are decided. */
void ee_attribution_add_activity(ee_attribution *attribution, const ee_activity *activity,
                                 double received_s);

/* Emits all that is left. */
void ee_attribution_finish(ee_attribution *attribution, double received_s);

#endif
