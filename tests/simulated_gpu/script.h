/* The script: `key = value` lines, first about the whole simulation, then below `[device]` about one device each.
 *
 * A mistake is told on stderr by file and line, and nvmlInit then fails: a test must not run on another device than
 * the one that it wrote.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "sim.h"
#include "truth.h"

static const char *const CALLS[] = {"*", "handle", "name", "uuid", "capability", "architecture", "total_energy",
    "power_usage", "field_values", "temperature", "clock", "event_reasons", "power_limit", "persistence", "mig",
    "memory", "processes", "utilization", "other", NULL};
static const char *const CLOCKS[] = {"graphics", "sm", "mem", "video", NULL}; /* numbered as nvmlClockType_t */
static const char *const GLITCHES[] = {"counter", "power", NULL};

/* What slows clocks down: its bits among the event reasons, and the field that counts its nanoseconds. */
static const char *const THROTTLES[] = {"sw_power_cap", "thermal", "sync_boost", "board_limit", "low_utilization",
    "reliability", "sw_thermal", "hw_thermal", "hw_power_brake", "hw_slowdown", NULL};
static const struct { unsigned field; unsigned long long bits; } REASONS[] = {{74, 0x4}, {75, 0x20}, {76, 0x10},
    {77, 0x200}, {78, 0x1}, {79, 0x400}, {269, 0x20}, {270, 0x8 | 0x40}, {271, 0x8 | 0x80}, {0, 0x8}};

#define OF(field) offsetof(struct device, field)

static const struct { const char *key; size_t at, room; } TEXTS[] = {
    {"name", OF(name), sizeof devices->name}, {"uuid", OF(uuid), sizeof devices->uuid},
    {"capability", OF(capability), sizeof devices->capability},
    {"load_file", OF(load_file), sizeof devices->load_file}};

static const struct { const char *key; size_t at; double initial; } NUMBERS[] = {
    {"period_s", OF(period_s), 0.1}, {"phase_s", OF(phase_s), 0}, {"latency_s", OF(latency_s), 0},
    {"seen_s", OF(seen_s), NAN}, {"summed", OF(summed), 0}, {"since_s", OF(since_s), 0}, {"offset_j", OF(offset_j), 0},
    {"quantum_mj", OF(quantum_mj), 1}, {"counter_gain", OF(counter_gain), 1}, {"power_gain", OF(power_gain), 1},
    {"power_quantum_mw", OF(power_quantum_mw), 1}, {"power_average_s", OF(power_average_s), 0},
    {"noise_w", OF(noise_w), 0}, {"seed", OF(seed), 0}, {"call_ms", OF(call_ms), 0},
    {"stamp_at_tick", OF(stamp_at_tick), 0}, {"since_load", OF(since_load), 0}, {"power_limit_w", OF(power_limit_w), NAN},
    {"persistence", OF(persistence), NAN}, {"mig", OF(mig), NAN}, {"memory_bytes", OF(memory_bytes), NAN},
    {"memory_used_bytes", OF(memory_used_bytes), 0}};

/* `least` and `most` columns; where there are `names`, the first column is one of them. */
static const struct { const char *key; size_t at; int least, most; const char *const *names; } TABLES[] = {
    {"level", OF(levels), 3, 3, NULL}, {"wave", OF(waves), 4, 6, NULL}, {"fail", OF(fails), 2, 4, CALLS},
    {"throttle", OF(throttles), 1, 3, THROTTLES}, {"clock", OF(clocks), 3, 3, CLOCKS},
    {"glitch", OF(glitches), 3, 3, GLITCHES}, {"process", OF(processes), 1, 4, NULL},
    {"temperature", OF(temperatures), 2, 2, NULL}, {"stall", OF(stalls), 1, 2, NULL},
    {"utilization", OF(utilization), 2, 2, NULL}, {"reset", OF(resets), 1, 1, NULL}};

#define COUNT_OF(table) (sizeof(table) / sizeof *(table))
#define PART(device, type, offset) ((type *)((char *)(device) + (offset)))

static int number_of_name(const char *const *names, const char *word, double *number) {
    unsigned field;
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], word) == 0) {
            *number = i;
            return 1;
        }
    if (names != CALLS || sscanf(word, "field_%u", &field) != 1) return 0;
    *number = FIELD + field;
    return 1;
}

static int parse_number(const char *text, double *number) {
    char *end;
    *number = strtod(text, &end);
    return end != text && *end == '\0';
}

