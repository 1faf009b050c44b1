#include "heads/second_pass.h"

#include <math.h>
#include <string.h>

/* Steps of a stretch, end exclusive, and how many of the waiting words lie in it. */
typedef struct {
    int64_t start, end;
    int n_words;
} span;

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Rows that are remembered at most. A word waits because its stretch has not ended, which is known
 * a pause and a hop of the diarization later, or because the first pass holds a word back; its
 * stretch is `max_steps` at most, or it would be cut. In front of the word is up to half as much of
 * the stretch, and the lead. A word of the first pass that is longer than that loses its beginning.
 */
static int64_t find_capacity(const ee_second_pass *p, const ee_manifest *m)
{
    double held_s = m->decoding.word_lag_s + m->decoding.word_silence_s;
    int64_t held = larger(p->pause + m->hop_steps, llrint(held_s / p->step_s));
    return p->max_steps + p->max_steps / 2 + p->lead + held + m->chunk_steps + 1;
}

static void take_memory(ee_second_pass *p, ee_memory *memory)
{
    const char *owner = "second pass";
    size_t capacity = (size_t)p->capacity, frames = capacity * (size_t)p->per_step;
    p->max_words = (int)frames / 2 + 2; /* a word is a letter and a space at least */
    p->latents = ee_take(memory, owner, capacity * (size_t)p->decoder.width, sizeof(float));
    p->logprobs = ee_take(memory, owner, frames * (size_t)p->n_tokens, sizeof(float));
    p->active = ee_take(memory, owner, capacity, sizeof *p->active);
    p->spoken = ee_take(memory, owner, capacity + 1, sizeof *p->spoken);
    p->words = ee_take(memory, owner, (size_t)p->max_words, sizeof *p->words);
}

bool ee_second_pass_open(ee_second_pass *p, const ee_bundle *bundle, const ee_ctc *first,
                         const ee_diarization *diarization,
                         void (*emit)(void *context, const ee_word *word), void *context,
                         ee_memory *memory, ee_error *error)
{
    const ee_manifest *m = &bundle->manifest;
    if (!ee_text_decoder_open(&p->decoder, bundle, memory, error))
        return false;
    p->first = first;
    p->diarization = diarization;
    p->n_tokens = bundle->n_tokens;
    p->per_step = m->frames_per_step;
    p->step_s = (double)m->step_samples / m->sample_rate;
    p->min_speech = (float)m->decoding.second_pass_min_speech;
    p->pause = llrint(m->decoding.second_pass_pause_s / p->step_s);
    p->lead = llrint(m->decoding.second_pass_lead_s / p->step_s);
    p->tail = llrint(m->decoding.second_pass_tail_s / p->step_s);
    p->max_steps = larger(p->decoder.max_steps - p->lead - p->tail, 1);
    p->capacity = (int)find_capacity(p, m);
    p->emit = emit;
    p->context = context;
    take_memory(p, memory);
    ee_dating_open(&p->dating, bundle, p->decoder.max_steps * p->per_step, p->decoder.max_tokens,
                   memory);
    return ee_memory_holds(memory, error);
}

static void give_out(ee_second_pass *p, const ee_word *word, bool is_last)
{
    p->emit(p->context, word);
    if (is_last)
        p->end_s = fmax(p->end_s, word->end_s);
}

static void drop_words(ee_second_pass *p, int n)
{
    p->n_words -= n;
    memmove(p->words, p->words + n, (size_t)p->n_words * sizeof *p->words);
}

void ee_second_pass_add_word(void *pass, const ee_word *word)
{
    ee_second_pass *p = pass;
    if (p->n_words == p->max_words) { /* no speech is that dense; the oldest goes as it is */
        give_out(p, &p->words[0], true);
        drop_words(p, 1);
    }
    p->words[p->n_words++] = *word;
}

static void mark(bool *spoken, int64_t size, int64_t start, int64_t end)
{
    for (int64_t step = larger(start, 0); step < smaller(end, size); step++)
        spoken[step] = true;
}

/* Fills `spoken` with where somebody speaks, as far as it is known, and with where words are; how
 * many steps. Step `at` is one of them. */
