#include "stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LANGUAGE_BYTES = 64 << 20 };

static bool read_language(ee_stream *s, const ee_bundle *bundle, ee_memory *memory,
                          ee_error *error)
{
    const char *name = s->manifest->language_model;
    int64_t size;
    char *data = ee_bundle_read(bundle, name, MOST_LANGUAGE_BYTES, &size, error);
    bool good = data != NULL &&
                ee_language_read(&s->language, data, (size_t)size, name, memory, error);
    free(data);
    return good;
}

static bool open_heads(ee_stream *s, const ee_bundle *bundle, ee_memory *memory, ee_error *error)
{
    const ee_manifest *m = s->manifest;
    const ee_language *language = NULL;
    if (s->options.language_model && m->language_model[0]) {
        if (!read_language(s, bundle, memory, error))
            return false;
        language = &s->language;
    }
    double step_s = (double)m->step_samples / m->sample_rate;
    ee_diarization_options diarization = {
        .latency_steps = (int)lrint(fmin(s->options.latency_s, 3600.0) / step_s),
        .min_voices = s->options.min_speakers,
        .max_voices = s->options.max_speakers,
    };
    ee_turns_open(&s->turns, m, s->options.max_speakers, s->options.sink, memory);
    return ee_asr_open(&s->asr, bundle, language, &s->turns, memory, error) &&
           ee_diarization_open(&s->diarization, bundle, diarization, memory, error) &&
           (!s->options.separate || ee_separation_open(&s->separation, bundle, memory, error));
}

bool ee_stream_open(ee_stream *s, const ee_bundle *bundle, ee_stream_options options,
                    ee_memory *memory, ee_error *error)
{
    if (!(options.latency_s >= 0.0) || !isfinite(options.latency_s))
        return ee_fail(error, EE_USAGE, "latency_s: found %g, expected 0 or more seconds, finite: "
                                        "this program decides while it listens", options.latency_s);
    if (options.min_speakers < 1 || options.min_speakers > options.max_speakers ||
        options.max_speakers > EE_MOST_VOICES)
        return ee_fail(error, EE_USAGE, "speakers: found %d to %d, expected 1 <= min_speakers <= "
                                        "max_speakers <= %d",
                       options.min_speakers, options.max_speakers, EE_MOST_VOICES);
    s->options = options;
    s->manifest = &bundle->manifest;
    ee_condition_open(&s->condition, s->manifest, memory);
    return ee_graph_open(&s->frontend, bundle, EE_FRONTEND, memory, error) &&
           ee_graph_open(&s->encoder, bundle, EE_ENCODER, memory, error) &&
           open_heads(s, bundle, memory, error) && ee_memory_holds(memory, error);
}

double ee_stream_heard_s(const ee_stream *s)
{
    return (double)s->n_heard / s->manifest->sample_rate;
}

/* Hands out `n` separated samples, never more than were heard. */
static void emit(ee_stream *s, int n)
{
    int64_t left = s->n_heard - s->n_emitted;
    n = n < left ? n : (int)left;
    s->n_emitted += n;
    if (n > 0)
        s->options.sources(s->options.sink.context, s->separation.ready,
                           s->manifest->chunk_samples + s->manifest->overlap_samples, n);
}

/* Steps that became decided, to turns and to words. */
static bool settle(ee_stream *s, ee_error *error)
{
    ee_activity activity;
    while (ee_diarization_decide(&s->diarization, false, &activity, error))
        ee_turns_add_activity(&s->turns, &activity, ee_stream_heard_s(s));
    return error->code == EE_DONE;
}

/* The chunk in the frontend's input, put right, through the frontend. */
static bool run_frontend(ee_stream *s, int n_samples, ee_error *error)
{
    int gain = ee_condition_push(&s->condition, ee_graph_input(&s->frontend, "pcm"),
                                 s->manifest->chunk_samples, n_samples);
    if (s->n_heard <= s->manifest->chunk_samples)
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
    if (!ee_graph_run(&s->encoder, error) ||
        !ee_asr_push(&s->asr, ee_graph_output(&s->encoder, "latents_asr"), ee_stream_heard_s(s),
                     error))
        return false;
    int n_steps = (n_samples + m->step_samples - 1) / m->step_samples;
    ee_diarization_push(&s->diarization, ee_graph_output(&s->encoder, "latents_diarization"),
                        ee_graph_output(&s->encoder, "latents_speaker"), n_steps);
    if (!settle(s, error))
        return false;
    if (!s->options.separate)
        return true;
    int n = ee_separation_push(&s->separation, ee_graph_output(&s->encoder, "latents_separation"),
                               features, ee_graph_output(&s->frontend, "spectrum"),
                               ldexpf(1.0f, -s->gain), &s->diarization, error);
    if (n < 0)
        return false;
    emit(s, n);
    return true;
}

bool ee_stream_push(ee_stream *s, const int16_t *pcm, size_t n_samples, ee_error *error)
{
    float *chunk = ee_graph_input(&s->frontend, "pcm");
    for (size_t i = 0; i < n_samples; i++) {
        chunk[s->n_pending++] = (float)pcm[i] / 32768.0f;
        s->n_heard++;
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
    ee_activity activity;
    int n_last = s->n_pending;
    s->n_pending = 0;
    if (n_last > 0) {
        float *chunk = ee_graph_input(&s->frontend, "pcm");
        memset(chunk + n_last, 0, (size_t)(s->manifest->chunk_samples - n_last) * sizeof *chunk);
        if (!run_chunk(s, n_last, error))
            return false;
    }
    ee_asr_finish(&s->asr, ee_stream_heard_s(s));
    if (!ee_diarization_decide(&s->diarization, true, &activity, error))
        return false;
    ee_turns_add_activity(&s->turns, &activity, ee_stream_heard_s(s));
    ee_turns_finish(&s->turns, ee_stream_heard_s(s));
    if (s->options.separate)
        emit(s, ee_separation_finish(&s->separation));
    return true;
}

void ee_stream_close(ee_stream *s)
{
    ee_graph_close(&s->frontend);
    ee_graph_close(&s->encoder);
    ee_asr_close(&s->asr);
    ee_diarization_close(&s->diarization);
    ee_separation_close(&s->separation);
}
