/* Inputs and outputs of the graphs that the decoders use: the table "The graphs" of
 * docs/reference/bundle.md, as code. */
#ifndef EE_GRAPH_IO_H
#define EE_GRAPH_IO_H

#include "bundle/manifest.h"

/* Whether each graph has the inputs and outputs that the decoders use. False with code EE_REFUSED
 * and the first tensor that is missing, of another shape, or that nothing would feed. */
bool ee_graph_io_holds(const ee_manifest *manifest, ee_error *error);

#endif
