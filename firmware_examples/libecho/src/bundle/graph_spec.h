/* One of the graphs of a manifest: its file, its inputs and outputs, and its state. */
#ifndef EE_GRAPH_SPEC_H
#define EE_GRAPH_SPEC_H

#include "bundle/manifest.h"
#include "strict_json.h"

/* Reads the graph called `name` out of `json`: file, inputs, outputs, and which output feeds which
 * input. False with code EE_REFUSED for what breaks a rule. */
bool ee_graph_spec_read(json_t *json, const char *name, ee_graph_spec *graph, ee_memory *memory,
                        ee_error *error);

#endif
