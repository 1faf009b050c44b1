/* Values out of a manifest's JSON. Each function is false, with code EE_REFUSED and the key in the
 * error, for a value that breaks a rule. */
#ifndef EE_STRICT_JSON_H
#define EE_STRICT_JSON_H

#include "echo_edge.h"

#include <jansson.h>

/* The error of a key whose value is not what was expected. Returns false. */
bool ee_refuse_key(ee_error *error, const char *key, const char *expected);

/* A string of the object, short enough for `out` of `size` bytes. */
bool ee_read_text(json_t *object, const char *key, char *out, size_t size, ee_error *error);

/* An integer from `lowest` to ten million. */
bool ee_read_count(json_t *object, const char *key, int lowest, int *out, ee_error *error);

#endif
