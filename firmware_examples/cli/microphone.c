#include "microphone.h"

#ifdef EE_ALSA

#include <alsa/asoundlib.h>

/* The library writes long explanations to stderr; the user gets our one line. */
static void stay_silent(const char *file, int line, const char *function, int code,
                        const char *format, ...)
{
    (void)file, (void)line, (void)function, (void)code, (void)format;
}

bool microphone_open(microphone *mic, const char *device, ee_error *error)
{
    *mic = (microphone){.device = device};
    snd_pcm_t *pcm;
    snd_lib_error_set_handler(stay_silent);
    int code = snd_pcm_open(&pcm, device, SND_PCM_STREAM_CAPTURE, 0);
    if (code < 0)
        return ee_fail(error, EE_FAILED,
                       "microphone %s: cannot be opened (%s): arecord -l lists "
                       "those that are there",
                       device, snd_strerror(code));
    mic->handle = pcm;
    /* Half a second of buffer: the longest time a chunk may take before sound is lost. */
    code = snd_pcm_set_params(pcm, SND_PCM_FORMAT_S16_LE, SND_PCM_ACCESS_RW_INTERLEAVED, 1,
                              EE_SAMPLE_RATE, 1, 500000);
    if (code < 0)
        return ee_fail(error, EE_FAILED,
                       "microphone %s: found no 16 kHz mono (%s): name it "
                       "plug%s, which converts",
                       device, snd_strerror(code), device);
    return true;
}

int microphone_read(microphone *mic, int16_t *pcm, int n, ee_error *error)
{
    snd_pcm_sframes_t got = 0;
    while (!mic->stop) {
        got = snd_pcm_readi(mic->handle, pcm, (snd_pcm_uframes_t)n);
        if (got > 0)
            return (int)got;
        if (got == -EPIPE) /* we were too slow: say so, the recording goes on */
            fprintf(stderr,
                    "echo-edge: microphone %s: sound was lost: this board is too slow or "
                    "busy\n",
                    mic->device);
        if (snd_pcm_recover(mic->handle, (int)got, 1) < 0) { /* nor was it asleep */
            ee_fail(error, EE_FAILED,
                    "microphone %s: failed (%s): see that it is still plugged "
                    "in",
                    mic->device, snd_strerror((int)got));
            return -1;
        }
    }
    return 0;
}

void microphone_close(microphone *mic)
{
    if (mic->handle == NULL)
        return;
    snd_pcm_close(mic->handle);
    snd_config_update_free_global();
    mic->handle = NULL;
}

#else

bool microphone_open(microphone *mic, const char *device, ee_error *error)
{
    *mic = (microphone){.device = device};
    return ee_fail(error, EE_FAILED,
                   "microphone %s: this program was built without ALSA: apt "
                   "install libasound2-dev, build again, or pipe arecord -f "
                   "S16_LE -r 16000 -c 1 -t raw into it",
                   device);
}

int microphone_read(microphone *mic, int16_t *pcm, int n, ee_error *error)
{
    (void)mic, (void)pcm, (void)n, (void)error;
    return -1;
}

void microphone_close(microphone *mic)
{
    (void)mic;
}

#endif
