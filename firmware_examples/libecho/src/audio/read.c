#include "echo_edge.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t number(const uint8_t *at, int n_bytes)
{
    uint32_t value = 0;
    for (int i = n_bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* Reads `n` bytes, fewer only at the end or where the stream fails; -1 if it fails at once. */
static int64_t read_fully(const ee_audio *audio, void *out, int64_t n)
{
    int64_t have = 0;
    while (have < n && !audio->stop) {
        ssize_t got = read(audio->file, (uint8_t *)out + have, (size_t)(n - have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && have == 0)
            return -1;
        if (got <= 0)
            break;
        have += got;
    }
    return have;
}

static bool refuse(ee_audio *audio, ee_error *error, const char *found)
{
    return ee_fail(error, EE_FAILED,
                   "%s: found %s, expected a WAV file of 16 kHz, mono, 16 bits: "
                   "convert it, for example with ffmpeg -i IN -ar 16000 -ac 1 "
                   "-c:a pcm_s16le OUT.wav",
                   audio->name, found);
}

static bool skip(ee_audio *audio, int64_t n_bytes)
{
    uint8_t block[512];
    while (n_bytes > 0) {
        int64_t part = n_bytes < (int64_t)sizeof block ? n_bytes : (int64_t)sizeof block;
        if (read_fully(audio, block, part) < part)
            return false;
        n_bytes -= part;
    }
    return true;
}

/* Reads chunks up to the first byte of samples. */
static bool read_header(ee_audio *audio, ee_error *error)
{
    uint8_t head[12], body[16];
    bool has_format = false;
    if (read_fully(audio, head, 12) < 12 || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4))
        return refuse(audio, error, "no WAV header");
    while (read_fully(audio, head, 8) == 8) {
        int64_t length = number(head + 4, 4);
        if (memcmp(head, "data", 4) == 0 && has_format) {
            bool is_open = length == 0 || length == 0xFFFFFFFF; /* a writer that never finished */
            audio->promised = is_open ? -1 : length;
            return true;
        }
        if (memcmp(head, "fmt ", 4) == 0) {
            if (length < 16 || read_fully(audio, body, 16) < 16)
                break;
            length -= 16;
            uint32_t format = number(body, 2);
            if ((format != 1 && format != 0xFFFE) || number(body + 2, 2) != 1 ||
                number(body + 4, 4) != EE_SAMPLE_RATE || number(body + 14, 2) != 16)
                return refuse(audio, error, "other audio");
            has_format = true;
        }
        if (!skip(audio, length + length % 2))
            break;
    }
    return refuse(audio, error, "a WAV header without samples");
}

bool ee_audio_open(ee_audio *audio, const char *name, ee_error *error)
{
    *audio = (ee_audio){.file = STDIN_FILENO, .name = name, .promised = -1};
    if (strcmp(name, "-") == 0) {
        audio->name = "raw PCM";
        return true;
    }
    struct stat status;
    audio->file = open(name, O_RDONLY | O_CLOEXEC);
    if (audio->file < 0)
        return ee_fail(error, EE_FAILED,
                       "%s: cannot be read (%s): check the path and its "
                       "permissions",
                       name, strerror(errno));
    if (fstat(audio->file, &status) != 0 || !S_ISREG(status.st_mode))
        return refuse(audio, error, "a folder, device or pipe");
    return read_header(audio, error);
}

int ee_audio_read(ee_audio *audio, int16_t *pcm, int n, ee_error *error)
{
    if (audio->stop)
        return 0;
    int64_t wanted = 2 * (int64_t)n;
    if (audio->promised >= 0 && wanted > audio->promised - audio->n_read)
        wanted = audio->promised - audio->n_read;
    uint8_t *bytes = (uint8_t *)pcm;
    int64_t got = read_fully(audio, bytes, wanted);
    if (got < 0) {
        ee_fail(error, EE_FAILED, "%s: the stream failed (%s)", audio->name, strerror(errno));
        return -1;
    }
    for (int64_t i = 0; i < got / 2; i++) /* little-endian, whatever this processor is */
        pcm[i] = (int16_t)number(bytes + 2 * i, 2);
    audio->n_read += got;
    double second = 2.0 * EE_SAMPLE_RATE;
    if (got < wanted && audio->promised >= 0 && !audio->stop)
        ee_fail(error, EE_FAILED,
                "%s: breaks off at %.3f s, expected %.3f s as its header "
                "promises: the file is incomplete; copy or record it again",
                audio->name, (double)audio->n_read / second, (double)audio->promised / second);
    else if (got % 2 && !audio->stop)
        ee_fail(error, EE_FAILED,
                "%s: found an odd number of bytes, expected 16-bit samples: "
                "send 16 kHz mono signed 16-bit little-endian PCM",
                audio->name);
    return (int)(got / 2);
}

void ee_audio_close(ee_audio *audio)
{
    if (audio->file > STDIN_FILENO)
        close(audio->file);
}
