#include "bundle/graph_io.h"

#include <stdio.h>
#include <string.h>

/* One input or output that the decoders use. */
typedef struct {
    ee_graph_name graph;
    bool is_input;
    const char *name;
    int n_dims;
    int64_t dims[4];
} requirement;

static void describe(const int64_t *dims, int n_dims, char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < n_dims && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, i ? ", %lld" : "%lld", (long long)dims[i]);
}

/* Whether the graph has the tensor, in the shape that is required. */
static bool is_met(const ee_manifest *m, requirement wanted, ee_error *error)
{
    const ee_graph_spec *graph = &m->graphs[wanted.graph];
    const ee_tensor *tensor = wanted.is_input
                                  ? ee_find_tensor(graph->inputs, graph->n_inputs, wanted.name)
                                  : ee_find_tensor(graph->outputs, graph->n_outputs, wanted.name);
    if (tensor != NULL && tensor->source < 0 && tensor->n_dims == wanted.n_dims &&
        memcmp(tensor->dims, wanted.dims, (size_t)wanted.n_dims * sizeof *wanted.dims) == 0)
        return true;
    char expected[120], found[120] = "nothing";
    describe(wanted.dims, wanted.n_dims, expected, sizeof expected);
    if (tensor != NULL)
        describe(tensor->dims, tensor->n_dims, found, sizeof found);
    return ee_fail(error, EE_REFUSED,
                   "manifest.json: graphs.%s: %s: found [%s], expected [%s]: "
                   "export it again",
                   EE_GRAPH_NAMES[wanted.graph], wanted.name, found, expected);
}

/* Whether every input of the graphs from `first` to before `end` is one of those required, memory
 * of the second pass, or state. */
static bool every_input_is_fed(const ee_manifest *m, int first, int end, const requirement *all,
                               size_t n, ee_error *error)
{
    const ee_graph_spec *maker = &m->graphs[EE_ASR_MEMORY];
    for (int g = first; g < end; g++)
        for (int i = 0; i < m->graphs[g].n_inputs; i++) {
            const ee_tensor *tensor = &m->graphs[g].inputs[i];
            bool known = tensor->source >= 0 ||
                         (g == EE_ASR_DECODER &&
                          ee_find_tensor(maker->outputs, maker->n_outputs, tensor->name) != NULL);
            for (size_t k = 0; k < n && !known; k++)
                known = all[k].is_input && (int)all[k].graph == g &&
                        strcmp(all[k].name, tensor->name) == 0;
            if (!known)
                return ee_fail(error, EE_REFUSED,
                               "manifest.json: graphs.%s: found the input %s, "
                               "expected none of that name: export it again",
                               EE_GRAPH_NAMES[g], tensor->name);
        }
    return true;
}

/* How many tokens the transcription tells apart, and how wide latents are: from the graphs. */
static int64_t last_dim(const ee_graph_spec *graph, const char *output)
{
    const ee_tensor *tensor = ee_find_tensor(graph->outputs, graph->n_outputs, output);
    return tensor != NULL && tensor->n_dims > 0 ? tensor->dims[tensor->n_dims - 1] : 0;
}

