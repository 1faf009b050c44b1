#include "bundle/verify.h"

#include "bundle/graph_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_MANIFEST_BYTES = 1 << 20, MAX_TOKENS_BYTES = 1 << 20, HASH_BYTES = 1 << 16 };

bool ee_bundle_path(const ee_bundle *bundle, const char *name, char *out, ee_error *error)
{
    if (snprintf(out, EE_PATH_BYTES, "%s/%s", bundle->path, name) >= EE_PATH_BYTES)
        return ee_fail(error, EE_REFUSED, "%s: path too long: move the bundle", name);
    return true;
}

/* The regular file of that name, not a link; -1 with an error. */
static int open_file(const ee_bundle *bundle, const char *name, int64_t *size, ee_error *error)
{
    char path[EE_PATH_BYTES];
    struct stat status;
    if (!ee_bundle_path(bundle, name, path, error))
        return -1;
    if (lstat(path, &status) != 0) {
        ee_fail(error, EE_REFUSED, "%s: found nothing (%s), expected a file: " EE_RENEW, name,
                strerror(errno));
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        ee_fail(error, EE_REFUSED,
                "%s: found a link, folder or device, expected a regular file: " EE_RENEW, name);
        return -1;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        ee_fail(error, EE_REFUSED, "%s: cannot be read (%s): check its permissions", name,
                strerror(errno));
    *size = status.st_size;
    return file;
}

/* Fills `data` with the file's `size` bytes; false if there are fewer. */
static bool read_all(int file, char *data, int64_t size)
{
    int64_t have = 0;
    ssize_t got = 1;
    while (have < size && got > 0) {
        got = read(file, data + have, (size_t)(size - have));
        have += got > 0 ? got : 0;
    }
    return have == size;
}

char *ee_bundle_read(const ee_bundle *bundle, const char *name, int64_t max_bytes, int64_t *size,
                     ee_error *error)
{
    int file = open_file(bundle, name, size, error);
    if (file < 0)
        return NULL;
    char *data = *size <= max_bytes ? malloc((size_t)*size + 1) : NULL;
    if (*size > max_bytes)
        ee_fail(error, EE_REFUSED, "%s: found %lld bytes, expected at most %lld: " EE_RENEW, name,
                (long long)*size, (long long)max_bytes);
    else if (data == NULL)
        ee_fail(error, EE_FAILED, EE_NO_MEMORY);
    else if (!read_all(file, data, *size))
        ee_fail(error, EE_REFUSED, "%s: cannot be read to its end: " EE_RENEW, name);
    else
        data[*size] = 0;
    close(file);
    if (error->code == EE_DONE)
        return data;
    free(data);
    return NULL;
}

static bool check_file(const ee_bundle *bundle, const ee_file_spec *spec, uint8_t *block,
                       ee_error *error)
{
    int64_t size;
    int file = open_file(bundle, spec->name, &size, error);
    if (file < 0)
        return false;
    ee_sha256 hash;
    char found[EE_SHA256_HEX + 1];
    ssize_t got = 0;
    ee_sha256_start(&hash);
    while (size == spec->size_bytes && (got = read(file, block, HASH_BYTES)) > 0)
        ee_sha256_add(&hash, block, (size_t)got);
    ee_sha256_finish(&hash, found);
    close(file);
    if (size != spec->size_bytes)
        return ee_fail(error, EE_REFUSED, "%s: found %lld bytes, expected %lld: " EE_RENEW,
                       spec->name, (long long)size, (long long)spec->size_bytes);
    if (got < 0 || strcmp(found, spec->sha256) != 0)
        return ee_fail(error, EE_REFUSED, "%s: found sha256 %s, expected %s: " EE_RENEW, spec->name,
                       found, spec->sha256);
    return true;
}

static bool is_known(const ee_manifest *m, const char *name)
{
    if (strcmp(name, "manifest.json") == 0 || strcmp(name, "SIGNATURE") == 0)
        return true;
    for (int i = 0; i < m->n_files; i++)
        if (strcmp(m->files[i].name, name) == 0)
            return true;
    return false;
}

static bool is_folder_of_known(const ee_manifest *m, const char *name)
{
    size_t length = strlen(name);
    for (int i = 0; i < m->n_files; i++)
        if (strncmp(m->files[i].name, name, length) == 0 && m->files[i].name[length] == '/')
            return true;
    return false;
}

/* Refuses what the manifest does not list, in the bundle or in a `folder` of it ("": the top). */
static bool check_listing(const ee_bundle *bundle, const char *folder, ee_error *error)
{
    char path[EE_PATH_BYTES], name[EE_PATH_BYTES];
    if (!ee_bundle_path(bundle, folder, path, error))
        return false;
    int file = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries = file < 0 ? NULL : fdopendir(file);
    if (entries == NULL) {
        ee_fail(error, EE_REFUSED,
                "%s: found a link or no permission (%s), expected a folder that "
                "can be read: " EE_RENEW,
                *folder ? folder : bundle->path, strerror(errno));
        if (file >= 0)
            close(file);
        return false;
    }
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s%s%s", folder, *folder ? "/" : "", entry->d_name);
        if (is_known(&bundle->manifest, name))
            continue;
        if (*folder || !is_folder_of_known(&bundle->manifest, name))
            ee_fail(error, EE_REFUSED,
                    "%.200s: found in the bundle, expected only what "
                    "manifest.json lists: remove it",
                    name);
        else
            check_listing(bundle, name, error);
    }
    closedir(entries);
    return error->code == EE_DONE;
}

