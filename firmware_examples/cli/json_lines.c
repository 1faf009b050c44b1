#include "json_lines.h"

#include <math.h>

/* A NaN, or a number outside 0 to 1, is not written, whatever a graph answered. */
static double share(double confidence)
{
    return fmin(fmax(confidence, 0.0), 1.0);
}

/* Four decimals, without zeros at the end but for one after the point. */
static void write_number(FILE *out, const char *key, double value)
{
    char text[40];
    size_t length = (size_t)snprintf(text, sizeof text, "%.4f", value);
    while (text[length - 1] == '0' && text[length - 2] != '.')
        text[--length] = 0;
    fprintf(out, "\"%s\": %s", key, text);
}

static void write_text(FILE *out, const char *key, const char *text)
{
    fprintf(out, "\"%s\": \"", key);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            fprintf(out, "\\u%04x", *c);
        else
            putc(*c, out);
    putc('"', out);
}

static void write_speaker(FILE *out, const char *key, int speaker)
{
    if (speaker == 0)
        fprintf(out, "\"%s\": null", key);
    else
        fprintf(out, "\"%s\": \"speaker_%d\"", key, speaker);
}

static void write_span(FILE *out, const char *type, double start_s, double end_s)
{
    fprintf(out, "{\"type\": \"%s\", ", type);
    write_number(out, "start_s", start_s);
    fputs(", ", out);
    write_number(out, "end_s", end_s);
    fputs(", ", out);
}

void write_turn_line(FILE *out, const ee_turn *turn)
{
    write_span(out, "turn", turn->start_s, turn->end_s);
    write_speaker(out, "speaker", turn->speaker);
    fputs(", ", out);
    write_number(out, "confidence", share(turn->confidence));
    fputs("}\n", out);
}

void write_word_line(FILE *out, const ee_word *word)
{
    write_span(out, "word", word->start_s, word->end_s);
    write_text(out, "text", word->text);
    fputs(", ", out);
    write_speaker(out, "speaker", word->speaker);
    fputs(", ", out);
    write_number(out, "confidence", share(word->confidence));
    fputs("}\n", out);
}

void write_source_line(FILE *out, const char *path, int speaker)
{
    fputs("{\"type\": \"source\", ", out);
    write_text(out, "path", path);
    fputs(", ", out);
    write_speaker(out, "speaker", speaker);
    fputs("}\n", out);
}

void write_end_line(FILE *out, const ee_stream *stream)
{
    fputs("{\"type\": \"end\", ", out);
    write_number(out, "duration_s", ee_stream_received_s(stream));
    fputs(", \"speakers\": [", out);
    for (int speaker = 1; speaker <= ee_stream_n_speakers(stream); speaker++) {
        fputs(speaker > 1 ? ", {" : "{", out);
        write_speaker(out, "id", speaker);
        fputs(", ", out);
        write_number(out, "speech_s", ee_stream_speech_s(stream, speaker));
        putc('}', out);
    }
    fputs("]}\n", out);
}
