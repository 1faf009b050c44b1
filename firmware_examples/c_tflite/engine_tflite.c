/* LiteRT, which runs .tflite files, through its C API. */
#include "engine.h"
#include "litert.h"
#include "stderr.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const ee_engine_name = "tflite";

/* One input or output, in the order of the graph. State has two buffers in turns. */
typedef struct {
    int index; /* of the spec's tensor */
    litert_type type;
    float *memory[2];
    litert_buffer *buffer[2];
} tensor_slot;

struct ee_engine {
    const ee_graph_spec *spec;
    void *file;
    size_t file_bytes;
    litert_model *model;
    litert_compiled *compiled;
    tensor_slot inputs[EE_MAX_TENSORS], outputs[EE_MAX_TENSORS];
};

const size_t ee_engine_bytes = sizeof(ee_engine);

static struct {
    litert_api api;
    litert_environment *environment;
    litert_options *options;
    char threads[32];
} litert;

/* Whether the call succeeded; if not, the error says so. */
static bool holds(int status, const char *where, const char *verb, ee_error *error)
{
    return status == LITERT_OK ||
           ee_fail(error, EE_FAILED, "%s: litert %s: status %d", where, verb, status);
}

static void keep(void *payload)
{
    (void)payload;
}

bool ee_engine_start(const char *library, int threads, const char *minimum_version, ee_error *error)
{
    const char *where = "engine tflite", *verb = "cannot start";
    /* Looking for accelerators would load a library that dies on a Cortex-A72. */
    const litert_setting settings[] = {
        {LITERT_ACCELERATORS, {LITERT_INTEGER, LITERT_CPU}},
        {LITERT_MIN_SEVERITY, {LITERT_INTEGER, LITERT_SILENT}},
    };
    litert_extra *xnnpack = NULL;
    if (ee_compare_versions(EE_LITERT_VERSION, minimum_version) < 0)
        return ee_fail(error, EE_FAILED,
                       "engine tflite: found " EE_LITERT_VERSION ", expected at "
                       "least %s for this bundle: build with a newer one",
                       minimum_version);
    if (!ee_litert_load(library, &litert.api, error))
        return false;
    const litert_api *api = &litert.api;
    snprintf(litert.threads, sizeof litert.threads, "num_threads = %d\n", threads);
    return holds(api->CreateEnvironment(2, settings, &litert.environment), where, verb, error) &&
           holds(api->CreateOptions(&litert.options), where, verb, error) &&
           holds(api->SetOptionsHardwareAccelerators(litert.options, LITERT_CPU), where, verb,
                 error) &&
           holds(api->CreateOpaqueOptions("xnnpack", litert.threads, keep, &xnnpack), where, verb,
                 error) &&
           holds(api->AddOpaqueOptions(litert.options, xnnpack), where, verb, error);
}

/* The file, mapped, so that the system may take back what the engine has copied. */
static bool map_file(ee_engine *engine, const char *path, ee_error *error)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0 || status.st_size < 8) {
        if (file >= 0)
            close(file);
        return ee_fail(error, EE_FAILED, "%s: cannot be read", engine->spec->file);
    }
    engine->file_bytes = (size_t)status.st_size;
    engine->file = mmap(NULL, engine->file_bytes, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (engine->file == MAP_FAILED) {
        engine->file = NULL;
        return ee_fail(error, EE_FAILED, "memory: found too little: stop other programs");
    }
    if (memcmp((char *)engine->file + 4, "TFL3", 4) != 0)
        return ee_fail(error, EE_REFUSED,
                       "%s: found no TFL3 at byte 4, expected a .tflite file: "
                       "export it again",
                       engine->spec->file);
    return true;
}

/* Whether the graph's tensor is what the manifest says of it. */
static bool is_as_declared(const litert_type *type, const ee_tensor *tensor)
{
    bool same = type->element == LITERT_FLOAT32 && (int)type->n_dims == tensor->n_dims;
    for (int i = 0; same && i < tensor->n_dims; i++)
        same = type->dims[i] == tensor->dims[i];
    return same;
}

/* One side of a graph: its inputs or its outputs. */
typedef struct {
    const char *name;
    const ee_tensor *tensors;
    int n_tensors;
    tensor_slot *slots;
    int (*count)(litert_subgraph *, size_t *);
    int (*at)(litert_subgraph *, size_t, litert_tensor **);
    int (*named)(litert_signature *, const char *, litert_tensor **);
} graph_side;

/* The place of a tensor of the manifest on its side of the graph; -1 if it is not there as the
 * manifest says. */
static int find_place(const graph_side *side, const ee_tensor *tensor, litert_signature *signature,
                      litert_subgraph *graph)
{
    litert_tensor *wanted = NULL, *found = NULL;
    if (side->named(signature, tensor->name, &wanted) != LITERT_OK)
        return -1;
    for (int place = 0; place < side->n_tensors; place++) {
        tensor_slot *slot = &side->slots[place];
        if (slot->index < 0 && side->at(graph, (size_t)place, &found) == LITERT_OK &&
            found == wanted && litert.api.GetRankedTensorType(found, &slot->type) == LITERT_OK)
            return is_as_declared(&slot->type, tensor) ? place : -1;
    }
    return -1;
}

