/* Scores of a prefix in the beam search: those of the frames, and those of the language model for
 * its words. Log-probabilities in nats. */
#ifndef EE_BEAM_SCORES_H
#define EE_BEAM_SCORES_H

#include "heads/beam.h"

/* log(exp(a) + exp(b)) */
double ee_add_logs(double a, double b);

/* Log-probability of all paths through the frames so far that give this prefix. */
double ee_acoustic_logprob(const ee_prefix_node *node);

/* With the language model: the word begun counts as the likeliest one that it may become. */
double ee_prefix_score(const ee_prefix_node *node);

/* The same if the word begun ends here. */
double ee_final_score(const ee_beam *beam, const ee_prefix_node *node);

/* The likeliest word with the pronunciation that the node ends; EE_START if there is none. */
int ee_likeliest_word(const ee_beam *beam, const ee_prefix_node *node);

/* Fills in the language model's part of `child`, which is to be `node` and one phone more. False
 * if no word of the vocabulary begins so. */
bool ee_extend_prefix(const ee_beam *beam, ee_prefix_node *child, const ee_prefix_node *node);

#endif
