#include "heads/stretches.h"

#include <math.h>

ee_turn_rules ee_turn_rules_from_manifest(const ee_manifest *manifest)
{
    double step_s = (double)manifest->step_samples / manifest->sample_rate;
    return (ee_turn_rules){
        .onset = (float)manifest->decoding.active_threshold,
        .min_off_steps = llrint(manifest->decoding.gap_s / step_s),
        .min_on_steps = llrint(manifest->decoding.shortest_turn_s / step_s),
    };
}

size_t ee_max_stretches(const ee_turn_rules *rules, int window)
{
    int64_t shortest = rules->min_on_steps > 1 ? rules->min_on_steps : 1;
    int64_t to_next = rules->min_off_steps + 2;
    return (size_t)((window - 1) / (shortest - 1 + to_next) + 1);
}

/* Adds a stretch after the `n_before` of the same speaker, unless it is too short; how many. */
static int add(const ee_turn_rules *rules, ee_stretch stretch, ee_stretch *found, int n_before)
{
    if (stretch.end - stretch.start < rules->min_on_steps)
        return 0;
    if (n_before > 0) {
        ee_stretch *before = &found[-1];
        before->last = stretch.first = (before->end + stretch.start) / 2;
    }
    *found = stretch;
    return 1;
}

int ee_find_stretches(const ee_turn_rules *rules, const float *active, int window, int n_local,
                      ee_stretch *found)
{
    int n = 0;
    for (int local = 0; local < n_local; local++) {
        int first = n;
        ee_stretch open = {.local = local, .end = -1, .last = window};
        for (int step = 0; step < window; step++) {
            if (!(active[step * n_local + local] >= rules->onset))
                continue;
            if (open.end >= 0 && step - (open.end - 1) > rules->min_off_steps + 1)
                n += add(rules, open, found + n, n - first);
            if (open.end < 0 || step - (open.end - 1) > rules->min_off_steps + 1)
                open.start = step;
            open.end = step + 1;
        }
        if (open.end >= 0)
            n += add(rules, open, found + n, n - first);
    }
    return n;
}
