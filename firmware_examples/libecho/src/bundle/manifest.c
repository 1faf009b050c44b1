#include "bundle/manifest.h"

#include "bundle/graph_spec.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const int64_t MAX_FILE_BYTES = 1 << 30;
enum { MAX_FILES = 200, MAX_TOKEN = 10000000 };

const char *const EE_GRAPH_NAMES[EE_GRAPHS] = {
    "frontend", "encoder",    "diarization", "speaker",
    "asr",      "separation", "asr_memory",  "asr_decoder",
};

bool ee_is_file_name(const char *name)
{
    size_t length = strlen(name), n_folders = 0;
    if (length == 0 || length >= EE_FILE_BYTES || strstr(name, "..") != NULL)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool starts = i == 0 || name[i - 1] == '/';
        n_folders += name[i] == '/';
        if (starts && (name[i] == '.' || name[i] == '/'))
            return false;
        if (!isalnum((unsigned char)name[i]) && strchr("._-/", name[i]) == NULL)
            return false;
    }
    return n_folders <= 1 && name[length - 1] != '/';
}

int ee_compare_versions(const char *a, const char *b)
{
    while (*a || *b) {
        char *end_a, *end_b;
        long left = strtol(a, &end_a, 10), right = strtol(b, &end_b, 10);
        if (left != right)
            return left < right ? -1 : 1;
        a = end_a == a || *end_a != '.' ? "" : end_a + 1;
        b = end_b == b || *end_b != '.' ? "" : end_b + 1;
    }
    return 0;
}

const ee_tensor *ee_find_tensor(const ee_tensor *tensors, int n_tensors, const char *name)
{
    for (int i = 0; i < n_tensors; i++)
        if (strcmp(tensors[i].name, name) == 0)
            return &tensors[i];
    return NULL;
}

static bool read_powerset(json_t *list, ee_manifest *manifest, ee_error *error)
{
    size_t n = json_array_size(list), i, k;
    json_t *active, *speaker;
    if (n < 1 || n > EE_MAX_CLASSES || json_array_size(json_array_get(list, 0)) != 0)
        return ee_refuse_key(error, "powerset", "1 to 64 classes, silence first");
    json_array_foreach(list, i, active)
    {
        json_array_foreach(active, k, speaker)
        {
            json_int_t index = json_integer_value(speaker);
            if (!json_is_integer(speaker) || index < 0 || index >= EE_MAX_LOCAL)
                return ee_refuse_key(error, "powerset", "local speakers from 0 to 15");
            manifest->powerset[i] |= 1u << index;
            if (index >= manifest->n_local)
                manifest->n_local = (int)index + 1;
        }
    }
    manifest->n_classes = (int)n;
    return manifest->n_local > 0 || ee_refuse_key(error, "powerset", "at least one local speaker");
}

static bool read_sizes(json_t *root, ee_manifest *m, ee_error *error)
{
    json_t *audio = json_object_get(root, "audio"), *asr = json_object_get(root, "asr");
    json_t *streaming = json_object_get(root, "streaming");
    json_t *diarization = json_object_get(root, "diarization");
    json_t *separation = json_object_get(root, "separation");
    if (!ee_read_count(audio, "sample_rate", 16000, &m->sample_rate, error) ||
        !ee_read_count(audio, "chunk_samples", 1, &m->chunk_samples, error) ||
        !ee_read_count(audio, "spectrum_hop_samples", 1, &m->spectrum_hop_samples, error) ||
        !ee_read_count(streaming, "chunk_steps", 1, &m->chunk_steps, error) ||
        !ee_read_count(streaming, "step_samples", 1, &m->step_samples, error) ||
        !ee_read_count(diarization, "window_steps", 1, &m->window_steps, error) ||
        !ee_read_count(diarization, "hop_steps", 1, &m->hop_steps, error) ||
        !ee_read_count(diarization, "embedding_dim", 1, &m->embedding_dim, error) ||
        !ee_read_count(asr, "frames_per_step", 1, &m->frames_per_step, error) ||
        !ee_read_count(separation, "max_sources", 1, &m->max_sources, error) ||
        !ee_read_count(separation, "overlap_samples", 0, &m->overlap_samples, error))
        return false;
    if (m->sample_rate != 16000)
        return ee_refuse_key(error, "audio.sample_rate", "16000");
    if ((int64_t)m->chunk_steps * m->step_samples != m->chunk_samples)
        return ee_refuse_key(error, "audio.chunk_samples", "chunk_steps x step_samples");
    if (m->hop_steps > m->window_steps)
        return ee_refuse_key(error, "diarization.hop_steps", "at most window_steps");
    if (m->max_sources > EE_MAX_SLOTS || m->frames_per_step > 64)
        return ee_refuse_key(error, "max_sources, frames_per_step", "at most 16 and 64");
    return read_powerset(json_object_get(diarization, "powerset"), m, error);
}

