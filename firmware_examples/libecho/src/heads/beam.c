#include "heads/beam_scores.h"

#include <math.h>
#include <string.h>

enum {
    MAX_PHONES = 100,
    NODES_PER_PREFIX = 128, /* a word that is not final takes one per phone and prefix */
    MIN_NODES = 2048,
};

static ee_prefix_node *at(const ee_beam *beam, int index)
{
    return &beam->tree.nodes[index];
}

/* One empty prefix after `previous_word`. */
static void restart(ee_beam *beam, int previous_word)
{
    ee_prefix_tree_clear(&beam->tree);
    beam->root = ee_prefix_tree_add(&beam->tree, EE_NONE, 0);
    ee_prefix_node *root = at(beam, beam->root);
    root->words = (ee_word_range){0, beam->language->n_words};
    root->previous_word = previous_word;
    root->blank = 0.0;
    beam->beam[0] = beam->root;
    beam->n_beam = 1;
}

bool ee_beam_open(ee_beam *beam, const ee_language_model *language, ee_beam_options options,
                  ee_memory *memory, ee_error *error)
{
    int width = (int)options.decoding->beam_width;
    int n_nodes = width * NODES_PER_PREFIX > MIN_NODES ? width * NODES_PER_PREFIX : MIN_NODES;
    *beam = (ee_beam){
        .language = language,
        .options = options,
        .width = width,
        .commit_frames = (int)options.decoding->commit_frames,
        .likely = log(options.decoding->frame_posterior),
        .candidates = ee_take(memory, "beam", (size_t)n_nodes, sizeof *beam->candidates),
        .scores = ee_take(memory, "beam", (size_t)n_nodes, sizeof *beam->scores),
        .lineage = ee_take(memory, "beam", (size_t)n_nodes, sizeof *beam->lineage),
    };
    ee_prefix_tree_open(&beam->tree, n_nodes, memory);
    if (!ee_memory_holds(memory, error))
        return false;
    if (language->n_phones > MAX_PHONES)
        return ee_fail(error, EE_REFUSED,
                       "language model: found %d phones, expected up to %d: "
                       "export the bundle again",
                       language->n_phones, MAX_PHONES);
    restart(beam, EE_START);
    return true;
}

/* The prefix with one more phone, made if it is not in the tree; EE_NONE if no word begins so. */
static int child_of(ee_beam *beam, int index, int token)
{
    for (int child = at(beam, index)->child; child != EE_NONE; child = at(beam, child)->sibling)
        if (at(beam, child)->token == token)
            return child;
    ee_prefix_node scored = {.token = token};
    if (!ee_extend_prefix(beam, &scored, at(beam, index)))
        return EE_NONE;
    int child = ee_prefix_tree_add(&beam->tree, index, token);
    if (child != EE_NONE) {
        ee_prefix_node *node = at(beam, child);
        node->words = scored.words;
        node->depth = scored.depth;
        node->previous_word = scored.previous_word;
        node->committed = scored.committed;
        node->language = scored.language;
    }
    return child;
}

static void add_candidate(ee_beam *beam, int index)
{
    if (at(beam, index)->candidate_frame != beam->frame) {
        at(beam, index)->candidate_frame = beam->frame;
        beam->candidates[beam->n_candidates++] = index;
    }
}

/* More paths into a prefix; the likeliest so far tells when its phone was. */
static void add_paths(ee_prefix_node *node, double incoming, int64_t frame, double logprob)
{
    node->next_phone = ee_add_logs(node->next_phone, incoming);
    if (incoming > node->max_incoming) {
        node->max_incoming = incoming;
        node->frame = frame;
        node->end = frame + 1;
        node->logprob = logprob;
    }
}

/* The inner loop of the paper for one prefix of the beam. `likely` are the `n` phones that are
 * tried in this frame. */
