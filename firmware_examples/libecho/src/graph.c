#include "graph.h"

#include <malloc.h>

/* While a graph loads, large blocks are mapped, so that copies of the weights that an engine frees
 * go back to the system; afterwards mapping every intermediate would cost time. */
static bool load_thriftily(ee_graph *graph, const char *path, ee_error *error)
{
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
    bool good = ee_engine_load(graph->engine, path, graph->spec, error);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 32 << 20);
    return good;
}

static float **take_buffers(const ee_tensor *tensors, int n, const char *owner, ee_memory *memory)
{
    float **buffers = ee_take(memory, owner, (size_t)n, sizeof *buffers);
    for (int i = 0; buffers != NULL && i < n; i++)
        buffers[i] = ee_take_vectors(memory, owner, tensors[i].n_elements);
    return buffers;
}

bool ee_graph_open(ee_graph *graph, const ee_bundle *bundle, ee_graph_name name, ee_memory *memory,
                   ee_error *error)
{
    const ee_graph_spec *spec = &bundle->manifest.graphs[name];
    const char *owner = EE_GRAPH_NAMES[name];
    char path[EE_PATH_BYTES];
    graph->spec = spec;
    if (spec->n_inputs > EE_MAX_TENSORS || spec->n_outputs > EE_MAX_TENSORS)
        return ee_fail(error, EE_FAILED, "%s: found over %d tensors, expected fewer", spec->file,
                       EE_MAX_TENSORS);
    graph->inputs = take_buffers(spec->inputs, spec->n_inputs, owner, memory);
    graph->outputs = take_buffers(spec->outputs, spec->n_outputs, owner, memory);
    graph->engine = ee_take(memory, owner, 1, ee_engine_bytes);
    return ee_memory_holds(memory, error) && ee_bundle_path(bundle, spec->file, path, error) &&
           load_thriftily(graph, path, error);
}

float *ee_graph_input(const ee_graph *graph, const char *name)
{
    const ee_graph_spec *spec = graph->spec;
    return graph->inputs[ee_find_tensor(spec->inputs, spec->n_inputs, name) - spec->inputs];
}

const float *ee_graph_output(const ee_graph *graph, const char *name)
{
    const ee_graph_spec *spec = graph->spec;
    return graph->outputs[ee_find_tensor(spec->outputs, spec->n_outputs, name) - spec->outputs];
}

static void scale(const ee_graph *graph, int input, float factor)
{
    for (size_t i = 0; factor != 1.0f && i < graph->spec->inputs[input].n_elements; i++)
        graph->inputs[input][i] *= factor;
}

void ee_graph_fill_state(ee_graph *graph, float value)
{
    for (int i = 0; i < graph->spec->n_inputs; i++)
        for (size_t k = 0;
             graph->spec->inputs[i].source >= 0 && k < graph->spec->inputs[i].n_elements; k++)
            graph->inputs[i][k] = value;
}

void ee_graph_scale_input(ee_graph *graph, const char *name, float factor)
{
    const ee_graph_spec *spec = graph->spec;
    scale(graph, (int)(ee_find_tensor(spec->inputs, spec->n_inputs, name) - spec->inputs), factor);
}

void ee_graph_scale_state(ee_graph *graph, float factor)
{
    for (int i = 0; i < graph->spec->n_inputs; i++)
        if (graph->spec->inputs[i].source >= 0)
            scale(graph, i, factor);
}

bool ee_graph_run(ee_graph *graph, ee_error *error)
{
    if (!ee_engine_run(graph->engine, graph->inputs, graph->outputs, error))
        return false;
    for (int i = 0; i < graph->spec->n_inputs; i++) {
        int source = graph->spec->inputs[i].source;
        if (source < 0)
            continue;
        float *next = graph->outputs[source];
        graph->outputs[source] = graph->inputs[i];
        graph->inputs[i] = next;
    }
    return true;
}

void ee_graph_close(ee_graph *graph)
{
    if (graph->engine != NULL)
        ee_engine_close(graph->engine);
    graph->engine = NULL;
}