/* Whether the memory that one graph makes is the one that the other reads, layer by layer. */
static bool second_pass_holds(const ee_manifest *m, int64_t d, ee_error *error)
{
    const ee_graph_spec *maker = &m->graphs[EE_ASR_MEMORY], *reader = &m->graphs[EE_ASR_DECODER];
    const ee_tensor *place = ee_find_tensor(reader->inputs, reader->n_inputs, "memory_valid");
    const ee_tensor *valid = ee_find_tensor(reader->inputs, reader->n_inputs, "valid");
    int64_t steps = m->chunk_steps,
            memory = place != NULL && place->n_dims == 2 ? place->dims[1] : 0;
    const requirement all[] = {
        {EE_ASR_MEMORY, true, "latents", 3, {1, steps, d}},
        {EE_ASR_MEMORY, true, "steps", 2, {1, steps}},
        {EE_ASR_DECODER, true, "token", 2, {1, 1}},
        {EE_ASR_DECODER, true, "place", 2, {1, 1}},
        {EE_ASR_DECODER, true, "memory_valid", 2, {1, memory}},
        {EE_ASR_DECODER, false, "logprobs", 2, {1, last_dim(reader, "logprobs")}},
    };
    size_t n = sizeof all / sizeof *all;
    for (size_t i = 0; i < n; i++)
        if (!is_met(m, all[i], error))
            return false;
    for (int i = 0; i < maker->n_outputs; i++) {
        const ee_tensor *made = &maker->outputs[i];
        int64_t heads = made->n_dims == 4 ? made->dims[1] : 0;
        int64_t width = made->n_dims == 4 ? made->dims[3] : 0;
        requirement maker_has = {EE_ASR_MEMORY, false, made->name, 4, {1, heads, steps, width}};
        requirement reader_has = {EE_ASR_DECODER, true, made->name, 4, {1, heads, memory, width}};
        if (!is_met(m, maker_has, error) || !is_met(m, reader_has, error))
            return false;
    }
    if (valid == NULL || valid->source < 0 || valid->n_dims != 2)
        return ee_fail(error, EE_REFUSED,
                       "manifest.json: graphs.asr_decoder: valid: expected [1, T], which is state: "
                       "export it again");
    return every_input_is_fed(m, EE_ASR_MEMORY, EE_GRAPHS, all, n, error);
}

bool ee_graph_io_holds(const ee_manifest *m, ee_error *error)
{
    int64_t chunk = m->chunk_samples, steps = m->chunk_steps, window = m->window_steps;
    int64_t frames = chunk / m->spectrum_hop_samples, k = m->max_sources;
    int64_t d = last_dim(&m->graphs[EE_ENCODER], "latents"), e = m->embedding_dim;
    int64_t tokens = last_dim(&m->graphs[EE_ASR], "logprobs");
    int64_t phones = last_dim(&m->graphs[EE_ASR], "phones");
    const requirement all[] = {
        {EE_FRONTEND, true, "pcm", 2, {1, chunk}},
        {EE_FRONTEND, false, "features", 3, {1, frames, 80}},
        {EE_FRONTEND, false, "spectrum", 4, {1, frames, 257, 2}},
        {EE_ENCODER, true, "features", 3, {1, frames, 80}},
        {EE_ENCODER, false, "latents", 3, {1, steps, d}},
        {EE_ENCODER, false, "latents_diarization", 3, {1, steps, d}},
        {EE_ENCODER, false, "latents_speaker", 3, {1, steps, d}},
        {EE_ENCODER, false, "latents_asr", 3, {1, steps, d}},
        {EE_ENCODER, false, "latents_separation", 3, {1, steps, d}},
        {EE_ASR, true, "latents", 3, {1, steps, d}},
        {EE_ASR, false, "logprobs", 3, {1, steps * m->frames_per_step, tokens}},
        {EE_SEPARATION, true, "latents", 3, {1, steps, d}},
        {EE_SEPARATION, true, "features", 3, {1, frames, 80}},
        {EE_SEPARATION, true, "spectrum", 4, {1, frames, 257, 2}},
        {EE_SEPARATION, true, "voices", 3, {1, k, e}},
        {EE_SEPARATION, false, "sources", 2, {k, chunk + m->overlap_samples}},
        {EE_SEPARATION, false, "presence", 1, {k}},
        {EE_DIARIZATION, true, "latents", 3, {1, window, d}},
        {EE_DIARIZATION, true, "valid", 2, {1, window}},
        {EE_DIARIZATION, false, "logprobs", 3, {1, window, m->n_classes}},
        {EE_SPEAKER, true, "latents", 3, {1, window, d}},
        {EE_SPEAKER, true, "weights", 3, {1, m->n_local, window}},
        {EE_SPEAKER, false, "embeddings", 3, {1, m->n_local, e}},
        /* The last one here, since only a beam search with a language model needs it. */
        {EE_ASR, false, "phones", 3, {1, steps * m->frames_per_step, phones}},
    };
    size_t n = sizeof all / sizeof *all - (m->language_model[0] ? 0 : 1);
    for (size_t i = 0; i < n; i++)
        if (!is_met(m, all[i], error))
            return false;
    return every_input_is_fed(m, 0, EE_FIRST_PASS_GRAPHS, all, n, error) &&
           (!m->has_second_pass || second_pass_holds(m, d, error));
}
