/* ONNX Runtime through its C API, with the options of echo_edge/engines/onnx.py. The library is
 * loaded with dlopen: linking would tie the program to one version of it. */
#include "engine.h"

#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <stdlib.h>
#include <string.h>

const char *const ee_engine_name = "onnx";

/* The tensors of one buffer each; state has two buffers in turns. */
typedef struct {
    float *buffer[2];
    OrtValue *value[2];
} tensor_slot;

struct ee_engine {
    const ee_graph_spec *spec;
    OrtSession *session;
    const char *input_names[EE_MAX_TENSORS], *output_names[EE_MAX_TENSORS];
    tensor_slot inputs[EE_MAX_TENSORS], outputs[EE_MAX_TENSORS];
};

const size_t ee_engine_bytes = sizeof(ee_engine);

static struct {
    void *library;
    const OrtApi *api;
    OrtEnv *environment;
    OrtSessionOptions *options;
    OrtMemoryInfo *memory;
} ort;

/* Whether the call succeeded; its message goes into the error, after `where`. */
static bool holds(OrtStatus *status, const char *where, const char *verb, ee_error *error)
{
    if (status == NULL)
        return true;
    ee_fail(error, EE_FAILED, "%s: onnxruntime %s: %.400s", where, verb,
            ort.api->GetErrorMessage(status));
    ort.api->ReleaseStatus(status);
    return false;
}

static bool load_library(const char *library, const char *minimum_version, ee_error *error)
{
    const char *name = library ? library : "libonnxruntime.so.1";
    /* From 1.29 on it reports to its maker and writes below ~/.cache, unless this is set when it
     * starts: see echo_edge/habits.py. */
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    ort.library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (ort.library == NULL)
        return ee_fail(error, EE_FAILED,
                       "engine onnx: %.300s: name the file with "
                       "--engine-library (pip install onnxruntime brings it)",
                       dlerror());
    const OrtApiBase *(*get_base)(void) = NULL;
    void *symbol = dlsym(ort.library, "OrtGetApiBase");
    memcpy(&get_base, &symbol, sizeof symbol); /* C has no cast from data to function */
    if (get_base == NULL)
        return ee_fail(error, EE_FAILED,
                       "engine onnx: %s: found another library, expected ONNX "
                       "Runtime",
                       name);
    const char *version = get_base()->GetVersionString();
    /* An older library would complain of our API version on stderr: it is not asked. */
    if (ee_compare_versions(version, minimum_version) >= 0)
        ort.api = get_base()->GetApi(ORT_API_VERSION);
    if (ort.api == NULL)
        return ee_fail(error, EE_FAILED,
                       "engine onnx: found onnxruntime %s, expected at least %s "
                       "for this bundle: install a newer one",
                       version, minimum_version);
    return true;
}

bool ee_engine_start(const char *library, int threads, const char *minimum_version, ee_error *error)
{
    if (!load_library(library, minimum_version, error))
        return false;
    const OrtApi *api = ort.api;
    const char *where = "engine onnx", *verb = "cannot start";
    return holds(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "echo-edge", &ort.environment), where,
                 verb, error) &&
           holds(api->CreateSessionOptions(&ort.options), where, verb, error) &&
           holds(api->SetIntraOpNumThreads(ort.options, threads), where, verb, error) &&
           holds(api->SetInterOpNumThreads(ort.options, 1), where, verb, error) &&
           holds(api->DisableCpuMemArena(ort.options), where, verb, error) &&
           holds(api->DisableMemPattern(ort.options), where, verb, error) &&
           holds(api->SetSessionLogSeverityLevel(ort.options, ORT_LOGGING_LEVEL_ERROR), where, verb,
                 error) &&
           /* Workers that spin between chunks would burn a board's battery for nothing. */
           holds(api->AddSessionConfigEntry(ort.options, "session.intra_op.allow_spinning", "0"),
                 where, verb, error) &&
           holds(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &ort.memory),
                 where, verb, error);
}

/* Whether the graph's input or output `index` is what the manifest says. */
static bool is_as_declared(const ee_engine *engine, bool is_input, size_t index, ee_error *error)
{
    const ee_graph_spec *spec = engine->spec;
    const OrtApi *api = ort.api;
    OrtAllocator *allocator;
    OrtTypeInfo *type = NULL;
    const OrtTensorTypeAndShapeInfo *shape = NULL;
    enum ONNXTensorElementDataType kind = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    int64_t dims[EE_MAX_DIMS] = {0};
    size_t n_dims = 0;
    char *name = NULL;
    bool read =
        holds(api->GetAllocatorWithDefaultOptions(&allocator), spec->file, "failed", error) &&
        holds(is_input ? api->SessionGetInputName(engine->session, index, allocator, &name)
                       : api->SessionGetOutputName(engine->session, index, allocator, &name),
              spec->file, "failed", error) &&
        holds(is_input ? api->SessionGetInputTypeInfo(engine->session, index, &type)
                       : api->SessionGetOutputTypeInfo(engine->session, index, &type),
              spec->file, "failed", error) &&
        holds(api->CastTypeInfoToTensorInfo(type, &shape), spec->file, "failed", error) &&
        shape != NULL &&
        holds(api->GetTensorElementType(shape, &kind), spec->file, "failed", error) &&
        holds(api->GetDimensionsCount(shape, &n_dims), spec->file, "failed", error) &&
        n_dims <= EE_MAX_DIMS &&
        holds(api->GetDimensions(shape, dims, n_dims), spec->file, "failed", error);
    const ee_tensor *tensor = !read      ? NULL
                              : is_input ? ee_find_tensor(spec->inputs, spec->n_inputs, name)
                                         : ee_find_tensor(spec->outputs, spec->n_outputs, name);
    bool good = tensor != NULL && kind == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT &&
                (size_t)tensor->n_dims == n_dims &&
                memcmp(tensor->dims, dims, n_dims * sizeof *dims) == 0;
    if (!good)
        ee_fail(error, EE_REFUSED,
                "%s: found %s %.60s of another shape or none in the manifest, "
                "expected the same: export it again",
                spec->file, is_input ? "the input" : "the output", name ? name : "?");
    if (name != NULL)
        holds(api->AllocatorFree(allocator, name), spec->file, "failed", error);
    if (type != NULL)
        api->ReleaseTypeInfo(type);
    return good;
}

