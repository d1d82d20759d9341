/* A simulated NVML (libnvidia-ml.so.1) with GPUs whose true power is known, loaded by the real nvidia-ml-py.
 *
 * LLEM_SIMULATED_GPU names the script that says what the GPUs are and do (its keys: script.h; benchmarks/
 * simulated_gpu.py writes one and knows the truth by a computation of its own). Without it there are two:
 *
 *   GPU-00000000-sim0-...  100 W; a true energy counter, published every 100 ms; compute capability 9.0.
 *   GPU-00000000-sim1-...   50 W; no energy counter (NOT_SUPPORTED); compute capability 7.5.
 *
 * LLEM_SIMULATED_COOLING=100:20:40 gives GPUs without a scripted temperature one: the first has 100 degrees Celsius
 * when it is first asked and falls by 20 a second to 40; the others have 40 all the time.
 *
 * What a script does not give is NOT_SUPPORTED. What is not here at all, pynvml reports as a function that the driver
 * does not have: another kind of "unknown".
 *
 *   cc -shared -fPIC -Wl,-soname,libnvidia-ml.so.1 -o libnvidia-ml.so.1 nvml.c -lm -lpthread
 */
#include "sim.h"
#include "clock.h"
#include "truth.h"
#include "sensor.h"
#include "script.h"
#include "fields.h"

static int users;  /* nvmlInit less nvmlShutdown */
static int loaded; /* a script, or the GPUs that there are without one */

/* The simulation's own functions, for tests in this process. */

/* Set the virtual clock; 0 goes back to the real one. */
void llem_sim_set_time_ns(unsigned long long ns) {
    pthread_mutex_lock(&lock);
    virtual_ns = ns;
    pthread_mutex_unlock(&lock);
}

unsigned long long llem_sim_time_ns(void) {
    pthread_mutex_lock(&lock);
    unsigned long long ns = (unsigned long long)now_ns();
    pthread_mutex_unlock(&lock);
    return ns;
}

/* Read another script (NULL: none). Returns 0, or the number of the line that is a mistake. */
int llem_sim_load(const char *path) {
    pthread_mutex_lock(&lock);
    int mistake = read_script(path);
    loaded = !mistake;
    pthread_mutex_unlock(&lock);
    return mistake;
}

/* What begins and ends each call on a device. */

/* Take the lock and the time that the call takes; tell whether it fails. `end` gives the lock back. */
static int begin(struct device *device, int call) {
    pthread_mutex_lock(&lock);
    if (!users) return UNINITIALIZED;
    if (device < devices || device >= devices + device_count) return INVALID_ARGUMENT;
    refresh_load(device);
    take_time(device);
    refresh_load(device); /* time may have passed */
    return failure(device, call);
}

static int end(int code) {
    pthread_mutex_unlock(&lock);
    return code;
}

/* Tell a number that the script may have left out. */
static int tell(struct device *device, int call, double value, unsigned *told) {
    int code = begin(device, call);
    if (code == SUCCESS && isnan(value)) code = NOT_SUPPORTED;
    if (code == SUCCESS) *told = as_unsigned(value);
    return end(code);
}

static int tell_text(struct device *device, int call, const char *value, char *told, unsigned length) {
    int code = begin(device, call);
    if (code == SUCCESS && snprintf(told, length, "%s", value) >= (int)length) code = INSUFFICIENT_SIZE;
    return end(code);
}

/* The driver. */

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    if (!loaded) loaded = !read_script(getenv("LLEM_SIMULATED_GPU"));
    int code = loaded ? init_error : UNKNOWN_ERROR;
    if (code == SUCCESS) users++;
    return end(code);
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    pthread_mutex_lock(&lock);
    return end(users ? (users--, SUCCESS) : UNINITIALIZED);
}

const char *nvmlErrorString(int code) {
    switch (code) {
        case SUCCESS: return "The operation was successful";
        case UNINITIALIZED: return "Uninitialized";
        case INVALID_ARGUMENT: return "Invalid Argument";
        case NOT_SUPPORTED: return "Not Supported";
        case 4: return "Insufficient Permissions";
        case NOT_FOUND: return "Not Found";
        case INSUFFICIENT_SIZE: return "Insufficient Size";
        case 9: return "Driver Not Loaded";
        case 10: return "Timeout";
        case 13: return "Function Not Found";
        case GPU_IS_LOST: return "GPU is lost";
        case 16: return "GPU requires restart";
        case 18: return "Driver/library version mismatch";
        default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    if (!users) return UNINITIALIZED;
    if (!*driver_version) return NOT_SUPPORTED;
    snprintf(version, length, "%s", driver_version);
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    if (!users) return UNINITIALIZED;
    *count = (unsigned)device_count;
    return SUCCESS;
}

/* What a device is. */

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device) {
    if (!users) return UNINITIALIZED;
    if (index >= (unsigned)device_count) return INVALID_ARGUMENT;
    *device = &devices[index];
    return end(begin(*device, HANDLE));
}

