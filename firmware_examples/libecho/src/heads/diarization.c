#include "heads/diarization.h"

#include <math.h>
#include <string.h>

static void take_memory(ee_diarization *d, int n_voices, ee_memory *memory)
{
    const ee_manifest *m = d->manifest;
    const char *owner = "diarization";
    size_t window = (size_t)d->window, voices = (size_t)n_voices, local = (size_t)m->n_local;
    size_t stretches = local * ee_max_stretches(&d->rules, d->window);
    for (int i = 0; i < 2; i++)
        d->latents[i] =
            ee_take(memory, owner, (size_t)d->history * (size_t)d->width, sizeof(float));
    d->votes = ee_take(memory, owner, window * voices, sizeof(float));
    d->voters = ee_take(memory, owner, window, sizeof(float));
    d->active = ee_take(memory, owner, window * local, sizeof(float));
    d->clean = ee_take(memory, owner, window * local, sizeof(float));
    d->spoken = ee_take(memory, owner, window, sizeof(float));
    d->scores = ee_take(memory, owner, (window + (size_t)m->chunk_steps) * voices, sizeof(float));
    d->stretches = ee_take(memory, owner, stretches, sizeof *d->stretches);
    d->embeddings = ee_take(memory, owner, stretches * (size_t)m->embedding_dim, sizeof(float));
}

bool ee_diarization_open(ee_diarization *d, const ee_bundle *bundle, ee_diarization_options options,
                         ee_memory *memory, ee_error *error)
{
    const ee_manifest *m = d->manifest = &bundle->manifest;
    if (!ee_graph_open(&d->segmentation, bundle, EE_DIARIZATION, memory, error) ||
        !ee_graph_open(&d->embedding, bundle, EE_SPEAKER, memory, error))
        return false;
    d->window = m->window_steps;
    d->hop = m->hop_steps;
    d->latency = d->window - d->hop;
    if (options.latency_steps < d->latency)
        d->latency = options.latency_steps;
    d->rules = ee_turn_rules_from_manifest(m);
    const ee_graph_spec *spec = &m->graphs[EE_DIARIZATION];
    d->width = (int)ee_find_tensor(spec->inputs, spec->n_inputs, "latents")->dims[2];
    d->history = d->window + m->chunk_steps;
    take_memory(d, options.max_voices, memory);
    ee_clusters_open(&d->clusters, m, options.min_voices, options.max_voices, memory);
    for (int voice = 0; voice < EE_MAX_VOICES; voice++)
        d->last_active[voice] = -1;
    return ee_memory_holds(memory, error);
}

void ee_diarization_push(ee_diarization *d, const float *diarization, const float *speaker,
                         int n_steps)
{
    const float *parts[2] = {diarization, speaker};
    size_t new = (size_t)n_steps *(size_t)d->width;
    size_t old = (size_t)(d->history - n_steps) * (size_t)d->width;
    for (int i = 0; i < 2; i++) {
        memmove(d->latents[i], d->latents[i] + new, old * sizeof(float));
        memcpy(d->latents[i] + old, parts[i], new * sizeof(float));
    }
    d->steps += n_steps;
    d->n_scores = 0;
}

/* From posteriors of the powerset to each local speaker: active, and active without others. */
static void read_posteriors(ee_diarization *d, const float *valid)
{
    const ee_manifest *m = d->manifest;
    const float *logprobs = ee_graph_output(&d->segmentation, "logprobs");
    size_t n = (size_t)d->window * (size_t)m->n_local * sizeof(float);
    memset(d->active, 0, n);
    memset(d->clean, 0, n);
    for (int step = 0; step < d->window; step++) {
        d->spoken[step] = valid[step] - expf(logprobs[step * m->n_classes]) * valid[step];
        for (int class = 0; class < m->n_classes; class ++) {
            float posterior = expf(logprobs[step * m->n_classes + class]) * valid[step];
            uint32_t set = m->powerset[class];
            bool single = set != 0 && (set & (set - 1)) == 0;
            for (int local = 0; local < m->n_local; local++) {
                if (!(set >> local & 1))
                    continue;
                d->active[step * m->n_local + local] += posterior;
                if (single)
                    d->clean[step * m->n_local + local] += posterior;
            }
        }
    }
}

