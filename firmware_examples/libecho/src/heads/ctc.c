#include "heads/ctc.h"

#include <math.h>
#include <string.h>

static void emit_word(void *context, const ee_decoded_word *decoded)
{
    ee_ctc *ctc = context;
    ee_word word = {
        .start_s = fmin((double)decoded->first * ctc->frame_s, ctc->received_s),
        .end_s = fmin((double)decoded->end * ctc->frame_s, ctc->received_s),
        .confidence = decoded->confidence,
    };
    strcpy(word.text, decoded->text);
    ctc->emit(ctc->context, &word);
}

bool ee_ctc_open(ee_ctc *ctc, const ee_bundle *bundle, const ee_language_model *language,
                 void (*emit)(void *context, const ee_word *word), void *context, ee_memory *memory,
                 ee_error *error)
{
    const ee_manifest *m = &bundle->manifest;
    double step_s = (double)m->step_samples / m->sample_rate;
    ctc->tokens = bundle->tokens;
    ctc->n_tokens = bundle->n_tokens;
    ctc->n_frames = m->chunk_steps * m->frames_per_step;
    ctc->frame_s = step_s / m->frames_per_step;
    ctc->silence_frames = llrint(m->decoding.word_silence_s / ctc->frame_s);
    ctc->emit = emit;
    ctc->context = context;
    if (!ee_graph_open(&ctc->graph, bundle, EE_ASR, memory, error))
        return false;
    if (language == NULL)
        return true;
    ee_beam_options options = {
        .decoding = &m->decoding,
        .silence_frames = ctc->silence_frames,
        .max_lag_frames = llrint(m->decoding.word_lag_s / ctc->frame_s),
        .context = ctc,
        .emit = emit_word,
    };
    const ee_graph_spec *spec = ctc->graph.spec;
    ctc->uses_beam = true;
    ctc->n_phones = (int)ee_find_tensor(spec->outputs, spec->n_outputs, "phones")->dims[2];
    if (language->n_phones != ctc->n_phones)
        return ee_fail(error, EE_REFUSED,
                       "%s: found %d phones, expected %d, one for each output "
                       "of the asr graph: export the bundle again",
                       m->language_model, language->n_phones, ctc->n_phones);
    return ee_beam_open(&ctc->beam, language, options, memory, error);
}

static void finish_word(ee_ctc *ctc)
{
    ee_greedy_word *word = &ctc->word;
    if (word->n_characters > 0) {
        ee_decoded_word decoded = {word->text, word->first, word->last + 1,
                                   exp(word->logprobs / word->n_characters)};
        emit_word(ctc, &decoded);
    }
    word->length = 0;
    word->n_characters = 0;
    word->logprobs = 0.0;
}

static void add_character(ee_ctc *ctc, int index, float logprob)
{
    ee_greedy_word *word = &ctc->word;
    size_t length = strlen(ctc->tokens[index].text);
    if (word->length + length >= EE_WORD_BYTES) /* no word is that long */
        finish_word(ctc);
    if (word->n_characters == 0)
        word->first = ctc->frame;
    memcpy(word->text + word->length, ctc->tokens[index].text, length + 1);
    word->length += length;
    word->logprobs += logprob;
    word->n_characters++;
    word->last = ctc->frame;
}

/* The best character of the frame; repeats and blanks dropped. */
static void take_best(ee_ctc *ctc, const float *logprobs)
{
    ee_greedy_word *word = &ctc->word;
    int index = 0;
    for (int token = 1; token < ctc->n_tokens; token++)
        if (logprobs[token] > logprobs[index])
            index = token;
    if (index != 0 && strcmp(ctc->tokens[index].text, " ") == 0)
        finish_word(ctc);
    else if (index != 0 && index == word->previous)
        word->last = ctc->frame;
    else if (index != 0)
        add_character(ctc, index, logprobs[index]);
    else if (word->n_characters > 0 && ctc->frame - word->last >= ctc->silence_frames)
        finish_word(ctc);
    word->previous = index;
    ctc->frame++;
}

bool ee_ctc_push(ee_ctc *ctc, const float *latents, double received_s, ee_error *error)
{
    float *input = ee_graph_input(&ctc->graph, "latents");
    const ee_graph_spec *spec = ctc->graph.spec;
    memcpy(input, latents,
           ee_find_tensor(spec->inputs, spec->n_inputs, "latents")->n_elements * sizeof *input);
    if (!ee_graph_run(&ctc->graph, error))
        return false;
    ctc->received_s = received_s;
    const float *logprobs = ee_graph_output(&ctc->graph, ctc->uses_beam ? "phones" : "logprobs");
    for (int frame = 0; frame < ctc->n_frames; frame++)
        if (ctc->uses_beam)
            ee_beam_push(&ctc->beam, logprobs + (size_t)frame * (size_t)ctc->n_phones);
        else
            take_best(ctc, logprobs + (size_t)frame * (size_t)ctc->n_tokens);
    return true;
}

double ee_ctc_next_s(const ee_ctc *ctc)
{
    int64_t greedy = ctc->word.n_characters > 0 ? ctc->word.first : ctc->frame;
    int64_t frame = ctc->uses_beam ? ee_beam_next_frame(&ctc->beam) : greedy;
    return fmin((double)frame * ctc->frame_s, ctc->received_s);
}

double ee_ctc_heard_s(const ee_ctc *ctc)
{
    int64_t frame = ctc->uses_beam ? ctc->beam.frame : ctc->frame;
    return fmin((double)frame * ctc->frame_s, ctc->received_s);
}

const float *ee_ctc_logprobs(const ee_ctc *ctc)
{
    return ee_graph_output(&ctc->graph, "logprobs");
}

void ee_ctc_finish(ee_ctc *ctc, double received_s)
{
    ctc->received_s = received_s;
    if (ctc->uses_beam)
        ee_beam_finish(&ctc->beam);
    else
        finish_word(ctc);
}

void ee_ctc_close(ee_ctc *ctc)
{
    ee_graph_close(&ctc->graph);
}
