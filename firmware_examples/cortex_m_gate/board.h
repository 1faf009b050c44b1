/* What main.c needs of where it runs: board_semihosting.c on an emulated (or debugged) Cortex-M,
 * board_host.c on this machine. On a product: the microphone's DMA and a serial port. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdint.h>

/* Opens the audio that the command line names; false if there is none. */
bool board_open(void);

/* Whether the command line asks for the score of every frame. */
bool board_wants_scores(void);

/* Reads up to `n` bytes; how many there were. */
int board_read(void *out, int n);

void board_print(const char *text);

/* Instructions so far, where they can be counted; differences of less than 2^24 ticks count. */
uint32_t board_ticks(void);

/* Prints flash, RAM and the cost of a second of audio, where they are known. */
void board_report(uint64_t ticks, uint32_t n_frames);

#endif
