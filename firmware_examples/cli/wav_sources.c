#include "sources.h"

#include "lines.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BLOCK_SAMPLES = 1600, /* power is compared with turns in blocks of 0.1 s */
    KEPT_BLOCKS = 6000,   /* remembered: ten minutes */
    MOST_TURNS = 256,     /* that wait for their sound, which comes within a chunk */
};

/* A slot that holds a smaller share of all power was never a voice. */
static const double LEAST_SHARE = 0.02;

bool ee_sources_open(ee_sources *sources, const char *folder, int n_slots, ee_memory *memory,
                     ee_error *error)
{
    char path[sizeof sources->files->path + 32]; /* what is too long, the file refuses */
    sources->blocks = ee_take(memory, "sources", (size_t)n_slots * KEPT_BLOCKS, sizeof(float));
    sources->turns = ee_take(memory, "sources", MOST_TURNS, sizeof *sources->turns);
    if (!ee_memory_holds(memory, error))
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

/* The power of every slot during a turn, for its speaker. */
static void hear_turn(ee_sources *sources, const ee_turn *turn)
{
    double block_s = (double)BLOCK_SAMPLES / EE_SAMPLE_RATE;
    int64_t low = (int64_t)floor(turn->start_s / block_s);
    int64_t high = (int64_t)ceil(turn->end_s / block_s);
    high = high < sources->n_blocks ? high : sources->n_blocks;
    low = low > high - KEPT_BLOCKS ? low : high - KEPT_BLOCKS;
    for (int slot = 0; slot < sources->n_slots; slot++)
        for (int64_t block = low; block < high; block++)
            sources->heard[slot][turn->speaker] +=
                sources->blocks[slot * KEPT_BLOCKS + block % KEPT_BLOCKS];
}

/* The turns whose sound has been separated, or all. */
static void hear_turns(ee_sources *sources, bool everything)
{
    double separated_s = (double)(sources->n_blocks * BLOCK_SAMPLES) / EE_SAMPLE_RATE;
    int kept = 0;
    for (int i = 0; i < sources->n_turns; i++)
        if (everything || sources->turns[i].end_s <= separated_s)
            hear_turn(sources, &sources->turns[i]);
        else
            sources->turns[kept++] = sources->turns[i];
    sources->n_turns = kept;
}

void ee_sources_add_turn(ee_sources *sources, const ee_turn *turn)
{
    if (sources->n_turns == MOST_TURNS)
        hear_turns(sources, true);
    sources->turns[sources->n_turns++] = *turn;
}

static void end_block(ee_sources *sources)
{
    for (int slot = 0; slot < sources->n_slots; slot++) {
        double power = sources->square[slot] / BLOCK_SAMPLES;
        sources->blocks[slot * KEPT_BLOCKS + sources->n_blocks % KEPT_BLOCKS] = (float)power;
        sources->total[slot] += power;
        sources->square[slot] = 0.0;
    }
    sources->n_blocks++;
    sources->n_in_block = 0;
}

bool ee_sources_write(ee_sources *sources, const float *samples, int stride, int n,
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
    hear_turns(sources, false);
    return true;
}

bool ee_sources_close(ee_sources *sources, FILE *out, ee_error *error)
{
    double all = 0.0;
    hear_turns(sources, true);
    for (int slot = 0; slot < sources->n_slots; slot++)
        all += sources->total[slot];
    for (int slot = 0; slot < sources->n_slots; slot++) {
        ee_wav *file = &sources->files[slot];
        ee_wav_close(file, error);
        bool is_voice = all > 0.0 && sources->total[slot] >= LEAST_SHARE * all;
        if (error->code != EE_DONE || !is_voice) {
            unlink(file->path);
            continue;
        }
        int speaker = 0;
        for (int i = 1; i <= EE_MOST_VOICES; i++)
            if (sources->heard[slot][i] > sources->heard[slot][speaker])
                speaker = i;
        ee_write_source(out, file->path, speaker);
    }
    return error->code == EE_DONE;
}
