#include "gate.h"

#include <string.h>

#include "gate_weights.h"

enum {
    HALF = GATE_WINDOW / 2,
    TAPS = 3,
    MULTIPLIER_BITS = 24,
    QUIETEST = 1 << 20, /* below the energy of noise of one unit; log2 has a bottom there */
};

typedef struct {
    const int8_t *weights; /* [n_out][taps][n_in], the oldest tap first */
    const int32_t *bias, *multiplier;
    int n_in, n_out, taps, dilation;
} layer;

static const layer layer_1 = {gate_weights_1,  gate_bias_1, gate_multiplier_1, GATE_INPUTS,
                              GATE_WIDTH,      TAPS,        GATE_DILATION_1};
static const layer layer_2 = {gate_weights_2,  gate_bias_2, gate_multiplier_2, GATE_WIDTH,
                              GATE_WIDTH,      TAPS,        GATE_DILATION_2};
static const layer layer_3 = {gate_weights_3,  gate_bias_3, gate_multiplier_3, GATE_WIDTH,
                              GATE_WIDTH,      TAPS,        GATE_DILATION_3};
static const layer layer_4 = {gate_weights_4, gate_bias_4, gate_multiplier_4, GATE_WIDTH, 1, 1, 0};

_Static_assert(GATE_DILATION_1 == 1 && GATE_DILATION_2 == 3 && GATE_DILATION_3 == 9,
               "gate_weights.h: other dilations than the histories in gate.h are made for");
_Static_assert(sizeof gate_weights_1 == GATE_WIDTH * TAPS * GATE_INPUTS &&
                   sizeof gate_weights_2 == GATE_WIDTH * TAPS * GATE_WIDTH,
               "gate_weights.h: another width than in gate.h");

static int32_t clamp(int32_t value, int32_t least, int32_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* exp(-2 pi i k / 512), 15 bits after the point, for k below 256. */
static int32_t cosine(int k)
{
    return gate_sine[k + 128];
}

static int32_t sine(int k)
{
    return gate_sine[k];
}

/* What (re, im) becomes when it is turned by that. */
static void turn(int k, int32_t re, int32_t im, int32_t *to_re, int32_t *to_im)
{
    int64_t c = cosine(k), s = sine(k);
    *to_re = (int32_t)((re * c + im * s + (1 << 14)) >> 15);
    *to_im = (int32_t)((im * c - re * s + (1 << 14)) >> 15);
}

static int32_t windowed(const gate *g, const int16_t *pcm, int i)
{
    const int n_before = GATE_WINDOW - GATE_HOP;
    int32_t sample = i < n_before ? g->heard[i] : pcm[i - n_before];
    int32_t hann = (32768 - cosine(i <= HALF ? i : GATE_WINDOW - i)) >> 1;
    return (sample * hann + 128) >> 8;
}

static int reversed(int i)
{
    int out = 0;
    for (int bit = 0; bit < 8; bit++)
        out |= (i >> bit & 1) << (7 - bit);
    return out;
}

/* The transform of the window, even samples as real parts and odd ones as imaginary parts. All
 * values stay below 2^30: the sum of the windowed samples' magnitudes does. */
static void transform(gate *g, const int16_t *pcm)
{
    for (int i = 0; i < HALF; i++) {
        int to = reversed(i);
        g->re[to] = windowed(g, pcm, 2 * i);
        g->im[to] = windowed(g, pcm, 2 * i + 1);
    }
    for (int half = 1; half < HALF; half *= 2)
        for (int j = 0; j < half; j++)
            for (int a = j; a < HALF; a += 2 * half) {
                int32_t re, im;
                turn(j * (HALF / half), g->re[a + half], g->im[a + half], &re, &im);
                g->re[a + half] = g->re[a] - re;
                g->im[a + half] = g->im[a] - im;
                g->re[a] += re;
                g->im[a] += im;
            }
}

static int32_t half_sum(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a + b) >> 1);
}

/* Power of bin k (1 to 255) of the window's 512-point transform. */
static uint64_t power(const gate *g, int k)
{
    int back = HALF - k;
    int32_t re, im;
    turn(k, half_sum(g->im[k], g->im[back]), half_sum(g->re[back], -g->re[k]), &re, &im);
    int64_t full_re = (int64_t)half_sum(g->re[k], g->re[back]) + re;
    int64_t full_im = (int64_t)half_sum(g->im[k], -g->im[back]) + im;
    return (uint64_t)(full_re * full_re + full_im * full_im);
}