static void extend(ee_beam *beam, int index, const float *logprobs, const int *likely, int n,
                   double min_score)
{
    ee_prefix_node *node = at(beam, index);
    double total = ee_acoustic_logprob(node);
    /* 1. It stays as it is: with a blank after any of its paths ... */
    node->next_blank = ee_add_logs(node->next_blank, total + logprobs[0]);
    /* 2. ... or with its last phone once more, on paths that end in that phone. */
    if (node->token != 0) {
        double repeated = logprobs[node->token];
        node->next_phone = ee_add_logs(node->next_phone, node->phone + repeated);
        if (repeated > beam->likely && node->end == beam->frame)
            node->end++;
    }
    /* 3. Or it gains a phone. The same phone twice in a row needs a blank between them. */
    for (int i = 0; i < n; i++) {
        double logprob = logprobs[likely[i]];
        double incoming = (likely[i] == node->token ? node->blank : total) + logprob;
        bool promising = incoming + node->language > min_score;
        int child = promising ? child_of(beam, index, likely[i]) : EE_NONE;
        if (child == EE_NONE)
            continue;
        add_candidate(beam, child);
        add_paths(at(beam, child), incoming, beam->frame, logprob);
    }
}

/* Places of the best candidates, best first, of equals the later one; how many. */
static int best_candidates(const ee_beam *beam, int best[EE_MAX_BEAM_WIDTH])
{
    int n = 0;
    for (int i = 0; i < beam->n_candidates; i++) {
        int place = n;
        while (place > 0 && beam->scores[best[place - 1]] <= beam->scores[i])
            place--;
        if (place == beam->width)
            continue;
        n += n < beam->width;
        memmove(best + place + 1, best + place, (size_t)(n - place - 1) * sizeof *best);
        best[place] = i;
    }
    return n;
}

/* Takes the step to the next frame with the best of all candidates. */
static void prune(ee_beam *beam)
{
    int best[EE_MAX_BEAM_WIDTH];
    for (int i = 0; i < beam->n_candidates; i++) {
        ee_prefix_node *node = at(beam, beam->candidates[i]);
        node->blank = node->next_blank;
        node->phone = node->next_phone;
        node->next_blank = node->next_phone = -INFINITY;
        node->is_in_beam = false;
        beam->scores[i] = ee_prefix_score(node);
    }
    int n_best = best_candidates(beam, best);
    double min_score = beam->scores[best[0]] - beam->options.decoding->beam_margin;
    beam->n_beam = 0;
    for (int i = 0; i < n_best; i++) {
        if (i > 0 && !(beam->scores[best[i]] >= min_score)) /* the best stays, even a NaN */
            break;
        beam->beam[beam->n_beam] = beam->candidates[best[i]];
        at(beam, beam->beam[beam->n_beam++])->is_in_beam = true;
    }
    for (int i = 0; i < beam->n_candidates; i++)
        ee_prefix_tree_prune(&beam->tree, beam->candidates[i]);
}

/* Fills `lineage` with the nodes of a prefix, without the root; how many. */
static int find_lineage(ee_beam *beam, int index)
{
    int n = 0, place;
    for (int node = index; at(beam, node)->parent != EE_NONE; node = at(beam, node)->parent)
        n++;
    place = n;
    for (int node = index; at(beam, node)->parent != EE_NONE; node = at(beam, node)->parent)
        beam->lineage[--place] = node;
    return n;
}

/* Emits the word whose `n` phones are these nodes. */
static void emit_word(const ee_beam *beam, const int *nodes, int n, int word)
{
    const ee_language_model *language = beam->language;
    char text[EE_WORD_BYTES] = {0};
    memcpy(text, language->words + (size_t)word * (size_t)language->word_bytes,
           (size_t)language->word_bytes);
    double logprobs = 0.0;
    for (int i = 0; i < n; i++)
        logprobs += at(beam, nodes[i])->logprob;
    ee_decoded_word decoded = {text, at(beam, nodes[0])->frame, at(beam, nodes[n - 1])->end,
                               exp(logprobs / n)};
    beam->options.emit(beam->options.context, &decoded);
}

static bool descends_from(const ee_beam *beam, int index, int ancestor)
{
    while (index != EE_NONE && index != ancestor)
        index = at(beam, index)->parent;
    return index == ancestor;
}

