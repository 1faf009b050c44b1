/* Conditioning of a stream's audio before the frontend: rumble is filtered out
 * and the level put right where they are not nominal. Nominal audio passes bit for bit. Decides
 * chunk by chunk as echo_edge/audio/condition.py does, where the rules and their reasons are. */
#ifndef EE_CONDITION_H
#define EE_CONDITION_H

#include "bundle/manifest.h"
#include "memory.h"

enum { EE_FILTER_ORDER = 8, EE_LEVEL_BLOCKS = 250 };

/* The last EE_LEVEL_BLOCKS numbers of a row. */
typedef struct {
    int values[EE_LEVEL_BLOCKS], count, next;
} ee_recent;

typedef struct {
    int block_samples, sample_rate;
    double sections[EE_FILTER_ORDER / 2][5], state[EE_FILTER_ORDER];
    double *above;                 /* [chunk]: what the high-pass leaves */
    double all_power, above_power; /* sums that decay */
    double weight;                 /* how many samples they stand for */
    bool is_started, rumbles;
    ee_recent noise, speech; /* levels of blocks, as exponents of two */
    int gain;
    float before; /* offset of the first chunk: what the frontend takes for the samples before it */
} ee_condition;

void ee_condition_open(ee_condition *condition, const ee_manifest *manifest, ee_memory *memory);

/* Puts a chunk of `n` samples, of which the first `n_real` are real, right in place. Returns the
 * power of two by which it was multiplied, as an exponent. */
int ee_condition_push(ee_condition *condition, float *chunk, int n, int n_real);

#endif
