/* Decided activity to turns, words to the voice that was active, voices to labels. The same rules
 * as echo_edge/attribution/turns.py and echo_edge/attribution/labels.py at a finite latency. Times are seconds. */
#ifndef EE_TURNS_H
#define EE_TURNS_H

#include "diarization.h"

enum {
    EE_WORD_BYTES = 200,
    EE_MOST_WAITING = 512, /* words without a voice yet: more than are said in a window */
};

/* Speech of one speaker without a break; `speaker` counts from 1, in order of appearance. */
typedef struct {
    double start_s, end_s, confidence;
    int speaker;
} ee_turn;

/* `speaker` is 0 where no turn covers the word. */
typedef struct {
    double start_s, end_s, confidence;
    int speaker;
    char text[EE_WORD_BYTES];
} ee_word;

/* Whoever wants to know what became final. */
typedef struct {
    void *context;
    void (*turn)(void *context, const ee_turn *turn);
    void (*word)(void *context, const ee_word *word);
} ee_sink;

/* Turns of voices that are not closed yet; steps. */
typedef struct {
    bool is_open;
    int64_t start, last, n_steps, number; /* `number` tells in which order they were opened */
    double total;
} ee_open_turn;

typedef struct {
    ee_sink sink;
    ee_turn_rules rules;
    double step_s;
    int64_t n_opened;
    ee_open_turn open[EE_MOST_VOICES];
    int speaker[EE_MOST_VOICES]; /* label of a voice, 0 for none yet */
    int n_speakers;
    double speech_s[EE_MOST_VOICES]; /* of speaker 1 on */
    float *decided;                  /* [kept, voices], a ring: activity of late */
    int n_voices, n_decided;
    int64_t decided_end; /* step */
    ee_word *waiting;    /* a ring of EE_MOST_WAITING */
    int first_waiting, n_waiting;
} ee_turns;

void ee_turns_open(ee_turns *turns, const ee_manifest *manifest, int max_voices, ee_sink sink,
                   ee_memory *memory);

/* A word that needs a voice. */
void ee_turns_add_word(ee_turns *turns, const ee_word *word);

/* Decided steps; `heard_s` is the end of the audio so far. Gives out the turns that ended, then the
 * words whose steps, and some after, are decided. */
void ee_turns_add_activity(ee_turns *turns, const ee_activity *activity, double heard_s);

/* Gives out all that is left. */
void ee_turns_finish(ee_turns *turns, double heard_s);

#endif
