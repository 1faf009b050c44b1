// ExecuTorch's C++ runtime, through the C interface that the Python runtime uses too
// (echo_edge/engines/executorch_shim.cpp, compiled into this program).
extern "C" {
#include "engine.h"
}

#include <cstdint>
#include <cstring>

// The interface of the shim. `ee_error` is a type here, so its function gets another name.
extern "C" {
const char* last_error(void) __asm__("ee_error");
void* ee_open(const char* path, int threads);
int ee_count(const void* handle, int side);
int ee_shape(const void* handle, int side, int index, int32_t* shape, int max);
int ee_run(void* handle, float* const* inputs, float* const* outputs);
void ee_close(void* handle);
}

extern "C" const char* const ee_engine_name = "executorch";

struct ee_engine {
  const ee_graph_spec* spec;
  void* handle;
};

extern "C" const size_t ee_engine_bytes = sizeof(ee_engine);

namespace {

int n_threads = 1;

// Whether one side of the graph, inputs (0) or outputs (1), is what the manifest says, in order.
bool is_as_declared(const ee_engine* engine, int side, const ee_tensor* tensors, int count,
                 ee_error* error) {
  const char* name = side == 0 ? "inputs" : "outputs";
  const int found = ee_count(engine->handle, side);
  if (found != count) {
    return ee_fail(error, EE_REFUSED, "%s: found %d %s, expected %d: export it again",
                   engine->spec->file, found, name, count);
  }
  for (int i = 0; i < count; ++i) {
    int32_t shape[EE_MAX_DIMS] = {0};
    bool same = ee_shape(engine->handle, side, i, shape, EE_MAX_DIMS) == tensors[i].n_dims;
    for (int k = 0; same && k < tensors[i].n_dims; ++k) same = shape[k] == tensors[i].dims[k];
    if (!same) {
      return ee_fail(error, EE_REFUSED, "%s: %s: found another shape of %s, expected the "
                     "manifest's: export it again", engine->spec->file, name, tensors[i].name);
    }
  }
  return true;
}

}  // namespace

extern "C" bool ee_engine_start(const char* library, int threads, const char* minimum_version,
                                ee_error* error) {
  n_threads = threads;
  if (library != nullptr) {
    return ee_fail(error, EE_USAGE, "--engine-library: found %.100s, expected nothing: this "
                   "program finds its libraries beside itself", library);
  }
  if (ee_compare_versions(EE_EXECUTORCH_VERSION, minimum_version) < 0) {
    return ee_fail(error, EE_FAILED, "engine executorch: found " EE_EXECUTORCH_VERSION
                   ", expected at least %s for this bundle: build with a newer one",
                   minimum_version);
  }
  return true;
}

extern "C" bool ee_engine_load(ee_engine* engine, const char* path, const ee_graph_spec* spec,
                               ee_error* error) {
  *engine = {spec, ee_open(path, n_threads)};
  if (engine->handle == nullptr) {
    return ee_fail(error, EE_FAILED, "%s: executorch %s", spec->file, last_error());
  }
  return is_as_declared(engine, 0, spec->inputs, spec->n_inputs, error) &&
         is_as_declared(engine, 1, spec->outputs, spec->n_outputs, error);
}

extern "C" bool ee_engine_run(ee_engine* engine, float* const inputs[], float* const outputs[],
                              ee_error* error) {
  return ee_run(engine->handle, inputs, outputs) == 0 ||
         ee_fail(error, EE_FAILED, "%s: executorch %s", engine->spec->file, last_error());
}

extern "C" void ee_engine_close(ee_engine* engine) { ee_close(engine->handle); }

extern "C" void ee_engine_stop(void) {}
