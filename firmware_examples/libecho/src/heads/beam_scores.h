/* What a spelling is worth to the beam search: what was heard, and what the language model says of
 * its words. Log-probabilities in nats. */
#ifndef EE_BEAM_SCORES_H
#define EE_BEAM_SCORES_H

#include "beam.h"

/* log(exp(a) + exp(b)) */
double ee_add_logs(double a, double b);

/* Of all paths through the frames so far that spell this. */
double ee_heard(const ee_spelling *node);

/* With the language model: the word begun counts as the likeliest that it may become. */
double ee_score(const ee_spelling *node);

/* The same if the word begun ends here. */
double ee_final_score(const ee_beam *beam, const ee_spelling *node);

/* The likeliest word that sounds as what the node ends; EE_START if there is none. */
int ee_last_word(const ee_beam *beam, const ee_spelling *node);

/* What the model says of `child`, which is to be `node` and one sound more. False if no word is
 * spelled so. */
bool ee_score_child(const ee_beam *beam, ee_spelling *child, const ee_spelling *node);

#endif