static int add_row(struct rows *rows, char *text, int least, int most, const char *const *names) {
    double row[COLUMNS];
    int column = 0;
    for (char *word = strtok(text, " \t"); word; word = strtok(NULL, " \t"), column++) {
        if (column == most) return 0;
        int read = names && column == 0 ? number_of_name(names, word, row) : parse_number(word, row + column);
        if (!read) return 0;
    }
    if (column < least) return 0;
    while (column < COLUMNS) row[column++] = NAN;
    rows->at = realloc(rows->at, (size_t)(rows->count + 1) * sizeof row);
    memcpy(rows->at[rows->count++], row, sizeof row);
    return 1;
}

static int set_of_device(struct device *device, const char *key, char *value) {
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++)
        if (strcmp(TEXTS[i].key, key) == 0)
            return snprintf(PART(device, char, TEXTS[i].at), TEXTS[i].room, "%s", value) < (int)TEXTS[i].room;
    for (size_t i = 0; i < COUNT_OF(NUMBERS); i++)
        if (strcmp(NUMBERS[i].key, key) == 0) return parse_number(value, PART(device, double, NUMBERS[i].at));
    for (size_t i = 0; i < COUNT_OF(TABLES); i++)
        if (strcmp(TABLES[i].key, key) == 0)
            return add_row(PART(device, struct rows, TABLES[i].at), value, TABLES[i].least, TABLES[i].most,
                           TABLES[i].names);
    return 0;
}

static int set_of_all(const char *key, const char *value) {
    char *end = "";
    if (strcmp(key, "origin_ns") == 0) origin_ns = strtoll(value, &end, 10);
    else if (strcmp(key, "init_error") == 0) init_error = (int)strtol(value, &end, 10);
    else if (strcmp(key, "driver_version") == 0) snprintf(driver_version, sizeof driver_version, "%s", value);
    else return 0;
    return *end == '\0';
}

static struct device *new_device(void) {
    if (device_count == MOST_DEVICES) return NULL;
    struct device *device = &devices[device_count];
    memset(device, 0, sizeof *device);
    device->index = device_count++;
    for (size_t i = 0; i < COUNT_OF(NUMBERS); i++) *PART(device, double, NUMBERS[i].at) = NUMBERS[i].initial;
    return device;
}

static void forget_devices(void) {
    for (int i = 0; i < device_count; i++) {
        for (size_t j = 0; j < COUNT_OF(TABLES); j++) free(PART(&devices[i], struct rows, TABLES[j].at)->at);
        free(devices[i].load.at_s);
        free(devices[i].load.power_w);
        free(devices[i].load.so_far_j);
    }
    device_count = init_error = 0;
    origin_ns = 0;
    *driver_version = '\0';
}

/* Take one line; `device` is the one that it is about, NULL before the first. Returns 0 for a mistake. */
static int take_line(char *line, struct device **device) {
    line += strspn(line, " \t");
    line[strcspn(line, "\r\n")] = '\0';
    if (*line == '\0' || *line == '#') return 1;
    if (strcmp(line, "[device]") == 0) return (*device = new_device()) != NULL;
    char *equals = strstr(line, " = ");
    if (!equals) return 0;
    *equals = '\0';
    return *device ? set_of_device(*device, line, equals + 3) : set_of_all(line, equals + 3);
}

/* Read a whole script. Returns 0, or the number of the line that is a mistake (-1: it cannot be read). */
static int read_lines(FILE *script) {
    char line[1024];
    struct device *device = NULL;
    forget_devices();
    for (int number = 1; fgets(line, sizeof line, script); number++)
        if (!take_line(line, &device)) return number;
    for (int i = 0; i < device_count; i++) work_out_levels(&devices[i]);
    return 0;
}

/* The devices that there are without a script. */
static const char DEFAULT_SCRIPT[] =
    "[device]\n"
    "name = Simulated GPU 0\n"
    "uuid = GPU-00000000-sim0-0000-0000-000000000000\n"
    "capability = 9.0\n"
    "level = 0 100 0\n"
    "[device]\n"
    "name = Simulated GPU 1\n"
    "uuid = GPU-00000000-sim1-0000-0000-000000000000\n"
    "capability = 7.5\n"
    "level = 0 50 0\n"
    "fail = total_energy 3\n"
    "fail = field_83 3\n";

static int read_script(const char *path) {
    FILE *script = path ? fopen(path, "r") : fmemopen((void *)DEFAULT_SCRIPT, sizeof DEFAULT_SCRIPT - 1, "r");
    int mistake = script ? read_lines(script) : -1;
    if (script) fclose(script);
    if (mistake) fprintf(stderr, "simulated GPU: %s:%d: not understood\n", path, mistake);
    return mistake;
}

#endif
