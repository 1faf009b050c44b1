#include "heads/text_decoder.h"

#include <math.h>
#include <string.h>

static const ee_tensor *input_of(const ee_bundle *bundle, ee_graph_name graph, const char *name)
{
    const ee_graph_spec *spec = &bundle->manifest.graphs[graph];
    return ee_find_tensor(spec->inputs, spec->n_inputs, name);
}

bool ee_text_decoder_open(ee_text_decoder *d, const ee_bundle *bundle, ee_memory *memory,
                          ee_error *error)
{
    d->spec = &bundle->manifest.second_pass;
    d->subwords = bundle->subwords;
    d->n_subwords = bundle->n_subwords;
    d->max_steps = (int)input_of(bundle, EE_ASR_DECODER, "memory_valid")->dims[1];
    d->max_tokens = (int)input_of(bundle, EE_ASR_DECODER, "valid")->dims[1];
    d->chunk_steps = bundle->manifest.chunk_steps;
    d->width = (int)input_of(bundle, EE_ASR_MEMORY, "latents")->dims[2];
    d->words = ee_take(memory, "second pass", (size_t)d->max_tokens, sizeof *d->words);
    return ee_graph_open(&d->maker, bundle, EE_ASR_MEMORY, memory, error) &&
           ee_graph_open(&d->reader, bundle, EE_ASR_DECODER, memory, error);
}

/* Keys or values of a chunk, [heads, chunk, row], into their place in those of a stretch,
 * [heads, max_steps, row], which are an input of the other graph. */
static void put_chunk(ee_text_decoder *d, const ee_tensor *made, int first)
{
    int n_steps = d->max_steps - first < d->chunk_steps ? d->max_steps - first : d->chunk_steps;
    size_t row = (size_t)made->dims[3], chunk = (size_t)d->chunk_steps * row;
    const float *from = ee_graph_output(&d->maker, made->name);
    float *to = ee_graph_input(&d->reader, made->name) + (size_t)first * row;
    for (int64_t head = 0; head < made->dims[1]; head++) {
        memcpy(to, from, (size_t)n_steps * row * sizeof *to);
        from += chunk;
        to += (size_t)d->max_steps * row;
    }
}

/* Fills the memory, chunk by chunk; which of its steps are the stretch's. */
static bool remember(ee_text_decoder *d, const float *latents, int n_steps, ee_error *error)
{
    float *input = ee_graph_input(&d->maker, "latents"),
          *steps = ee_graph_input(&d->maker, "steps");
    float *valid = ee_graph_input(&d->reader, "memory_valid");
    size_t row = (size_t)d->width;
    for (int first = 0; first < n_steps; first += d->chunk_steps) {
        int n = n_steps - first < d->chunk_steps ? n_steps - first : d->chunk_steps;
        memcpy(input, latents + (size_t)first * row, (size_t)n * row * sizeof *input);
        memset(input + (size_t)n * row, 0, (size_t)(d->chunk_steps - n) * row * sizeof *input);
        for (int i = 0; i < d->chunk_steps; i++)
            steps[i] = (float)(first + i);
        if (!ee_graph_run(&d->maker, error))
            return false;
        for (int i = 0; i < d->maker.spec->n_outputs; i++)
            put_chunk(d, &d->maker.spec->outputs[i], first);
    }
    for (int step = 0; step < d->max_steps; step++)
        valid[step] = step < n_steps ? 1.0f : 0.0f;
    return true;
}

/* The likeliest token that is text or the end. */
static int likeliest(const ee_text_decoder *d, const float *logprobs)
{
    int best = 0;
    float most = -INFINITY;
    for (int token = 0; token < d->n_subwords; token++)
        if (logprobs[token] > most && (d->subwords[token][0] || token == d->spec->end)) {
            best = token;
            most = logprobs[token];
        }
    return best;
}

/* One more token: the beginning of a word, or more of the last one. False if that is too long. */
static bool add_token(ee_text_decoder *d, const char *text, float logprob)
{
    if (d->n_words == 0 || text[0] == ' ')
        d->words[d->n_words++] = (ee_text_word){0};
    ee_text_word *word = &d->words[d->n_words - 1];
    size_t length = strlen(word->text);
    if (length == 0 && text[0] == ' ')
        text++;
    if (length + strlen(text) >= sizeof word->text)
        return false;
    strcpy(word->text + length, text);
    word->logprobs += logprob;
    word->n_tokens++;
    return true;
}

/* Takes the blanks around words away, and what is nothing else. */
static void strip_words(ee_text_decoder *d)
{
    int n = 0;
    for (int i = 0; i < d->n_words; i++) {
        ee_text_word word = d->words[i];
        size_t first = strspn(word.text, " "), length = strlen(word.text);
        while (length > first && word.text[length - 1] == ' ')
            length--;
        if (length == first)
            continue;
        memmove(word.text, word.text + first, length - first);
        word.text[length - first] = 0;
        word.confidence = exp(word.logprobs / word.n_tokens);
        d->words[n++] = word;
    }
    d->n_words = n;
}

bool ee_text_decoder_read(ee_text_decoder *d, const float *latents, int n_steps, ee_error *error)
{
    float *token = ee_graph_input(&d->reader, "token"),
          *place = ee_graph_input(&d->reader, "place");
    const float *logprobs = ee_graph_output(&d->reader, "logprobs");
    int next = d->spec->prompt[0];
    d->n_words = 0;
    if (!remember(d, latents, n_steps, error))
        return false;
    ee_graph_fill_state(&d->reader, 0.0f);
    for (int i = 0; i < d->max_tokens; i++) {
        *token = (float)next;
        *place = (float)i;
        if (!ee_graph_run(&d->reader, error))
            return false;
        if (i + 1 < d->spec->n_prompt) {
            next = d->spec->prompt[i + 1];
            continue;
        }
        next = likeliest(d, logprobs);
        if (next == d->spec->end) {
            strip_words(d);
            return true;
        }
        if (!add_token(d, d->subwords[next], logprobs[next]))
            break;
    }
    d->n_words = 0;
    return true;
}

void ee_text_decoder_close(ee_text_decoder *d)
{
    ee_graph_close(&d->maker);
    ee_graph_close(&d->reader);
}
