#include "heads/alignment.h"

#include <math.h>

enum { BLANK = 0 };

void ee_alignment_open(ee_alignment *a, int n_outputs, int max_frames, ee_memory *memory)
{
    size_t n_frames = (size_t)max_frames, n_states = 2 * n_frames + 1;
    *a = (ee_alignment){
        .n_outputs = n_outputs,
        .max_frames = max_frames,
        .score = ee_take(memory, "second pass", n_states, sizeof *a->score),
        .moves = ee_take(memory, "second pass", n_frames * n_states, sizeof *a->moves),
        .spans = ee_take(memory, "second pass", n_frames, sizeof *a->spans),
    };
}

static int label_of(const int *tokens, int state)
{
    return state % 2 ? tokens[state / 2] : BLANK;
}

/* One more frame: each state is reached from itself, the one before, or past a blank. The states
 * before a state are still those of the last frame, since it goes from the last to the first. */
static void advance(ee_alignment *a, const float *logprobs, const int *tokens, int n_states,
                    uint8_t *moves)
{
    double *score = a->score;
    for (int state = n_states - 1; state >= 0; state--) {
        int best = 0;
        if (state >= 1 && score[state - 1] > score[state])
            best = 1;
        /* A character may follow the one before without a blank, if it is another one. */
        bool may_skip = state % 2 && state > 1 && tokens[state / 2] != tokens[state / 2 - 1];
        if (may_skip && score[state - 2] > score[state - best])
            best = 2;
        moves[state] = (uint8_t)best;
        score[state] = score[state - best] + logprobs[label_of(tokens, state)];
    }
}

/* Follows the best path back from its last state. */
static void find_spans(ee_alignment *a, int state, int n_frames, int n_tokens)
{
    size_t n_states = 2 * (size_t)n_tokens + 1;
    for (int token = 0; token < n_tokens; token++)
        a->spans[token] = (ee_character_span){0, -1};
    for (int frame = n_frames - 1; frame >= 0; frame--) {
        if (state % 2) {
            ee_character_span *span = &a->spans[state / 2];
            span->first = frame;
            if (span->last < 0)
                span->last = frame;
        }
        state -= frame > 0 ? a->moves[(size_t)frame * n_states + (size_t)state] : 0;
    }
}

bool ee_align(ee_alignment *a, const float *logprobs, int n_frames, const int *tokens, int n_tokens)
{
    int n_states = 2 * n_tokens + 1;
    /* Each character takes a frame at least. */
    if (n_frames < 1 || n_frames > a->max_frames || n_tokens > n_frames)
        return false;
    for (int state = 0; state < n_states; state++)
        a->score[state] = state < 2 ? logprobs[label_of(tokens, state)] : -INFINITY;
    for (int frame = 1; frame < n_frames; frame++)
        advance(a, logprobs + (size_t)frame * (size_t)a->n_outputs, tokens, n_states,
                a->moves + (size_t)frame * (size_t)n_states);
    /* It ends with the last character or the blank after it. */
    int last = n_states - 1;
    if (n_states > 1 && !(a->score[last] >= a->score[last - 1]))
        last--;
    if (!isfinite(a->score[last]))
        return false;
    a->logprob = a->score[last];
    find_spans(a, last, n_frames, n_tokens);
    return true;
}