/* In 1/256. */
static int32_t log2_of(uint64_t value)
{
    int exponent = 63 - __builtin_clzll(value);
    return exponent * 256 + gate_log2[value << (63 - exponent) >> 56 & 127];
}

static void band_energies(const gate *g, int32_t out[GATE_BANDS])
{
    uint64_t energy[GATE_BANDS + 2] = {0};
    for (int k = 1; k < HALF; k++) {
        uint64_t share = power(g, k) >> 8;
        energy[gate_band[k - 1]] += share * (256u - gate_part[k - 1]);
        energy[gate_band[k - 1] + 1] += share * gate_part[k - 1];
    }
    for (int band = 0; band < GATE_BANDS; band++)
        out[band] = log2_of(energy[band + 1] + QUIETEST);
}

static void features(gate *g, const int32_t energy[GATE_BANDS], int8_t out[GATE_INPUTS])
{
    int32_t mean = 0;
    for (int band = 0; band < GATE_BANDS; band++)
        mean += energy[band];
    mean /= GATE_BANDS;
    for (int band = 0; band < GATE_BANDS; band++) {
        if (g->n_frames == 0)
            g->floor[band] = energy[band];
        int32_t distance = energy[band] - g->floor[band];
        g->floor[band] += distance < 0 ? distance >> 3 : 1 + (distance >> 10);
        out[band] = (int8_t)clamp((energy[band] - g->floor[band]) >> 5, -128, 127);
        out[GATE_BANDS + band] = (int8_t)clamp((energy[band] - mean) >> 5, -128, 127);
    }
}

/* One output of a layer for frame `n` of a history that holds the last `span` frames. */
static int32_t convolve(const layer *l, const int8_t *history, uint32_t n, int out)
{
    int span = (l->taps - 1) * l->dilation + 1, now = (int)(n % (uint32_t)span);
    const int8_t *weight = l->weights + out * l->taps * l->n_in;
    int32_t sum = l->bias[out];
    for (int tap = 0; tap < l->taps; tap++) {
        int at = now - (l->taps - 1 - tap) * l->dilation;
        const int8_t *value = history + (at < 0 ? at + span : at) * l->n_in;
        for (int i = 0; i < l->n_in; i++)
            sum += *weight++ * value[i];
    }
    int64_t scaled = (int64_t)sum * l->multiplier[out] + (1 << (MULTIPLIER_BITS - 1));
    return (int32_t)(scaled >> MULTIPLIER_BITS);
}

static void hidden(const layer *l, const int8_t *history, uint32_t n, int8_t *out)
{
    for (int i = 0; i < l->n_out; i++)
        out[i] = (int8_t)clamp(convolve(l, history, n, i), 0, 127);
}

static gate_decision decide(gate *g, int32_t score)
{
    g->level += (score - g->level) >> 2;
    bool speech = g->level >= GATE_SPEECH_LEVEL;
    bool against = g->awake ? !speech : g->level >= GATE_WAKE_LEVEL;
    g->run = against ? (uint16_t)(g->run + 1) : 0;
    gate_event event = GATE_NONE;
    if (g->run == (g->awake ? GATE_HANGOVER_FRAMES : GATE_WAKE_FRAMES)) {
        event = g->awake ? GATE_SLEEP : GATE_WAKE;
        g->awake = !g->awake;
        g->run = 0;
    }
    return (gate_decision){(int16_t)score, speech, g->awake, event};
}

void gate_start(gate *g)
{
    memset(g, 0, sizeof *g);
    g->level = GATE_SPEECH_LEVEL - 256;
}

gate_decision gate_push(gate *g, const int16_t pcm[GATE_HOP])
{
    int32_t energy[GATE_BANDS];
    int8_t last[GATE_WIDTH];
    uint32_t n = g->n_frames;
    transform(g, pcm);
    memcpy(g->heard, pcm + 2 * GATE_HOP - GATE_WINDOW, sizeof g->heard);
    band_energies(g, energy);
    features(g, energy, g->inputs[n % 3]);
    hidden(&layer_1, (const int8_t *)g->inputs, n, g->hidden_1[n % 7]);
    hidden(&layer_2, (const int8_t *)g->hidden_1, n, g->hidden_2[n % 19]);
    hidden(&layer_3, (const int8_t *)g->hidden_2, n, last);
    g->n_frames++;
    return decide(g, clamp(convolve(&layer_4, last, 0, 0), -32768, 32767));
}
