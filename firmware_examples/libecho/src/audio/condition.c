#include "audio/condition.h"

#include <math.h>

static const double CUTOFF_HZ = 80.0, HALF_LIFE_S = 5.0, ON = 1.5, OFF = 1.2, MIN_POWER = 1e-5,
                    PRIOR_POWER = 1e-4, PEAK = 1.5, OFFSET = 0.01;
enum {
    MIN_LEVEL = -6,
    MAX_LEVEL = 0,
    GOAL = -4,
    MIN_GAIN = -40,
    MAX_GAIN = 9,
    NOISE_FLOOR = -15,
    ABOVE_NOISE = 3,
    MIN_SPEECH_BLOCKS = 25,
    LOUDER_SHARE = 8,
    SILENT = -1000
};

/* The largest e with 2^e <= value. */
static int exponent(double value)
{
    int found;
    if (!(value > 0.0))
        return SILENT;
    frexp(value, &found);
    return found - 1;
}

static void remember(ee_recent *recent, int value)
{
    recent->values[recent->next] = value;
    recent->next = (recent->next + 1) % EE_LEVEL_BLOCKS;
    if (recent->count < EE_LEVEL_BLOCKS)
        recent->count++;
}

void ee_condition_open(ee_condition *c, const ee_manifest *m, ee_memory *memory)
{
    c->block_samples = m->step_samples;
    c->sample_rate = m->sample_rate;
    c->above = ee_take(memory, "condition", (size_t)m->chunk_samples, sizeof(double));
    c->all_power = c->above_power = PRIOR_POWER * m->sample_rate;
    for (int i = 0; i < EE_FILTER_ORDER / 2; i++) {
        double quality = 0.5 / cos((2 * i + 1) * M_PI / (2 * EE_FILTER_ORDER));
        double turn = 2.0 * M_PI * CUTOFF_HZ / m->sample_rate;
        double alpha = sin(turn) / (2.0 * quality), scale = 1.0 + alpha;
        double b0 = (1.0 + cos(turn)) / 2.0 / scale, *s = c->sections[i];
        s[0] = s[2] = b0;
        s[1] = -2.0 * b0;
        s[3] = -2.0 * cos(turn) / scale;
        s[4] = (1.0 - alpha) / scale;
    }
}

/* Transposed direct form II. Its state begins as if the first sample had been there for ever, so
 * that an offset leaves no mark. */
static void high_pass(ee_condition *c, const float *chunk, int n)
{
    if (!c->is_started) {
        c->state[0] = -c->sections[0][0] * chunk[0];
        c->state[1] = c->sections[0][2] * chunk[0];
        c->is_started = true;
    }
    for (int i = 0; i < n; i++) {
        double x = chunk[i];
        for (int k = 0; k < EE_FILTER_ORDER / 2; k++) {
            const double *s = c->sections[k];
            double *state = c->state + 2 * k, y = s[0] * x + state[0];
            state[0] = s[1] * x - s[3] * y + state[1];
            state[1] = s[2] * x - s[4] * y;
            x = y;
        }
        c->above[i] = x;
    }
}

static void filter_rumble(ee_condition *c, float *chunk, int n)
{
    double mean = 0.0, all = 0.0, above = 0.0;
    double decay = pow(0.5, (double)n / c->sample_rate / HALF_LIFE_S);
    high_pass(c, chunk, n);
    for (int i = 0; i < n; i++)
        mean += chunk[i] / (double)n;
    for (int i = 0; i < n; i++) {
        all += (chunk[i] - mean) * (chunk[i] - mean);
        above += c->above[i] * c->above[i];
    }
    c->all_power = decay * c->all_power + all;
    c->above_power = decay * c->above_power + above;
    c->weight = decay * c->weight + n;
    double ratio = c->rumbles ? OFF : ON;
    c->rumbles = c->all_power - c->above_power > MIN_POWER * c->weight &&
                 c->all_power > ratio * c->above_power;
    for (int i = 0; c->rumbles && i < n; i++)
        chunk[i] = (float)c->above[i];
}

static float swing(const float *samples, int n)
{
    float high = samples[0], low = samples[0];
    for (int i = 1; i < n; i++) {
        high = samples[i] > high ? samples[i] : high;
        low = samples[i] < low ? samples[i] : low;
    }
    return high - low;
}

/* The level that one in LOUDER_SHARE blocks of speech reaches. */
static int speech_level(const ee_recent *speech)
{
    for (int level = MAX_GAIN - MIN_GAIN;; level--) {
        int n = 0;
        for (int i = 0; i < speech->count; i++)
            n += speech->values[i] >= level;
        if (n > speech->count / LOUDER_SHARE)
            return level;
    }
}

/* Chooses another gain if under the present one the level is not nominal. */
static void follow(ee_condition *c)
{
    if (c->speech.count < MIN_SPEECH_BLOCKS)
        return;
    int level = speech_level(&c->speech), gain = GOAL - level;
    if (level + c->gain >= MIN_LEVEL && level + c->gain <= MAX_LEVEL)
        return;
    gain = gain < MIN_GAIN ? MIN_GAIN : gain > MAX_GAIN ? MAX_GAIN : gain;
    c->gain = level >= MIN_LEVEL && level <= MAX_LEVEL ? 0 : gain;
}

static void listen(ee_condition *c, const float *chunk, int n_real)
{
    int n_blocks = n_real / c->block_samples, quietest = NOISE_FLOOR;
    for (int i = 0; i < n_blocks; i++) {
        int level = exponent(swing(chunk + i * c->block_samples, c->block_samples)) - 1;
        if (level > SILENT)
            remember(&c->noise, level);
    }
    for (int i = 0; i < c->noise.count; i++)
        if (i == 0 || c->noise.values[i] < quietest)
            quietest = c->noise.values[i];
    if (quietest < NOISE_FLOOR)
        quietest = NOISE_FLOOR;
    for (int i = 0; i < n_blocks; i++) {
        int level = exponent(swing(chunk + i * c->block_samples, c->block_samples)) - 1;
        if (level >= quietest + ABOVE_NOISE)
            remember(&c->speech, level);
    }
}

/* Of the first chunk: without its offset before it, the stream would begin with a bang. */
static void find_offset(ee_condition *c, const float *chunk, int n_real)
{
    double mean = 0.0, peak = 1.0;
    for (int i = 0; i < n_real; i++) {
        mean += chunk[i] / (double)n_real;
        peak = fmax(peak, fabsf(chunk[i]));
    }
    c->before = !c->rumbles && fabs(mean) > OFFSET * peak ? (float)mean : 0.0f;
}

int ee_condition_push(ee_condition *c, float *chunk, int n, int n_real)
{
    bool is_first = !c->is_started;
    filter_rumble(c, chunk, n);
    if (is_first)
        find_offset(c, chunk, n_real);
    listen(c, chunk, n_real);
    follow(c);
    double half = n_real > 0 ? 0.5 * swing(chunk, n_real) : 0.0;
    if (ldexp(half, c->gain) > PEAK)
        c->gain = half <= PEAK ? 0 : -1 - exponent(half);
    float factor = ldexpf(1.0f, c->gain);
    for (int i = 0; c->gain != 0 && i < n; i++)
        chunk[i] *= factor;
    return c->gain;
}