static bool check_files(const ee_bundle *bundle, ee_error *error)
{
    if (!check_listing(bundle, "", error))
        return false;
    uint8_t *block = malloc(HASH_BYTES);
    if (block == NULL)
        return ee_fail(error, EE_FAILED, EE_NO_MEMORY);
    for (int i = 0; i < bundle->manifest.n_files && error->code == EE_DONE; i++)
        check_file(bundle, &bundle->manifest.files[i], block, error);
    free(block);
    return error->code == EE_DONE;
}

static bool read_tokens(ee_bundle *bundle, ee_memory *memory, ee_error *error)
{
    const ee_manifest *m = &bundle->manifest;
    const ee_graph_spec *asr = &m->graphs[EE_ASR];
    bundle->n_tokens = (int)ee_find_tensor(asr->outputs, asr->n_outputs, "logprobs")->dims[2];
    bundle->tokens = ee_take(memory, "tokens", (size_t)bundle->n_tokens, sizeof(ee_token));
    int64_t size;
    char *text = ee_bundle_read(bundle, m->tokens, MAX_TOKENS_BYTES, &size, error);
    bool good = text != NULL && ee_memory_holds(memory, error) &&
                ee_tokens_read(bundle->tokens, bundle->n_tokens, m->tokens, text, size, error);
    free(text);
    return good;
}

static bool read_subwords(ee_bundle *bundle, ee_memory *memory, ee_error *error)
{
    const ee_manifest *m = &bundle->manifest;
    const ee_graph_spec *decoder = &m->graphs[EE_ASR_DECODER];
    if (!m->has_second_pass)
        return true;
    int64_t size;
    char *read = ee_bundle_read(bundle, m->second_pass.subwords, MAX_TOKENS_BYTES, &size, error);
    if (read == NULL)
        return false;
    bundle->n_subwords =
        (int)ee_find_tensor(decoder->outputs, decoder->n_outputs, "logprobs")->dims[1];
    bundle->subwords =
        ee_take(memory, "subwords", (size_t)bundle->n_subwords, sizeof *bundle->subwords);
    char *text = ee_take(memory, "subwords", (size_t)size + 1, 1);
    bool good = ee_memory_holds(memory, error);
    if (good) {
        memcpy(text, read, (size_t)size);
        good = ee_subwords_read(bundle->subwords, bundle->n_subwords, &m->second_pass, text, size,
                                error);
    }
    free(read);
    return good;
}

bool ee_bundle_open(ee_bundle *bundle, const char *path, const char *engine, ee_memory *memory,
                    ee_error *error)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode) ||
        realpath(path, bundle->path) == NULL)
        return ee_fail(error, EE_REFUSED, "%s: found no folder, expected a bundle: check the path",
                       path);
    int64_t size;
    char *text = ee_bundle_read(bundle, "manifest.json", MAX_MANIFEST_BYTES, &size, error);
    if (text == NULL)
        return false;
    bool good = ee_manifest_read(&bundle->manifest, text, (size_t)size, memory, error);
    free(text);
    if (!good || !ee_graph_io_holds(&bundle->manifest, error) || !check_files(bundle, error))
        return false;
    if (strcmp(bundle->manifest.engine, engine) != 0)
        return ee_fail(error, EE_FAILED,
                       "engine %s: this program cannot run it (it can: %s): use "
                       "a bundle for that",
                       bundle->manifest.engine, engine);
    return read_tokens(bundle, memory, error) && read_subwords(bundle, memory, error);
}