static bool is_digest(const char *text)
{
    return strlen(text) == EE_SHA256_HEX && strspn(text, "0123456789abcdef") == EE_SHA256_HEX;
}

static bool read_files(json_t *files, ee_manifest *m, ee_memory *memory, ee_error *error)
{
    size_t n = json_object_size(files);
    if (n < 1 || n > MAX_FILES)
        return ee_refuse_key(error, "files", "1 to 200 files");
    m->files = ee_take(memory, "manifest", n, sizeof *m->files);
    if (!ee_memory_holds(memory, error))
        return false;
    const char *name;
    json_t *entry;
    json_object_foreach(files, name, entry)
    {
        ee_file_spec *file = &m->files[m->n_files++];
        if (!ee_is_file_name(name) || strcmp(name, "manifest.json") == 0)
            return ee_refuse_key(error, "files", "names of A-Z a-z 0-9 . _ -, at most one folder");
        strcpy(file->name, name);
        json_t *size = json_object_get(entry, "size_bytes");
        if (!ee_read_text(entry, "sha256", file->sha256, sizeof file->sha256, error))
            return false;
        file->size_bytes = json_integer_value(size);
        if (!json_is_integer(size) || !is_digest(file->sha256) || file->size_bytes < 0 ||
            file->size_bytes > MAX_FILE_BYTES)
            return ee_refuse_key(error, name, "64 hexadecimal digits and a size up to 1 GiB");
    }
    return true;
}

/* The second pass of words: left out, or null, for none. */
static bool read_second_pass(json_t *json, ee_manifest *m, ee_memory *memory, ee_error *error)
{
    if (json == NULL || json_is_null(json))
        return true;
    ee_second_pass_spec *second = &m->second_pass;
    json_t *prompt = json_object_get(json, "prompt"), *token;
    size_t n = json_array_size(prompt), i;
    if (!ee_read_text(json, "subwords", second->subwords, sizeof second->subwords, error) ||
        !ee_read_count(json, "end", 0, &second->end, error))
        return false;
    if (n < 1)
        return ee_refuse_key(error, "asr.second_pass.prompt", "one token at least");
    second->prompt = ee_take(memory, "manifest", n, sizeof *second->prompt);
    if (!ee_memory_holds(memory, error))
        return false;
    json_array_foreach(prompt, i, token)
    {
        json_int_t index = json_integer_value(token);
        if (!json_is_integer(token) || index < 0 || index > MAX_TOKEN)
            return ee_refuse_key(error, "asr.second_pass.prompt", "tokens");
        second->prompt[i] = (int)index;
    }
    second->n_prompt = (int)n;
    m->has_second_pass = true;
    return true;
}

static bool is_listed(const ee_manifest *m, const char *name)
{
    for (int i = 0; i < m->n_files; i++)
        if (strcmp(m->files[i].name, name) == 0)
            return true;
    return false;
}