int nvmlDeviceGetHandleByUUID(const char *uuid, struct device **device) {
    if (!users) return UNINITIALIZED;
    for (unsigned i = 0; i < (unsigned)device_count; i++)
        if (strcmp(devices[i].uuid, uuid) == 0) return nvmlDeviceGetHandleByIndex_v2(i, device);
    return NOT_FOUND;
}

int nvmlDeviceGetIndex(struct device *device, unsigned *index) {
    return tell(device, OTHER, (double)(device - devices), index);
}

int nvmlDeviceGetUUID(struct device *device, char *uuid, unsigned length) {
    return tell_text(device, UUID, device->uuid, uuid, length);
}

int nvmlDeviceGetName(struct device *device, char *name, unsigned length) {
    return tell_text(device, NAME, device->name, name, length);
}

int nvmlDeviceGetCudaComputeCapability(struct device *device, int *major, int *minor) {
    int code = begin(device, CAPABILITY);
    if (code == SUCCESS && sscanf(device->capability, "%d.%d", major, minor) != 2) code = NOT_SUPPORTED;
    return end(code);
}

/* nvmlDeviceArchitecture_t by compute capability: Pascal 4, Volta 5, Turing 6, Ampere 7, Ada 8, Hopper 9, newer 10. */
int nvmlDeviceGetArchitecture(struct device *device, unsigned *architecture) {
    double capability = *device->capability ? atof(device->capability) : NAN;
    double value = capability < 7 ? 4 : capability < 7.5 ? 5 : capability < 8 ? 6 : capability < 8.9 ? 7
                 : capability < 9 ? 8 : capability < 10 ? 9 : 10;
    return tell(device, ARCHITECTURE, isnan(capability) ? NAN : value, architecture);
}

int nvmlDeviceGetEnforcedPowerLimit(struct device *device, unsigned *limit_mw) {
    return tell(device, POWER_LIMIT, device->power_limit_w * 1000, limit_mw);
}

int nvmlDeviceGetPowerManagementLimit(struct device *device, unsigned *limit_mw) {
    return tell(device, POWER_LIMIT, device->power_limit_w * 1000, limit_mw);
}

int nvmlDeviceGetPersistenceMode(struct device *device, unsigned *mode) {
    return tell(device, PERSISTENCE, device->persistence, mode);
}

int nvmlDeviceGetMigMode(struct device *device, unsigned *current, unsigned *pending) {
    int code = tell(device, MIG, device->mig, current);
    if (code == SUCCESS) *pending = *current;
    return code;
}

int nvmlDeviceGetC2cModeInfoV(struct device *device, void *info) {
    (void)info; /* no Grace Hopper; Zeus asks, and warns of any other answer */
    int code = begin(device, OTHER);
    return end(code ? code : NOT_SUPPORTED);
}

struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };

static double bytes_of_processes(const struct device *device) {
    double bytes = 0;
    for (int i = 0; i < device->processes.count; i++) {
        const double *row = device->processes.at[i];
        if (within(now_s(device), row[PROCESS_FROM_S], row[PROCESS_TO_S])) bytes += otherwise(row[PROCESS_BYTES], 0);
    }
    return bytes;
}

int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory) {
    int code = begin(device, MEMORY);
    if (code == SUCCESS && isnan(device->memory_bytes)) code = NOT_SUPPORTED;
    if (code == SUCCESS) {
        memory->total = (unsigned long long)device->memory_bytes;
        memory->used = (unsigned long long)(device->memory_used_bytes + bytes_of_processes(device));
        memory->free = memory->total - memory->used;
    }
    return end(code);
}

int nvmlDeviceGetMemoryInfo_v2(struct device *device, struct memory_v2 *memory) {
    struct memory plain;
    int code = nvmlDeviceGetMemoryInfo(device, &plain);
    if (code == SUCCESS) *memory = (struct memory_v2){memory->version, plain.total, 0, plain.free, plain.used};
    return code;
}

/* Energy and power. */

int nvmlDeviceGetTotalEnergyConsumption(struct device *device, unsigned long long *energy_mj) {
    int code = begin(device, TOTAL_ENERGY);
    if (code == SUCCESS) *energy_mj = (unsigned long long)counter_mj(device, last_tick(device));
    return end(code);
}

int nvmlDeviceGetPowerUsage(struct device *device, unsigned *power) {
    int code = begin(device, POWER_USAGE);
    if (code == SUCCESS) *power = as_unsigned(power_mw(device, last_tick(device), device->power_average_s));
    return end(code);
}

/* Clocks, what slows them down, and warmth. */

int nvmlDeviceGetCurrentClocksEventReasons(struct device *device, unsigned long long *reasons) {
    int code = begin(device, EVENT_REASONS);
    if (code == SUCCESS) *reasons = 0;
    for (int i = 0; code == SUCCESS && i < device->throttles.count; i++) {
        const double *row = device->throttles.at[i];
        if (within(now_s(device), row[NAMED_FROM_S], row[NAMED_TO_S])) *reasons |= REASONS[(int)row[NAMED]].bits;
    }
    return end(code);
}

/* Its name before driver 535. */
int nvmlDeviceGetCurrentClocksThrottleReasons(struct device *device, unsigned long long *reasons) {
    return nvmlDeviceGetCurrentClocksEventReasons(device, reasons);
}

