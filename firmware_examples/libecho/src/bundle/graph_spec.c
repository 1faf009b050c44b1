#include "bundle/graph_spec.h"

#include <string.h>

static const int64_t MAX_ELEMENTS = 10000000;

static bool read_tensor(json_t *json, ee_tensor *tensor, ee_error *error)
{
    char type[EE_NAME_BYTES];
    if (!ee_read_text(json, "name", tensor->name, sizeof tensor->name, error) ||
        !ee_read_text(json, "dtype", type, sizeof type, error))
        return false;
    json_t *shape = json_object_get(json, "shape"), *size;
    if (strcmp(type, "float32") != 0)
        return ee_refuse_key(error, tensor->name, "float32, as all audio and all state");
    if (!json_is_array(shape) || json_array_size(shape) > EE_MAX_DIMS)
        return ee_refuse_key(error, tensor->name, "a shape of at most 8 dimensions");
    int64_t n_elements = 1;
    size_t i;
    json_array_foreach(shape, i, size)
    {
        int64_t dim = json_integer_value(size);
        if (dim < 1 || dim > MAX_ELEMENTS || (n_elements *= dim) > MAX_ELEMENTS)
            return ee_refuse_key(error, tensor->name, "a shape of 1 to 10000000 elements");
        tensor->dims[i] = dim;
    }
    tensor->n_dims = (int)json_array_size(shape);
    tensor->n_elements = (size_t)n_elements;
    tensor->source = -1;
    return true;
}

static ee_tensor *read_tensors(json_t *list, const char *graph, int *count, ee_memory *memory,
                               ee_error *error)
{
    size_t n = json_array_size(list);
    if (n < 1 || n > 1000) {
        ee_refuse_key(error, graph, "inputs and outputs");
        return NULL;
    }
    ee_tensor *tensors = ee_take(memory, "manifest", n, sizeof *tensors);
    if (!ee_memory_holds(memory, error))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (!read_tensor(json_array_get(list, i), &tensors[i], error))
            return NULL;
        if (ee_find_tensor(tensors, (int)i, tensors[i].name) != NULL) {
            ee_refuse_key(error, tensors[i].name, "tensors of distinct names");
            return NULL;
        }
    }
    *count = (int)n;
    return tensors;
}

static bool is_same_shape(const ee_tensor *a, const ee_tensor *b)
{
    return a->n_dims == b->n_dims &&
           memcmp(a->dims, b->dims, (size_t)a->n_dims * sizeof *a->dims) == 0;
}

bool ee_graph_spec_read(json_t *json, const char *name, ee_graph_spec *graph, ee_memory *memory,
                        ee_error *error)
{
    if (!ee_read_text(json, "file", graph->file, sizeof graph->file, error))
        return false;
    graph->inputs =
        read_tensors(json_object_get(json, "inputs"), name, &graph->n_inputs, memory, error);
    graph->outputs =
        read_tensors(json_object_get(json, "outputs"), name, &graph->n_outputs, memory, error);
    json_t *state = json_object_get(json, "state"), *source;
    if (error->code != EE_DONE)
        return false;
    if (!json_is_object(state))
        return ee_refuse_key(error, name, "state, an object");
    const char *key;
    json_object_foreach(state, key, source)
    {
        const char *from = json_is_string(source) ? json_string_value(source) : "";
        const ee_tensor *in = ee_find_tensor(graph->inputs, graph->n_inputs, key);
        const ee_tensor *out = ee_find_tensor(graph->outputs, graph->n_outputs, from);
        if (in == NULL || out == NULL || !is_same_shape(in, out))
            return ee_refuse_key(error, key, "state that an output of the same shape feeds");
        graph->inputs[in - graph->inputs].source = (int)(out - graph->outputs);
    }
    return true;
}
