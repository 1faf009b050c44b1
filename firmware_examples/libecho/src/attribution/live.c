#include "attribution/live.h"

#include <math.h>
#include <string.h>

void ee_attribution_open(ee_attribution *a, const ee_manifest *manifest, int max_voices,
                         ee_sink sink, ee_memory *memory)
{
    double step_s = (double)manifest->step_samples / manifest->sample_rate;
    int history = (int)fmax(rint(manifest->decoding.word_memory_s / step_s), 1.0);
    *a = (ee_attribution){
        .sink = sink,
        .step_s = step_s,
        .history = history,
        .reach = llrint(manifest->decoding.word_reach_s / step_s),
        .rules = ee_turn_rules_from_manifest(manifest),
        .n_voices = max_voices,
        .activity = ee_take(memory, "turns", (size_t)history * (size_t)max_voices, sizeof(float)),
        .waiting = ee_take(memory, "words", EE_MAX_WAITING, sizeof(ee_word)),
    };
}

/* Speakers are numbered when the first turn or word of a voice is emitted. */
static int speaker_of(ee_attribution *a, int voice)
{
    if (a->speaker[voice] == 0)
        a->speaker[voice] = ++a->n_speakers;
    return a->speaker[voice];
}

static void close_turn(ee_attribution *a, int voice, double received_s)
{
    ee_open_turn *open = &a->open[voice];
    open->is_open = false;
    if (open->last + 1 - open->start < a->rules.min_on_steps)
        return;
    /* A turn ends with the audio, though its last step may reach beyond. */
    ee_turn turn = {
        .start_s = (double)open->start * a->step_s,
        .end_s = fmin((double)(open->last + 1) * a->step_s, received_s),
        .confidence = open->total / (double)open->n_steps,
        .speaker = speaker_of(a, voice),
    };
    a->speech_s[turn.speaker - 1] += turn.end_s - turn.start_s;
    if (a->sink.turn != NULL)
        a->sink.turn(a->sink.context, &turn);
}

/* The voice with the next turn to close, of those last active before step `before`: in the order
 * of last steps if `by_last`, then of opening. EE_NOBODY if there is none. */
static int next_to_close(const ee_attribution *a, int64_t before, bool by_last)
{
    int best = EE_NOBODY;
    for (int voice = 0; voice < a->n_voices; voice++) {
        const ee_open_turn *turn = &a->open[voice], *first = &a->open[best < 0 ? 0 : best];
        if (!turn->is_open || turn->last >= before)
            continue;
        bool same = !by_last || turn->last == first->last;
        if (best < 0 || (same ? turn->number < first->number : turn->last < first->last))
            best = voice;
    }
    return best;
}

/* Cuts turns out of the activity, a step at a time. Voices are independent of each other. */
static void add_step(ee_attribution *a, int64_t step, const float *scores, double received_s)
{
    /* 1. A score over the threshold opens the voice's turn, or makes it longer. */
    for (int voice = 0; voice < a->n_voices; voice++) {
        if (!(scores[voice] >= a->rules.onset))
            continue;
        ee_open_turn *open = &a->open[voice];
        if (!open->is_open)
            *open = (ee_open_turn){.is_open = true, .start = step, .number = a->n_opened++};
        open->last = step;
        open->total += scores[voice];
        open->n_steps++;
    }
    /* 2. A pause longer than `min_off_steps` closes it. Shorter pauses are part of the turn. */
    int voice;
    while ((voice = next_to_close(a, step - a->rules.min_off_steps, false)) != EE_NOBODY)
        close_turn(a, voice, received_s); /* 3. which drops a turn that is too short */
}

/* The voice that was most active during the word, or else just around it. */
static int voice_of(const ee_attribution *a, const ee_word *word)
{
    int64_t origin = a->decided_end - a->n_decided;
    int64_t first = llrint(word->start_s / a->step_s);
    int64_t last = llrint(word->end_s / a->step_s);
    for (int is_around = 0; is_around <= 1; is_around++) {
        int64_t reach = is_around ? a->reach : 0;
        float total[EE_MAX_VOICES] = {0};
        int best = 0;
        int64_t low = first - reach > origin ? first - reach : origin;
        int64_t high = last + reach < a->decided_end ? last + reach : a->decided_end;
        for (int64_t step = low; step < high; step++)
            for (int voice = 0; voice < a->n_voices; voice++)
                total[voice] += a->activity[(step % a->history) * a->n_voices + voice];
        for (int voice = 1; voice < a->n_voices; voice++)
            if (total[voice] > total[best])
                best = voice;
        if (a->n_decided > 0 && total[best] >= a->rules.onset)
            return best;
    }
    return EE_NOBODY;
}

static void emit_word(ee_attribution *a)
{
    ee_word *word = &a->waiting[a->first_waiting];
    int voice = voice_of(a, word);
    word->speaker = voice == EE_NOBODY ? 0 : speaker_of(a, voice);
    if (a->sink.word != NULL)
        a->sink.word(a->sink.context, word);
    a->first_waiting = (a->first_waiting + 1) % EE_MAX_WAITING;
    a->n_waiting--;
}

void ee_attribution_add_word(ee_attribution *a, const ee_word *word)
{
    if (a->n_waiting == EE_MAX_WAITING) /* no speech is that dense; the oldest goes first */
        emit_word(a);
    a->waiting[(a->first_waiting + a->n_waiting++) % EE_MAX_WAITING] = *word;
}

void ee_attribution_add_activity(ee_attribution *a, const ee_activity *activity, double received_s)
{
    if (activity->n_steps == 0)
        return;
    /* 1. Turns, step by step. */
    size_t row = (size_t)a->n_voices;
    for (int i = 0; i < activity->n_steps; i++) {
        const float *scores = activity->scores + (size_t)i * row;
        int64_t step = activity->first_step + i;
        add_step(a, step, scores, received_s);
        memcpy(a->activity + (size_t)(step % a->history) * row, scores, row * sizeof(float));
        a->decided_end = step + 1;
        a->n_decided += a->n_decided < a->history;
    }
    /* 2. Words around which everything is decided, in their order. */
    double final_s = (double)(a->decided_end - a->reach) * a->step_s;
    while (a->n_waiting > 0 && a->waiting[a->first_waiting].end_s <= final_s)
        emit_word(a);
}

void ee_attribution_finish(ee_attribution *a, double received_s)
{
    int voice;
    while ((voice = next_to_close(a, INT64_MAX, true)) != EE_NOBODY)
        close_turn(a, voice, received_s);
    while (a->n_waiting > 0)
        emit_word(a);
}
