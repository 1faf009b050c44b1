#include "diarization.h"

#include <math.h>
#include <string.h>

/* Below this much clean speech in a window a local speaker has no usable embedding, steps. */
static const float SHORTEST_EMBEDDED_STEPS = 5.0f;
/* From this on a voice counts as heard at a step. */
static const float PROBABLE = 0.5f;

bool ee_diarization_open(ee_diarization *d, const ee_bundle *bundle, int latency_steps,
                         int max_voices, ee_memory *memory, ee_error *error)
{
    const ee_manifest *m = d->manifest = &bundle->manifest;
    const char *owner = "diarization";
    if (!ee_graph_open(&d->segmentation, bundle, EE_DIARIZATION, memory, error) ||
        !ee_graph_open(&d->embedding, bundle, EE_SPEAKER, memory, error))
        return false;
    d->window = m->window_steps;
    d->hop = m->hop_steps;
    d->latency = latency_steps < d->window - d->hop ? latency_steps : d->window - d->hop;
    const ee_graph_spec *spec = &m->graphs[EE_DIARIZATION];
    d->width = (int)ee_find_tensor(spec->inputs, spec->n_inputs, "latents")->dims[2];
    d->history = d->window + m->chunk_steps;
    size_t window = (size_t)d->window, voices = (size_t)max_voices, local = (size_t)m->n_local;
    for (int i = 0; i < 2; i++)
        d->latents[i] = ee_take(memory, owner, (size_t)d->history * (size_t)d->width,
                                sizeof(float));
    d->votes = ee_take(memory, owner, window * voices, sizeof(float));
    d->voters = ee_take(memory, owner, window, sizeof(float));
    d->active = ee_take(memory, owner, window * local, sizeof(float));
    d->alone = ee_take(memory, owner, window * local, sizeof(float));
    d->alike = ee_take(memory, owner, local * voices, sizeof(float));
    d->scores = ee_take(memory, owner, window * voices, sizeof(float));
    d->embeddings = ee_take(memory, owner, local * (size_t)m->embedding_dim, sizeof(float));
    ee_clusters_open(&d->clusters, m, max_voices, memory);
    for (int voice = 0; voice < EE_MOST_VOICES; voice++)
        d->last_heard[voice] = -1;
    return ee_memory_holds(memory, error);
}

void ee_diarization_push(ee_diarization *d, const float *diarization, const float *speaker,
                         int n_steps)
{
    const float *parts[2] = {diarization, speaker};
    size_t new = (size_t)n_steps * (size_t)d->width;
    size_t kept = (size_t)(d->history - n_steps) * (size_t)d->width;
    for (int i = 0; i < 2; i++) {
        memmove(d->latents[i], d->latents[i] + new, kept * sizeof(float));
        memcpy(d->latents[i] + kept, parts[i], new * sizeof(float));
    }
    d->steps += n_steps;
}

/* From posteriors of the powerset to each local speaker: active at all, active alone. */
static void read_posteriors(ee_diarization *d, const float *valid)
{
    const ee_manifest *m = d->manifest;
    const float *logprobs = ee_graph_output(&d->segmentation, "logprobs");
    size_t n = (size_t)d->window * (size_t)m->n_local * sizeof(float);
    memset(d->active, 0, n);
    memset(d->alone, 0, n);
    for (int step = 0; step < d->window; step++)
        for (int class = 0; class < m->n_classes; class++) {
            float posterior = expf(logprobs[step * m->n_classes + class]) * valid[step];
            uint32_t set = m->powerset[class];
            bool single = set != 0 && (set & (set - 1)) == 0;
            for (int local = 0; local < m->n_local; local++) {
                if (!(set >> local & 1))
                    continue;
                d->active[step * m->n_local + local] += posterior;
                if (single)
                    d->alone[step * m->n_local + local] += posterior;
            }
        }
}

/* The window's latents and which of its steps exist, as inputs of the segmentation graph. */
static const float *fill_window(ee_diarization *d, int64_t end)
{
    int64_t have = end < d->window ? end : d->window;
    size_t first = (size_t)(d->history - (d->steps - end) - d->window) * (size_t)d->width;
    size_t n_bytes = (size_t)d->window * (size_t)d->width * sizeof(float);
    memcpy(ee_graph_input(&d->segmentation, "latents"), d->latents[0] + first, n_bytes);
    memcpy(ee_graph_input(&d->embedding, "latents"), d->latents[1] + first, n_bytes);
    float *valid = ee_graph_input(&d->segmentation, "valid");
    for (int step = 0; step < d->window; step++)
        valid[step] = step >= d->window - have ? 1.0f : 0.0f;
    return valid;
}

/* Embeddings of the local speakers, zero for who has too little clean speech. */
static bool embed(ee_diarization *d, const float *clean_steps, ee_error *error)
{
    int n_local = d->manifest->n_local, dim = d->manifest->embedding_dim;
    float *weights = ee_graph_input(&d->embedding, "weights");
    for (int local = 0; local < n_local; local++)
        for (int step = 0; step < d->window; step++)
            weights[local * d->window + step] = d->alone[step * n_local + local];
    if (!ee_graph_run(&d->embedding, error))
        return false;
    memcpy(d->embeddings, ee_graph_output(&d->embedding, "embeddings"),
           (size_t)(n_local * dim) * sizeof(float));
    for (int local = 0; local < n_local; local++)
        if (!(clean_steps[local] >= SHORTEST_EMBEDDED_STEPS))
            memset(d->embeddings + local * dim, 0, (size_t)dim * sizeof(float));
    return true;
}

