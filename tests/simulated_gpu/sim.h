/* What a script says of the simulated GPUs, and what the parts of nvml.c share.
 *
 * The parts are headers of static functions, so that the library exports nothing but NVML's names and llem_sim_*.
 * Times are seconds relative to the script's origin unless a name says `ns`; powers are in W, energies in J. With
 * `since_load`, all but those of levels and waves count from the first line of the load file: a test then says when a
 * device fails in the work, whenever that begins.
 */
#ifndef SIM_H
#define SIM_H

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_DEVICES 16
#define COLUMNS 6

/* Values of nvmlReturn_t (nvml.h). */
enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    GPU_IS_LOST = 15,
    UNKNOWN_ERROR = 999
};

/* A table of numbers: a repeated key of the script, one row a line. A column that a line leaves out is NAN. */
struct rows {
    int count;
    double (*at)[COLUMNS];
};

/* Columns of the tables. LEVEL_ABOVE_W and LEVEL_SO_FAR_J are worked out when the script has been read. */
enum { LEVEL_START_S, LEVEL_W, LEVEL_TAU_S, LEVEL_ABOVE_W, LEVEL_SO_FAR_J };
enum { WAVE_PERIOD_S, WAVE_DUTY, WAVE_W, WAVE_PHASE_S, WAVE_FROM_S, WAVE_TO_S };
enum { NAMED, NAMED_FROM_S, NAMED_TO_S }; /* throttle; clock and glitch have a value as their last column */
enum { NAMED_AT_S = 1, NAMED_VALUE = 2 };
enum { FAIL_CALL, FAIL_CODE, FAIL_FROM_S, FAIL_TO_S };
enum { PROCESS_PID, PROCESS_FROM_S, PROCESS_TO_S, PROCESS_BYTES };
enum { STEP_AT_S, STEP_VALUE };
enum { STALL_FROM_S, STALL_TO_S };

/* What can fail or be unsupported by name; a field of nvmlDeviceGetFieldValues is FIELD + its number. */
enum call {
    ANY, HANDLE, NAME, UUID, CAPABILITY, ARCHITECTURE, TOTAL_ENERGY, POWER_USAGE, FIELD_VALUES, TEMPERATURE, CLOCK,
    EVENT_REASONS, POWER_LIMIT, PERSISTENCE, MIG, MEMORY, PROCESSES, UTILIZATION, OTHER, FIELD = 1000
};

/* Lines of a load file so far: from each moment on that power; `so_far_j` since the first. */
struct load {
    long read_to, count, room;
    double *at_s, *power_w, *so_far_j;
};

/* The sum of the readings up to a tick, kept so that the next call adds only what is new. */
struct sum {
    int known;
    double since_s, joules;
    long long tick;
};

/* What the counter said at the last tick that was asked for. */
struct published {
    int known;
    long long tick;
    double counter_mj;
};

struct device {
    int index;
    char name[96], uuid[96], capability[16], load_file[512];
    struct rows levels, waves, fails, throttles, clocks, glitches, processes, temperatures, stalls, utilization, resets;
    double period_s, phase_s, latency_s, seen_s, summed, since_s, offset_j, quantum_mj, counter_gain;
    double power_gain, power_quantum_mw, power_average_s, noise_w, seed, call_ms, stamp_at_tick, since_load;
    double power_limit_w, persistence, mig, memory_bytes, memory_used_bytes;
    struct load load;
    struct sum sum;
    struct published published;
};

static struct device devices[MOST_DEVICES];
static int device_count;
static long long origin_ns;
static int init_error;
static char driver_version[80];
/* Held by each call: callers may be threads, and a call changes what is kept of load files and sums. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define LONGEST_S 1e9 /* "for ever", in what nanoseconds can count */

/* When the device's own times begin. */
static inline double start_s(const struct device *device) {
    if (!device->since_load) return 0;
    return device->load.count ? device->load.at_s[0] : LONGEST_S;
}

static inline double otherwise(double value, double instead) { return isnan(value) ? instead : value; }

static inline int within(double at_s, double from_s, double to_s) {
    return at_s >= otherwise(from_s, -INFINITY) && at_s < otherwise(to_s, INFINITY);
}

#endif