/* Which place of the graph is which tensor of the manifest; they must be the same ones. */
static bool find_places(const ee_engine *engine, const graph_side *side,
                        litert_signature *signature, ee_error *error)
{
    const char *file = engine->spec->file;
    litert_subgraph *graph = NULL;
    size_t found = 0;
    if (!holds(litert.api.GetSignatureSubgraph(signature, &graph), file, "failed", error) ||
        !holds(side->count(graph, &found), file, "failed", error))
        return false;
    if (found != (size_t)side->n_tensors)
        return ee_fail(error, EE_REFUSED, "%s: found %zu %s, expected %d: export it again", file,
                       found, side->name, side->n_tensors);
    for (int place = 0; place < side->n_tensors; place++)
        side->slots[place].index = -1;
    for (int i = 0; i < side->n_tensors; i++) {
        int place = find_place(side, &side->tensors[i], signature, graph);
        if (place < 0)
            return ee_fail(error, EE_REFUSED,
                           "%s: %s: found no %s or another shape of it, "
                           "expected the manifest's: export it again",
                           file, side->name, side->tensors[i].name);
        side->slots[place].index = i;
    }
    return true;
}

static bool is_graph_as_declared(ee_engine *engine, ee_error *error)
{
    const litert_api *api = &litert.api;
    const ee_graph_spec *spec = engine->spec;
    const graph_side inputs = {
        "inputs",
        spec->inputs,
        spec->n_inputs,
        engine->inputs,
        api->GetNumSubgraphInputs,
        api->GetSubgraphInput,
        api->GetSignatureInputTensor,
    };
    const graph_side outputs = {
        "outputs",
        spec->outputs,
        spec->n_outputs,
        engine->outputs,
        api->GetNumSubgraphOutputs,
        api->GetSubgraphOutput,
        api->GetSignatureOutputTensor,
    };
    litert_signature *signature = NULL;
    return holds(api->GetModelSignature(engine->model, 0, &signature), spec->file, "cannot load it",
                 error) &&
           find_places(engine, &inputs, signature, error) &&
           find_places(engine, &outputs, signature, error);
}

static bool compile(ee_engine *engine, ee_error *error)
{
    char first_error[200];
    ee_stderr capture;
    ee_stderr_capture(&capture);
    int status = litert.api.CreateCompiledModel(litert.environment, engine->model, litert.options,
                                                &engine->compiled);
    ee_stderr_restore(&capture, first_error, sizeof first_error);
    return status == LITERT_OK ||
           ee_fail(error, EE_FAILED, "%s: litert cannot load it: status %d: %s", engine->spec->file,
                   status, *first_error ? first_error : "no reason given");
}

bool ee_engine_load(ee_engine *engine, const char *path, const ee_graph_spec *spec, ee_error *error)
{
    engine->spec = spec;
    if (!map_file(engine, path, error) ||
        !holds(litert.api.CreateModelFromBuffer(litert.environment, engine->file,
                                                engine->file_bytes, &engine->model),
               spec->file, "cannot load it", error) ||
        !is_graph_as_declared(engine, error) || !compile(engine, error))
        return false;
    /* The engine has its own copy of the weights by now; what it needs it reads again. */
    madvise(engine->file, engine->file_bytes, MADV_DONTNEED);
    return true;
}

/* The engine's buffer over one of ours, made when that is first seen; NULL if that fails. */
static litert_buffer *buffer_of(tensor_slot *slot, const ee_tensor *tensor, float *memory,
                                ee_error *error)
{
    int i = slot->buffer[0] != NULL && slot->memory[0] != memory;
    if (slot->buffer[i] != NULL)
        return slot->buffer[i];
    slot->memory[i] = memory;
    holds(litert.api.CreateTensorBufferFromHostMemory(
              &slot->type, memory, tensor->n_elements * sizeof *memory, NULL, &slot->buffer[i]),
          tensor->name, "failed", error);
    return slot->buffer[i];
}

bool ee_engine_run(ee_engine *engine, float *const inputs[], float *const outputs[],
                   ee_error *error)
{
    const ee_graph_spec *spec = engine->spec;
    litert_buffer *in[EE_MAX_TENSORS], *out[EE_MAX_TENSORS];
    for (int i = 0; i < spec->n_inputs; i++) {
        tensor_slot *slot = &engine->inputs[i];
        in[i] = buffer_of(slot, &spec->inputs[slot->index], inputs[slot->index], error);
    }
    for (int i = 0; i < spec->n_outputs; i++) {
        tensor_slot *slot = &engine->outputs[i];
        out[i] = buffer_of(slot, &spec->outputs[slot->index], outputs[slot->index], error);
    }
    return error->code == EE_DONE &&
           holds(litert.api.RunCompiledModel(engine->compiled, 0, (size_t)spec->n_inputs, in,
                                             (size_t)spec->n_outputs, out),
                 spec->file, "failed", error);
}

void ee_engine_close(ee_engine *engine)
{
    for (int i = 0; i < EE_MAX_TENSORS; i++)
        for (int k = 0; k < 2; k++) {
            litert.api.DestroyTensorBuffer(engine->inputs[i].buffer[k]);
            litert.api.DestroyTensorBuffer(engine->outputs[i].buffer[k]);
        }
    litert.api.DestroyCompiledModel(engine->compiled);
    litert.api.DestroyModel(engine->model);
    if (engine->file != NULL)
        munmap(engine->file, engine->file_bytes);
}

void ee_engine_stop(void)
{
    if (litert.options != NULL)
        litert.api.DestroyOptions(litert.options);
    if (litert.environment != NULL)
        litert.api.DestroyEnvironment(litert.environment);
    memset(&litert, 0, sizeof litert);
}
