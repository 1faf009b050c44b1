#include "beam.h"

#include "turns.h"

#include <math.h>
#include <string.h>

enum {
    WIDTH = EE_BEAM_WIDTH,
    SETTLE_FRAMES = 10, /* how often to look for words on which the spellings agree */
    MOST_TOKENS = 200,
};

static const float LEAST_LOGPROB = -4.0f; /* characters below this are not tried in a frame */
static const double MARGIN = 7.0; /* spellings this many nats below the best are dropped */
static const double DOUBT = 3.0;  /* a word is final if all within so many nats agree on it */

static double add_logs(double a, double b)
{
    double high = fmax(a, b), low = fmin(a, b);
    return low == -INFINITY ? high : high + log1p(exp(low - high));
}

static double total_of(const ee_spelling *node)
{
    return add_logs(node->blank, node->sound);
}

static double score_of(const ee_spelling *node)
{
    return total_of(node) + node->language;
}

static ee_spelling *at(const ee_beam *beam, int index)
{
    return &beam->tree.nodes[index];
}

/* One empty spelling after `previous_word`. */
static void restart(ee_beam *beam, int previous_word)
{
    ee_spellings_clear(&beam->tree);
    beam->root = ee_spellings_new(&beam->tree, EE_NONE, 0);
    ee_spelling *root = at(beam, beam->root);
    root->words = (ee_range){0, beam->language->n_words};
    root->previous_word = previous_word;
    root->blank = 0.0;
    beam->beam[0] = beam->root;
    beam->n_beam = 1;
}

bool ee_beam_open(ee_beam *beam, const ee_language *language, const ee_token *tokens, int n_tokens,
                  ee_beam_options options, ee_memory *memory, ee_error *error)
{
    *beam = (ee_beam){
        .language = language,
        .tokens = tokens,
        .n_tokens = n_tokens,
        .options = options,
        .touched = ee_take(memory, "beam", EE_MOST_NODES, sizeof *beam->touched),
        .scores = ee_take(memory, "beam", EE_MOST_NODES, sizeof *beam->scores),
        .chain = ee_take(memory, "beam", EE_MOST_NODES, sizeof *beam->chain),
    };
    ee_spellings_open(&beam->tree, memory);
    if (!ee_memory_holds(memory, error))
        return false;
    for (int token = 1; token < n_tokens; token++)
        if (tokens[token].letter == ' ')
            beam->space = token;
    if (beam->space == 0 || n_tokens > MOST_TOKENS)
        return ee_fail(error, EE_REFUSED, "tokens: found %d, expected up to %d with <space> among "
                                          "them: export the bundle again", n_tokens, MOST_TOKENS);
    restart(beam, EE_START);
    return true;
}

/* Index (EE_START if unknown) and log-probability of the word that ends with the node. */
static int score_word(const ee_beam *beam, const ee_spelling *node, double *score)
{
    ee_range ends = ee_language_narrow(beam->language, node->words, node->depth, 0);
    if (ends.low < ends.high) {
        *score = ee_language_score(beam->language, node->previous_word, ends.low);
        return ends.low;
    }
    *score = ee_language_unknown(node->depth);
    return EE_START;
}

static void spell(const ee_beam *beam, ee_spelling *child, const ee_spelling *node)
{
    int letter = beam->tokens[child->token].letter;
    child->previous_word = node->previous_word;
    child->settled = node->settled;
    child->depth = node->depth + 1;
    if (letter != 0)
        child->words = ee_language_narrow(beam->language, node->words, node->depth, letter);
    double hope = ee_language_unknown(child->depth);
    if (child->words.low < child->words.high)
        hope = fmax(hope, ee_language_likeliest(beam->language, child->words));
    child->language = child->settled + beam->options.weight * hope;
}

static void end_word(const ee_beam *beam, ee_spelling *child, const ee_spelling *node)
{
    double score;
    child->previous_word = score_word(beam, node, &score);
    child->words = (ee_range){0, beam->language->n_words};
    child->settled = node->settled + beam->options.weight * score + beam->options.word_bonus;
    child->language = child->settled;
}