/* Emits the first word of the best prefix if it is stable or old; false if it is neither. */
static bool commit_word(ee_beam *beam)
{
    /* 1. The first word ends at the first space of the best prefix: the root to be. */
    int n = find_lineage(beam, beam->beam[0]), end = 0, n_agree = 0;
    while (end < n && at(beam, beam->lineage[end])->token != EE_SPACE)
        end++;
    if (end == n)
        return false;
    /* 2. It is stable if no prefix near the best one begins with another word. */
    int root = beam->lineage[end], agree[EE_MAX_BEAM_WIDTH];
    double margin = beam->options.decoding->stability_margin;
    double min_score = ee_prefix_score(at(beam, beam->beam[0])) - margin;
    bool is_stable = true;
    for (int i = 0; i < beam->n_beam; i++) {
        if (descends_from(beam, beam->beam[i], root))
            agree[n_agree++] = beam->beam[i];
        else
            is_stable = is_stable && !(ee_prefix_score(at(beam, beam->beam[i])) >= min_score);
    }
    int64_t age = beam->frame - at(beam, beam->lineage[0])->frame;
    if (!is_stable && age <= beam->options.max_lag_frames)
        return false;
    /* 3. Only prefixes that begin with it stay, and the tree begins after it. */
    memcpy(beam->beam, agree, (size_t)n_agree * sizeof *agree);
    beam->n_beam = n_agree;
    emit_word(beam, beam->lineage, end, at(beam, root)->previous_word);
    ee_prefix_tree_detach(&beam->tree, root);
    ee_prefix_tree_remove_below(&beam->tree, beam->root);
    beam->root = root;
    return true;
}

void ee_beam_push(ee_beam *beam, const float *logprobs)
{
    /* 1. The phones worth trying in this frame. */
    const ee_decoding *decoding = beam->options.decoding;
    int likely[MAX_PHONES], n = 0;
    for (int token = 1; token < beam->language->n_phones; token++)
        if (logprobs[token] > decoding->min_phone_logprob)
            likely[n++] = token;
    /* 2. Every prefix of the beam is a candidate, and those it becomes with one more phone. One
     * more phone adds a word's bonus at most, so what cannot get far enough is not tried. */
    beam->n_candidates = 0;
    for (int i = 0; i < beam->n_beam; i++)
        add_candidate(beam, beam->beam[i]);
    double min_score = ee_prefix_score(at(beam, beam->beam[0])) + logprobs[0] -
                       decoding->beam_margin - decoding->word_bonus;
    for (int i = 0; i < beam->n_beam; i++)
        extend(beam, beam->beam[i], logprobs, likely, n, min_score);
    /* 3. The best of them are the beam of the next frame. */
    prune(beam);
    beam->frame++;
    /* 4. Words that are final: all after silence, else those that are stable or old. A frame takes
     * at most one node per prefix and phone, so there is always room for it. */
    beam->n_silent = logprobs[0] > beam->likely ? beam->n_silent + 1 : 0;
    bool is_full = beam->tree.n_free < beam->width * beam->language->n_phones;
    if (beam->n_silent == beam->options.silence_frames || is_full)
        ee_beam_finish(beam);
    else if (beam->frame % beam->commit_frames == 0)
        while (commit_word(beam))
            continue;
}

int64_t ee_beam_next_frame(const ee_beam *beam)
{
    int child = at(beam, beam->root)->child;
    int64_t first = child == EE_NONE ? beam->frame : at(beam, child)->frame;
    for (; child != EE_NONE; child = at(beam, child)->sibling)
        first = at(beam, child)->frame < first ? at(beam, child)->frame : first;
    return first;
}

void ee_beam_finish(ee_beam *beam)
{
    int best = 0, first = 0;
    for (int i = 1; i < beam->n_beam; i++)
        if (ee_final_score(beam, at(beam, beam->beam[i])) >
            ee_final_score(beam, at(beam, beam->beam[best])))
            best = i;
    const ee_prefix_node *last = at(beam, beam->beam[best]);
    int n = find_lineage(beam, beam->beam[best]), unfinished = ee_likeliest_word(beam, last);
    for (int i = 0; i < n; i++) {
        const ee_prefix_node *space = at(beam, beam->lineage[i]);
        if (space->token != EE_SPACE)
            continue;
        emit_word(beam, beam->lineage + first, i - first, space->previous_word);
        first = i + 1;
    }
    if (unfinished != EE_START)
        emit_word(beam, beam->lineage + first, n - first, unfinished);
    restart(beam, unfinished != EE_START ? unfinished : last->previous_word);
}
