/* Audio in: 16 kHz mono 16-bit samples from a WAV file, from stdin or from a microphone; and WAV
 * files out. A recording that breaks off is read to the break and then refused. */
#ifndef EE_AUDIO_H
#define EE_AUDIO_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

enum { EE_SAMPLE_RATE = 16000 };

typedef struct {
    int file;           /* descriptor; -1 for a microphone */
    void *microphone;   /* the sound library's handle */
    const char *name;   /* as the user gave it */
    int64_t promised;   /* bytes of samples that a header promises; -1 for until the end */
    int64_t n_read;     /* bytes of samples so far */
    volatile bool stop; /* set it, from a signal handler too, to end the audio here */
} ee_audio;

/* A WAV file (a path), raw PCM on stdin ("-"). `name` must outlive it. */
bool ee_audio_open(ee_audio *audio, const char *name, ee_error *error);

/* A capture device as the sound library calls it, for example "default" or "hw:1,0". False if there
 * is none, or if this program was built without the library. */
bool ee_microphone_open(ee_audio *audio, const char *device, ee_error *error);

/* Up to `n` samples, waiting for them; 0 at the end, -1 with an error. */
int ee_audio_read(ee_audio *audio, int16_t *pcm, int n, ee_error *error);

void ee_audio_close(ee_audio *audio);

/* The microphone's part, in microphone.c. */
int ee_microphone_read(ee_audio *audio, int16_t *pcm, int n, ee_error *error);
void ee_microphone_close(ee_audio *audio);

/* A WAV file that grows; its header is right once it is closed. */
typedef struct {
    int file;
    uint32_t data_bytes;
    char path[4096];
} ee_wav;

bool ee_wav_create(ee_wav *wav, const char *path, ee_error *error);

/* Appends `n` samples, clipped to [-1, 1]. */
bool ee_wav_write(ee_wav *wav, const float *samples, int n, ee_error *error);

bool ee_wav_close(ee_wav *wav, ee_error *error);

#endif