/* Cosine between local activities and what earlier windows said of the steps they share. */
static void compare_activity(ee_diarization *d)
{
    int n_local = d->manifest->n_local, n_voices = d->clusters.max_voices;
    for (int local = 0; local < n_local; local++)
        for (int voice = 0; voice < n_voices; voice++) {
            float product = 0.0f, square_shared = 0.0f, square_before = 0.0f;
            for (int step = 0; step < d->window; step++) {
                float seen = d->voters[step] - 1.0f;
                if (!(seen > 0.0f))
                    continue;
                float before = d->votes[step * n_voices + voice] / fmaxf(seen, 1.0f);
                float shared = d->active[step * n_local + local];
                product += shared * before;
                square_shared += shared * shared;
                square_before += before * before;
            }
            float norms = sqrtf(square_shared) * sqrtf(square_before);
            d->alike[local * n_voices + voice] = product / fmaxf(norms, 1e-3f);
        }
}

static void add_votes(ee_diarization *d, int64_t end, const int *links)
{
    int n_local = d->manifest->n_local, n_voices = d->clusters.max_voices;
    for (int local = 0; local < n_local; local++) {
        int voice = links[local];
        if (voice == EE_NOBODY)
            continue;
        int64_t last = 0;
        for (int step = 0; step < d->window; step++) {
            float active = d->active[step * n_local + local];
            d->votes[step * n_voices + voice] += active;
            if (active >= PROBABLE)
                last = end - d->window + step;
        }
        if (last > d->last_heard[voice])
            d->last_heard[voice] = last;
    }
}

static bool vote(ee_diarization *d, int64_t end, ee_error *error)
{
    int n_local = d->manifest->n_local, links[EE_MOST_LOCAL];
    float clean_steps[EE_MOST_LOCAL] = {0}, speech_s[EE_MOST_LOCAL], most = 0.0f;
    float step_s = (float)d->manifest->step_samples / (float)d->manifest->sample_rate;
    const float *valid = fill_window(d, end);
    if (!ee_graph_run(&d->segmentation, error))
        return false;
    read_posteriors(d, valid);
    for (int step = 0; step < d->window; step++) {
        d->voters[step] += valid[step];
        for (int local = 0; local < n_local; local++)
            clean_steps[local] += d->alone[step * n_local + local];
    }
    for (int local = 0; local < n_local; local++) {
        speech_s[local] = clean_steps[local] * step_s;
        most = fmaxf(most, clean_steps[local]);
    }
    if (most < SHORTEST_EMBEDDED_STEPS)
        return true;
    if (!embed(d, clean_steps, error))
        return false;
    compare_activity(d);
    ee_clusters_link(&d->clusters, n_local, d->embeddings, speech_s, d->alike, links);
    add_votes(d, end, links);
    return true;
}

/* Segments the window that ends at `end`; decides what is `latency` steps older than that. */
static bool advance(ee_diarization *d, int64_t end, int latency, ee_activity *activity,
                    ee_error *error)
{
    int n_voices = d->clusters.max_voices;
    if (end > d->done) {
        size_t shift = (size_t)(end - d->done), kept = (size_t)d->window - shift;
        size_t row = (size_t)n_voices;
        memmove(d->votes, d->votes + shift * row, kept * row * sizeof(float));
        memset(d->votes + kept * row, 0, shift * row * sizeof(float));
        memmove(d->voters, d->voters + shift, kept * sizeof(float));
        memset(d->voters + kept, 0, shift * sizeof(float));
        d->done = end;
        if (!vote(d, end, error))
            return false;
    }
    int64_t first = d->decided, last = end - latency > first ? end - latency : first;
    d->decided = last;
    *activity = (ee_activity){first, (int)(last - first), n_voices, d->scores};
    int64_t origin = end - d->window;
    for (int i = 0; i < activity->n_steps; i++) {
        int64_t step = first - origin + i;
        float voters = fmaxf(d->voters[step], 1.0f);
        for (int voice = 0; voice < n_voices; voice++)
            d->scores[i * n_voices + voice] = d->votes[step * n_voices + voice] / voters;
    }
    return true;
}

bool ee_diarization_decide(ee_diarization *d, bool everything, ee_activity *activity,
                           ee_error *error)
{
    if (everything)
        return advance(d, d->steps, 0, activity, error);
    return d->steps - d->done >= d->hop &&
           advance(d, d->done + d->hop, d->latency, activity, error);
}

int ee_diarization_recent(const ee_diarization *d, int voices[EE_MOST_VOICES])
{
    int n = 0;
    for (int voice = 0; voice < d->clusters.max_voices; voice++) {
        if (d->last_heard[voice] < 0)
            continue;
        int at = n++;
        for (; at > 0 && d->last_heard[voices[at - 1]] < d->last_heard[voice]; at--)
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
