/* The manifest of a bundle: the keys of manifest.json (docs/reference/bundle.md) that a device
 * uses. */
#ifndef EE_MANIFEST_H
#define EE_MANIFEST_H

#include "bundle/decoding.h"
#include "bundle/sha256.h"
#include "memory.h"

#include <stdint.h>

enum {
    EE_NAME_BYTES = 104, /* a name has at most 100 characters */
    EE_FILE_BYTES = 204, /* a file name at most 200 */
    EE_MAX_DIMS = 8,
    EE_MAX_CLASSES = 64, /* of the powerset */
    EE_MAX_LOCAL = 16,   /* speakers of one window */
    EE_MAX_SLOTS = EE_MAX_SOURCES,
};

typedef enum {
    EE_FRONTEND,
    EE_ENCODER,
    EE_DIARIZATION,
    EE_SPEAKER,
    EE_ASR,
    EE_SEPARATION,
    EE_FIRST_PASS_GRAPHS, /* how many there are without a second pass of words, ... */
    EE_ASR_MEMORY = EE_FIRST_PASS_GRAPHS,
    EE_ASR_DECODER,
    EE_GRAPHS, /* ... and with one */
} ee_graph_name;

extern const char *const EE_GRAPH_NAMES[EE_GRAPHS];

/* An input or output of a graph: float32 of a fixed shape. */
typedef struct {
    char name[EE_NAME_BYTES];
    int n_dims;
    int64_t dims[EE_MAX_DIMS];
    size_t n_elements;
    int source; /* of an input that is state: the output that feeds it in the next call; else -1 */
} ee_tensor;

typedef struct {
    char file[EE_FILE_BYTES];
    ee_tensor *inputs, *outputs;
    int n_inputs, n_outputs;
} ee_graph_spec;

typedef struct {
    char name[EE_FILE_BYTES];
    char sha256[EE_SHA256_HEX + 1];
    int64_t size_bytes;
} ee_file_spec;

/* How the text decoder of the second pass is asked, and what its tokens mean. */
typedef struct {
    char subwords[EE_FILE_BYTES];
    int *prompt; /* tokens that every text begins with */
    int n_prompt;
    int end; /* token after the last one of a text */
} ee_second_pass_spec;

typedef struct {
    char name[EE_NAME_BYTES], version[EE_NAME_BYTES], recipe[EE_NAME_BYTES];
    char engine[EE_NAME_BYTES], engine_minimum_version[EE_NAME_BYTES];
    char sha256[EE_SHA256_HEX + 1]; /* of manifest.json: the identity of the bundle */
    int sample_rate, chunk_samples, chunk_steps, step_samples, spectrum_hop_samples;
    int window_steps, hop_steps, embedding_dim;
    uint32_t powerset[EE_MAX_CLASSES]; /* bit k: local speaker k is active */
    int n_classes, n_local;
    ee_decoding decoding;
    char tokens[EE_FILE_BYTES], language_model[EE_FILE_BYTES]; /* "" for no model */
    int frames_per_step, max_sources, overlap_samples;
    bool has_second_pass;
    ee_second_pass_spec second_pass;
    ee_graph_spec graphs[EE_GRAPHS];
    ee_file_spec *files;
    int n_files;
} ee_manifest;

/* Reads the manifest in `text`. False with code EE_REFUSED for one that breaks a rule. What the
 * decoders need of its graphs is another question: graph_io.h. */
bool ee_manifest_read(ee_manifest *manifest, const char *text, size_t n_bytes, ee_memory *memory,
                      ee_error *error);

/* The input or output of that name; NULL if there is none. */
const ee_tensor *ee_find_tensor(const ee_tensor *tensors, int n_tensors, const char *name);

/* Whether a file of a bundle may have this name: A-Z a-z 0-9 . _ -, at most one folder, no "..",
 * no leading dot. */
bool ee_is_file_name(const char *name);

/* -1, 0 or 1 if version `a`, numbers with dots, is older than `b`, equal or newer. */
int ee_compare_versions(const char *a, const char *b);

#endif
