#include "echo_edge.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static void put(uint8_t *at, uint32_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static bool cannot_write(const ee_wav *wav, ee_error *error)
{
    return ee_fail(error, EE_FAILED,
                   "%s: cannot be written (%s): choose a folder that exists, is "
                   "writable and has room",
                   wav->path, strerror(errno));
}

static bool write_all(const ee_wav *wav, const void *data, size_t n_bytes, ee_error *error)
{
    const uint8_t *bytes = data;
    while (n_bytes > 0) {
        ssize_t written = write(wav->file, bytes, n_bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return cannot_write(wav, error);
        bytes += written;
        n_bytes -= (size_t)written;
    }
    return true;
}

static bool write_header(const ee_wav *wav, ee_error *error)
{
    uint8_t header[44] = "RIFF....WAVEfmt ";
    put(header + 4, 36 + wav->data_bytes, 4);
    put(header + 16, 16, 4); /* bytes of the format that follow */
    put(header + 20, 1, 2);  /* PCM */
    put(header + 22, 1, 2);  /* channels */
    put(header + 24, EE_SAMPLE_RATE, 4);
    put(header + 28, 2 * EE_SAMPLE_RATE, 4); /* bytes a second */
    put(header + 32, 2, 2);                  /* bytes a frame */
    put(header + 34, 16, 2);                 /* bits */
    memcpy(header + 36, "data", 4);
    put(header + 40, wav->data_bytes, 4);
    return write_all(wav, header, sizeof header, error);
}

bool ee_wav_create(ee_wav *wav, const char *path, ee_error *error)
{
    if (snprintf(wav->path, sizeof wav->path, "%s", path) >= (int)sizeof wav->path)
        return ee_fail(error, EE_FAILED, "%.80s...: path too long: choose another folder", path);
    wav->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (wav->file < 0)
        return cannot_write(wav, error);
    if (write_header(wav, error))
        return true;
    close(wav->file);
    unlink(path);
    return false;
}

bool ee_wav_write(ee_wav *wav, const float *samples, int n, ee_error *error)
{
    uint8_t block[2048];
    while (n > 0) {
        int part = n < 1024 ? n : 1024;
        for (int i = 0; i < part; i++) {
            long sample = lrintf(fminf(fmaxf(samples[i], -1.0f), 1.0f) * 32767.0f);
            put(block + 2 * i, (uint32_t)sample, 2);
        }
        if (wav->data_bytes > UINT32_MAX - 36 - 2 * (uint32_t)part)
            return ee_fail(error, EE_FAILED, "%s: over 37 hours, more than a WAV file holds",
                           wav->path);
        if (!write_all(wav, block, 2 * (size_t)part, error))
            return false;
        wav->data_bytes += 2 * (uint32_t)part;
        samples += part;
        n -= part;
    }
    return true;
}

bool ee_wav_close(ee_wav *wav, ee_error *error)
{
    bool good = lseek(wav->file, 0, SEEK_SET) == 0 && write_header(wav, error);
    return (close(wav->file) == 0 && good) || cannot_write(wav, error);
}