int nvmlDeviceGetClockInfo(struct device *device, unsigned type, unsigned *clock_mhz) {
    double value = NAN;
    int code = begin(device, CLOCK);
    for (int i = 0; i < device->clocks.count; i++) {
        const double *row = device->clocks.at[i];
        if (row[NAMED] == type && row[NAMED_AT_S] <= now_s(device)) value = row[NAMED_VALUE];
    }
    if (code == SUCCESS && isnan(value)) code = NOT_SUPPORTED;
    if (code == SUCCESS) *clock_mhz = as_unsigned(value);
    return end(code);
}

/* By LLEM_SIMULATED_COOLING; NAN where it is not set. */
static double cooling_c(const struct device *device) {
    static long long first_asked_ns;
    const char *cooling = getenv("LLEM_SIMULATED_COOLING");
    double from_c, fall_c_per_s, lowest_c;
    if (!cooling || sscanf(cooling, "%lf:%lf:%lf", &from_c, &fall_c_per_s, &lowest_c) != 3) return NAN;
    long long asked_ns = now_ns();
    if (!first_asked_ns) first_asked_ns = asked_ns;
    double cooled_c = from_c - fall_c_per_s * (double)(asked_ns - first_asked_ns) / 1e9;
    return device->index == 0 ? fmax(cooled_c, lowest_c) : lowest_c;
}

int nvmlDeviceGetTemperature(struct device *device, unsigned sensor, unsigned *temperature_c) {
    int code = begin(device, TEMPERATURE);
    double value = NAN;
    if (code == SUCCESS && sensor != 0) code = INVALID_ARGUMENT;
    if (code == SUCCESS) value = device->temperatures.count ? line_value(&device->temperatures, now_s(device)) : cooling_c(device);
    if (code == SUCCESS && isnan(value)) code = NOT_SUPPORTED;
    if (code == SUCCESS) *temperature_c = as_unsigned(value);
    return end(code);
}

struct temperature_v1 { unsigned version, sensor; int temperature_c; };

int nvmlDeviceGetTemperatureV(struct device *device, struct temperature_v1 *temperature) {
    unsigned celsius = 0;
    int code = nvmlDeviceGetTemperature(device, temperature->sensor, &celsius);
    if (code == SUCCESS) temperature->temperature_c = (int)celsius;
    return code;
}

/* Who uses the device. */

struct process { unsigned pid; unsigned long long used_bytes; unsigned gpu_instance, compute_instance; };
#define NOT_AVAILABLE ULLONG_MAX

static unsigned list_processes(const struct device *device, struct process *processes, unsigned room) {
    unsigned count = 0;
    for (int i = 0; i < device->processes.count; i++) {
        const double *row = device->processes.at[i];
        if (!within(now_s(device), row[PROCESS_FROM_S], row[PROCESS_TO_S])) continue;
        if (processes && count < room) {
            double bytes = row[PROCESS_BYTES];
            unsigned long long used_bytes = isnan(bytes) ? NOT_AVAILABLE : (unsigned long long)bytes;
            processes[count] = (struct process){(unsigned)row[PROCESS_PID], used_bytes, UINT_MAX, UINT_MAX};
        }
        count++;
    }
    return count;
}

/* Asked twice by pynvml: first for how many there are, with no room. */
int nvmlDeviceGetComputeRunningProcesses_v3(struct device *device, unsigned *count, struct process *processes) {
    int code = begin(device, PROCESSES);
    if (code == SUCCESS) {
        unsigned room = processes ? *count : 0;
        *count = list_processes(device, processes, room);
        code = *count > room ? INSUFFICIENT_SIZE : SUCCESS;
    }
    return end(code);
}

int nvmlDeviceGetComputeRunningProcesses_v2(struct device *device, unsigned *count, struct process *processes) {
    return nvmlDeviceGetComputeRunningProcesses_v3(device, count, processes);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(struct device *device, unsigned *count, struct process *processes) {
    (void)processes;
    *count = 0;
    return end(begin(device, PROCESSES));
}

struct utilization { unsigned gpu, memory; };

int nvmlDeviceGetUtilizationRates(struct device *device, struct utilization *rates) {
    int code = begin(device, UTILIZATION);
    double percent = step_value(&device->utilization, now_s(device));
    if (code == SUCCESS && isnan(percent)) code = NOT_SUPPORTED;
    if (code == SUCCESS) *rates = (struct utilization){as_unsigned(percent), 0};
    return end(code);
}

int nvmlDeviceGetComputeMode(struct device *device, unsigned *mode) { return tell(device, OTHER, 0, mode); }

/* Field values. */

int nvmlDeviceGetFieldValues(struct device *device, int count, struct field_value *fields) {
    int code = begin(device, FIELD_VALUES);
    for (int i = 0; code == SUCCESS && i < count; i++) {
        fields[i].timestamp_us = stamp_us(device);
        fields[i].latency_us = 0;
        fields[i].code = fill(device, &fields[i]);
    }
    return end(code);
}
