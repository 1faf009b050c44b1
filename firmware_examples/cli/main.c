/* The program: a bundle, audio, and turns and words as JSON lines on stdout as they become final.
 * Which engine runs the graphs is decided by the file that is linked beside this one. */
#include "json_lines.h"
#include "microphone.h"
#include "wav_sources.h"

#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK_SAMPLES = 1600 /* read at a time: 0.1 s */ };

static const char USAGE[] =
    "usage: %s [options] AUDIO\n"
    "\n"
    "AUDIO is a WAV file of 16 kHz, mono, 16 bits; - reads such samples, raw, from stdin;\n"
    "mic or mic:DEVICE records until Ctrl-C. Turns and words are JSON lines on stdout.\n"
    "\n"
    "  --bundle DIR          default: $ECHO_EDGE_BUNDLE or /var/lib/echo-edge/current\n"
    "  --engine-library FILE the engine's shared library, where it is not in the usual places\n"
    "  --threads N           engine threads (default 1)\n"
    "  --latency-s S         hold decisions back at most this long (default 2)\n"
    "  --min-speakers N      at least so many (default 1)\n"
    "  --max-speakers N      at most so many (default 20)\n"
    "  --no-language-model   write what is heard, letter by letter\n"
    "  --separate DIR        write separated voices there\n"
    "  --memory              say on stderr what memory this program takes, by part\n"
    "  --stats               say on stderr how long it took and the peak memory\n"
    "\n"
    "exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 verification refused\n";

typedef struct {
    const char *audio, *bundle, *library, *separate;
    int threads;
    ee_stream_options stream;
    bool memory, stats;
} arguments;

/* Everything that lives as long as the program; large, so not on the stack. */
static struct {
    ee_session *session;
    ee_stream *stream;
    wav_sources sources;
    ee_audio audio;
    microphone microphone;
    ee_error error;
    bool separates, uses_microphone;
} all;

static void stop_audio(int signal)
{
    (void)signal;
    all.audio.stop = all.microphone.stop = 1;
}

static void on_turn(void *context, const ee_turn *turn)
{
    (void)context;
    write_turn_line(stdout, turn);
    if (all.separates)
        wav_sources_add_turn(&all.sources, turn);
}

static void on_word(void *context, const ee_word *word)
{
    (void)context;
    write_word_line(stdout, word);
}

static void on_sources(void *context, const float *samples, int stride, int n)
{
    (void)context;
    wav_sources_write(&all.sources, samples, stride, n, &all.error);
}

static bool read_int(const char *text, const char *option, int low, int high, int *out)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < low || value > high)
        return ee_fail(&all.error, EE_USAGE, "%s: found %.40s, expected %d to %d", option, text,
                       low, high);
    *out = (int)value;
    return true;
}

static bool read_seconds(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end)
        return ee_fail(&all.error, EE_USAGE, "--latency-s: found %.40s, expected seconds", text);
    return true;
}

enum {
    BUNDLE,
    LIBRARY,
    THREADS,
    LATENCY,
    MIN_SPEAKERS,
    MAX_SPEAKERS,
    LETTERS,
    SEPARATE,
    MEMORY,
    STATS,
    HELP
};

static const struct option OPTIONS[] = {
    {"bundle", required_argument, NULL, BUNDLE},
    {"engine-library", required_argument, NULL, LIBRARY},
    {"threads", required_argument, NULL, THREADS},
    {"latency-s", required_argument, NULL, LATENCY},
    {"min-speakers", required_argument, NULL, MIN_SPEAKERS},
    {"max-speakers", required_argument, NULL, MAX_SPEAKERS},
    {"no-language-model", no_argument, NULL, LETTERS},
    {"separate", required_argument, NULL, SEPARATE},
    {"memory", no_argument, NULL, MEMORY},
    {"stats", no_argument, NULL, STATS},
    {"help", no_argument, NULL, HELP},
    {0},
};

/* One option, its value in `optarg`. */
static bool read_option(int option, char **argv, arguments *args)
{
    switch (option) {
    case BUNDLE: args->bundle = optarg; return true;
    case LIBRARY: args->library = optarg; return true;
    case THREADS: return read_int(optarg, "--threads", 1, 256, &args->threads);
    case LATENCY: return read_seconds(optarg, &args->stream.latency_s);
    case MIN_SPEAKERS:
        return read_int(optarg, "--min-speakers", 1, EE_MAX_SPEAKERS, &args->stream.min_speakers);
    case MAX_SPEAKERS:
        return read_int(optarg, "--max-speakers", 1, EE_MAX_SPEAKERS, &args->stream.max_speakers);
    case LETTERS: args->stream.language_model = false; return true;
    case SEPARATE: args->separate = optarg; return true;
    case MEMORY: args->memory = true; return true;
    case STATS: args->stats = true; return true;
    case HELP:
    case 'h': printf(USAGE, argv[0]); exit(EE_DONE);
    default:
        return ee_fail(&all.error, EE_USAGE, "%.80s: unknown option or no value: see --help",
                       argv[optind - 1]);
    }
}

