/* Voices from embeddings: a bounded set of centroids that grows while audio flows. The same rules
 * as echo_edge/heads/clustering.py. */
#ifndef EE_CLUSTERING_H
#define EE_CLUSTERING_H

#include "bundle/manifest.h"
#include "memory.h"

enum { EE_NOBODY = -1, EE_MAX_VOICES = EE_MAX_SPEAKERS };

typedef struct {
    double threshold;   /* min. cosine to be a known voice where a new one could be */
    double new_voice_s; /* min. clean speech that founds a voice or moves its centroid */
    int min_voices;     /* while there are fewer, the threshold is higher ... */
    double margin;      /* ... by this */
    int max_voices;     /* at most EE_MAX_VOICES */
    int dim;            /* of an embedding */
    float *sums;        /* [max_voices, dim], embeddings weighted by clean speech */
    float *centroids;   /* [max_voices, dim], unit length; the first `count` are valid */
    int count;
} ee_clusters;

void ee_clusters_open(ee_clusters *clusters, const ee_manifest *manifest, int min_voices,
                      int max_voices, ee_memory *memory);

/* The voice of a stretch of speech; EE_NOBODY only before the first is founded. `embedding` [dim]
 * of unit length. Of a window, the longest stretch comes first. */
int ee_clusters_link(ee_clusters *clusters, const float *embedding, float speech_s);

#endif
