/* A verified bundle: none of it reaches an engine before every rule is checked.
 * Signatures are not looked at: `echo-edge bundle install` did that. */
#ifndef EE_VERIFY_H
#define EE_VERIFY_H

#include "bundle/manifest.h"
#include "bundle/tokens.h"

enum { EE_PATH_BYTES = 4096 };

typedef struct {
    char path[EE_PATH_BYTES];
    ee_manifest manifest;
    ee_token *tokens; /* what each output of the asr graph writes; the first is the blank */
    int n_tokens;
    const char **subwords; /* of each output of the second pass; a space where a word begins */
    int n_subwords;        /* 0 without one */
} ee_bundle;

/* Verifies the bundle in the folder `path`, made for `engine`. False with code EE_REFUSED for what
 * breaks a rule of docs/reference/bundle.md. */
bool ee_bundle_open(ee_bundle *bundle, const char *path, const char *engine, ee_memory *memory,
                    ee_error *error);

/* The bytes of a file of the bundle and a zero after them, to be freed by the caller; NULL with an
 * error, code EE_REFUSED if there are more than `max_bytes`. */
char *ee_bundle_read(const ee_bundle *bundle, const char *name, int64_t max_bytes, int64_t *size,
                     ee_error *error);

/* Path of a file of the bundle, in `out` of EE_PATH_BYTES. */
bool ee_bundle_path(const ee_bundle *bundle, const char *name, char *out, ee_error *error);

#endif
