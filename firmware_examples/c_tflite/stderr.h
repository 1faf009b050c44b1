/* Captures what native libraries write to stderr, so that the user gets one line of ours. The same
 * as echo_edge/engines/stderr.py. */
#ifndef EE_STDERR_H
#define EE_STDERR_H

#include <stddef.h>

typedef struct {
    int saved, file; /* descriptors: the real stderr, what is written meanwhile; -1: none */
} ee_stderr;

/* From here on, what is written to stderr goes to a file in memory. */
void ee_stderr_capture(ee_stderr *capture);

/* stderr is as before. The first line written meanwhile that begins with ERROR goes to
 * `first_error`, of `size` bytes; "" if there was none. */
void ee_stderr_restore(ee_stderr *capture, char *first_error, size_t size);

#endif
