/* The tree of spellings of a beam search, in a fixed number of nodes. Nodes are known by number. */
#ifndef EE_SPELLINGS_H
#define EE_SPELLINGS_H

#include "language.h"

enum {
    EE_MOST_NODES = 8192, /* a word still being spelled takes one per sound and spelling */
    EE_NONE = -1,
};

/* A node of the tree of spellings: one more sound than its parent. Nodes are numbers. */
typedef struct {
    int parent, child, sibling; /* EE_NONE at the ends; `child` is also the list of free nodes */
    int token;
    int64_t touched;            /* the frame in which it was last a candidate */
    double blank, next_blank;   /* log-probability of all paths that end in a blank */
    double sound, next_sound;   /* and of those that end in the last sound */
    double weight, logprob;     /* the likeliest way in, what the sound had there */
    int64_t frame, end;         /* when that was; when the sound ended */
    ee_range words;             /* the vocabulary's words that begin like the word begun */
    int depth, previous_word;   /* sounds of the word begun; the word before it */
    double settled, language;   /* score of the complete words; with that of the word begun */
    bool is_kept;
} ee_spelling;

typedef struct {
    ee_spelling *nodes; /* [EE_MOST_NODES] */
    int *scratch;       /* [EE_MOST_NODES] */
    int free, n_free;
} ee_spellings;

void ee_spellings_open(ee_spellings *tree, ee_memory *memory);

/* All nodes free. */
void ee_spellings_clear(ee_spellings *tree);

/* A new node below `parent`, or EE_NONE for a root; EE_NONE if all are taken. */
int ee_spellings_new(ee_spellings *tree, int parent, int token);

/* Makes a node the root of a tree of its own. */
void ee_spellings_detach(ee_spellings *tree, int index);

/* Frees a node and all below it. */
void ee_spellings_take_apart(ee_spellings *tree, int root);

/* Frees a dropped node, and its ancestors, up to one that is kept, has others below it, or is the
 * root. A node that is free already stays so. */
void ee_spellings_forget(ee_spellings *tree, int index);

#endif
