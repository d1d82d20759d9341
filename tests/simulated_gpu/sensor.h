/* What the sensor makes of the truth: readings at ticks, and a counter that is a true integral or their sum. */
#ifndef SENSOR_H
#define SENSOR_H

#include "truth.h"

#define ALMOST 1e-4 /* of a quantum: floor() must not lose one to the last bits of doubles, of weeks of energy too */

static long long in_ns(double seconds) { return llround(seconds * 1e9); }

/* The last tick that is published at `at_ns` (since the origin). Whole nanoseconds: no rounding moves a tick. */
static long long tick_at(const struct device *device, long long at_ns) {
    long long period_ns = in_ns(device->period_s);
    long long since_ns = at_ns - in_ns(device->latency_s) - in_ns(device->phase_s);
    return since_ns / period_ns - (since_ns % period_ns < 0);
}

static double time_of_tick(const struct device *device, long long tick) {
    return (double)(in_ns(device->phase_s) + tick * in_ns(device->period_s)) / 1e9;
}

static double quantised(double value, double quantum) {
    return quantum > 0 ? floor(value / quantum + ALMOST) * quantum : value;
}

/* A uniform number in (0, 1) that depends on nothing but its arguments (SplitMix64, Steele et al. 2014). */
static double uniform(double seed, long long tick, unsigned which) {
    uint64_t z = (uint64_t)(int64_t)seed * 0x9e3779b97f4a7c15u + (uint64_t)tick * 2 + which + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) / 9007199254740992.0;
}

/* The noise of a tick, by Box and Muller. */
static double noise_w(const struct device *device, long long tick) {
    if (device->noise_w <= 0) return 0;
    double radius = sqrt(-2 * log(uniform(device->seed, tick, 0)));
    return device->noise_w * radius * cos(2 * M_PI * uniform(device->seed, tick, 1));
}

static double mean_w(const struct device *device, double until_s, double length_s) {
    return (energy_j(device, until_s) - energy_j(device, until_s - length_s)) / length_s;
}

/* The reading of a tick, in mW as it is reported: what the sensor saw of the period before, with its noise. */
static double reading_mw(const struct device *device, long long tick) {
    double seen_w = mean_w(device, time_of_tick(device, tick), otherwise(device->seen_s, device->period_s));
    double power_w = device->power_gain * (seen_w + noise_w(device, tick));
    return quantised(fmax(power_w, 0) * 1000, device->power_quantum_mw);
}

/* The mean over `length_s` before a tick: of the readings where the sensor has nothing else, else of the power. */
static double average_mw(const struct device *device, long long tick, double length_s) {
    long long readings = llround(fmax(length_s / device->period_s, 1));
    double mean = 0;
    for (long long i = 0; i < readings; i++)
        mean += device->summed ? reading_mw(device, tick - i) : 1000 * device->power_gain * noise_w(device, tick - i);
    mean /= (double)readings;
    if (!device->summed) mean += 1000 * device->power_gain * mean_w(device, time_of_tick(device, tick), length_s);
    return quantised(fmax(mean, 0), device->power_quantum_mw);
}

static double summed_j(struct device *device, long long tick, double since_s) {
    struct sum *sum = &device->sum;
    if (!sum->known || sum->since_s != since_s || tick < sum->tick) {
        long long period_ns = in_ns(device->period_s), from_ns = in_ns(since_s) - in_ns(device->phase_s);
        long long before = from_ns / period_ns - (from_ns % period_ns < 0);
        *sum = (struct sum){.known = 1, .since_s = since_s, .joules = 0, .tick = before};
    }
    while (sum->tick < tick) sum->joules += reading_mw(device, ++sum->tick) / 1000 * device->period_s;
    return sum->joules / device->power_gain; /* its gain is the counter's own */
}

static const double *glitch_at(const struct device *device, long long tick, int which) {
    for (int i = 0; i < device->glitches.count; i++) {
        const double *glitch = device->glitches.at[i];
        long long at_ns = in_ns(start_s(device) + glitch[NAMED_AT_S]);
        if (glitch[NAMED] == which && tick_at(device, at_ns) == tick) return &glitch[NAMED_VALUE];
    }
    return NULL;
}

static double counted_mj(struct device *device, long long tick) {
    const double *glitch = glitch_at(device, tick, 0);
    if (glitch) return *glitch;
    double at_s = time_of_tick(device, tick), since_s = device->since_s, offset_j = device->offset_j;
    for (int i = 0; i < device->resets.count; i++) {
        double reset_s = start_s(device) + device->resets.at[i][0];
        if (reset_s > at_s) continue;
        since_s = reset_s;
        offset_j = 0;
    }
    double joules = 0;
    if (at_s > since_s)
        joules = device->summed ? summed_j(device, tick, since_s) : energy_j(device, at_s) - energy_j(device, since_s);
    return quantised((offset_j + device->counter_gain * joules) * 1000, device->quantum_mj);
}

/* A tick is published once: a line of the load file that came late is in what the next tick says. */
static double counter_mj(struct device *device, long long tick) {
    struct published *published = &device->published;
    if (!published->known || published->tick != tick)
        *published = (struct published){.known = 1, .tick = tick, .counter_mj = counted_mj(device, tick)};
    return published->counter_mj;
}

/* Power in mW as the call or field that averages over `average_s` tells it (0: the reading of the tick). */
static double power_mw(const struct device *device, long long tick, double average_s) {
    const double *glitch = glitch_at(device, tick, 1);
    if (glitch) return *glitch;
    return average_s > 0 ? average_mw(device, tick, average_s) : reading_mw(device, tick);
}

/* The last value of a piecewise constant table that has begun; NAN where none has. */
static double step_value(const struct rows *rows, double at_s) {
    double value = NAN;
    for (int i = 0; i < rows->count && rows->at[i][STEP_AT_S] <= at_s; i++) value = rows->at[i][STEP_VALUE];
    return value;
}

/* A table of points with straight lines between them, constant outside; NAN where it is empty. */
static double line_value(const struct rows *rows, double at_s) {
    if (rows->count == 0) return NAN;
    int i = 0;
    while (i < rows->count && rows->at[i][STEP_AT_S] <= at_s) i++;
    if (i == 0 || i == rows->count) return rows->at[i ? i - 1 : 0][STEP_VALUE];
    const double *from = rows->at[i - 1], *to = rows->at[i];
    double share = (at_s - from[STEP_AT_S]) / (to[STEP_AT_S] - from[STEP_AT_S]);
    return from[STEP_VALUE] + share * (to[STEP_VALUE] - from[STEP_VALUE]);
}

#endif
