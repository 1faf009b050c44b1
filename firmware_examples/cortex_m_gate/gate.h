/* A voice-activity gate for microcontrollers: 16 kHz PCM in, a decision every 20 ms.
 *
 *     static gate g;
 *     gate_start(&g);
 *     for (;;) {
 *         read_microphone(pcm, GATE_HOP);
 *         gate_decision now = gate_push(&g, pcm);
 *         if (now.event == GATE_WAKE)
 *             wake_the_recorder();
 *     }
 *
 * Integers only, no allocation, no operating system, no global state: one `gate` per microphone.
 * Every int32_t product is made in 64 bits; right shifts of negative numbers are arithmetic, as
 * they are in every compiler for these processors. */
#ifndef GATE_H
#define GATE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    GATE_HOP = 320,    /* samples per decision: 20 ms */
    GATE_WINDOW = 512, /* samples each decision looks at directly */
    GATE_BANDS = 24,
    GATE_INPUTS = 2 * GATE_BANDS,
    GATE_WIDTH = 24,
    GATE_SPANS = 3 + 7 + 19, /* frames that the three convolutions remember */
};

typedef enum { GATE_NONE, GATE_WAKE, GATE_SLEEP } gate_event;

typedef struct {
    int16_t score;    /* log odds of speech in this frame, in 1/256 */
    bool speech;      /* this frame, smoothed */
    bool awake;       /* with hysteresis and hangover */
    gate_event event; /* what changed with this frame */
} gate_decision;

typedef struct {
    int16_t heard[GATE_WINDOW - GATE_HOP]; /* the end of the frame before */
    int32_t re[GATE_WINDOW / 2], im[GATE_WINDOW / 2];
    int32_t floor[GATE_BANDS]; /* noise floor, log2 in 1/256 */
    int8_t inputs[3][GATE_INPUTS];
    int8_t hidden_1[7][GATE_WIDTH], hidden_2[19][GATE_WIDTH];
    uint32_t n_frames;
    int32_t level; /* smoothed score */
    uint16_t run;  /* frames in a row that speak against the present state */
    bool awake;
} gate;

void gate_start(gate *g);

/* The next 20 ms. */
gate_decision gate_push(gate *g, const int16_t pcm[GATE_HOP]);

#endif
