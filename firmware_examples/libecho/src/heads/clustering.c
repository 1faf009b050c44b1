#include "heads/clustering.h"

#include <math.h>

void ee_clusters_open(ee_clusters *clusters, const ee_manifest *manifest, int min_voices,
                      int max_voices, ee_memory *memory)
{
    size_t n = (size_t)max_voices, dim = (size_t)manifest->embedding_dim;
    *clusters = (ee_clusters){
        .threshold = manifest->decoding.stretch_threshold,
        .new_voice_s = manifest->decoding.new_voice_s,
        .margin = manifest->decoding.expected_voice_margin,
        .min_voices = min_voices,
        .max_voices = max_voices,
        .dim = manifest->embedding_dim,
        .sums = ee_take(memory, "diarization", n * dim, sizeof(float)),
        .centroids = ee_take(memory, "diarization", n * dim, sizeof(float)),
    };
}

static void update_centroid(ee_clusters *clusters, int voice)
{
    const float *sum = clusters->sums + voice * clusters->dim;
    float *centroid = clusters->centroids + voice * clusters->dim;
    double square = 0.0;
    for (int i = 0; i < clusters->dim; i++)
        square += (double)sum[i] * sum[i];
    float norm = (float)sqrt(square) + 1e-9f;
    for (int i = 0; i < clusters->dim; i++)
        centroid[i] = sum[i] / norm;
}

/* The known voice with the highest cosine, and that; EE_NOBODY if none is known. */
static int find_nearest(const ee_clusters *clusters, const float *embedding, float *max_cosine)
{
    int best = EE_NOBODY;
    for (int voice = 0; voice < clusters->count; voice++) {
        const float *centroid = clusters->centroids + voice * clusters->dim;
        float cosine = 0.0f;
        for (int i = 0; i < clusters->dim; i++)
            cosine += embedding[i] * centroid[i];
        if (best == EE_NOBODY || cosine > *max_cosine) {
            best = voice;
            *max_cosine = cosine;
        }
    }
    return best;
}

/* Online clustering, one stretch at a time. */
int ee_clusters_link(ee_clusters *clusters, const float *embedding, float speech_s)
{
    /* 1. The nearest centroid. */
    float cosine = 0.0f;
    int voice = find_nearest(clusters, embedding, &cosine);
    /* 2. A stretch with little clean speech founds no voice and moves no centroid. */
    if (!(speech_s >= clusters->new_voice_s))
        return voice;
    /* 3. It is a new voice if it is too unlike the nearest, and there is room for one. */
    double min_cosine =
        clusters->threshold + (clusters->count < clusters->min_voices ? clusters->margin : 0.0);
    if (clusters->count < clusters->max_voices &&
        (voice == EE_NOBODY || cosine < (float)min_cosine))
        voice = clusters->count++;
    /* 4. The centroid is the mean of its stretches' embeddings, weighted by their clean speech. */
    float *sum = clusters->sums + voice * clusters->dim;
    for (int i = 0; i < clusters->dim; i++)
        sum[i] += speech_s * embedding[i];
    update_centroid(clusters, voice);
    return voice;
}
