/* The program: a bundle, audio, and turns and words as JSON lines on stdout as they become final.
 * Which engine runs the graphs is decided by the file that is linked beside this one. */
#include "audio.h"
#include "lines.h"
#include "sources.h"
#include "stream.h"

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
    int threads, min_speakers, max_speakers;
    double latency_s;
    bool language_model, memory, stats;
} arguments;

/* Everything that lives as long as the program; large, so not on the stack. */
static struct {
    ee_memory memory;
    ee_bundle bundle;
    ee_stream stream;
    ee_sources sources;
    ee_audio audio;
    ee_error error;
    bool separates;
} all;

static void stop_audio(int signal)
{
    (void)signal;
    all.audio.stop = true;
}

static void on_turn(void *context, const ee_turn *turn)
{
    (void)context;
    ee_write_turn(stdout, turn);
    if (all.separates)
        ee_sources_add_turn(&all.sources, turn);
}

static void on_word(void *context, const ee_word *word)
{
    (void)context;
    ee_write_word(stdout, word);
}

static void on_sources(void *context, const float *samples, int stride, int n)
{
    (void)context;
    ee_sources_write(&all.sources, samples, stride, n, &all.error);
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

enum { BUNDLE, LIBRARY, THREADS, LATENCY, LEAST, MOST, LETTERS, SEPARATE, MEMORY, STATS, HELP };

static const struct option OPTIONS[] = {
    {"bundle", required_argument, NULL, BUNDLE},
    {"engine-library", required_argument, NULL, LIBRARY},
    {"threads", required_argument, NULL, THREADS},
    {"latency-s", required_argument, NULL, LATENCY},
    {"min-speakers", required_argument, NULL, LEAST},
    {"max-speakers", required_argument, NULL, MOST},
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
    case LATENCY: return read_seconds(optarg, &args->latency_s);
    case LEAST: return read_int(optarg, "--min-speakers", 1, EE_MOST_VOICES, &args->min_speakers);
    case MOST: return read_int(optarg, "--max-speakers", 1, EE_MOST_VOICES, &args->max_speakers);
    case LETTERS: args->language_model = false; return true;
    case SEPARATE: args->separate = optarg; return true;
    case MEMORY: args->memory = true; return true;
    case STATS: args->stats = true; return true;
    case HELP: case 'h': printf(USAGE, argv[0]); exit(EE_DONE);
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
    if (strcmp(name, "mic") == 0)
        return ee_microphone_open(&all.audio, "default", &all.error);
    if (strncmp(name, "mic:", 4) == 0)
        return ee_microphone_open(&all.audio, name + 4, &all.error);
    return ee_audio_open(&all.audio, name, &all.error);
}

static bool open_stream(const arguments *args)
{
    const ee_manifest *manifest = &all.bundle.manifest;
    ee_stream_options options = {
        .latency_s = args->latency_s,
        .min_speakers = args->min_speakers,
        .max_speakers = args->max_speakers,
        .language_model = args->language_model,
        .separate = args->separate != NULL,
        .sink = {.turn = on_turn, .word = on_word},
        .sources = on_sources,
    };
    if (!ee_bundle_open(&all.bundle, find_bundle(args->bundle), ee_engine_name, &all.memory,
                        &all.error) ||
        !ee_engine_start(args->library, args->threads, manifest->engine_minimum_version,
                         &all.error) ||
        !ee_stream_open(&all.stream, &all.bundle, options, &all.memory, &all.error))
        return false;
    if (args->separate == NULL)
        return true;
    all.separates = true;
    return ee_sources_open(&all.sources, args->separate, manifest->max_sources, &all.memory,
                           &all.error);
}

/* What could be read is processed and written, then an error of the audio is told. */
static bool process(void)
{
    static int16_t pcm[BLOCK_SAMPLES];
    ee_error broken = {0}, failed = {0};
    int n;
    while ((n = ee_audio_read(&all.audio, pcm, BLOCK_SAMPLES, &broken)) > 0)
        if (!ee_stream_push(&all.stream, pcm, (size_t)n, &failed) || all.error.code != EE_DONE)
            break;
    if (failed.code == EE_DONE && all.error.code == EE_DONE)
        ee_stream_finish(&all.stream, &failed);
    if (failed.code != EE_DONE)
        return ee_fail(&all.error, failed.code, "%s", failed.text);
    double heard_s = ee_stream_heard_s(&all.stream);
    if (all.separates)
        ee_sources_close(&all.sources, stdout, &all.error);
    all.separates = false;
    if (all.error.code == EE_DONE && (heard_s > 0.0 || broken.code == EE_DONE))
        ee_write_end(stdout, heard_s, &all.stream.turns);
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
    double heard_s = ee_stream_heard_s(&all.stream);
    fprintf(stderr, "loaded in %.2f s; %.1f s of audio in %.2f s, RTF %.4f; peak RSS %.1f MiB\n",
            load_s, heard_s, run_s, heard_s > 0.0 ? run_s / heard_s : NAN, peak_rss_mib());
}

static void close_all(void)
{
    if (all.separates) /* after an error nothing is kept */
        ee_sources_close(&all.sources, stdout, &all.error);
    ee_stream_close(&all.stream);
    ee_engine_stop();
    ee_audio_close(&all.audio);
    ee_memory_free(&all.memory);
}

int main(int argc, char **argv)
{
    static char buffer[1 << 13]; /* so that not even printing takes memory later */
    arguments args = {.threads = 1, .min_speakers = 1, .max_speakers = EE_MOST_VOICES,
                      .latency_s = 2.0, .language_model = true};
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
    double started = now_s();
    if (read_arguments(argc, argv, &args) && open_audio(args.audio) && open_stream(&args)) {
        double loaded = now_s();
        if (args.memory)
            ee_print_memory(&all.memory, stderr);
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
