#include "turns.h"

#include <math.h>
#include <string.h>

enum {
    REACH_STEPS = 12,  /* a word just outside a turn (0.5 s) still belongs to it */
    KEEP_STEPS = 1500, /* decided steps remembered: a minute, longer than any word waits */
};

void ee_turns_open(ee_turns *turns, const ee_manifest *manifest, int max_voices, ee_sink sink,
                   ee_memory *memory)
{
    *turns = (ee_turns){
        .sink = sink,
        .step_s = (double)manifest->step_samples / manifest->sample_rate,
        .rules = ee_turn_rules_of(manifest),
        .n_voices = max_voices,
        .decided = ee_take(memory, "turns", KEEP_STEPS * (size_t)max_voices, sizeof(float)),
        .waiting = ee_take(memory, "words", EE_MOST_WAITING, sizeof(ee_word)),
    };
}

static int label_of(ee_turns *turns, int voice)
{
    if (turns->speaker[voice] == 0)
        turns->speaker[voice] = ++turns->n_speakers;
    return turns->speaker[voice];
}

static void close_turn(ee_turns *turns, int voice, double heard_s)
{
    ee_open_turn *open = &turns->open[voice];
    open->is_open = false;
    if (open->last + 1 - open->start < turns->rules.shortest_steps)
        return;
    /* A turn ends with the audio, though its last step may reach beyond. */
    ee_turn turn = {
        .start_s = (double)open->start * turns->step_s,
        .end_s = fmin((double)(open->last + 1) * turns->step_s, heard_s),
        .confidence = open->total / (double)open->n_steps,
        .speaker = label_of(turns, voice),
    };
    turns->speech_s[turn.speaker - 1] += turn.end_s - turn.start_s;
    turns->sink.turn(turns->sink.context, &turn);
}

/* The open turn, last active before step `before`, that comes first: by its last step if
 * `by_last`, then in the order of opening. EE_NOBODY if there is none. */
static int first_to_close(const ee_turns *turns, int64_t before, bool by_last)
{
    int best = EE_NOBODY;
    for (int voice = 0; voice < turns->n_voices; voice++) {
        const ee_open_turn *turn = &turns->open[voice], *first = &turns->open[best < 0 ? 0 : best];
        if (!turn->is_open || turn->last >= before)
            continue;
        bool same = !by_last || turn->last == first->last;
        if (best < 0 || (same ? turn->number < first->number : turn->last < first->last))
            best = voice;
    }
    return best;
}

static void add_step(ee_turns *turns, int64_t step, const float *scores, double heard_s)
{
    for (int voice = 0; voice < turns->n_voices; voice++) {
        if (!(scores[voice] >= turns->rules.active))
            continue;
        ee_open_turn *open = &turns->open[voice];
        if (!open->is_open)
            *open = (ee_open_turn){.is_open = true, .start = step, .number = turns->n_opened++};
        open->last = step;
        open->total += scores[voice];
        open->n_steps++;
    }
    int voice;
    while ((voice = first_to_close(turns, step - turns->rules.gap_steps, false)) != EE_NOBODY)
        close_turn(turns, voice, heard_s);
}

/* The voice heard most during the word, or else just around it. */
static int voice_of(const ee_turns *turns, const ee_word *word)
{
    int64_t origin = turns->decided_end - turns->n_decided;
    int64_t first = llrint(word->start_s / turns->step_s);
    int64_t last = llrint(word->end_s / turns->step_s);
    for (int reach = 0; reach <= REACH_STEPS; reach += REACH_STEPS) {
        float total[EE_MOST_VOICES] = {0};
        int best = 0;
        int64_t low = first - reach > origin ? first - reach : origin;
        int64_t high = last + reach < turns->decided_end ? last + reach : turns->decided_end;
        for (int64_t step = low; step < high; step++)
            for (int voice = 0; voice < turns->n_voices; voice++)
                total[voice] += turns->decided[(step % KEEP_STEPS) * turns->n_voices + voice];
        for (int voice = 1; voice < turns->n_voices; voice++)
            if (total[voice] > total[best])
                best = voice;
        if (turns->n_decided > 0 && total[best] >= turns->rules.active)
            return best;
    }
    return EE_NOBODY;
}

static void give_word(ee_turns *turns)
{
    ee_word *word = &turns->waiting[turns->first_waiting];
    int voice = voice_of(turns, word);
    word->speaker = voice == EE_NOBODY ? 0 : label_of(turns, voice);
    turns->sink.word(turns->sink.context, word);
    turns->first_waiting = (turns->first_waiting + 1) % EE_MOST_WAITING;
    turns->n_waiting--;
}

void ee_turns_add_word(ee_turns *turns, const ee_word *word)
{
    if (turns->n_waiting == EE_MOST_WAITING) /* no speech is that dense; the oldest goes first */
        give_word(turns);
    turns->waiting[(turns->first_waiting + turns->n_waiting++) % EE_MOST_WAITING] = *word;
}

void ee_turns_add_activity(ee_turns *turns, const ee_activity *activity, double heard_s)
{
    if (activity->n_steps == 0)
        return;
    size_t row = (size_t)turns->n_voices;
    for (int i = 0; i < activity->n_steps; i++) {
        const float *scores = activity->scores + (size_t)i * row;
        int64_t step = activity->first_step + i;
        add_step(turns, step, scores, heard_s);
        memcpy(turns->decided + (size_t)(step % KEEP_STEPS) * row, scores, row * sizeof(float));
        turns->decided_end = step + 1;
        turns->n_decided += turns->n_decided < KEEP_STEPS;
    }
    double settled_s = (double)(turns->decided_end - REACH_STEPS) * turns->step_s;
    while (turns->n_waiting > 0 && turns->waiting[turns->first_waiting].end_s <= settled_s)
        give_word(turns);
}

void ee_turns_finish(ee_turns *turns, double heard_s)
{
    int voice;
    while ((voice = first_to_close(turns, INT64_MAX, true)) != EE_NOBODY)
        close_turn(turns, voice, heard_s);
    while (turns->n_waiting > 0)
        give_word(turns);
}
