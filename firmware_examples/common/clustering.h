/* Voices from embeddings: a bounded set of centroids that grows while audio flows. The same rules
 * as echo_edge/clustering.py. */
#ifndef EE_CLUSTERING_H
#define EE_CLUSTERING_H

#include "memory.h"
#include "manifest.h"

enum { EE_NOBODY = -1, EE_MOST_VOICES = 20 };

typedef struct {
    float threshold;         /* least cosine plus weighted continuity to be a known voice */
    float continuity_weight; /* how much being active at the same steps counts */
    float new_voice_s;       /* least clean speech that founds a voice or moves its centroid */
    int max_voices;          /* at most EE_MOST_VOICES */
    int dim;                 /* of an embedding */
    float *sums;             /* [max_voices, dim], embeddings weighted by clean speech */
    float *centroids;        /* [max_voices, dim], unit length; the first `count` are valid */
    int count;
} ee_clusters;

void ee_clusters_open(ee_clusters *clusters, const ee_manifest *manifest, int max_voices,
                      ee_memory *memory);

/* The voice of each of `n_local` speakers, no two the same, EE_NOBODY for too little speech.
 * embeddings [n_local, dim] of unit length or zero; speech_s [n_local] clean speech; continuity
 * [n_local, max_voices], 0 to 1: how alike the activities are where windows overlap. */
void ee_clusters_link(ee_clusters *clusters, int n_local, const float *embeddings,
                      const float *speech_s, const float *continuity, int *links);

#endif