static bool read_arguments(int argc, char **argv, arguments *args)
{
    bool good = true;
    int option;
    opterr = 0;
    while (good && (option = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1)
        good = read_option(option, argv, args);
    if (good && argc != optind + 1)
        good = ee_fail(&all.error, EE_USAGE, "found %d arguments, expected one, AUDIO: see --help",
                       argc - optind);
    args->audio = good ? argv[optind] : NULL;
    return good;
}

static const char *find_bundle(const char *explicit)
{
    const char *named = getenv("ECHO_EDGE_BUNDLE");
    if (explicit != NULL)
        return explicit;
    return named && *named ? named : "/var/lib/echo-edge/current";
}

static bool open_audio(const char *name)
{
    all.uses_microphone = strcmp(name, "mic") == 0 || strncmp(name, "mic:", 4) == 0;
    if (all.uses_microphone)
        return microphone_open(&all.microphone, name[3] ? name + 4 : "default", &all.error);
    return ee_audio_open(&all.audio, name, &all.error);
}

static int read_audio(int16_t *pcm, int n, ee_error *error)
{
    return all.uses_microphone ? microphone_read(&all.microphone, pcm, n, error)
                               : ee_audio_read(&all.audio, pcm, n, error);
}

static bool open_stream(const arguments *args)
{
    ee_stream_options options = args->stream;
    options.sink = (ee_sink){.turn = on_turn, .word = on_word};
    if (args->separate != NULL)
        options.sink.sources = on_sources;
    all.session =
        ee_session_open(find_bundle(args->bundle), args->library, args->threads, &all.error);
    all.stream = ee_stream_open(all.session, &options, &all.error);
    if (all.stream == NULL || args->separate == NULL)
        return all.stream != NULL;
    all.separates = true;
    return wav_sources_open(&all.sources, args->separate, ee_session_max_sources(all.session),
                            all.stream, &all.error);
}

/* Processes and writes all that can be read; then comes an error of the audio, if there is one. */
static bool process(void)
{
    static int16_t pcm[BLOCK_SAMPLES];
    ee_error broken = {0}, failed = {0};
    int n;
    while ((n = read_audio(pcm, BLOCK_SAMPLES, &broken)) > 0)
        if (!ee_stream_push(all.stream, pcm, (size_t)n, &failed) || all.error.code != EE_DONE)
            break;
    if (failed.code == EE_DONE && all.error.code == EE_DONE)
        ee_stream_finish(all.stream, &failed);
    if (failed.code != EE_DONE)
        return ee_fail(&all.error, failed.code, "%s", failed.text);
    double received_s = ee_stream_received_s(all.stream);
    if (all.separates)
        wav_sources_close(&all.sources, stdout, &all.error);
    all.separates = false;
    if (all.error.code == EE_DONE && (received_s > 0.0 || broken.code == EE_DONE))
        write_end_line(stdout, all.stream);
    if (fflush(stdout) != 0 || ferror(stdout))
        ee_fail(&all.error, EE_FAILED, "stdout: cannot be written: make room");
    if (broken.code != EE_DONE)
        return ee_fail(&all.error, broken.code, "%s", broken.text);
    return all.error.code == EE_DONE;
}

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The most memory this process ever had in RAM; getrusage would count its parent's before exec. */
static double peak_rss_mib(void)
{
    char line[128];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (status != NULL)
        fclose(status);
    return (double)kib / 1024.0;
}

static void print_stats(double load_s, double run_s)
{
    double received_s = ee_stream_received_s(all.stream);
    fprintf(stderr, "loaded in %.2f s; %.1f s of audio in %.2f s, RTF %.4f; peak RSS %.1f MiB\n",
            load_s, received_s, run_s, received_s > 0.0 ? run_s / received_s : NAN, peak_rss_mib());
}

static void close_all(void)
{
    if (all.separates) /* after an error no file stays */
        wav_sources_close(&all.sources, stdout, &all.error);
    ee_stream_close(all.stream);
    ee_session_close(all.session);
    ee_audio_close(&all.audio);
    microphone_close(&all.microphone);
}

int main(int argc, char **argv)
{
    static char buffer[1 << 13]; /* so that not even printing takes memory later */
    arguments args = {.threads = 1, .stream = ee_default_options()};
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
    double started = now_s();
    if (read_arguments(argc, argv, &args) && open_audio(args.audio) && open_stream(&args)) {
        double loaded = now_s();
        if (args.memory)
            ee_stream_print_memory(all.stream, stderr);
        struct sigaction stop = {.sa_handler = stop_audio};
        sigaction(SIGINT, &stop, NULL);
        sigaction(SIGTERM, &stop, NULL);
        if (process() && args.stats)
            print_stats(loaded - started, now_s() - loaded);
    }
    if (all.error.code != EE_DONE)
        fprintf(stderr, "echo-edge: %s\n", all.error.text);
    close_all();
    return all.error.code;
}
