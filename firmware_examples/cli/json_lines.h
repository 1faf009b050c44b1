/* Results as JSON lines, the same as those of `echo-edge record`, turn and word as in
 * echo-edge.result/1. */
#ifndef JSON_LINES_H
#define JSON_LINES_H

#include <echo_edge.h>

/* {"type": "turn", "start_s": ..., "end_s": ..., "speaker": "speaker_1", "confidence": ...} */
void write_turn_line(FILE *out, const ee_turn *turn);

/* {"type": "word", "start_s": ..., "end_s": ..., "text": ..., "speaker": ..., "confidence": ...} */
void write_word_line(FILE *out, const ee_word *word);

/* {"type": "source", "path": ..., "speaker": ...}; null for speaker 0. */
void write_source_line(FILE *out, const char *path, int speaker);

/* {"type": "end", "duration_s": ..., "speakers": [{"id": "speaker_1", "speech_s": ...}]} */
void write_end_line(FILE *out, const ee_stream *stream);

#endif
