/* A graph with its buffers and its state, which starts as zeros and moves on by one call. */
#ifndef EE_GRAPH_H
#define EE_GRAPH_H

#include "bundle/verify.h"
#include "engine.h"

typedef struct {
    const ee_graph_spec *spec;
    ee_engine *engine;
    float **inputs, **outputs; /* state: an input and its output change places at every call */
} ee_graph;

/* Loads the graph of that name and takes its buffers. Close it even if this failed. */
bool ee_graph_open(ee_graph *graph, const ee_bundle *bundle, ee_graph_name name, ee_memory *memory,
                   ee_error *error);

/* Buffer of an input or output that is not state: the same for ever. */
float *ee_graph_input(const ee_graph *graph, const char *name);
const float *ee_graph_output(const ee_graph *graph, const char *name);

/* Sets all state, or multiplies it, for a graph whose state is the end of its last input; or
 * multiplies an input. */
void ee_graph_fill_state(ee_graph *graph, float value);
void ee_graph_scale_input(ee_graph *graph, const char *name, float factor);
void ee_graph_scale_state(ee_graph *graph, float factor);

bool ee_graph_run(ee_graph *graph, ee_error *error);

void ee_graph_close(ee_graph *graph);

#endif
