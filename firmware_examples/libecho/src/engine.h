/* An engine runs graphs. One file per engine implements these five functions; nothing else of a
 * program knows it. An engine knows one graph file and nothing of what it computes. */
#ifndef EE_ENGINE_H
#define EE_ENGINE_H

#include "bundle/manifest.h"

/* The engine's name in manifests. */
extern const char *const ee_engine_name;

/* A loaded graph: a struct of the engine's own, and its size. Not for two threads at once. */
typedef struct ee_engine ee_engine;
extern const size_t ee_engine_bytes;

/* Bound on the inputs, and on the outputs, of a graph. */
enum { EE_MAX_TENSORS = 128 };

/* Before any graph is loaded. `library` is a path or name to load the engine's shared library
 * from, NULL for the usual one; `threads` is per graph. False if the engine is not there or older
 * than `minimum_version`. */
bool ee_engine_start(const char *library, int threads, const char *minimum_version,
                     ee_error *error);

/* Loads one graph file into `engine`, which is zeroed; false with an error if the engine refuses
 * it. Close it even then. `spec` must outlive it. */
bool ee_engine_load(ee_engine *engine, const char *path, const ee_graph_spec *spec,
                    ee_error *error);

/* One call: reads `inputs` and fills `outputs`, in the order of the spec, float32. Buffers do not
 * overlap and are those of ee_take_vectors. At most two buffers ever stand in for one input or
 * output (state is swapped), so an engine may prepare something for each. */
bool ee_engine_run(ee_engine *engine, float *const inputs[], float *const outputs[],
                   ee_error *error);

/* Frees what the engine took; `engine` itself is the caller's. */
void ee_engine_close(ee_engine *engine);

/* After the last graph is closed, or when starting failed. The engine may be started again. */
void ee_engine_stop(void);

#endif
