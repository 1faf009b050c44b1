#include "graph.h"

static float **take_buffers(const ee_tensor *tensors, int n, const char *owner, ee_memory *memory)
{
    float **buffers = ee_take(memory, owner, (size_t)n, sizeof *buffers);
    for (int i = 0; buffers != NULL && i < n; i++)
        buffers[i] = ee_take_vectors(memory, owner, tensors[i].n_elements);
    return buffers;
}

bool ee_graph_open(ee_graph *graph, const ee_bundle *bundle, ee_graph_name name,
                   ee_memory *memory, ee_error *error)
{
    const ee_graph_spec *spec = &bundle->manifest.graphs[name];
    const char *owner = EE_GRAPH_NAMES[name];
    char path[EE_PATH_BYTES];
    graph->spec = spec;
    graph->inputs = take_buffers(spec->inputs, spec->n_inputs, owner, memory);
    graph->outputs = take_buffers(spec->outputs, spec->n_outputs, owner, memory);
    if (!ee_memory_holds(memory, error) || !ee_bundle_path(bundle, spec->file, path, error))
        return false;
    graph->engine = ee_engine_open(path, spec, error);
    return graph->engine != NULL;
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
