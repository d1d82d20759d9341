"""What recording costs: the share of one core that the real recorder takes, for 1, 2 and 8 GPUs.

    python benchmarks/recorder_cost.py [--seconds 20] [--call-us 0] [--json FILE]

The recorder runs as a process of its own and loads the real nvidia-ml-py, which loads a stand-in for NVML that this
script builds with `cc`: GPUs whose counters tick every 100 ms, each at a phase of its own, and which answer at once.
``--call-us`` has each call of field values take that much processor time, as a driver may. The processor time is what
the recorder itself reports with each result. The bar is 2 % of one core per GPU.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from ratios import Report, options

from llem.domain.edges import Unmeasured, steps
from llem.sensors.samples import read_samples
from llem.study.recording import RecorderClient

BAR = 0.02
STAND_IN = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
struct device { int index; };
struct value { unsigned field, scope; long long at_us, took_us; unsigned type, code; unsigned long long value; };
struct process { unsigned pid; unsigned long long memory; unsigned gpu, compute; };
static struct device devices[64];
static unsigned long long now_ns(int clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static unsigned gpus(void) { return atoi(getenv("LLEM_BENCHMARK_GPUS")); }
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "Not Supported"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = gpus(); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device) {
    devices[index].index = index;
    *device = &devices[index];
    return 0;
}
int nvmlDeviceGetUUID(struct device *d, char *uuid, unsigned n) { snprintf(uuid, n, "GPU-%d", d->index); return 0; }
int nvmlDeviceGetName(struct device *d, char *name, unsigned n) { snprintf(name, n, "Stand-in"); return 0; }
int nvmlDeviceGetTemperature(struct device *d, int sensor, unsigned *c) { *c = 50; return 0; }
int nvmlDeviceGetClockInfo(struct device *d, int clock, unsigned *mhz) { *mhz = 1500; return 0; }
int nvmlDeviceGetCurrentClocksEventReasons(struct device *d, unsigned long long *bits) { *bits = 0; return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(struct device *d, unsigned *count, struct process *found) {
    if (*count == 0) { *count = 1; return 7; }
    memset(found, 0, sizeof *found);
    found->pid = atoi(getenv("LLEM_BENCHMARK_PID"));
    *count = 1;
    return 0;
}
int nvmlDeviceGetFieldValues(struct device *d, int count, struct value *values) {
    unsigned long long spin = atoi(getenv("LLEM_BENCHMARK_CALL_US")) * 1000ull;
    unsigned long long start = now_ns(CLOCK_THREAD_CPUTIME_ID);
    unsigned long long tick = (now_ns(CLOCK_MONOTONIC) + d->index * 13000000ull) / 100000000ull;
    while (spin && now_ns(CLOCK_THREAD_CPUTIME_ID) - start < spin) ;
    for (int i = 0; i < count; i++) {
        unsigned field = values[i].field;
        values[i].code = 0;
        values[i].type = field == 185 || field == 186 ? 1 : 3;
        values[i].value = field == 83 ? tick * 30000 + tick % 97 : values[i].type == 1 ? 300000 + tick % 97 : 0;
    }
    return 0;
}
"""


def main() -> None:
    """Print the cost for each number of GPUs; leave with 1 where one is above the bar."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to record")
    parser.add_argument("--call-us", type=int, default=0, help="processor time that a call takes, in µs")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 2, 8], help="numbers of GPUs to try")
    arguments = parser.parse_args()
    rows = []
    print("GPUs  core per GPU  readings/s per GPU  median width of a tick  MB/h per GPU")
    with tempfile.TemporaryDirectory(prefix="llem-") as name:
        folder = Path(name)
        (folder / "nvml.c").write_text(STAND_IN)
        library = str(folder / "libnvidia-ml.so.1")
        subprocess.run(["cc", "-O2", "-w", "-shared", "-fPIC", "-o", library, str(folder / "nvml.c")], check=True)
        for gpus in arguments.gpus:
            row = recorded(folder, gpus, arguments.seconds, arguments.call_us)
            rows.append(row)
            shown = f"{row['core_per_gpu']:>12.2%} {row['readings_per_s']:>19.0f} {row['tick_width_ms']:>20.2f} ms"
            print(f"{gpus:>4} {shown} {row['megabytes_per_hour']:>13.1f}")
    if arguments.json:
        report = Report("the recorder")
        for row in rows:
            report.add(f"processor per GPU, of {row['gpus']}", [row["core_per_gpu"]], at_most=BAR, unit="of a core")
        arguments.json.write_text(json.dumps({**report.as_json(), "readings": rows}, indent=2))
    sys.exit(max(row["core_per_gpu"] for row in rows) > BAR)


def recorded(folder: Path, gpus: int, seconds: float, call_us: int) -> dict[str, float]:
    """Record that many GPUs and return what it cost, each figure per GPU."""
    os.environ |= {
        "LD_LIBRARY_PATH": str(folder),
        "LLEM_BENCHMARK_GPUS": str(gpus),
        "LLEM_BENCHMARK_PID": str(os.getpid()),
        "LLEM_BENCHMARK_CALL_US": str(call_us),
    }
    client = RecorderClient(["nvml"], folder / "recorder.log", None)
    samples = folder / f"{gpus}.json.gz"
    client.begin(samples)
    time.sleep(seconds)
    cost = client.finish().cost
    client.close()
    moved = steps(read_samples(samples).edges["nvml/GPU-0/energy"])
    assert not isinstance(moved, Unmeasured), moved.reason
    assert cost.cpu_share is not None
    assert cost.devices == gpus
    return {
        "gpus": gpus,
        "core_per_gpu": cost.cpu_share / gpus,
        "readings_per_s": cost.edges / cost.wall_s / gpus,
        "tick_width_ms": median(step.width_ns for step in moved) / 1e6,
        "megabytes_per_hour": samples.stat().st_size / cost.wall_s * 3600 / 1e6 / gpus,
    }


if __name__ == "__main__":
    main()
