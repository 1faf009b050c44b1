/* The tokens files of a bundle: what each output of the asr graph and of the second pass writes. */
#ifndef EE_TOKENS_H
#define EE_TOKENS_H

#include "bundle/manifest.h"

#define EE_RENEW "the file is damaged or was changed: copy or export the bundle again"

enum { EE_TOKEN_BYTES = 16 };

typedef struct {
    char text[EE_TOKEN_BYTES]; /* UTF-8; the space is " " */
} ee_token;

/* Reads `n_tokens` tokens, a line each, the blank first, out of the `size` bytes at `text`, which
 * has a zero after them and is changed. False with code EE_REFUSED and the name `file`. */
bool ee_tokens_read(ee_token *tokens, int n_tokens, const char *file, char *text, int64_t size,
                    ee_error *error);

/* Reads the subwords of the second pass, a line each, of `n_subwords` outputs, out of the `size`
 * bytes at `text`, which has a zero after them, is changed, and must outlive the subwords: a word
 * begins with " ", and what is not text is empty. Also whether the prompt and the end are among
 * them. False with code EE_REFUSED. */
bool ee_subwords_read(const char **subwords, int n_subwords, const ee_second_pass_spec *spec,
                      char *text, int64_t size, ee_error *error);

#endif
