#include "clustering.h"

#include <math.h>

typedef float score_table[EE_MOST_LOCAL][EE_MOST_VOICES];

void ee_clusters_open(ee_clusters *clusters, const ee_manifest *manifest, int max_voices,
                      ee_memory *memory)
{
    size_t n = (size_t)max_voices, dim = (size_t)manifest->embedding_dim;
    *clusters = (ee_clusters){
        .threshold = (float)manifest->decoding.link_threshold,
        .continuity_weight = (float)manifest->decoding.continuity_weight,
        .new_voice_s = (float)manifest->decoding.new_voice_s,
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

static void score_all(const ee_clusters *clusters, int n_local, const float *embeddings,
                      const float *continuity, score_table scores)
{
    for (int local = 0; local < n_local; local++)
        for (int voice = 0; voice < clusters->count; voice++) {
            const float *a = embeddings + local * clusters->dim;
            const float *b = clusters->centroids + voice * clusters->dim;
            float cosine = 0.0f;
            for (int i = 0; i < clusters->dim; i++)
                cosine += a[i] * b[i];
            float shared = continuity[local * clusters->max_voices + voice];
            scores[local][voice] = cosine + clusters->continuity_weight * shared;
        }
}

/* Pairs of high score, best first; each speaker and each voice once. */
static void link_known(const ee_clusters *clusters, int n_local, score_table scores, int *links)
{
    for (;;) {
        int local = 0, voice = 0;
        for (int i = 0; i < n_local; i++)
            for (int k = 0; k < clusters->count; k++)
                if (scores[i][k] > scores[local][voice]) {
                    local = i;
                    voice = k;
                }
        if (clusters->count == 0 || !(scores[local][voice] >= clusters->threshold))
            return;
        links[local] = voice;
        for (int k = 0; k < clusters->count; k++)
            scores[local][k] = -INFINITY;
        for (int i = 0; i < n_local; i++)
            scores[i][voice] = -INFINITY;
    }
}

/* A new voice or, when all are taken, the nearest that is still free in this window. */
static int found_voice(ee_clusters *clusters, int n_known, const float *scores)
{
    if (clusters->count < clusters->max_voices)
        return clusters->count++;
    int best = 0;
    for (int voice = 1; voice < n_known; voice++)
        if (scores[voice] > scores[best])
            best = voice;
    return n_known > 0 && isfinite(scores[best]) ? best : EE_NOBODY;
}

/* Speakers without a voice, who spoke most first. */
static void link_new(ee_clusters *clusters, int n_local, const float *speech_s, score_table scores,
                     int *links)
{
    int n_known = clusters->count;
    bool done[EE_MOST_LOCAL] = {false};
    for (int turn = 0; turn < n_local; turn++) {
        int local = -1;
        for (int i = 0; i < n_local; i++)
            if (!done[i] && (local < 0 || speech_s[i] > speech_s[local]))
                local = i;
        done[local] = true;
        if (links[local] != EE_NOBODY || !(speech_s[local] >= clusters->new_voice_s))
            continue;
        links[local] = found_voice(clusters, n_known, scores[local]);
        if (links[local] >= 0 && links[local] < n_known)
            for (int i = 0; i < n_local; i++)
                scores[i][links[local]] = -INFINITY;
    }
}

void ee_clusters_link(ee_clusters *clusters, int n_local, const float *embeddings,
                      const float *speech_s, const float *continuity, int *links)
{
    score_table scores;
    for (int local = 0; local < n_local; local++)
        links[local] = EE_NOBODY;
    score_all(clusters, n_local, embeddings, continuity, scores);
    link_known(clusters, n_local, scores, links);
    link_new(clusters, n_local, speech_s, scores, links);
    for (int local = 0; local < n_local; local++) {
        int voice = links[local];
        if (voice == EE_NOBODY || !(speech_s[local] >= clusters->new_voice_s))
            continue;
        float *sum = clusters->sums + voice * clusters->dim;
        for (int i = 0; i < clusters->dim; i++)
            sum[i] += speech_s[local] * embeddings[local * clusters->dim + i];
        update_centroid(clusters, voice);
    }
}
