#include "heads/dating.h"

#include <string.h>

void ee_dating_open(ee_dating *d, const ee_bundle *bundle, int max_frames, int max_words,
                    ee_memory *memory)
{
    const char *owner = "second pass";
    size_t n_tokens = (size_t)max_frames + 1, n_words = (size_t)max_words;
    *d = (ee_dating){
        .tokens = bundle->tokens,
        .n_tokens = bundle->n_tokens,
        .max_loss = bundle->manifest.decoding.second_pass_max_loss,
        .own.tokens = ee_take(memory, owner, n_tokens, sizeof *d->own.tokens),
        .again.tokens = ee_take(memory, owner, n_tokens, sizeof *d->again.tokens),
        .lengths = ee_take(memory, owner, n_words, sizeof *d->lengths),
        .firsts = ee_take(memory, owner, n_words, sizeof *d->firsts),
        .ends = ee_take(memory, owner, n_words, sizeof *d->ends),
    };
    while (d->space < d->n_tokens && strcmp(d->tokens[d->space].text, " ") != 0)
        d->space++;
    ee_alignment_open(&d->alignment, d->n_tokens, max_frames, memory);
}

/* The token of one character of UTF-8, `length` bytes, in lower case; 0, the blank, for none. The
 * letters of English are enough: capitals beyond ASCII have no lower case here. */
static int token_of(const ee_dating *d, const char *character, size_t length)
{
    char text[5] = {0};
    memcpy(text, character, length);
    if (text[0] >= 'A' && text[0] <= 'Z')
        text[0] = (char)(text[0] - 'A' + 'a');
    for (int token = 1; token < d->n_tokens; token++)
        if (strcmp(d->tokens[token].text, text) == 0)
            return token;
    return 0;
}

static void add_token(const ee_dating *d, ee_spelling *spelling, int token)
{
    if (spelling->n <= d->alignment.max_frames)
        spelling->tokens[spelling->n++] = token;
}

/* Adds the characters of a word that are known, after a space; how many. */
static int spell(const ee_dating *d, ee_spelling *spelling, const char *text)
{
    int n = 0;
    for (size_t length; *text; text += length) {
        length = 1;
        while (length < 4 && (text[length] & 0xc0) == 0x80)
            length++;
        int token = token_of(d, text, length);
        if (token == 0)
            continue;
        if (n++ == 0 && spelling->n > 0)
            add_token(d, spelling, d->space);
        add_token(d, spelling, token);
    }
    return n;
}

/* From the frames of characters to those of words. A word that has no letters, as a number, lies
 * between its neighbours. */
static void find_frames(ee_dating *d, int n_words, int n_frames)
{
    const ee_character_span *spans = d->alignment.spans;
    for (int i = 0, at = 0, end = 0; i < n_words; i++) {
        int n = d->lengths[i], next = at < d->again.n ? spans[at].first : n_frames;
        d->firsts[i] = n > 0 ? next : end;
        d->ends[i] = n > 0 ? spans[at + n - 1].last + 1 : next;
        end = n > 0 ? d->ends[i] : end;
        at += n > 0 ? n + 1 : 0;
    }
}

bool ee_date(ee_dating *d, const ee_text_word *words, int n_words, const ee_word *own, int n_own,
             const float *logprobs, int n_frames)
{
    ee_alignment *a = &d->alignment;
    d->own.n = d->again.n = 0;
    if (n_words == 0 || d->space == d->n_tokens)
        return false;
    for (int i = 0; i < n_own; i++)
        spell(d, &d->own, own[i].text);
    for (int i = 0; i < n_words; i++)
        d->lengths[i] = spell(d, &d->again, words[i].text);
    bool own_fits = ee_align(a, logprobs, n_frames, d->own.tokens, d->own.n);
    double own_logprob = a->logprob;
    if (!ee_align(a, logprobs, n_frames, d->again.tokens, d->again.n))
        return false;
    int n_characters = d->own.n > d->again.n ? d->own.n : d->again.n;
    if (own_fits && own_logprob - a->logprob > d->max_loss * n_characters)
        return false;
    find_frames(d, n_words, n_frames);
    return true;
}
