/* This machine: gate_host RECORDING.wav [scores]. */
#include <stdio.h>
#include <string.h>

#include "board.h"

int gate_main(void); /* main.c's */

static FILE *audio;
static bool wants_scores;
static const char *path;

bool board_open(void)
{
    return path && (audio = fopen(path, "rb"));
}

bool board_wants_scores(void)
{
    return wants_scores;
}

int board_read(void *out, int n)
{
    return (int)fread(out, 1, (size_t)n, audio);
}

void board_print(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

uint32_t board_ticks(void)
{
    return 0;
}

void board_report(uint64_t ticks, uint32_t n_frames)
{
    (void)ticks, (void)n_frames;
}

int main(int argc, char **argv)
{
    path = argc > 1 ? argv[1] : NULL;
    wants_scores = argc > 2 && !strcmp(argv[2], "scores");
    int code = gate_main();
    if (audio)
        fclose(audio);
    return code;
}
