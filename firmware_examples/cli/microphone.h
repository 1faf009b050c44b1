/* A microphone through ALSA, where the program was built with it (-DEE_ALSA). */
#ifndef MICROPHONE_H
#define MICROPHONE_H

#include <echo_edge.h>

typedef struct {
    void *handle; /* the sound library's */
    const char *device;
    volatile sig_atomic_t stop; /* set it, from a signal handler too, to end the audio here */
} microphone;

/* Opens a capture device by the name that ALSA has for it, such as "default" or "hw:1,0". False
 * with the error EE_FAILED if there is none, or if this program was built without ALSA. */
bool microphone_open(microphone *mic, const char *device, ee_error *error);

/* Waits for up to `n` samples; 0 at the end, -1 with an error. */
int microphone_read(microphone *mic, int16_t *pcm, int n, ee_error *error);

void microphone_close(microphone *mic);

#endif
