/* The true power of a device and its integral, from which everything that a sensor says is made. */
#ifndef TRUTH_H
#define TRUTH_H

#include "clock.h"

/* Power from level `i` on, while no later one has begun: it goes to the level at once or exponentially. */
static double level_power_w(const double *level, double at_s) {
    double tau_s = level[LEVEL_TAU_S];
    if (tau_s <= 0) return level[LEVEL_W];
    return level[LEVEL_W] + level[LEVEL_ABOVE_W] * exp(-(at_s - level[LEVEL_START_S]) / tau_s);
}

static double level_energy_j(const double *level, double until_s) {
    double length_s = until_s - level[LEVEL_START_S], tau_s = level[LEVEL_TAU_S];
    if (level[LEVEL_ABOVE_W] == 0) tau_s = 0; /* before the first level, the exponential would not be finite */
    double late_j = tau_s > 0 ? level[LEVEL_ABOVE_W] * tau_s * -expm1(-length_s / tau_s) : 0;
    return level[LEVEL_W] * length_s + late_j;
}

/* Where each level begins: how far the power is above it, and the energy until then. */
static void work_out_levels(struct device *device) {
    for (int i = 0; i < device->levels.count; i++) {
        double *level = device->levels.at[i], *before = i ? device->levels.at[i - 1] : NULL;
        level[LEVEL_ABOVE_W] = before ? level_power_w(before, level[LEVEL_START_S]) - level[LEVEL_W] : 0;
        level[LEVEL_SO_FAR_J] =
            before ? before[LEVEL_SO_FAR_J] + level_energy_j(before, level[LEVEL_START_S]) : 0;
    }
}

/* Energy by the levels since the first one began; before it, its power held all the time. */
static double levels_energy_j(const struct device *device, double until_s) {
    if (device->levels.count == 0) return 0;
    int i = device->levels.count - 1;
    while (i > 0 && device->levels.at[i][LEVEL_START_S] > until_s) i--;
    const double *level = device->levels.at[i];
    return level[LEVEL_SO_FAR_J] + level_energy_j(level, until_s);
}

/* Energy of a square wave since its phase: `on` for the first `duty` of each period, between from and to. */
static double wave_energy_j(const double *wave, double until_s) {
    double at_s = fmax(until_s, otherwise(wave[WAVE_FROM_S], -INFINITY));
    double periods = (fmin(at_s, otherwise(wave[WAVE_TO_S], INFINITY)) - wave[WAVE_PHASE_S]) / wave[WAVE_PERIOD_S];
    double whole = floor(periods);
    return wave[WAVE_W] * wave[WAVE_PERIOD_S] * (whole * wave[WAVE_DUTY] + fmin(periods - whole, wave[WAVE_DUTY]));
}

static void add_load_line(struct load *load, double at_s, double power_w) {
    if (load->count == load->room) {
        size_t room = (size_t)(load->room = load->room ? 2 * load->room : 64) * sizeof(double);
        load->at_s = realloc(load->at_s, room);
        load->power_w = realloc(load->power_w, room);
        load->so_far_j = realloc(load->so_far_j, room);
    }
    long last = load->count - 1;
    load->at_s[load->count] = at_s;
    load->power_w[load->count] = power_w;
    load->so_far_j[load->count++] =
        last < 0 ? 0 : load->so_far_j[last] + load->power_w[last] * (at_s - load->at_s[last]);
}

/* Read what the load file has got since the last call: whole lines only, its writer may be in the midst of one. */
static void refresh_load(struct device *device) {
    if (!*device->load_file) return;
    FILE *file = fopen(device->load_file, "r");
    if (!file) return; /* nobody has written yet */
    char line[128];
    fseek(file, device->load.read_to, SEEK_SET);
    while (fgets(line, sizeof line, file) && strchr(line, '\n')) {
        long long at_ns;
        double power_w;
        device->load.read_to = ftell(file);
        if (sscanf(line, "%lld %lf", &at_ns, &power_w) != 2) continue;
        double at_s = (double)(at_ns - origin_ns) / 1e9;
        add_load_line(&device->load, at_s, power_w);
        device->sum.known = 0; /* ticks after that moment may have been summed before the line was there */
    }
    fclose(file);
}

/* Energy by the load file since its first line, from which on it stands instead of the levels. */
static double load_energy_j(const struct load *load, double until_s) {
    long low = 0, high = load->count - 1;
    while (low < high) {
        long middle = (low + high + 1) / 2;
        if (load->at_s[middle] <= until_s) low = middle;
        else high = middle - 1;
    }
    return load->so_far_j[low] + load->power_w[low] * (until_s - load->at_s[low]);
}

/* True energy of the device until then; only differences mean anything. */
static double energy_j(const struct device *device, double until_s) {
    const struct load *load = &device->load;
    int loaded = load->count && until_s > load->at_s[0];
    double joules = levels_energy_j(device, loaded ? load->at_s[0] : until_s);
    if (loaded) joules += load_energy_j(load, until_s);
    for (int i = 0; i < device->waves.count; i++) joules += wave_energy_j(device->waves.at[i], until_s);
    return joules;
}

#endif
