#include "wav_sources.h"

#include "json_lines.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BLOCK_SAMPLES = 1600,  /* power is compared with turns in blocks of 0.1 s */
    HISTORY_BLOCKS = 6000, /* remembered: ten minutes */
    MAX_TURNS = 256,       /* that wait for their audio, which comes within a chunk */
};

/* A slot with a smaller share of all power was never a voice. */
static const double MIN_SHARE = 0.02;

bool wav_sources_open(wav_sources *sources, const char *folder, int n_slots, ee_stream *stream,
                      ee_error *error)
{
    char path[sizeof sources->files->path + 32]; /* what is too long, the file refuses */
    size_t n_blocks = (size_t)n_slots * HISTORY_BLOCKS;
    sources->blocks = ee_stream_take(stream, "sources", n_blocks, sizeof(float), error);
    sources->turns = ee_stream_take(stream, "sources", MAX_TURNS, sizeof(ee_turn), error);
    if (error->code != EE_DONE)
        return false;
    mkdir(folder, 0777); /* if that fails, so does the first file in it, and says why */
    for (int slot = 0; slot < n_slots; slot++) {
        snprintf(path, sizeof path, "%s/source_%d.wav", folder, slot + 1);
        if (!ee_wav_create(&sources->files[slot], path, error))
            return false;
        sources->n_slots++;
    }
    return true;
}

/* Adds the power of every slot during a turn to that of the turn's speaker. */
static void add_speaker_power(wav_sources *sources, const ee_turn *turn)
{
    double block_s = (double)BLOCK_SAMPLES / EE_SAMPLE_RATE;
    int64_t low = (int64_t)floor(turn->start_s / block_s);
    int64_t high = (int64_t)ceil(turn->end_s / block_s);
    high = high < sources->n_blocks ? high : sources->n_blocks;
    low = low > high - HISTORY_BLOCKS ? low : high - HISTORY_BLOCKS;
    for (int slot = 0; slot < sources->n_slots; slot++)
        for (int64_t block = low; block < high; block++)
            sources->power[slot][turn->speaker] +=
                sources->blocks[slot * HISTORY_BLOCKS + block % HISTORY_BLOCKS];
}

/* Does so for the turns whose audio has been separated, or for all. */
static void attribute_turns(wav_sources *sources, bool everything)
{
    double separated_s = (double)(sources->n_blocks * BLOCK_SAMPLES) / EE_SAMPLE_RATE;
    int n_left = 0;
    for (int i = 0; i < sources->n_turns; i++)
        if (everything || sources->turns[i].end_s <= separated_s)
            add_speaker_power(sources, &sources->turns[i]);
        else
            sources->turns[n_left++] = sources->turns[i];
    sources->n_turns = n_left;
}

void wav_sources_add_turn(wav_sources *sources, const ee_turn *turn)
{
    if (sources->n_turns == MAX_TURNS)
        attribute_turns(sources, true);
    sources->turns[sources->n_turns++] = *turn;
}

static void end_block(wav_sources *sources)
{
    for (int slot = 0; slot < sources->n_slots; slot++) {
        double power = sources->square[slot] / BLOCK_SAMPLES;
        sources->blocks[slot * HISTORY_BLOCKS + sources->n_blocks % HISTORY_BLOCKS] = (float)power;
        sources->total[slot] += power;
        sources->square[slot] = 0.0;
    }
    sources->n_blocks++;
    sources->n_in_block = 0;
}

bool wav_sources_write(wav_sources *sources, const float *samples, int stride, int n,
                       ee_error *error)
{
    for (int slot = 0; slot < sources->n_slots; slot++)
        if (!ee_wav_write(&sources->files[slot], samples + slot * stride, n, error))
            return false;
    for (int i = 0; i < n; i++) {
        for (int slot = 0; slot < sources->n_slots; slot++) {
            double sample = samples[slot * stride + i];
            sources->square[slot] += sample * sample;
        }
        if (++sources->n_in_block == BLOCK_SAMPLES)
            end_block(sources);
    }
    attribute_turns(sources, false);
    return true;
}

bool wav_sources_close(wav_sources *sources, FILE *out, ee_error *error)
{
    double all = 0.0;
    attribute_turns(sources, true);
    for (int slot = 0; slot < sources->n_slots; slot++)
        all += sources->total[slot];
    for (int slot = 0; slot < sources->n_slots; slot++) {
        ee_wav *file = &sources->files[slot];
        ee_wav_close(file, error);
        bool is_voice = all > 0.0 && sources->total[slot] >= MIN_SHARE * all;
        if (error->code != EE_DONE || !is_voice) {
            unlink(file->path);
            continue;
        }
        int speaker = 0;
        for (int i = 1; i <= EE_MAX_SPEAKERS; i++)
            if (sources->power[slot][i] > sources->power[slot][speaker])
                speaker = i;
        write_source_line(out, file->path, speaker);
    }
    return error->code == EE_DONE;
}
