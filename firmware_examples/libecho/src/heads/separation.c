#include "heads/separation.h"

#include <string.h>

bool ee_separation_open(ee_separation *s, const ee_bundle *bundle, ee_memory *memory,
                        ee_error *error)
{
    const ee_manifest *m = s->manifest = &bundle->manifest;
    size_t k = (size_t)m->max_sources, overlap = (size_t)m->overlap_samples;
    for (int slot = 0; slot < EE_MAX_SLOTS; slot++)
        s->voices[slot] = EE_NOBODY;
    s->skip = m->overlap_samples;
    s->tail = ee_take(memory, "separation", k * overlap, sizeof(float));
    s->ready =
        ee_take(memory, "separation", k * ((size_t)m->chunk_samples + overlap), sizeof(float));
    return ee_graph_open(&s->graph, bundle, EE_SEPARATION, memory, error);
}

static float cosine(const ee_clusters *clusters, int a, int b)
{
    float sum = 0.0f;
    for (int i = 0; i < clusters->dim; i++)
        sum +=
            clusters->centroids[a * clusters->dim + i] * clusters->centroids[b * clusters->dim + i];
    return sum;
}

/* The slot for a new voice: of the free ones the loudest; else that of the voice which has been
 * silent for longest. */
static int slot_for_new(const ee_separation *s, const int *recent, int n_recent)
{
    int best = EE_NOBODY, oldest = 0, oldest_rank = -1;
    for (int slot = 0; slot < s->manifest->max_sources; slot++) {
        if (s->voices[slot] == EE_NOBODY &&
            (best == EE_NOBODY || s->energies[slot] > s->energies[best]))
            best = slot;
        int rank = 0;
        while (rank < n_recent && recent[rank] != s->voices[slot])
            rank++;
        if (rank > oldest_rank) {
            oldest_rank = rank;
            oldest = slot;
        }
    }
    return best != EE_NOBODY ? best : oldest;
}

/* Whether the voice, or one so like it that both may be one, has a slot. */
static bool has_slot(const ee_separation *s, const ee_clusters *clusters, int voice)
{
    for (int slot = 0; slot < s->manifest->max_sources; slot++) {
        int other = s->voices[slot];
        if (other == voice)
            return true;
        if (other != EE_NOBODY &&
            cosine(clusters, other, voice) >= (float)s->manifest->decoding.slot_threshold)
            return true;
    }
    return false;
}

/* Tells the graph which voice belongs in which slot. */
static void assign_slots(ee_separation *s, const ee_diarization *diarization)
{
    const ee_clusters *clusters = &diarization->clusters;
    int recent[EE_MAX_VOICES], n = ee_diarization_recent(diarization, recent);
    for (int i = 0; i < n && i < s->manifest->max_sources; i++)
        if (!has_slot(s, clusters, recent[i]))
            s->voices[slot_for_new(s, recent, n)] = recent[i];
    float *voices = ee_graph_input(&s->graph, "voices");
    size_t row = (size_t)clusters->dim * sizeof(float);
    for (int slot = 0; slot < s->manifest->max_sources; slot++, voices += clusters->dim)
        if (s->voices[slot] != EE_NOBODY)
            memcpy(voices, clusters->centroids + s->voices[slot] * clusters->dim, row);
        else
            memset(voices, 0, row);
}

static void fill(ee_graph *graph, const char *name, const float *data)
{
    const ee_graph_spec *spec = graph->spec;
    const ee_tensor *tensor = ee_find_tensor(spec->inputs, spec->n_inputs, name);
    memcpy(ee_graph_input(graph, name), data, tensor->n_elements * sizeof *data);
}

int ee_separation_push(ee_separation *s, const float *latents, const float *features,
                       const float *spectrum, float factor, const ee_diarization *diarization,
                       ee_error *error)
{
    int chunk = s->manifest->chunk_samples, overlap = s->manifest->overlap_samples;
    int all = chunk + overlap;
    float decay = (float)s->manifest->decoding.slot_decay;
    assign_slots(s, diarization);
    fill(&s->graph, "latents", latents);
    fill(&s->graph, "features", features);
    fill(&s->graph, "spectrum", spectrum);
    ee_graph_scale_input(&s->graph, "spectrum", factor);
    if (!ee_graph_run(&s->graph, error))
        return -1;
    memcpy(s->ready, ee_graph_output(&s->graph, "sources"),
           (size_t)(s->manifest->max_sources * all) * sizeof(float));
    /* Overlap-add: the end of the chunk before, faded out by the graph, on this one's faded-in
     * beginning. The first `skip` samples of the stream are only delay. */
    int skip = s->skip < chunk ? s->skip : chunk;
    for (int slot = 0; slot < s->manifest->max_sources; slot++) {
        float *samples = s->ready + slot * all, *tail = s->tail + slot * overlap, energy = 0.0f;
        for (int i = 0; i < overlap; i++)
            samples[i] += tail[i];
        for (int i = 0; i < all; i++)
            energy += samples[i] * samples[i];
        s->energies[slot] = decay * s->energies[slot] + energy / (float)all;
        memcpy(tail, samples + chunk, (size_t)overlap * sizeof(float));
        memmove(samples, samples + skip, (size_t)(chunk - skip) * sizeof(float));
    }
    s->skip -= skip;
    return chunk - skip;
}

int ee_separation_finish(ee_separation *s)
{
    int overlap = s->manifest->overlap_samples, all = s->manifest->chunk_samples + overlap;
    for (int slot = 0; slot < s->manifest->max_sources; slot++)
        memcpy(s->ready + slot * all, s->tail + slot * overlap, (size_t)overlap * sizeof(float));
    return overlap;
}

void ee_separation_close(ee_separation *s)
{
    ee_graph_close(&s->graph);
}