/* The spelling with one more character; EE_NONE for a space where no word has begun. */
static int child_of(ee_beam *beam, int index, int token)
{
    for (int child = at(beam, index)->child; child != EE_NONE; child = at(beam, child)->sibling)
        if (at(beam, child)->token == token)
            return child;
    if (token == beam->space && at(beam, index)->depth == 0)
        return EE_NONE;
    int child = ee_spellings_new(&beam->tree, index, token);
    if (child != EE_NONE && token == beam->space)
        end_word(beam, at(beam, child), at(beam, index));
    else if (child != EE_NONE)
        spell(beam, at(beam, child), at(beam, index));
    return child;
}

static void touch(ee_beam *beam, int index)
{
    if (at(beam, index)->touched != beam->frame) {
        at(beam, index)->touched = beam->frame;
        beam->touched[beam->n_touched++] = index;
    }
}

/* One more way into a node; the likeliest gives the time. */
static void enter(ee_spelling *node, double entered, int64_t frame, double logprob)
{
    node->next_sound = add_logs(node->next_sound, entered);
    if (entered > node->weight) {
        node->weight = entered;
        node->frame = frame;
        node->end = frame + 1;
        node->logprob = logprob;
    }
}

/* A spelling stays as it is or gains one of the frame's `n` likely characters. */
static void extend(ee_beam *beam, int index, const float *logprobs, const int *likely, int n,
                   double hopeless)
{
    ee_spelling *node = at(beam, index);
    double total = total_of(node);
    node->next_blank = add_logs(node->next_blank, total + logprobs[0]);
    if (node->token != 0) {
        double again = logprobs[node->token];
        node->next_sound = add_logs(node->next_sound, node->sound + again);
        if (again > log(0.5) && node->end == beam->frame)
            node->end++;
    }
    for (int i = 0; i < n; i++) {
        double logprob = logprobs[likely[i]];
        double entered = (likely[i] == node->token ? node->blank : total) + logprob;
        bool promising = entered + node->language > hopeless;
        int child = promising ? child_of(beam, index, likely[i]) : EE_NONE;
        if (child == EE_NONE)
            continue;
        touch(beam, child);
        enter(at(beam, child), entered, beam->frame, logprob);
    }
}

/* The numbers of the best candidates, best first, of equals the later one; how many. */
static int best_candidates(const ee_beam *beam, int best[WIDTH])
{
    int n = 0;
    for (int i = 0; i < beam->n_touched; i++) {
        int place = n;
        while (place > 0 && beam->scores[best[place - 1]] <= beam->scores[i])
            place--;
        if (place == WIDTH)
            continue;
        n += n < WIDTH;
        memmove(best + place + 1, best + place, (size_t)(n - place - 1) * sizeof *best);
        best[place] = i;
    }
    return n;
}

/* Takes the step to the next frame with the best of all candidates. */
static void prune(ee_beam *beam)
{
    int best[WIDTH];
    for (int i = 0; i < beam->n_touched; i++) {
        ee_spelling *node = at(beam, beam->touched[i]);
        node->blank = node->next_blank;
        node->sound = node->next_sound;
        node->next_blank = node->next_sound = -INFINITY;
        node->is_kept = false;
        beam->scores[i] = score_of(node);
    }
    int n_best = best_candidates(beam, best);
    double least = beam->scores[best[0]] - MARGIN;
    beam->n_beam = 0;
    for (int i = 0; i < n_best && beam->scores[best[i]] >= least; i++) {
        beam->beam[beam->n_beam] = beam->touched[best[i]];
        at(beam, beam->beam[beam->n_beam++])->is_kept = true;
    }
    for (int i = 0; i < beam->n_touched; i++)
        ee_spellings_forget(&beam->tree, beam->touched[i]);
}

/* The nodes of a spelling without the root, in `chain`; how many. */
static int lineage(ee_beam *beam, int index)
{
    int n = 0, place;
    for (int node = index; at(beam, node)->parent != EE_NONE; node = at(beam, node)->parent)
        n++;
    place = n;
    for (int node = index; at(beam, node)->parent != EE_NONE; node = at(beam, node)->parent)
        beam->chain[--place] = node;
    return n;
}

