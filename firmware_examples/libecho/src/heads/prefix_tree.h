/* The prefix tree of a beam search, in a fixed number of nodes. Each node is its parent and one
 * more phone. Nodes are known by number. */
#ifndef EE_PREFIX_TREE_H
#define EE_PREFIX_TREE_H

#include "bundle/language_model.h"

enum { EE_NONE = -1 };

/* Log-probabilities in nats; times in frames. */
typedef struct {
    int parent, child, sibling; /* EE_NONE at the ends; `child` is also the list of free nodes */
    int token;
    int64_t candidate_frame;    /* in which it was last a candidate */
    double blank, next_blank;   /* all paths that end in a blank: up to this frame, and the next */
    double phone, next_phone;   /* and all that end in the last phone */
    double max_incoming;        /* the likeliest path from the parent so far ... */
    double logprob;             /* ... and of the phone there, ... */
    int64_t frame, end;         /* ... when that was, and when the phone ended */
    ee_word_range words;        /* the vocabulary's words that begin like the word begun */
    int depth, previous_word;   /* phones of the word begun; the word before it */
    double committed, language; /* scores: of complete words; with that of the word begun */
    bool is_in_beam;
} ee_prefix_node;

typedef struct {
    ee_prefix_node *nodes; /* [n_nodes] */
    int *scratch;          /* [n_nodes] */
    int n_nodes, free, n_free;
} ee_prefix_tree;

void ee_prefix_tree_open(ee_prefix_tree *tree, int n_nodes, ee_memory *memory);

/* All nodes free. */
void ee_prefix_tree_clear(ee_prefix_tree *tree);

/* A new node below `parent`, or EE_NONE for a root; EE_NONE if all are taken. */
int ee_prefix_tree_add(ee_prefix_tree *tree, int parent, int token);

/* Makes a node the root of a tree of its own. */
void ee_prefix_tree_detach(ee_prefix_tree *tree, int index);

/* Frees a node and all below it. */
void ee_prefix_tree_remove_below(ee_prefix_tree *tree, int root);

/* Frees a dropped node, and its ancestors, up to one that is in the beam, has others below it, or
 * is the root. A node that is free already stays so. */
void ee_prefix_tree_prune(ee_prefix_tree *tree, int index);

#endif
