#include "beam_scores.h"

#include <math.h>

/* Of the word that the end cuts off; nothing is written of it. */
static const double UNFINISHED = -20.0;

double ee_add_logs(double a, double b)
{
    double high = fmax(a, b), low = fmin(a, b);
    return low == -INFINITY ? high : high + log1p(exp(low - high));
}

double ee_heard(const ee_spelling *node)
{
    return ee_add_logs(node->blank, node->sound);
}

double ee_score(const ee_spelling *node)
{
    return ee_heard(node) + node->language;
}

int ee_last_word(const ee_beam *beam, const ee_spelling *node)
{
    if (node->depth == 0)
        return EE_START;
    ee_range ends = ee_language_narrow(beam->language, node->words, node->depth, EE_BLANK);
    int likeliest = EE_START;
    double most = -INFINITY;
    for (int word = ends.low; word < ends.high; word++) {
        double score = ee_language_score(beam->language, node->previous_word, word);
        if (likeliest == EE_START || score > most) {
            likeliest = word;
            most = score;
        }
    }
    return likeliest;
}

/* The score of the complete words and of `word` after them. */
static double settle_word(const ee_beam *beam, const ee_spelling *node, int word)
{
    double score = word == EE_START
                       ? UNFINISHED
                       : ee_language_score(beam->language, node->previous_word, word);
    return node->settled + beam->options.weight * score;
}

double ee_final_score(const ee_beam *beam, const ee_spelling *node)
{
    if (node->depth == 0)
        return ee_heard(node) + node->settled;
    return ee_heard(node) + settle_word(beam, node, ee_last_word(beam, node));
}

static bool spell(const ee_beam *beam, ee_spelling *child, const ee_spelling *node)
{
    child->previous_word = node->previous_word;
    child->settled = node->settled;
    child->depth = node->depth + 1;
    child->words = ee_language_narrow(beam->language, node->words, node->depth, child->token);
    if (child->words.low == child->words.high)
        return false;
    double hope = ee_language_likeliest(beam->language, child->words);
    child->language = child->settled + beam->options.weight * hope;
    return true;
}

static bool end_word(const ee_beam *beam, ee_spelling *child, const ee_spelling *node)
{
    child->previous_word = ee_last_word(beam, node);
    if (child->previous_word == EE_START)
        return false;
    child->words = (ee_range){0, beam->language->n_words};
    child->settled = settle_word(beam, node, child->previous_word) + beam->options.word_bonus;
    child->language = child->settled;
    return true;
}

bool ee_score_child(const ee_beam *beam, ee_spelling *child, const ee_spelling *node)
{
    return child->token == EE_SPACE ? end_word(beam, child, node) : spell(beam, child, node);
}