/* Hands out the word that these letters spell. */
static void give_word(const ee_beam *beam, const int *letters, int n)
{
    char text[EE_WORD_BYTES];
    size_t length = 0;
    double logprobs = 0.0;
    text[0] = 0;
    for (int i = 0; i < n; i++) {
        const char *token = beam->tokens[at(beam, letters[i])->token].text;
        size_t n_bytes = strlen(token);
        logprobs += at(beam, letters[i])->logprob;
        if (length + n_bytes >= sizeof text) /* no word is that long */
            continue;
        memcpy(text + length, token, n_bytes + 1);
        length += n_bytes;
    }
    ee_spelled word = {text, at(beam, letters[0])->frame, at(beam, letters[n - 1])->end,
                       exp(logprobs / n)};
    beam->options.spelled(beam->options.context, &word);
}

static bool descends_from(const ee_beam *beam, int index, int ancestor)
{
    while (index != EE_NONE && index != ancestor)
        index = at(beam, index)->parent;
    return index == ancestor;
}

/* Hands out the first word if all likely spellings agree on it or if it is old. */
static bool settle(ee_beam *beam)
{
    int n = lineage(beam, beam->beam[0]), end = 0, n_agree = 0;
    while (end < n && at(beam, beam->chain[end])->token != beam->space)
        end++;
    if (end == n)
        return false;
    int root = beam->chain[end], agree[WIDTH];
    double least = score_of(at(beam, beam->beam[0])) - DOUBT;
    bool doubted = false;
    for (int i = 0; i < beam->n_beam; i++) {
        if (descends_from(beam, beam->beam[i], root))
            agree[n_agree++] = beam->beam[i];
        else
            doubted = doubted || score_of(at(beam, beam->beam[i])) >= least;
    }
    if (doubted && beam->frame - at(beam, beam->chain[0])->frame <= beam->options.lag)
        return false;
    memcpy(beam->beam, agree, (size_t)n_agree * sizeof *agree);
    beam->n_beam = n_agree;
    give_word(beam, beam->chain, end);
    ee_spellings_detach(&beam->tree, root);
    ee_spellings_take_apart(&beam->tree, beam->root);
    beam->root = root;
    return true;
}

void ee_beam_push(ee_beam *beam, const float *logprobs)
{
    int likely[MOST_TOKENS], n = 0;
    beam->n_touched = 0;
    for (int token = 1; token < beam->n_tokens; token++)
        if (logprobs[token] > LEAST_LOGPROB)
            likely[n++] = token;
    for (int i = 0; i < beam->n_beam; i++)
        touch(beam, beam->beam[i]);
    /* One more character adds a word's bonus at most; what cannot get far enough is not tried. */
    double hopeless = score_of(at(beam, beam->beam[0])) + logprobs[0] - MARGIN -
                      beam->options.word_bonus;
    for (int i = 0; i < beam->n_beam; i++)
        extend(beam, beam->beam[i], logprobs, likely, n, hopeless);
    prune(beam);
    beam->frame++;
    beam->silent = logprobs[0] > (float)log(0.5) ? beam->silent + 1 : 0;
    /* A frame takes at most one node per spelling and character: there is always room for it. */
    if (beam->silent == beam->options.silence || beam->tree.n_free < WIDTH * beam->n_tokens)
        ee_beam_finish(beam);
    else if (beam->frame % SETTLE_FRAMES == 0)
        while (settle(beam))
            continue;
}

/* Score of a spelling that ends here, its last word complete. */
static double final_score(const ee_beam *beam, const ee_spelling *node)
{
    double score;
    if (node->depth == 0)
        return score_of(node);
    score_word(beam, node, &score);
    return total_of(node) + node->settled + beam->options.weight * score;
}

void ee_beam_finish(ee_beam *beam)
{
    int best = 0, first = 0;
    for (int i = 1; i < beam->n_beam; i++)
        if (final_score(beam, at(beam, beam->beam[i])) >
            final_score(beam, at(beam, beam->beam[best])))
            best = i;
    const ee_spelling *last = at(beam, beam->beam[best]);
    int n = lineage(beam, beam->beam[best]);
    for (int i = 0; i <= n; i++) {
        if (i < n && at(beam, beam->chain[i])->token != beam->space)
            continue;
        if (i > first)
            give_word(beam, beam->chain + first, i - first);
        first = i + 1;
    }
    double score;
    restart(beam, last->depth ? score_word(beam, last, &score) : last->previous_word);
}