/* The window's latents and which of its steps exist, as inputs of the segmentation graph. */
static const float *fill_window(ee_diarization *d, int64_t end)
{
    int64_t n_valid = end < d->window ? end : d->window;
    size_t first = (size_t)(d->history - (d->steps - end) - d->window) * (size_t)d->width;
    size_t n_bytes = (size_t)d->window * (size_t)d->width * sizeof(float);
    memcpy(ee_graph_input(&d->segmentation, "latents"), d->latents[0] + first, n_bytes);
    memcpy(ee_graph_input(&d->embedding, "latents"), d->latents[1] + first, n_bytes);
    float *valid = ee_graph_input(&d->segmentation, "valid");
    for (int step = 0; step < d->window; step++)
        valid[step] = step >= d->window - n_valid ? 1.0f : 0.0f;
    return valid;
}

/* The stretches of this window that are long enough to be embedded; how many. */
static int find_stretches(ee_diarization *d)
{
    int n_local = d->manifest->n_local, n_usable = 0;
    float step_s = (float)d->manifest->step_samples / (float)d->manifest->sample_rate;
    int n = ee_find_stretches(&d->rules, d->active, d->window, n_local, d->stretches);
    for (int i = 0; i < n; i++) {
        ee_stretch stretch = d->stretches[i];
        float clean_steps = 0.0f;
        for (int step = stretch.start; step < stretch.end; step++)
            clean_steps += d->clean[step * n_local + stretch.local];
        if (!(clean_steps >= (float)d->manifest->decoding.min_embedded_steps))
            continue;
        stretch.speech_s = clean_steps * step_s;
        d->stretches[n_usable++] = stretch;
    }
    return n_usable;
}

/* Embeddings of the first `n` stretches, as many at a time as the graph takes. */
static bool embed(ee_diarization *d, int n, ee_error *error)
{
    int n_rows = d->manifest->n_local, dim = d->manifest->embedding_dim;
    float *weights = ee_graph_input(&d->embedding, "weights");
    for (int first = 0; first < n; first += n_rows) {
        int now = n - first < n_rows ? n - first : n_rows;
        memset(weights, 0, (size_t)(n_rows * d->window) * sizeof(float));
        for (int i = 0; i < now; i++) {
            const ee_stretch *stretch = &d->stretches[first + i];
            for (int step = stretch->start; step < stretch->end; step++)
                weights[i * d->window + step] = d->clean[step * n_rows + stretch->local];
        }
        if (!ee_graph_run(&d->embedding, error))
            return false;
        memcpy(d->embeddings + first * dim, ee_graph_output(&d->embedding, "embeddings"),
               (size_t)(now * dim) * sizeof(float));
    }
    return true;
}

/* Finds the voices of the first `n` stretches, the longest first. */
static void link_all(ee_diarization *d, int n)
{
    enum { NOT_YET = EE_NOBODY - 1 };
    for (int i = 0; i < n; i++)
        d->stretches[i].voice = NOT_YET;
    for (int n_linked = 0; n_linked < n; n_linked++) {
        int longest = -1;
        for (int i = 0; i < n; i++)
            if (d->stretches[i].voice == NOT_YET &&
                (longest < 0 || d->stretches[i].speech_s > d->stretches[longest].speech_s))
                longest = i;
        ee_stretch *stretch = &d->stretches[longest];
        const float *embedding = d->embeddings + longest * d->manifest->embedding_dim;
        stretch->voice = ee_clusters_link(&d->clusters, embedding, stretch->speech_s);
    }
}

