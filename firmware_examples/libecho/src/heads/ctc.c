#include "asr.h"

#include <math.h>
#include <string.h>

/* A word followed by this much silence is complete even without a space. */
static const double SILENCE_S = 0.8;
/* Words older than this become final whether or not the spellings agree. */
static const double LAG_S = 4.0;

static void add_spelled(void *context, const ee_spelled *spelled)
{
    ee_asr *asr = context;
    ee_word word = {
        .start_s = fmin((double)spelled->first * asr->frame_s, asr->heard_s),
        .end_s = fmin((double)spelled->end * asr->frame_s, asr->heard_s),
        .confidence = spelled->confidence,
    };
    strcpy(word.text, spelled->text);
    ee_turns_add_word(asr->turns, &word);
}

bool ee_asr_open(ee_asr *asr, const ee_bundle *bundle, const ee_language *language,
                 ee_turns *turns, ee_memory *memory, ee_error *error)
{
    const ee_manifest *m = &bundle->manifest;
    double step_s = (double)m->step_samples / m->sample_rate;
    asr->tokens = bundle->tokens;
    asr->n_tokens = bundle->n_tokens;
    asr->n_frames = m->chunk_steps * m->frames_per_step;
    asr->frame_s = step_s / m->frames_per_step;
    asr->silence = llrint(SILENCE_S / asr->frame_s);
    asr->turns = turns;
    if (!ee_graph_open(&asr->graph, bundle, EE_ASR, memory, error))
        return false;
    if (language == NULL)
        return true;
    ee_beam_options options = {
        .weight = m->decoding.language_weight,
        .word_bonus = m->decoding.word_bonus,
        .silence = asr->silence,
        .lag = llrint(LAG_S / asr->frame_s),
        .context = asr,
        .spelled = add_spelled,
    };
    const ee_graph_spec *spec = asr->graph.spec;
    asr->uses_beam = true;
    asr->n_phones = (int)ee_find_tensor(spec->outputs, spec->n_outputs, "phones")->dims[2];
    if (language->n_phones != asr->n_phones)
        return ee_fail(error, EE_REFUSED, "%s: found %d phones, expected %d, one for each output "
                                          "of the asr graph: export the bundle again",
                       m->language_model, language->n_phones, asr->n_phones);
    return ee_beam_open(&asr->beam, language, options, memory, error);
}

static void finish_letters(ee_asr *asr)
{
    ee_letters *word = &asr->letters;
    if (word->n_letters > 0) {
        ee_spelled spelled = {word->text, word->first, word->last + 1,
                              exp(word->logprobs / word->n_letters)};
        add_spelled(asr, &spelled);
    }
    word->length = 0;
    word->n_letters = 0;
    word->logprobs = 0.0;
}

static void add_letter(ee_asr *asr, int index, float logprob)
{
    ee_letters *word = &asr->letters;
    size_t length = strlen(asr->tokens[index].text);
    if (word->length + length >= EE_WORD_BYTES) /* no word is that long */
        finish_letters(asr);
    if (word->n_letters == 0)
        word->first = asr->frame;
    memcpy(word->text + word->length, asr->tokens[index].text, length + 1);
    word->length += length;
    word->logprobs += logprob;
    word->n_letters++;
    word->last = asr->frame;
}

/* The best character of the frame; repeats and blanks dropped. */
static void take_best(ee_asr *asr, const float *logprobs)
{
    ee_letters *word = &asr->letters;
    int index = 0;
    for (int token = 1; token < asr->n_tokens; token++)
        if (logprobs[token] > logprobs[index])
            index = token;
    if (index != 0 && strcmp(asr->tokens[index].text, " ") == 0)
        finish_letters(asr);
    else if (index != 0 && index == word->previous)
        word->last = asr->frame;
    else if (index != 0)
        add_letter(asr, index, logprobs[index]);
    else if (word->n_letters > 0 && asr->frame - word->last >= asr->silence)
        finish_letters(asr);
    word->previous = index;
    asr->frame++;
}

bool ee_asr_push(ee_asr *asr, const float *latents, double heard_s, ee_error *error)
{
    float *input = ee_graph_input(&asr->graph, "latents");
    const ee_graph_spec *spec = asr->graph.spec;
    memcpy(input, latents,
           ee_find_tensor(spec->inputs, spec->n_inputs, "latents")->n_elements * sizeof *input);
    if (!ee_graph_run(&asr->graph, error))
        return false;
    asr->heard_s = heard_s;
    const float *heard = ee_graph_output(&asr->graph, asr->uses_beam ? "phones" : "logprobs");
    for (int frame = 0; frame < asr->n_frames; frame++)
        if (asr->uses_beam)
            ee_beam_push(&asr->beam, heard + (size_t)frame * (size_t)asr->n_phones);
        else
            take_best(asr, heard + (size_t)frame * (size_t)asr->n_tokens);
    return true;
}

void ee_asr_finish(ee_asr *asr, double heard_s)
{
    asr->heard_s = heard_s;
    if (asr->uses_beam)
        ee_beam_finish(&asr->beam);
    else
        finish_letters(asr);
}

void ee_asr_close(ee_asr *asr)
{
    ee_graph_close(&asr->graph);
}
