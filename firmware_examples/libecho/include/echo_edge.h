/* libecho: who spoke when and what was said, from 16 kHz PCM, chunk by chunk, in C.
 *
 * A complete program. It prints the turns of the PCM on its standard input:
 *
 *     #include <echo_edge.h>
 *
 *     static void print_turn(void *context, const ee_turn *turn)
 *     {
 *         (void)context;
 *         printf("%6.2f s to %6.2f s: speaker %d\n", turn->start_s, turn->end_s, turn->speaker);
 *     }
 *
 *     int main(int argc, char **argv) // BUNDLE and the engine's shared library
 *     {
 *         int16_t pcm[1600];
 *         size_t n;
 *         ee_error error = {0};
 *         ee_stream_options options = ee_default_options();
 *         options.sink.turn = print_turn;
 *         ee_session *session = ee_session_open(argv[1], argc > 2 ? argv[2] : NULL, 1, &error);
 *         ee_stream *stream = ee_stream_open(session, &options, &error);
 *         while (!error.code && (n = fread(pcm, sizeof *pcm, 1600, stdin)) > 0)
 *             ee_stream_push(stream, pcm, n, &error);
 *         if (!ee_stream_finish(stream, &error))
 *             fprintf(stderr, "%s\n", error.text);
 *         ee_stream_close(stream);
 *         ee_session_close(session);
 *         return error.code;
 *     }
 *
 * Build and run it, in firmware_examples/:
 *
 *   make -C c_onnxruntime library
 *   cc hello.c $(make -s -C c_onnxruntime flags) -o hello
 *   arecord -f S16_LE -r 16000 -c 1 -t raw | ./hello ../echo_edge/default_bundle ENGINE_LIBRARY
 *
 * Errors. Functions that can fail take an `ee_error`, and the first error stays in it. With an
 * error set, the functions of sessions and streams do nothing and report failure; NULL stands for
 * a session or stream that could not be opened. So a program may check once, at the end.
 *
 * Time. Seconds count from the first sample pushed. Threads: no two at once in this library.
 * Memory: all of it is taken by the functions that open something, none while audio flows. */
#ifndef ECHO_EDGE_H
#define ECHO_EDGE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    EE_SAMPLE_RATE = 16000, /* samples per second of all audio here, mono */
    EE_MAX_SPEAKERS = 20,
    EE_MAX_SOURCES = 16, /* separated voices */
    EE_WORD_BYTES = 200, /* of a word in UTF-8, its final zero included */
};

/* --- Errors ------------------------------------------------------------------------------- */

/* Codes of errors; also the exit codes of the programs. */
enum {
    EE_DONE = 0,    /* nothing is wrong */
    EE_FAILED = 1,  /* the work failed: audio, engine, memory, output */
    EE_USAGE = 2,   /* an option that makes no sense */
    EE_REFUSED = 3, /* a bundle that breaks a rule of its format */
};

/* The first thing that went wrong. Begin with {0}; to go on after an error, use another. */
typedef struct {
    int code;
    char text[768]; /* one line: where, what was found, what was expected, what to do */
} ee_error;

