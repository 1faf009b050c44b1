#include "stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LANGUAGE_BYTES = 64 << 20 };

static bool read_language_model(ee_stream *s, const ee_bundle *bundle, ee_error *error)
{
    const char *name = s->manifest->language_model;
    int64_t size;
    char *data = ee_bundle_read(bundle, name, MAX_LANGUAGE_BYTES, &size, error);
    bool good = data != NULL &&
                ee_language_model_read(&s->language, data, (size_t)size, name, &s->memory, error);
    free(data);
    return good;
}

/* A word of the transcription, to the attribution. */
static void add_word(void *context, const ee_word *word)
{
    ee_stream *s = context;
    ee_attribution_add_word(&s->attribution, word);
}

static bool open_heads(ee_stream *s, const ee_bundle *bundle, ee_error *error)
{
    const ee_manifest *m = s->manifest;
    ee_memory *memory = &s->memory;
    const ee_language_model *language = NULL;
    if (s->options.language_model && m->language_model[0]) {
        if (!read_language_model(s, bundle, error))
            return false;
        language = &s->language;
    }
    double step_s = (double)m->step_samples / m->sample_rate;
    ee_diarization_options diarization = {
        .latency_steps = (int)lrint(fmin(s->options.latency_s, 3600.0) / step_s),
        .min_voices = s->options.min_speakers,
        .max_voices = s->options.max_speakers,
    };
    ee_attribution_open(&s->attribution, m, s->options.max_speakers, s->options.sink, memory);
    s->activities = ee_take(memory, "diarization", (size_t)(m->chunk_steps / m->hop_steps) + 1,
                            sizeof *s->activities);
    bool again = m->has_second_pass;
    void *reader = again ? (void *)&s->second_pass : s;
    return ee_ctc_open(&s->ctc, bundle, language, again ? ee_second_pass_add_word : add_word,
                       reader, memory, error) &&
           ee_diarization_open(&s->diarization, bundle, diarization, memory, error) &&
           (!again || ee_second_pass_open(&s->second_pass, bundle, &s->ctc, &s->diarization,
                                          add_word, s, memory, error)) &&
           (s->options.sink.sources == NULL ||
            ee_separation_open(&s->separation, bundle, memory, error));
}

static bool are_in_range(const ee_stream_options *options, ee_error *error)
{
    if (!(options->latency_s >= 0.0) || !isfinite(options->latency_s))
        return ee_fail(error, EE_USAGE,
                       "latency_s: found %g, expected 0 or more seconds, finite: "
                       "this program decides while it listens",
                       options->latency_s);
    if (options->min_speakers < 1 || options->min_speakers > options->max_speakers ||
        options->max_speakers > EE_MAX_SPEAKERS)
        return ee_fail(error, EE_USAGE,
                       "speakers: found %d to %d, expected 1 <= min_speakers <= "
                       "max_speakers <= %d",
                       options->min_speakers, options->max_speakers, EE_MAX_SPEAKERS);
    return true;
}

static bool open_all(ee_stream *s, const ee_bundle *bundle, ee_error *error)
{
    ee_condition_open(&s->condition, s->manifest, &s->memory);
    return ee_graph_open(&s->frontend, bundle, EE_FRONTEND, &s->memory, error) &&
           ee_graph_open(&s->encoder, bundle, EE_ENCODER, &s->memory, error) &&
           open_heads(s, bundle, error) && ee_memory_holds(&s->memory, error);
}

ee_stream_options ee_default_options(void)
{
    return (ee_stream_options){.latency_s = 2.0,
                               .min_speakers = 1,
                               .max_speakers = EE_MAX_SPEAKERS,
                               .language_model = true};
}

ee_stream *ee_stream_open(ee_session *session, const ee_stream_options *options, ee_error *error)
{
    if (session == NULL || error->code != EE_DONE || !are_in_range(options, error))
        return NULL;
    ee_stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        ee_fail(error, EE_FAILED, EE_NO_MEMORY);
        return NULL;
    }
    s->options = *options;
    s->manifest = &session->bundle.manifest;
    s->session_memory = &session->memory;
    if (open_all(s, &session->bundle, error))
        return s;
    ee_stream_close(s);
    return NULL;
}

double ee_stream_received_s(const ee_stream *s)
{
    return (double)s->n_received / s->manifest->sample_rate;
}

int ee_stream_n_speakers(const ee_stream *s)
{
    return s->attribution.n_speakers;
}

double ee_stream_speech_s(const ee_stream *s, int speaker)
{
    return s->attribution.speech_s[speaker - 1];
}

void *ee_stream_take(ee_stream *s, const char *owner, size_t count, size_t size, ee_error *error)
{
    void *buffer = ee_take(&s->memory, owner, count, size);
    return ee_memory_holds(&s->memory, error) ? buffer : NULL;
}

void ee_stream_print_memory(const ee_stream *s, FILE *out)
{
    ee_memory_print(s->session_memory, &s->memory, out);
}

/* Emits `n` separated samples, never more than were received. */
static void emit_sources(ee_stream *s, int n)
{
    int64_t left = s->n_received - s->n_emitted;
    n = n < left ? n : (int)left;
    s->n_emitted += n;
    if (n > 0)
        s->options.sink.sources(s->options.sink.context, s->separation.ready,
                                s->manifest->chunk_samples + s->manifest->overlap_samples, n);
}

