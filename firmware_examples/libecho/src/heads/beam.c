#include "beam_scores.h"

#include "turns.h"

#include <math.h>
#include <string.h>

enum {
    WIDTH = EE_BEAM_WIDTH,
    SETTLE_FRAMES = 10, /* how often to look for words on which the spellings agree */
    MOST_PHONES = 100,
};

static const float LEAST_LOGPROB = -6.0f; /* phones below this are not tried in a frame */
static const double MARGIN = 12.0; /* spellings this many nats below the best are dropped */
static const double DOUBT = 3.0;  /* a word is final if all within so many nats agree on it */

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

bool ee_beam_open(ee_beam *beam, const ee_language *language, ee_beam_options options,
                  ee_memory *memory, ee_error *error)
{
    *beam = (ee_beam){
        .language = language,
        .options = options,
        .touched = ee_take(memory, "beam", EE_MOST_NODES, sizeof *beam->touched),
        .scores = ee_take(memory, "beam", EE_MOST_NODES, sizeof *beam->scores),
        .chain = ee_take(memory, "beam", EE_MOST_NODES, sizeof *beam->chain),
    };
    ee_spellings_open(&beam->tree, memory);
    if (!ee_memory_holds(memory, error))
        return false;
    if (language->n_phones > MOST_PHONES)
        return ee_fail(error, EE_REFUSED, "language model: found %d phones, expected up to %d: "
                                          "export the bundle again",
                       language->n_phones, MOST_PHONES);
    restart(beam, EE_START);
    return true;
}

/* The spelling with one more sound; EE_NONE if no word is spelled so. */
static int child_of(ee_beam *beam, int index, int token)
{
    for (int child = at(beam, index)->child; child != EE_NONE; child = at(beam, child)->sibling)
        if (at(beam, child)->token == token)
            return child;
    ee_spelling scored = {.token = token};
    if (!ee_score_child(beam, &scored, at(beam, index)))
        return EE_NONE;
    int child = ee_spellings_new(&beam->tree, index, token);
    if (child != EE_NONE) {
        ee_spelling *node = at(beam, child);
        node->words = scored.words;
        node->depth = scored.depth;
        node->previous_word = scored.previous_word;
        node->settled = scored.settled;
        node->language = scored.language;
    }
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
    node->next_sound = ee_add_logs(node->next_sound, entered);
    if (entered > node->weight) {
        node->weight = entered;
        node->frame = frame;
        node->end = frame + 1;
        node->logprob = logprob;
    }
}

/* A spelling stays as it is or gains one of the frame's `n` likely sounds. */
static void extend(ee_beam *beam, int index, const float *logprobs, const int *likely, int n,
                   double hopeless)
{
    ee_spelling *node = at(beam, index);
    double total = ee_heard(node);
    node->next_blank = ee_add_logs(node->next_blank, total + logprobs[0]);
    if (node->token != 0) {
        double again = logprobs[node->token];
        node->next_sound = ee_add_logs(node->next_sound, node->sound + again);
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
        beam->scores[i] = ee_score(node);
    }
    int n_best = best_candidates(beam, best);
    double least = beam->scores[best[0]] - MARGIN;
    beam->n_beam = 0;
    for (int i = 0; i < n_best; i++) {
        if (i > 0 && !(beam->scores[best[i]] >= least)) /* the best stays, even a NaN */
            break;
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

/* Hands out a word of which these are the sounds. */
static void give_word(const ee_beam *beam, const int *sounds, int n, int word)
{
    const ee_language *language = beam->language;
    char text[EE_WORD_BYTES] = {0};
    memcpy(text, language->words + (size_t)word * (size_t)language->word_bytes,
           (size_t)language->word_bytes);
    double logprobs = 0.0;
    for (int i = 0; i < n; i++)
        logprobs += at(beam, sounds[i])->logprob;
    ee_spelled spelled = {text, at(beam, sounds[0])->frame, at(beam, sounds[n - 1])->end,
                          exp(logprobs / n)};
    beam->options.spelled(beam->options.context, &spelled);
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
    while (end < n && at(beam, beam->chain[end])->token != EE_SPACE)
        end++;
    if (end == n)
        return false;
    int root = beam->chain[end], agree[WIDTH];
    double least = ee_score(at(beam, beam->beam[0])) - DOUBT;
    bool doubted = false;
    for (int i = 0; i < beam->n_beam; i++) {
        if (descends_from(beam, beam->beam[i], root))
            agree[n_agree++] = beam->beam[i];
        else
            doubted = doubted || ee_score(at(beam, beam->beam[i])) >= least;
    }
    if (doubted && beam->frame - at(beam, beam->chain[0])->frame <= beam->options.lag)
        return false;
    memcpy(beam->beam, agree, (size_t)n_agree * sizeof *agree);
    beam->n_beam = n_agree;
    give_word(beam, beam->chain, end, at(beam, root)->previous_word);
    ee_spellings_detach(&beam->tree, root);
    ee_spellings_take_apart(&beam->tree, beam->root);
    beam->root = root;
    return true;
}

void ee_beam_push(ee_beam *beam, const float *logprobs)
{
    int likely[MOST_PHONES], n = 0;
    beam->n_touched = 0;
    for (int token = 1; token < beam->language->n_phones; token++)
        if (logprobs[token] > LEAST_LOGPROB)
            likely[n++] = token;
    for (int i = 0; i < beam->n_beam; i++)
        touch(beam, beam->beam[i]);
    /* One more sound adds a word's bonus at most; what cannot get far enough is not tried. */
    double hopeless = ee_score(at(beam, beam->beam[0])) + logprobs[0] - MARGIN -
                      beam->options.word_bonus;
    for (int i = 0; i < beam->n_beam; i++)
        extend(beam, beam->beam[i], logprobs, likely, n, hopeless);
    prune(beam);
    beam->frame++;
    beam->silent = logprobs[0] > (float)log(0.5) ? beam->silent + 1 : 0;
    /* A frame takes at most one node per spelling and sound: there is always room for it. */
    bool is_full = beam->tree.n_free < WIDTH * beam->language->n_phones;
    if (beam->silent == beam->options.silence || is_full)
        ee_beam_finish(beam);
    else if (beam->frame % SETTLE_FRAMES == 0)
        while (settle(beam))
            continue;
}

void ee_beam_finish(ee_beam *beam)
{
    int best = 0, first = 0;
    for (int i = 1; i < beam->n_beam; i++)
        if (ee_final_score(beam, at(beam, beam->beam[i])) >
            ee_final_score(beam, at(beam, beam->beam[best])))
            best = i;
    const ee_spelling *last = at(beam, beam->beam[best]);
    int n = lineage(beam, beam->beam[best]), cut = ee_last_word(beam, last);
    for (int i = 0; i < n; i++) {
        const ee_spelling *space = at(beam, beam->chain[i]);
        if (space->token != EE_SPACE)
            continue;
        give_word(beam, beam->chain + first, i - first, space->previous_word);
        first = i + 1;
    }
    if (cut != EE_START)
        give_word(beam, beam->chain + first, n - first, cut);
    restart(beam, cut != EE_START ? cut : last->previous_word);
}
