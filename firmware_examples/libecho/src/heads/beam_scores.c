#include "heads/beam_scores.h"

#include <math.h>

double ee_add_logs(double a, double b)
{
    double high = fmax(a, b), low = fmin(a, b);
    return low == -INFINITY ? high : high + log1p(exp(low - high));
}

double ee_acoustic_logprob(const ee_prefix_node *node)
{
    return ee_add_logs(node->blank, node->phone);
}

double ee_prefix_score(const ee_prefix_node *node)
{
    return ee_acoustic_logprob(node) + node->language;
}

int ee_likeliest_word(const ee_beam *beam, const ee_prefix_node *node)
{
    if (node->depth == 0)
        return EE_START;
    ee_word_range ends = ee_prefix_range(beam->language, node->words, node->depth, EE_BLANK);
    int likeliest = EE_START;
    double max_score = -INFINITY;
    for (int word = ends.low; word < ends.high; word++) {
        double score = ee_bigram_logprob(beam->language, node->previous_word, word);
        if (likeliest == EE_START || score > max_score) {
            likeliest = word;
            max_score = score;
        }
    }
    return likeliest;
}

/* The score of the complete words and of `word` after them. */
static double commit(const ee_beam *beam, const ee_prefix_node *node, int word)
{
    double logprob = word == EE_START
                         ? beam->options.decoding->unfinished_logprob
                         : ee_bigram_logprob(beam->language, node->previous_word, word);
    return node->committed + beam->options.decoding->language_weight * logprob;
}

double ee_final_score(const ee_beam *beam, const ee_prefix_node *node)
{
    if (node->depth == 0)
        return ee_acoustic_logprob(node) + node->committed;
    return ee_acoustic_logprob(node) + commit(beam, node, ee_likeliest_word(beam, node));
}

/* One more phone of the word begun. */
static bool extend_word(const ee_beam *beam, ee_prefix_node *child, const ee_prefix_node *node)
{
    child->previous_word = node->previous_word;
    child->committed = node->committed;
    child->depth = node->depth + 1;
    child->words = ee_prefix_range(beam->language, node->words, node->depth, child->token);
    if (child->words.low == child->words.high)
        return false;
    double lookahead = ee_prefix_lookahead(beam->language, child->words);
    child->language = child->committed + beam->options.decoding->language_weight * lookahead;
    return true;
}

/* A space: the word begun is complete. */
static bool end_word(const ee_beam *beam, ee_prefix_node *child, const ee_prefix_node *node)
{
    child->previous_word = ee_likeliest_word(beam, node);
    if (child->previous_word == EE_START)
        return false;
    child->words = (ee_word_range){0, beam->language->n_words};
    child->committed =
        commit(beam, node, child->previous_word) + beam->options.decoding->word_bonus;
    child->language = child->committed;
    return true;
}

bool ee_extend_prefix(const ee_beam *beam, ee_prefix_node *child, const ee_prefix_node *node)
{
    return child->token == EE_SPACE ? end_word(beam, child, node) : extend_word(beam, child, node);
}