/* The latents of `n_steps` through the diarization, then to words, which the second pass of words
 * cuts where nobody speaks; then words and decided steps to speakers. */
static bool run_heads(ee_stream *s, int n_steps, ee_error *error)
{
    const float *diarization = ee_graph_output(&s->encoder, "latents_diarization");
    const float *speaker = ee_graph_output(&s->encoder, "latents_speaker");
    const float *asr = ee_graph_output(&s->encoder, "latents_asr");
    double received_s = ee_stream_received_s(s);
    int n = 0;
    ee_diarization_push(&s->diarization, diarization, speaker, n_steps);
    while (ee_diarization_decide(&s->diarization, false, &s->activities[n], error))
        n++;
    if (error->code != EE_DONE || !ee_ctc_push(&s->ctc, asr, received_s, error) ||
        (s->manifest->has_second_pass &&
         !ee_second_pass_push(&s->second_pass, ee_graph_output(&s->encoder, "latents"), error)))
        return false;
    for (int i = 0; i < n; i++)
        ee_attribution_add_activity(&s->attribution, &s->activities[i], received_s);
    return true;
}

/* The chunk in the frontend's input, put right, through the frontend. */
static bool run_frontend(ee_stream *s, int n_samples, ee_error *error)
{
    int gain = ee_condition_push(&s->condition, ee_graph_input(&s->frontend, "pcm"),
                                 s->manifest->chunk_samples, n_samples);
    if (s->n_received <= s->manifest->chunk_samples)
        ee_graph_fill_state(&s->frontend, s->condition.before);
    if (gain != s->gain)
        ee_graph_scale_state(&s->frontend, ldexpf(1.0f, gain - s->gain));
    s->gain = gain;
    return ee_graph_run(&s->frontend, error);
}

/* The chunk in the frontend's input through all graphs; only its first `n_samples` are real. */
static bool run_chunk(ee_stream *s, int n_samples, ee_error *error)
{
    const ee_manifest *m = s->manifest;
    float *input = ee_graph_input(&s->encoder, "features");
    if (!run_frontend(s, n_samples, error))
        return false;
    const float *features = ee_graph_output(&s->frontend, "features");
    size_t n_frames = (size_t)(m->chunk_samples / m->spectrum_hop_samples);
    memcpy(input, features, n_frames * 80 * sizeof *features);
    int n_steps = (n_samples + m->step_samples - 1) / m->step_samples;
    if (!ee_graph_run(&s->encoder, error) || !run_heads(s, n_steps, error))
        return false;
    if (s->options.sink.sources == NULL)
        return true;
    int n = ee_separation_push(&s->separation, ee_graph_output(&s->encoder, "latents_separation"),
                               features, ee_graph_output(&s->frontend, "spectrum"),
                               ldexpf(1.0f, -s->gain), &s->diarization, error);
    if (n < 0)
        return false;
    emit_sources(s, n);
    return true;
}

bool ee_stream_push(ee_stream *s, const int16_t *pcm, size_t n_samples, ee_error *error)
{
    if (s == NULL || error->code != EE_DONE)
        return false;
    float *chunk = ee_graph_input(&s->frontend, "pcm");
    for (size_t i = 0; i < n_samples; i++) {
        chunk[s->n_pending++] = (float)pcm[i] / 32768.0f;
        s->n_received++;
        if (s->n_pending < s->manifest->chunk_samples)
            continue;
        s->n_pending = 0;
        if (!run_chunk(s, s->manifest->chunk_samples, error))
            return false;
    }
    return true;
}

bool ee_stream_finish(ee_stream *s, ee_error *error)
{
    if (s == NULL || error->code != EE_DONE)
        return false;
    ee_activity activity;
    int n_last = s->n_pending;
    s->n_pending = 0;
    if (n_last > 0) {
        float *chunk = ee_graph_input(&s->frontend, "pcm");
        memset(chunk + n_last, 0, (size_t)(s->manifest->chunk_samples - n_last) * sizeof *chunk);
        if (!run_chunk(s, n_last, error))
            return false;
    }
    if (!ee_diarization_decide(&s->diarization, true, &activity, error))
        return false;
    ee_ctc_finish(&s->ctc, ee_stream_received_s(s));
    if (s->manifest->has_second_pass && !ee_second_pass_finish(&s->second_pass, error))
        return false;
    ee_attribution_add_activity(&s->attribution, &activity, ee_stream_received_s(s));
    ee_attribution_finish(&s->attribution, ee_stream_received_s(s));
    if (s->options.sink.sources != NULL)
        emit_sources(s, ee_separation_finish(&s->separation));
    return true;
}

void ee_stream_close(ee_stream *s)
{
    if (s == NULL)
        return;
    ee_graph_close(&s->frontend);
    ee_graph_close(&s->encoder);
    ee_ctc_close(&s->ctc);
    ee_second_pass_close(&s->second_pass);
    ee_diarization_close(&s->diarization);
    ee_separation_close(&s->separation);
    ee_memory_free(&s->memory);
    free(s);
}