static int64_t find_spoken(ee_second_pass *p, int64_t at)
{
    int64_t size = larger(p->n_rows, at + 1);
    memset(p->spoken, 0, (size_t)size * sizeof *p->spoken);
    memcpy(p->spoken, p->active, (size_t)p->n_known * sizeof *p->spoken);
    mark(p->spoken, size, at, at + 1);
    for (int i = 0; i < p->n_words; i++)
        mark(p->spoken, size, (int64_t)(p->words[i].start_s / p->step_s) - p->origin,
             llrint(p->words[i].end_s / p->step_s) - p->origin);
    double next_s = ee_ctc_next_s(p->first);
    if (next_s < ee_ctc_heard_s(p->first)) /* a word that is not complete */
        mark(p->spoken, size, (int64_t)(next_s / p->step_s) - p->origin,
             llrint((next_s + p->step_s) / p->step_s) - p->origin);
    return size;
}

/* The stretch of speech around a time, as far as it is known. */
static span stretch_at(ee_second_pass *p, double at_s)
{
    int64_t at = larger((int64_t)(at_s / p->step_s) - p->origin, 0);
    at = smaller(at, p->capacity);
    int64_t size = find_spoken(p, at), low = at, high = at;
    for (int64_t step = at; step >= larger(low - p->pause, 0); step--)
        if (p->spoken[step])
            low = step;
    for (int64_t step = at; step < size && step <= high + p->pause; step++)
        if (p->spoken[step])
            high = step;
    /* However long somebody speaks, or something is taken for speech, memory is bounded. */
    low = larger(low, at - p->max_steps / 2);
    span found = {p->origin + low, p->origin + high + 1, 0};
    for (int i = 0; i < p->n_words; i++)
        found.n_words += p->words[i].start_s < (double)found.end * p->step_s;
    return found;
}

static int64_t start_step(const ee_second_pass *p, int word)
{
    return llrint(p->words[word].start_s / p->step_s);
}

/* As much of a long stretch as can be read: up to the widest gap in its second half. */
static span cut(const ee_second_pass *p, span whole)
{
    int64_t start = larger(whole.start, start_step(p, 0) - p->max_steps / 2);
    span best = {start, 0, 0};
    double widest_s = 0.0;
    for (int i = 1; i < whole.n_words; i++) {
        int64_t first = start_step(p, i);
        double gap_s = p->words[i].start_s - p->words[i - 1].end_s;
        if (first < start + p->max_steps / 2 || first > start + p->max_steps ||
            (best.n_words > 0 && !(gap_s >= widest_s)))
            continue;
        widest_s = gap_s;
        best.n_words = i;
        best.end = first;
    }
    if (best.n_words > 0)
        return best;
    best.end = smaller(start + p->max_steps, whole.end);
    for (int i = 0; i < whole.n_words; i++)
        best.n_words += start_step(p, i) < start + p->max_steps;
    best.n_words = (int)larger(best.n_words, 1);
    return best;
}

/* Gives out the second text; its first frame is that of a step. */
static void give_out_text(ee_second_pass *p, int64_t first_step)
{
    double frame_s = p->step_s * (double)p->n_rows / (double)(p->n_rows * p->per_step);
    double start_s = (double)first_step * p->step_s, received_s = p->first->received_s;
    for (int i = 0; i < p->decoder.n_words; i++) {
        ee_word word = {
            .start_s = fmin(start_s + p->dating.firsts[i] * frame_s, received_s),
            .end_s = fmin(start_s + p->dating.ends[i] * frame_s, received_s),
            .confidence = p->decoder.words[i].confidence,
        };
        strcpy(word.text, p->decoder.words[i].text);
        give_out(p, &word, i + 1 == p->decoder.n_words);
    }
}

/* Gives out the words of a stretch, as the second pass reads them where it can. */
static bool read_stretch(ee_second_pass *p, span stretch, ee_error *error)
{
    int n = (int)larger(smaller(stretch.n_words, p->n_words), 1);
    int64_t first = larger(stretch.start - p->lead, llrint(p->end_s / p->step_s));
    first = larger(first, p->origin);
    int64_t last = smaller(stretch.end + p->tail, first + p->decoder.max_steps);
    if (n < p->n_words)
        last = smaller(last, start_step(p, n));
    int64_t low = first - p->origin, high = smaller(last - p->origin, p->n_rows);
    bool is_dated = false;
    if (low < high) {
        size_t row = (size_t)p->decoder.width, frame_row = (size_t)p->n_tokens;
        const float *latents = p->latents + (size_t)low * row;
        const float *logprobs = p->logprobs + (size_t)low * (size_t)p->per_step * frame_row;
        if (!ee_text_decoder_read(&p->decoder, latents, (int)(high - low), error))
            return false;
        is_dated = ee_date(&p->dating, p->decoder.words, p->decoder.n_words, p->words, n, logprobs,
                           (int)(high - low) * p->per_step);
    }
    if (is_dated)
        give_out_text(p, first);
    for (int i = 0; i < n && !is_dated; i++)
        give_out(p, &p->words[i], i + 1 == n);
    drop_words(p, n);
    return true;
}

