/* The part of LiteRT's C interface that engine_tflite.c uses. The Python package that brings the
 * library, libLiteRt.so of ai-edge-litert 2.3.0, has no headers; these declarations were written
 * by hand after what that library does with its arguments and after the documentation in
 * litert/c/litert_*.h of github.com/google-ai-edge/LiteRT.
 *
 * The interface changes between versions and the library does not tell its own, so the size of a
 * table that it exports stands for it: 2.2.0 has 1320 bytes there. */
#ifndef EE_LITERT_H
#define EE_LITERT_H

#include "echo_edge.h"

#include <stddef.h>
#include <stdint.h>

#define EE_LITERT_VERSION "2.3.0"
#define EE_LITERT_TABLE "kLiteRtRuntimeBuiltin"

enum {
    LITERT_TABLE_BYTES = 1352,
    LITERT_OK = 0,                 /* a status; any other is an error */
    LITERT_CPU = 1,                /* a bit in a set of accelerators */
    LITERT_FLOAT32 = 1,            /* type of an element */
    LITERT_MAX_DIMS = 8,
    LITERT_INTEGER = 2,            /* type of an option's value */
    LITERT_ACCELERATORS = 24,      /* option: which to look for */
    LITERT_MIN_SEVERITY = 25,      /* option: of what is logged to stderr */
    LITERT_SILENT = 4,
};

typedef struct litert_environment litert_environment;
typedef struct litert_options litert_options;
typedef struct litert_extra litert_extra; /* options of one accelerator */
typedef struct litert_model litert_model;
typedef struct litert_signature litert_signature;
typedef struct litert_subgraph litert_subgraph;
typedef struct litert_tensor litert_tensor;
typedef struct litert_compiled litert_compiled;
typedef struct litert_buffer litert_buffer;

typedef struct {
    int option;
    struct {
        int type;
        int64_t integer;
    } value;
} litert_setting;

/* What a tensor is: 72 bytes. */
typedef struct {
    int element;
    uint32_t n_dims : 7, has_strides : 1;
    int32_t dims[LITERT_MAX_DIMS];
    uint32_t strides[LITERT_MAX_DIMS];
} litert_type;

/* Each function: result, name without LiteRt, arguments. */
#define EE_LITERT_FUNCTIONS(F)                                                                    \
    F(int, CreateEnvironment, (int count, const litert_setting *, litert_environment **))         \
    F(void, DestroyEnvironment, (litert_environment *))                                           \
    F(int, CreateOptions, (litert_options **))                                                    \
    F(void, DestroyOptions, (litert_options *))                                                   \
    F(int, SetOptionsHardwareAccelerators, (litert_options *, int accelerators))                  \
    F(int, CreateOpaqueOptions,                                                                   \
      (const char *owner, void *payload, void (*free_payload)(void *), litert_extra **))          \
    F(int, AddOpaqueOptions, (litert_options *, litert_extra *))                                  \
    F(int, CreateModelFromBuffer,                                                                 \
      (litert_environment *, const void *bytes, size_t n_bytes, litert_model **))                 \
    F(void, DestroyModel, (litert_model *))                                                       \
    F(int, GetModelSignature, (litert_model *, size_t index, litert_signature **))                \
    F(int, GetSignatureSubgraph, (litert_signature *, litert_subgraph **))                        \
    F(int, GetSignatureInputTensor, (litert_signature *, const char *name, litert_tensor **))     \
    F(int, GetSignatureOutputTensor, (litert_signature *, const char *name, litert_tensor **))    \
    F(int, GetNumSubgraphInputs, (litert_subgraph *, size_t *))                                   \
    F(int, GetNumSubgraphOutputs, (litert_subgraph *, size_t *))                                  \
    F(int, GetSubgraphInput, (litert_subgraph *, size_t index, litert_tensor **))                 \
    F(int, GetSubgraphOutput, (litert_subgraph *, size_t index, litert_tensor **))                \
    F(int, GetRankedTensorType, (litert_tensor *, litert_type *))                                 \
    F(int, CreateCompiledModel,                                                                   \
      (litert_environment *, litert_model *, litert_options *, litert_compiled **))               \
    F(void, DestroyCompiledModel, (litert_compiled *))                                            \
    F(int, CreateTensorBufferFromHostMemory,                                                      \
      (const litert_type *, void *bytes, size_t n_bytes, void (*free_bytes)(void *),              \
       litert_buffer **))                                                                         \
    F(void, DestroyTensorBuffer, (litert_buffer *))                                               \
    F(int, RunCompiledModel,                                                                      \
      (litert_compiled *, size_t signature, size_t n_inputs, litert_buffer *const *inputs,        \
       size_t n_outputs, litert_buffer *const *outputs))

#define EE_LITERT_MEMBER(result, name, arguments) result(*name) arguments;
typedef struct {
    EE_LITERT_FUNCTIONS(EE_LITERT_MEMBER)
} litert_api;

/* Loads the library with dlopen, since the package has nothing to link against, from `file` or,
 * if that is NULL, from where the system looks. */
bool ee_litert_load(const char *file, litert_api *api, ee_error *error);

#endif