static bool read_graphs(json_t *graphs, ee_manifest *m, ee_memory *memory, ee_error *error)
{
    int n = m->has_second_pass ? EE_GRAPHS : EE_FIRST_PASS_GRAPHS;
    if (json_object_size(graphs) != (size_t)n)
        return ee_refuse_key(error, "graphs",
                             m->has_second_pass ? "exactly eight graphs, with asr.second_pass"
                                                : "exactly six graphs, without asr.second_pass");
    for (int i = 0; i < n; i++)
        if (!ee_graph_spec_read(json_object_get(graphs, EE_GRAPH_NAMES[i]), EE_GRAPH_NAMES[i],
                                &m->graphs[i], memory, error))
            return false;
    for (int i = 0; i < n; i++)
        if (!is_listed(m, m->graphs[i].file))
            return ee_refuse_key(error, EE_GRAPH_NAMES[i], "a file listed in files");
    if (!is_listed(m, m->tokens) || (m->language_model[0] && !is_listed(m, m->language_model)))
        return ee_refuse_key(error, "asr", "files listed in files");
    if (m->has_second_pass && !is_listed(m, m->second_pass.subwords))
        return ee_refuse_key(error, "asr.second_pass.subwords", "a file listed in files");
    return true;
}

static bool read_all(json_t *root, ee_manifest *m, ee_memory *memory, ee_error *error)
{
    char schema[EE_NAME_BYTES], version[EE_NAME_BYTES];
    if (!ee_read_text(root, "schema", schema, sizeof schema, error))
        return false;
    if (strcmp(schema, "echo-edge.bundle/1") != 0)
        return ee_refuse_key(error, "schema", "echo-edge.bundle/1");
    json_t *engine = json_object_get(root, "engine"), *asr = json_object_get(root, "asr");
    if (!ee_read_text(root, "minimum_runtime", version, sizeof version, error))
        return false;
    if (ee_compare_versions(version, EE_VERSION) > 0)
        return ee_fail(error, EE_REFUSED,
                       "manifest.json: minimum_runtime: found %s, expected at "
                       "most " EE_VERSION ", the version this program was built "
                       "from: build a newer one",
                       version);
    if (!ee_read_text(root, "name", m->name, sizeof m->name, error) ||
        !ee_read_text(root, "version", m->version, sizeof m->version, error) ||
        !ee_read_text(root, "recipe", m->recipe, sizeof m->recipe, error) ||
        !ee_read_text(engine, "name", m->engine, sizeof m->engine, error) ||
        !ee_read_text(engine, "minimum_version", m->engine_minimum_version,
                      sizeof m->engine_minimum_version, error) ||
        !ee_read_text(asr, "tokens", m->tokens, sizeof m->tokens, error) ||
        !ee_read_text(asr, "language_model", m->language_model, sizeof m->language_model, error) ||
        !read_sizes(root, m, error) ||
        !read_second_pass(json_object_get(asr, "second_pass"), m, memory, error) ||
        !ee_decoding_read(&m->decoding, json_object_get(root, "decoding"), error) ||
        !read_files(json_object_get(root, "files"), m, memory, error))
        return false;
    return read_graphs(json_object_get(root, "graphs"), m, memory, error);
}

bool ee_manifest_read(ee_manifest *manifest, const char *text, size_t n_bytes, ee_memory *memory,
                      ee_error *error)
{
    ee_sha256 hash;
    ee_sha256_start(&hash);
    ee_sha256_add(&hash, text, n_bytes);
    ee_sha256_finish(&hash, manifest->sha256);
    json_error_t where;
    json_t *root = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &where);
    if (root == NULL)
        return ee_fail(error, EE_REFUSED,
                       "manifest.json: line %d: %s, expected JSON in UTF-8: "
                       "copy or export the bundle again",
                       where.line, where.text);
    bool good = read_all(root, manifest, memory, error);
    json_decref(root);
    return good;
}