/* Reads every stretch that ends before the step `until`, and what is too long to wait. */
static bool read_all(ee_second_pass *p, int64_t until, bool is_over, ee_error *error)
{
    while (p->n_words > 0) {
        span stretch = stretch_at(p, p->words[0].start_s);
        bool ended =
            stretch.end <= until && ee_ctc_next_s(p->first) >= (double)stretch.end * p->step_s;
        if (stretch.end - stretch.start > p->max_steps)
            stretch = cut(p, stretch);
        else if (!ended && !is_over)
            break;
        if (!read_stretch(p, stretch, error))
            return false;
    }
    return true;
}

/* Takes over the newest posteriors, which may change what was known. */
static void update_speech(ee_second_pass *p)
{
    const ee_diarization *d = p->diarization;
    int64_t first = d->done - d->window - p->origin;
    p->n_known = (int)larger(p->n_known, smaller(larger(first + d->window, 0), p->n_rows));
    for (int64_t step = larger(first, 0); step < smaller(first + d->window, p->n_rows); step++)
        p->active[step] = d->spoken[step - first] >= p->min_speech;
}

/* Drops the first `n` rows. */
static void drop_rows(ee_second_pass *p, int n)
{
    size_t row = (size_t)p->decoder.width, frames = (size_t)p->per_step * (size_t)p->n_tokens;
    size_t gone = (size_t)n, left = (size_t)(p->n_rows - n);
    int n_known = p->n_known > n ? p->n_known - n : 0;
    memmove(p->latents, p->latents + gone * row, left * row * sizeof *p->latents);
    memmove(p->logprobs, p->logprobs + gone * frames, left * frames * sizeof *p->logprobs);
    memmove(p->active, p->active + gone, (size_t)n_known * sizeof *p->active);
    memset(p->active + n_known, 0, (size_t)(p->capacity - n_known) * sizeof *p->active);
    p->n_known = n_known;
    p->n_rows -= n;
    p->origin += n;
}

/* Drops the rows before the next word. */
static void forget(ee_second_pass *p)
{
    double waiting_s = p->n_words > 0 ? p->words[0].start_s : INFINITY;
    int64_t first = stretch_at(p, fmin(waiting_s, ee_ctc_next_s(p->first))).start - p->lead;
    double next_s = fmax(p->end_s, (double)first * p->step_s);
    int64_t n = smaller((int64_t)(next_s / p->step_s) - p->origin, p->n_rows - 1);
    if (n > 0)
        drop_rows(p, (int)n);
}

bool ee_second_pass_push(ee_second_pass *p, const float *latents, ee_error *error)
{
    int n_new = p->decoder.chunk_steps;
    if (p->n_rows + n_new > p->capacity)
        drop_rows(p, p->n_rows + n_new - p->capacity);
    size_t row = (size_t)p->decoder.width, frames = (size_t)p->per_step * (size_t)p->n_tokens;
    size_t old = (size_t)p->n_rows, new = (size_t)n_new;
    memcpy(p->latents + old * row, latents, new *row * sizeof *latents);
    memcpy(p->logprobs + old * frames, ee_ctc_logprobs(p->first),
           new *frames * sizeof *p->logprobs);
    p->n_rows += n_new;
    update_speech(p);
    if (!read_all(p, p->origin + p->n_known - p->pause, false, error))
        return false;
    forget(p);
    return true;
}

bool ee_second_pass_finish(ee_second_pass *p, ee_error *error)
{
    update_speech(p);
    return read_all(p, p->origin + p->n_rows, true, error);
}

void ee_second_pass_close(ee_second_pass *p)
{
    ee_text_decoder_close(&p->decoder);
}
