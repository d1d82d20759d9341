/* Time: CLOCK_MONOTONIC, or a virtual clock that a test sets, so that it need not wait. */
#ifndef CLOCK_H
#define CLOCK_H

#include "sim.h"

static unsigned long long virtual_ns; /* 0: the real clock */

static long long read_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

static long long now_ns(void) { return virtual_ns ? (long long)virtual_ns : read_ns(CLOCK_MONOTONIC); }

/* Now, by the device's own times. */
static double now_s(const struct device *device) { return (double)(now_ns() - origin_ns) / 1e9 - start_s(device); }

/* Let time pass until `until_ns`: sleep, or move the virtual clock. Called and left with `lock` held. */
static void pass_until(long long until_ns) {
    if (virtual_ns) {
        if (until_ns > (long long)virtual_ns) virtual_ns = (unsigned long long)until_ns;
        return;
    }
    struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    pthread_mutex_unlock(&lock); /* a device that is slow delays no other */
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) continue;
    pthread_mutex_lock(&lock);
}

/* Let a call on `device` take as long as the script says; what it then reads is as of its end. */
static void take_time(const struct device *device) {
    long long until_ns = now_ns() + (long long)(device->call_ms * 1e6);
    double at_s = now_s(device);
    for (int i = 0; i < device->stalls.count; i++) {
        const double *stall = device->stalls.at[i];
        if (!within(at_s, stall[STALL_FROM_S], stall[STALL_TO_S])) continue;
        double end_s = fmin(start_s(device) + otherwise(stall[STALL_TO_S], LONGEST_S), LONGEST_S);
        long long end_ns = origin_ns + (long long)(end_s * 1e9);
        if (end_ns > until_ns) until_ns = end_ns;
    }
    if (until_ns > now_ns()) pass_until(until_ns);
}

#endif
