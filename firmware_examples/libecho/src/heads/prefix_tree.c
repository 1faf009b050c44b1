#include "heads/prefix_tree.h"

#include <math.h>

void ee_prefix_tree_open(ee_prefix_tree *tree, int n_nodes, ee_memory *memory)
{
    tree->n_nodes = n_nodes;
    tree->nodes = ee_take(memory, "beam", (size_t)n_nodes, sizeof *tree->nodes);
    tree->scratch = ee_take(memory, "beam", (size_t)n_nodes, sizeof *tree->scratch);
}

static void free_node(ee_prefix_tree *tree, int index)
{
    tree->nodes[index].parent = EE_NONE;
    tree->nodes[index].child = tree->free;
    tree->free = index;
    tree->n_free++;
}

void ee_prefix_tree_clear(ee_prefix_tree *tree)
{
    tree->free = EE_NONE;
    tree->n_free = 0;
    for (int index = 0; index < tree->n_nodes; index++)
        free_node(tree, index);
}

int ee_prefix_tree_add(ee_prefix_tree *tree, int parent, int token)
{
    int index = tree->free;
    if (index == EE_NONE)
        return EE_NONE;
    ee_prefix_node *node = &tree->nodes[index];
    tree->free = node->child;
    tree->n_free--;
    *node = (ee_prefix_node){
        .parent = parent,
        .child = EE_NONE,
        .sibling = EE_NONE,
        .token = token,
        .candidate_frame = -1,
        .blank = -INFINITY,
        .next_blank = -INFINITY,
        .phone = -INFINITY,
        .next_phone = -INFINITY,
        .max_incoming = -INFINITY,
        .previous_word = EE_START,
    };
    if (parent != EE_NONE) {
        node->sibling = tree->nodes[parent].child;
        tree->nodes[parent].child = index;
    }
    return index;
}

void ee_prefix_tree_detach(ee_prefix_tree *tree, int index)
{
    ee_prefix_node *node = &tree->nodes[index];
    int *link = &tree->nodes[node->parent].child;
    while (*link != index)
        link = &tree->nodes[*link].sibling;
    *link = node->sibling;
    node->parent = node->sibling = EE_NONE;
}

void ee_prefix_tree_remove_below(ee_prefix_tree *tree, int root)
{
    int n = 0;
    tree->scratch[n++] = root;
    while (n > 0) {
        int index = tree->scratch[--n];
        int child = tree->nodes[index].child;
        for (; child != EE_NONE; child = tree->nodes[child].sibling)
            tree->scratch[n++] = child;
        free_node(tree, index);
    }
}

void ee_prefix_tree_prune(ee_prefix_tree *tree, int index)
{
    const ee_prefix_node *node = &tree->nodes[index];
    while (!node->is_in_beam && node->child == EE_NONE && node->parent != EE_NONE) {
        int parent = node->parent;
        ee_prefix_tree_detach(tree, index);
        free_node(tree, index);
        index = parent;
        node = &tree->nodes[index];
    }
}
