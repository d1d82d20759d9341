/* Field values: many figures in one call, each with a code of its own; and what they share with the plain calls. */
#ifndef FIELDS_H
#define FIELDS_H

#include "script.h"
#include "sensor.h"

static unsigned as_unsigned(double value) { return value >= UINT_MAX ? UINT_MAX : (unsigned)value; }

static long long last_tick(const struct device *device) { return tick_at(device, now_ns() - origin_ns); }

static int failure(const struct device *device, int call) {
    double at_s = now_s(device);
    for (int i = 0; i < device->fails.count; i++) {
        const double *fail = device->fails.at[i];
        if ((fail[FAIL_CALL] == call || fail[FAIL_CALL] == ANY) && within(at_s, fail[FAIL_FROM_S], fail[FAIL_TO_S]))
            return (int)fail[FAIL_CODE];
    }
    return SUCCESS;
}

static unsigned long long throttled_ns(const struct device *device, int reason) {
    double total_s = 0, at_s = now_s(device);
    for (int i = 0; i < device->throttles.count; i++) {
        const double *row = device->throttles.at[i];
        double from_s = otherwise(row[NAMED_FROM_S], 0), to_s = fmin(otherwise(row[NAMED_TO_S], INFINITY), at_s);
        if (row[NAMED] == reason) total_s += fmax(to_s - from_s, 0);
    }
    return (unsigned long long)in_ns(total_s);
}

struct field_value {
    unsigned field, scope;
    long long timestamp_us, latency_us;
    unsigned type, code;
    union { unsigned ui; unsigned long long ull; } value;
};
enum { TYPE_UNSIGNED_INT = 1, TYPE_UNSIGNED_LONG_LONG = 3 };
enum { FIELD_ENERGY = 83, FIELD_POWER_AVERAGE = 185, FIELD_POWER_INSTANT = 186 };

static unsigned fill_throttle(const struct device *device, struct field_value *field) {
    for (int reason = 0; reason < (int)COUNT_OF(REASONS); reason++)
        if (REASONS[reason].field && REASONS[reason].field == field->field) {
            field->type = TYPE_UNSIGNED_LONG_LONG;
            field->value.ull = throttled_ns(device, reason);
            return SUCCESS;
        }
    return NOT_SUPPORTED;
}

static unsigned fill(struct device *device, struct field_value *field) {
    long long tick = last_tick(device);
    unsigned code = (unsigned)failure(device, FIELD + (int)field->field);
    if (code) return code;
    if (field->field == FIELD_ENERGY) {
        field->type = TYPE_UNSIGNED_LONG_LONG;
        field->value.ull = (unsigned long long)counter_mj(device, tick);
        return SUCCESS;
    }
    if (field->field != FIELD_POWER_AVERAGE && field->field != FIELD_POWER_INSTANT)
        return fill_throttle(device, field);
    if (field->scope != 0) return NOT_SUPPORTED; /* of a module or its memory: this is a plain board */
    field->type = TYPE_UNSIGNED_INT;
    field->value.ui = as_unsigned(power_mw(device, tick, field->field == FIELD_POWER_AVERAGE ? 1 : 0));
    return SUCCESS;
}

/* When a value was taken, in us: since 1970 as NVML says, or by the virtual clock. */
static long long stamp_us(const struct device *device) {
    long long age_ns = now_ns() - origin_ns - in_ns(time_of_tick(device, last_tick(device)));
    long long at_ns = virtual_ns ? (long long)virtual_ns : read_ns(CLOCK_REALTIME);
    return (device->stamp_at_tick ? at_ns - age_ns : at_ns) / 1000;
}

#endif
