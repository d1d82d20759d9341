/* A simulated NVML with two GPUs whose true power is known, loaded by the real nvidia-ml-py.
 *
 *   GPU-00000000-sim0-...  100 W; a true energy counter, published every 100 ms; power readings; compute capability 9.0.
 *   GPU-00000000-sim1-...   50 W; no energy counter (NOT_SUPPORTED); power readings; compute capability 7.5.
 *
 * LLEM_SIMULATED_COOLING=100:20:40 gives them a temperature: sim0 has 100 degrees Celsius when it is first asked and
 * falls by 20 a second to 40; sim1 has 40 all the time. Where it is not set, neither has one (NOT_SUPPORTED).
 *
 * What is not here, pynvml reports as a function that the driver does not have: another kind of "unknown".
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SUCCESS 0
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define GPUS 2
#define COUNTER_PERIOD_MS 100

static const unsigned POWER_MW[GPUS] = {100000, 50000};

struct device { int index; };
static struct device devices[GPUS] = {{0}, {1}};

static unsigned long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { return code == NOT_SUPPORTED ? "Not Supported" : "Simulated error"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = GPUS; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device) {
    if (index >= GPUS) return INVALID_ARGUMENT;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(struct device *device, char *uuid, unsigned length) {
    snprintf(uuid, length, "GPU-00000000-sim%d-0000-0000-000000000000", device->index);
    return SUCCESS;
}

int nvmlDeviceGetName(struct device *device, char *name, unsigned length) {
    snprintf(name, length, "Simulated GPU %d", device->index);
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(struct device *device, unsigned *power_mw) {
    *power_mw = POWER_MW[device->index];
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(struct device *device, unsigned long long *energy_mj) {
    if (device->index == 1) return NOT_SUPPORTED;
    unsigned long long published_ms = now_ms() / COUNTER_PERIOD_MS * COUNTER_PERIOD_MS;
    *energy_mj = published_ms * POWER_MW[device->index] / 1000;
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(struct device *device, int *major, int *minor) {
    *major = device->index == 0 ? 9 : 7;
    *minor = device->index == 0 ? 0 : 5;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(struct device *device, int sensor, unsigned *temperature_c) {
    static unsigned long long first_asked_ms = 0;
    const char *cooling = getenv("LLEM_SIMULATED_COOLING");
    double from_c, fall_c_per_s, lowest_c;
    if (sensor != 0) return INVALID_ARGUMENT;
    if (!cooling || sscanf(cooling, "%lf:%lf:%lf", &from_c, &fall_c_per_s, &lowest_c) != 3) return NOT_SUPPORTED;
    if (!first_asked_ms) first_asked_ms = now_ms();
    double now_c = from_c - fall_c_per_s * (double)(now_ms() - first_asked_ms) / 1000;
    *temperature_c = (unsigned)(device->index == 0 && now_c > lowest_c ? now_c : lowest_c);
    return SUCCESS;
}
