/* Results as JSON lines: the same lines as those of `echo-edge record`, turn and word as in
 * echo-edge.result/1. */
#ifndef EE_LINES_H
#define EE_LINES_H

#include "turns.h"

/* {"type": "turn", "start_s": ..., "end_s": ..., "speaker": "speaker_1", "confidence": ...} */
void ee_write_turn(FILE *out, const ee_turn *turn);

/* {"type": "word", "start_s": ..., "end_s": ..., "text": ..., "speaker": ..., "confidence": ...} */
void ee_write_word(FILE *out, const ee_word *word);

/* {"type": "source", "path": ..., "speaker": ...}; speaker 0 is nobody. */
void ee_write_source(FILE *out, const char *path, int speaker);

/* {"type": "end", "duration_s": ..., "speakers": [{"id": "speaker_1", "speech_s": ...}]} */
void ee_write_end(FILE *out, double duration_s, const ee_turns *turns);

#endif