/* Sets an error, unless one is set. Returns false, so that a function can `return ee_fail(...)`. */
bool ee_fail(ee_error *error, int code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* --- Results ------------------------------------------------------------------------------ */

/* Speech of one speaker without a break. */
typedef struct {
    double start_s, end_s;
    double confidence; /* 0 to 1: mean score of its steps */
    int speaker;       /* from 1, in order of appearance */
} ee_turn;

typedef struct {
    double start_s, end_s;
    double confidence; /* 0 to 1 */
    int speaker;       /* as in turns; 0 where no turn covers the word */
    char text[EE_WORD_BYTES];
} ee_word;

/* Functions that get results as they become final, from within push and finish. Any may be NULL.
 * What a pointer points to is valid until the function returns. They must not call the stream. */
typedef struct {
    void *context; /* passed to each */
    void (*turn)(void *context, const ee_turn *turn);
    void (*word)(void *context, const ee_word *word);
    /* Separated voices: `n` samples for each of ee_session_max_sources() voices, in [-1, 1] or
     * somewhat beyond; those of voice k begin at samples[k * stride]. NULL: nothing is separated,
     * which saves time and memory. */
    void (*sources)(void *context, const float *samples, int stride, int n);
} ee_sink;

/* --- A session: a verified bundle and its engine ------------------------------------------ */

typedef struct ee_session ee_session;

/* Opens the bundle in the folder `bundle` and starts the engine that is linked into this program.
 * Sizes, hashes, listing and tensors are verified, signatures are not: `echo-edge bundle install`
 * did that. `engine_library` is the path or name of the engine's shared library, NULL for the
 * usual one; `threads` are those of the engine for one graph, 1 or more. One session at a time.
 *
 * Returns a session to be closed with ee_session_close, or NULL with an error: EE_REFUSED for a
 * bundle that breaks a rule of its format, EE_FAILED for an engine that is missing or too old or
 * a bundle of another engine. */
ee_session *ee_session_open(const char *bundle, const char *engine_library, int threads,
                            ee_error *error);

/* Voices that the bundle separates at most at the same time. */
int ee_session_max_sources(const ee_session *session);

/* Stops the engine and frees the session, whose streams must be closed before. NULL is fine. */
void ee_session_close(ee_session *session);

/* --- A stream: PCM in, results out -------------------------------------------------------- */

typedef struct ee_stream ee_stream;

typedef struct {
    double latency_s;               /* decisions are held back so long at most; 0 or more, finite */
    int min_speakers, max_speakers; /* 1 to EE_MAX_SPEAKERS */
    bool language_model;            /* words by beam search; else letter by letter */
    ee_sink sink;
} ee_stream_options;

/* 2 s, 1 to 20 speakers, with the language model, an empty sink. */
ee_stream_options ee_default_options(void);

/* Loads all graphs and takes all memory that the stream will ever need. `options` are copied; the
 * session must outlive the stream. Returns a stream to be closed with ee_stream_close, or NULL
 * with an error: EE_USAGE for an option out of range, EE_REFUSED for a graph or a language model
 * that is not what the bundle's manifest says, EE_FAILED for the engine and for memory. */
ee_stream *ee_stream_open(ee_session *session, const ee_stream_options *options, ee_error *error);

/* Takes any number of samples, in native byte order. What becomes final goes to the sink. The same
 * samples in other portions give the same results. False with an error if the engine failed; the
 * stream can then only be closed. */
bool ee_stream_push(ee_stream *stream, const int16_t *pcm, size_t n_samples, ee_error *error);

/* The end of the audio: everything that was held back goes to the sink. Once; then close. */
bool ee_stream_finish(ee_stream *stream, ee_error *error);

/* Seconds of audio received so far. */
double ee_stream_received_s(const ee_stream *stream);

/* Speakers found so far, and the seconds of speech in the turns of one of them, 1 to that many. */
int ee_stream_n_speakers(const ee_stream *stream);
double ee_stream_speech_s(const ee_stream *stream, int speaker);

/* A buffer for the program's own use: `count` zeroed elements of `size` bytes, listed under
 * `owner`, a string that stays. Freed with the stream. NULL with the error EE_FAILED. */
void *ee_stream_take(ee_stream *stream, const char *owner, size_t count, size_t size,
                     ee_error *error);

/* Writes how many bytes of buffers each part has, and their sum, a line each. What the engine
 * takes is its own and not in it. */
void ee_stream_print_memory(const ee_stream *stream, FILE *out);

/* Frees the stream and its engine's graphs. NULL is fine. */
void ee_stream_close(ee_stream *stream);

/* --- Audio files -------------------------------------------------------------------------- */

/* 16 kHz mono 16-bit samples out of a WAV file or, raw, out of standard input. Owned by the
 * caller, who sets nothing but `stop`. */
typedef struct {
    int file;
    const char *name;
    int64_t promised;           /* bytes of samples that the header promises; -1 if unknown */
    int64_t n_read;             /* bytes of samples so far */
    volatile sig_atomic_t stop; /* set it, from a signal handler too, to end the audio here */
} ee_audio;

/* Opens the WAV file at the path `name`, or standard input for "-". `name` must outlive `audio`.
 * False with the error EE_FAILED for a file that cannot be read or is other audio. */
bool ee_audio_open(ee_audio *audio, const char *name, ee_error *error);

/* Waits for up to `n` samples and returns how many came: 0 at the end. A file that breaks off is
 * read to the break, with the error EE_FAILED beside its last samples. -1 if reading failed. */
int ee_audio_read(ee_audio *audio, int16_t *pcm, int n, ee_error *error);

void ee_audio_close(ee_audio *audio);

/* A WAV file that grows, 16 kHz mono 16 bits; its header is right once it is closed. Owned by the
 * caller. */
typedef struct {
    int file;
    uint32_t data_bytes;
    char path[4096];
} ee_wav;

/* Creates the file, or empties it. False with the error EE_FAILED. */
bool ee_wav_create(ee_wav *wav, const char *path, ee_error *error);

/* Appends `n` samples, clipped to [-1, 1]. False with the error EE_FAILED, for example when there
 * is no room or after 37 hours. */
bool ee_wav_write(ee_wav *wav, const float *samples, int n, ee_error *error);

/* Completes the header and closes the file, in any case. False with the error EE_FAILED. */
bool ee_wav_close(ee_wav *wav, ee_error *error);

#ifdef __cplusplus
}
#endif

#endif