static bool is_graph_as_declared(const ee_engine *engine, ee_error *error)
{
    const ee_graph_spec *spec = engine->spec;
    size_t n_inputs, n_outputs;
    if (!holds(ort.api->SessionGetInputCount(engine->session, &n_inputs), spec->file, "failed",
               error) ||
        !holds(ort.api->SessionGetOutputCount(engine->session, &n_outputs), spec->file, "failed",
               error))
        return false;
    if ((int)n_inputs != spec->n_inputs || (int)n_outputs != spec->n_outputs)
        return ee_fail(error, EE_REFUSED,
                       "%s: found %zu inputs and %zu outputs, expected %d and "
                       "%d: export it again",
                       spec->file, n_inputs, n_outputs, spec->n_inputs, spec->n_outputs);
    for (size_t i = 0; i < n_inputs; i++)
        if (!is_as_declared(engine, true, i, error))
            return false;
    for (size_t i = 0; i < n_outputs; i++)
        if (!is_as_declared(engine, false, i, error))
            return false;
    return true;
}

bool ee_engine_load(ee_engine *engine, const char *path, const ee_graph_spec *spec, ee_error *error)
{
    engine->spec = spec;
    for (int i = 0; i < spec->n_inputs; i++)
        engine->input_names[i] = spec->inputs[i].name;
    for (int i = 0; i < spec->n_outputs; i++)
        engine->output_names[i] = spec->outputs[i].name;
    return holds(ort.api->CreateSession(ort.environment, path, ort.options, &engine->session),
                 spec->file, "cannot load it", error) &&
           is_graph_as_declared(engine, error);
}

/* The engine's tensor over a buffer of ours, made when the buffer is first seen; NULL if that
 * fails. */
static OrtValue *value_of(tensor_slot *slot, const ee_tensor *tensor, float *buffer,
                          ee_error *error)
{
    int i = slot->value[0] != NULL && slot->buffer[0] != buffer;
    if (slot->value[i] != NULL)
        return slot->value[i];
    slot->buffer[i] = buffer;
    holds(ort.api->CreateTensorWithDataAsOrtValue(
              ort.memory, buffer, tensor->n_elements * sizeof *buffer, tensor->dims,
              (size_t)tensor->n_dims, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &slot->value[i]),
          tensor->name, "failed", error);
    return slot->value[i];
}

bool ee_engine_run(ee_engine *engine, float *const inputs[], float *const outputs[],
                   ee_error *error)
{
    const ee_graph_spec *spec = engine->spec;
    const OrtValue *in[EE_MAX_TENSORS];
    OrtValue *out[EE_MAX_TENSORS];
    for (int i = 0; i < spec->n_inputs; i++)
        in[i] = value_of(&engine->inputs[i], &spec->inputs[i], inputs[i], error);
    for (int i = 0; i < spec->n_outputs; i++)
        out[i] = value_of(&engine->outputs[i], &spec->outputs[i], outputs[i], error);
    return error->code == EE_DONE &&
           holds(ort.api->Run(engine->session, NULL, engine->input_names, in,
                              (size_t)spec->n_inputs, engine->output_names, (size_t)spec->n_outputs,
                              out),
                 spec->file, "failed", error);
}

void ee_engine_close(ee_engine *engine)
{
    for (int i = 0; i < EE_MAX_TENSORS; i++)
        for (int k = 0; k < 2; k++) {
            ort.api->ReleaseValue(engine->inputs[i].value[k]);
            ort.api->ReleaseValue(engine->outputs[i].value[k]);
        }
    ort.api->ReleaseSession(engine->session);
}

void ee_engine_stop(void)
{
    if (ort.api != NULL) {
        ort.api->ReleaseMemoryInfo(ort.memory);
        ort.api->ReleaseSessionOptions(ort.options);
        ort.api->ReleaseEnv(ort.environment);
    }
    if (ort.library != NULL)
        dlclose(ort.library);
    memset(&ort, 0, sizeof ort);
}
