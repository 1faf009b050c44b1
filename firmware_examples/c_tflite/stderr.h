/* Keeps what native libraries write to stderr away from the user, who gets one line of ours. The
 * twin of echo_edge/engines/stderr.py. */
#ifndef EE_QUIET_H
#define EE_QUIET_H

#include <stddef.h>

typedef struct {
    int stderr_before, kept; /* -1: could not be had, then nothing is kept away */
} ee_quiet;

void ee_quiet_start(ee_quiet *quiet);

/* stderr is as before. The first line written meanwhile that begins with ERROR goes to `said`, of
 * `size` bytes; "" if there was none. */
void ee_quiet_stop(ee_quiet *quiet, char *said, size_t size);

#endif
