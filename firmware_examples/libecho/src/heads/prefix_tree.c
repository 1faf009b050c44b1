#include "spellings.h"

#include <math.h>

void ee_spellings_open(ee_spellings *tree, ee_memory *memory)
{
    tree->nodes = ee_take(memory, "beam", EE_MOST_NODES, sizeof *tree->nodes);
    tree->scratch = ee_take(memory, "beam", EE_MOST_NODES, sizeof *tree->scratch);
}

static void free_node(ee_spellings *tree, int index)
{
    tree->nodes[index].parent = EE_NONE;
    tree->nodes[index].child = tree->free;
    tree->free = index;
    tree->n_free++;
}

void ee_spellings_clear(ee_spellings *tree)
{
    tree->free = EE_NONE;
    tree->n_free = 0;
    for (int index = 0; index < EE_MOST_NODES; index++)
        free_node(tree, index);
}

int ee_spellings_new(ee_spellings *tree, int parent, int token)
{
    int index = tree->free;
    if (index == EE_NONE)
        return EE_NONE;
    ee_spelling *node = &tree->nodes[index];
    tree->free = node->child;
    tree->n_free--;
    *node = (ee_spelling){
        .parent = parent, .child = EE_NONE, .sibling = EE_NONE, .token = token, .touched = -1,
        .blank = -INFINITY, .next_blank = -INFINITY, .sound = -INFINITY,
        .next_sound = -INFINITY, .weight = -INFINITY, .previous_word = EE_START,
    };
    if (parent != EE_NONE) {
        node->sibling = tree->nodes[parent].child;
        tree->nodes[parent].child = index;
    }
    return index;
}

void ee_spellings_detach(ee_spellings *tree, int index)
{
    ee_spelling *node = &tree->nodes[index];
    int *link = &tree->nodes[node->parent].child;
    while (*link != index)
        link = &tree->nodes[*link].sibling;
    *link = node->sibling;
    node->parent = node->sibling = EE_NONE;
}

void ee_spellings_take_apart(ee_spellings *tree, int root)
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

void ee_spellings_forget(ee_spellings *tree, int index)
{
    const ee_spelling *node = &tree->nodes[index];
    while (!node->is_kept && node->child == EE_NONE && node->parent != EE_NONE) {
        int parent = node->parent;
        ee_spellings_detach(tree, index);
        free_node(tree, index);
        index = parent;
        node = &tree->nodes[index];
    }
}