static void add_votes(ee_diarization *d, int64_t end, const ee_stretch *stretch)
{
    int n_local = d->manifest->n_local, n_voices = d->clusters.max_voices, voice = stretch->voice;
    if (voice == EE_NOBODY)
        return;
    for (int step = stretch->first; step < stretch->last; step++)
        d->votes[step * n_voices + voice] += d->active[step * n_local + stretch->local];
    int64_t last = end - d->window + stretch->end - 1;
    if (last > d->last_active[voice])
        d->last_active[voice] = last;
}

/* Adds the votes of the window that ends at `end`, for each of its steps. */
static bool vote(ee_diarization *d, int64_t end, ee_error *error)
{
    /* 1. Segmentation: who of a few local speakers is active, step by step. */
    const float *valid = fill_window(d, end);
    if (!ee_graph_run(&d->segmentation, error))
        return false;
    read_posteriors(d, valid);
    for (int step = 0; step < d->window; step++)
        d->voters[step] += valid[step];
    /* 2. Stretches of speech, and their embeddings from their clean speech. */
    int n = find_stretches(d);
    if (!embed(d, n, error))
        return false;
    /* 3. The voice of each stretch. */
    link_all(d, n);
    /* 4. A vote for that voice at each step of the stretch and around it. */
    for (int i = 0; i < n; i++)
        add_votes(d, end, &d->stretches[i]);
    return true;
}

/* Two local speakers who are one voice may both be active at a step. */
static float share(float mean)
{
    return mean > 1.0f ? 1.0f : mean;
}

/* Segments the window that ends at `end`; decides what is `latency` steps older than that. */
static bool advance(ee_diarization *d, int64_t end, int latency, ee_activity *activity,
                    ee_error *error)
{
    int n_voices = d->clusters.max_voices;
    /* 1. The votes move to the new window, and the window votes. */
    if (end > d->done) {
        size_t shift = (size_t)(end - d->done), old = (size_t)d->window - shift;
        size_t row = (size_t)n_voices;
        memmove(d->votes, d->votes + shift * row, old * row * sizeof(float));
        memset(d->votes + old * row, 0, shift * row * sizeof(float));
        memmove(d->voters, d->voters + shift, old * sizeof(float));
        memset(d->voters + old, 0, shift * sizeof(float));
        d->done = end;
        if (!vote(d, end, error))
            return false;
    }
    /* 2. The score of a voice at a decided step is its mean vote over the windows that saw it. */
    int64_t first = d->decided, last = end - latency > first ? end - latency : first;
    d->decided = last;
    float *scores = d->scores + (size_t)d->n_scores * (size_t)n_voices;
    *activity = (ee_activity){first, (int)(last - first), n_voices, scores};
    d->n_scores += activity->n_steps;
    int64_t origin = end - d->window;
    for (int i = 0; i < activity->n_steps; i++) {
        int64_t step = first - origin + i;
        float voters = fmaxf(d->voters[step], 1.0f);
        for (int voice = 0; voice < n_voices; voice++)
            scores[i * n_voices + voice] = share(d->votes[step * n_voices + voice] / voters);
    }
    return true;
}

bool ee_diarization_decide(ee_diarization *d, bool everything, ee_activity *activity,
                           ee_error *error)
{
    if (everything) {
        d->n_scores = 0;
        return advance(d, d->steps, 0, activity, error);
    }
    return d->steps - d->done >= d->hop &&
           advance(d, d->done + d->hop, d->latency, activity, error);
}

int ee_diarization_recent(const ee_diarization *d, int voices[EE_MAX_VOICES])
{
    int n = 0;
    for (int voice = 0; voice < d->clusters.max_voices; voice++) {
        if (d->last_active[voice] < 0)
            continue;
        int at = n++;
        for (; at > 0 && d->last_active[voices[at - 1]] < d->last_active[voice]; at--)
            voices[at] = voices[at - 1];
        voices[at] = voice;
    }
    return n;
}

void ee_diarization_close(ee_diarization *d)
{
    ee_graph_close(&d->segmentation);
    ee_graph_close(&d->embedding);
}
