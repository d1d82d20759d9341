"""A worker that acts: it speaks the worker's protocol without any model, and misbehaves as it is told to.

The trial's ``model.behaviour`` says how, with what it takes behind a colon (``hang_in:load``); ``first:X``
misbehaves as X in the first attempt only, and ``turns:X/Y`` as X in the first one and as Y from the second one on.
Raw JSON and no pydantic, so that a trial takes milliseconds.
"""

import ctypes
import faulthandler
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from llem.lifeline import die_with_parent

FOR_EVER_S = 3600
PHASES = ("load", "prepare", "warmup", "measure", "latency", "teardown")
ESCAPES = "\x1b]0;pwned\x07\x1b[2J\x1b[31m\x1b]52;c;cm0=\x07\x9b31m\u202e\x7f\u2066\x1b]8;;http://a\x1b\\"
CUDA_OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 64.00 GiB. "
    "GPU 0 has a total capacity of 79.18 GiB of which 43.26 GiB is free."
)


class Worker:
    """This attempt: its specification, the pipe to the parent and the one from it."""

    def __init__(self, spec: dict, pipe: int, hearing: int) -> None:
        self.spec = spec
        self.pipe = pipe
        self.hearing = hearing
        self.model = spec["config"]["model"]

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.pipe, view) :]

    def send(self, **message: object) -> None:
        self.write(line(**message))

    def phases(self, last: str = "measure") -> None:
        for phase in PHASES[: PHASES.index(last) + 1]:
            self.write(phase_line(phase))

    def enter_soak(self) -> int:
        self.phases("warmup")
        start_ns = time.monotonic_ns()
        self.send(type="phase", phase="soak", t_ns=start_ns, devices=["package-0"])
        return start_ns

    def soak(self) -> dict:
        """Soak until the parent says to go on, and return the record of that."""
        start_ns = self.enter_soak()
        heard = select.select([self.hearing], [], [], float(self.model.get("soak_s", 30)))[0]
        told = json.loads(os.read(self.hearing, 1 << 16)) if heard else {"steady": False, "reason": "not steady"}
        self.write(phase_line("measure"))
        return {
            "interval": {"start_ns": start_ns, "end_ns": time.monotonic_ns()},
            "passes": 1,
            "steady": told["steady"],
            "reason": told["reason"],
        }

    def draw(self, power: str) -> int:
        """Have the simulated GPU draw this power of the model from now on, where it has a load file; return now."""
        now_ns = time.monotonic_ns()
        if "load_file" in self.model:
            with open(self.model["load_file"], "a") as file:
                file.write(f"{now_ns} {self.model[power]}\n")
        return now_ns

    def result(self, **changes: object) -> bytes:
        """Measure nothing for a while and return the message that says so, with ``changes`` to its parts."""
        guard_start_ns = time.monotonic_ns()
        anchor = datetime.now(UTC).isoformat()
        time.sleep(float(self.model.get("settle_s", 0)))
        t0_ns = self.draw("work_w")
        time.sleep(float(self.model.get("window_s", 0.01)))
        t1_ns = self.draw("idle_w")
        time.sleep(float(self.model.get("settle_s", 0)))  # until a sensor has told of the window's end
        asked = self.spec["config"]["prompts"]["count"] * self.spec["config"]["generation"]["output_tokens"]
        measured = {
            "window": {
                "t0_ns": t0_ns,
                "t1_ns": t1_ns,
                "guard_start_ns": guard_start_ns,
                "guard_end_ns": time.monotonic_ns(),
                "anchor_monotonic_ns": guard_start_ns,
                "anchor_utc": anchor,
                "passes": 1,
            },
            "work": {
                "requests": 1,
                "input_tokens": 4,
                "padding_tokens": 0,
                "output_tokens": asked,
                "asked_output_tokens": asked,
                "prompts_sha256": "0" * 64,
                "outputs_sha256": None,
            },
            "latency": {"ttft_s": None, "itl_s": None, "tpot_s": None, "end_to_end_s": None, "passes": 0},
            "memory": {"torch_allocated_bytes": None, "torch_reserved_bytes": None, "rss_bytes": 1_000_000},
            "model": {
                "parameters": 1,
                "weight_bytes": 4,
                "dtype": "float32",
                "attn_implementation": None,
                "devices": self.model.get("devices", ["cpu"]),
                "device_names": ["acted"],
                "tokenizer": "bytes",
                "revision": None,
                "weights_sha256": None,
                "unknown": {"revision": "acted", "weights_sha256": "acted"},
            },
            "flops": {"per_pass": None, "source": None, "reason": "acted"},
            "load_s": 0.0,
            "libraries": {},
            "warmup_s": [],
        }
        for part, values in changes.items():
            measured.setdefault(part, {}).update(values)
        return line(type="result", measured=measured)


def line(**message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


def phase_line(phase: str) -> bytes:
    return line(type="phase", phase=phase, t_ns=time.monotonic_ns())


def ok(worker: Worker) -> None:
    worker.phases()
    result = worker.result()
    worker.write(phase_line("teardown"))
    worker.write(result)


ok_too = ok


def healthy(worker: Worker, number: str) -> None:
    """Be one of many that are well, and other experiments than each other."""
    ok(worker)


def tell_state(worker: Worker) -> None:
    """Tell in the log what this process has and is, and then leave it as soiled as can be."""
    state = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgrp(),
        "session": os.getsid(0),
        "threads": len(os.listdir("/proc/self/task")),
        "descriptors": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in descriptors()},
        "pipes": [worker.pipe, worker.hearing],
        "handlers": {s.name: str(signal.getsignal(s)) for s in signal.Signals if s != signal.SIGINT},
        "blocked": [int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "folder": os.getcwd(),
        "umask": os.umask(0o22),
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
        "environment": dict(os.environ),
        "drawn": random.random(),
        "soiled": list(SOILED),
        "faulthandler": faulthandler.is_enabled(),
        "stdin_left": len(sys.stdin.buffer.read()),
        "arguments": sys.argv[1:],
        "name": Path("/proc/self/comm").read_text().strip(),
        "deathsig": death_signal(),
    }
    print(json.dumps(state), flush=True)
    SOILED.append("a trial was here")
    os.environ["SOILED"] = "yes"
    os.chdir("/")
    os.umask(0)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    random.seed(0)
    threading.Thread(target=time.sleep, args=(FOR_EVER_S,), daemon=True).start()
    open("/dev/zero").close()
    worker.phases()
    worker.write(worker.result())
    os._exit(0)


SOILED: list[str] = []


def descriptors() -> list[int]:
    return [fd for fd in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{fd}")]


def death_signal() -> int:
    found = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(found), 0, 0, 0)  # PR_GET_PDEATHSIG
    return found.value


def leave_daemon(worker: Worker) -> None:
    """Leave a process as a daemon: forked twice, in a session of its own, with an empty environment."""
    worker.phases("load")
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        Path(worker.model["pid_file"]).write_text(str(os.getpid()))
        os.execve(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(3600)"], {})
    os.wait()
    while not os.path.exists(worker.model["pid_file"]) or not Path(worker.model["pid_file"]).read_text():
        time.sleep(0.001)
    os._exit(7)


def soak(worker: Worker) -> None:
    soaked = worker.soak()
    worker.write(worker.result(soak=soaked))


def close_its_ears_and_soak(worker: Worker) -> None:
    os.close(worker.hearing)
    worker.enter_soak()
    time.sleep(0.2)
    worker.write(phase_line("measure"))
    worker.write(worker.result())


def load_in_the_past(worker: Worker) -> None:
    worker.phases()
    earlier_ns = time.monotonic_ns() - 3600 * 10**9
    worker.write(worker.result(load={"start_ns": earlier_ns, "end_ns": earlier_ns + 1}))
    time.sleep(FOR_EVER_S)


def load_after_the_warmup(worker: Worker) -> None:
    worker.phases()
    began_ns = time.monotonic_ns()
    time.sleep(0.05)
    load = {"start_ns": began_ns, "end_ns": began_ns + 1}
    repeats = {"repeats": [load], "converged": True}
    worker.write(worker.result(warmup=repeats, load={"start_ns": began_ns + 1, "end_ns": began_ns + 2}))
    time.sleep(FOR_EVER_S)


def prefill_within_the_window(worker: Worker) -> None:
    worker.phases()
    measured = json.loads(worker.result())["measured"]
    window = {**measured["window"], "guard_start_ns": measured["window"]["t0_ns"]}
    prefill = {"window": window, "requests": 1, "input_tokens": 4, "output_tokens": 1}
    worker.send(type="result", measured={**measured, "prefill": prefill})
    time.sleep(FOR_EVER_S)


def thousands_of_segments(worker: Worker) -> None:
    worker.phases()
    measured = json.loads(worker.result())["measured"]
    begin_ns, count = measured["window"]["t0_ns"], 4000
    edges = [[begin_ns + 4 * number + step for step in range(4)] for number in range(count)]
    names = ("guard_start_ns", "t0_ns", "t1_ns", "guard_end_ns")
    segments = [{**dict(zip(names, each, strict=True)), "passes": 1} for each in edges]
    first, last = segments[0], segments[-1]
    window = {
        **measured["window"],
        **{name: first[name] for name in names[:2]},
        **{name: last[name] for name in names[2:]},
        "passes": count,
        "segments": segments,
    }
    worker.send(type="result", measured={**measured, "window": window})
    time.sleep(FOR_EVER_S)


def a_million_repeats(worker: Worker) -> None:
    worker.phases()
    repeat = {"start_ns": 1, "end_ns": 2}
    worker.write(worker.result(warmup={"repeats": [repeat] * 1_000_000, "converged": True}))


def segfault(worker: Worker) -> None:
    worker.phases()
    ctypes.string_at(0)


def abort(worker: Worker) -> None:
    worker.phases("load")
    os.abort()


def kill_itself(worker: Worker) -> None:
    worker.phases("warmup")
    os.kill(os.getpid(), signal.SIGKILL)


def out_of_host_memory(worker: Worker) -> None:
    """Die as the kernel has a process die that is out of memory: it counts, then it kills."""
    worker.phases("measure")
    counter = Path(os.environ["LLEM_ACTING_ROOT"]) / "sys/fs/cgroup/job/memory.events"
    kills = int(counter.read_text().split()[-1])
    counter.write_text(f"oom 7\noom_kill {kills + 1}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def out_of_memory_above(worker: Worker) -> None:
    """Have memory for a batch of so many, and no more, as torch says it on a GPU."""
    most = int(os.environ["LLEM_ACTING_MOST_BATCH"])
    if worker.spec["config"]["batch_size"] > most:
        worker.phases("warmup")
        worker.send(type="error", error_type="OutOfMemory", error_message=CUDA_OUT_OF_MEMORY)
        os._exit(1)
    ok(worker)


def realtime_signal(worker: Worker) -> None:
    worker.phases("load")
    os.kill(os.getpid(), signal.SIGRTMIN + 6)


def exit_0(worker: Worker) -> None:
    os._exit(0)


def exit_3(worker: Worker) -> None:
    os._exit(3)


def exit_after_phases(worker: Worker) -> None:
    worker.phases("teardown")
    os._exit(0)


def garbage(worker: Worker) -> None:
    worker.phases()
    time.sleep(0.2)
    worker.write(b"Loading checkpoint shards: 100%\xff\xfe\n")
    time.sleep(FOR_EVER_S)


def garbage_nested(worker: Worker) -> None:
    worker.write(b"[" * 900_000 + b"\n")
    time.sleep(FOR_EVER_S)


def garbage_after_phases_at_once(worker: Worker) -> None:
    worker.write(phase_line("load") + phase_line("prepare") + b"garbage\n")
    time.sleep(FOR_EVER_S)


def garbage_after_result_at_once(worker: Worker) -> None:
    worker.phases()
    worker.write(worker.result() + b"garbage\n")


def unknown_message(worker: Worker) -> None:
    worker.send(type="energy", energy_j=1.0)
    time.sleep(FOR_EVER_S)


def not_a_number(worker: Worker) -> None:
    worker.write(worker.result(latency={"passes": 0}).replace(b'"load_s": 0.0', b'"load_s": NaN'))


def torn(worker: Worker) -> None:
    worker.phases()
    time.sleep(0.1)
    worker.write(worker.result()[:-40])
    os._exit(0)


def torn_by_a_kill(worker: Worker) -> None:
    worker.phases()
    time.sleep(0.1)
    worker.write(worker.result()[:-40])
    os.kill(os.getpid(), signal.SIGKILL)


def line_of_50_mb(worker: Worker) -> None:
    worker.phases("load")
    time.sleep(0.1)
    worker.write(b'{"type": "' + b"x" * 50_000_000 + b'"}\n')


def flood(worker: Worker, thousands: str = "100") -> None:
    worker.phases("measure")
    chunk = line(type="progress", done=1, fraction=0.5) * 1000
    for _ in range(int(thousands)):
        worker.write(chunk)
    worker.write(worker.result())


def results_before_anything(worker: Worker) -> None:
    """Say everything in the wrong order: the result first, then how it came about."""
    worker.write(worker.result() + phase_line("teardown") + phase_line("load"))


def phases_backwards(worker: Worker) -> None:
    worker.write(phase_line("measure"))
    time.sleep(0.1)
    worker.write(phase_line("load"))
    time.sleep(FOR_EVER_S)


def result_twice(worker: Worker) -> None:
    worker.phases()
    worker.write(worker.result() + worker.result())


def result_then_segfault(worker: Worker) -> None:
    ok(worker)
    ctypes.string_at(0)


def result_then_slow_exit(worker: Worker) -> None:
    ok(worker)
    time.sleep(FOR_EVER_S)


def window_in_the_future(worker: Worker) -> None:
    worker.phases()
    later_ns = time.monotonic_ns() + 3600 * 10**9
    worker.write(worker.result(window={"t1_ns": later_ns, "guard_end_ns": later_ns}))
    time.sleep(FOR_EVER_S)


def window_in_the_past(worker: Worker) -> None:
    worker.phases()
    earlier_ns = time.monotonic_ns() - 3600 * 10**9
    worker.write(worker.result(window={"t0_ns": earlier_ns, "guard_start_ns": earlier_ns}))
    time.sleep(FOR_EVER_S)


def window_backwards(worker: Worker) -> None:
    worker.phases()
    worker.write(worker.result(window={"t1_ns": 1}))
    time.sleep(FOR_EVER_S)


def numbers_beyond_floats(worker: Worker) -> None:
    worker.phases()
    worker.write(worker.result(work={"output_tokens": 10**400}))
    time.sleep(FOR_EVER_S)


def fewer_tokens_than_asked(worker: Worker) -> None:
    worker.phases()
    worker.write(worker.result(work={"output_tokens": 1}))


def close_pipe_and_sleep(worker: Worker) -> None:
    worker.phases("load")
    os.close(worker.pipe)
    time.sleep(FOR_EVER_S)


def close_pipe_and_exit(worker: Worker) -> None:
    worker.phases("load")
    os.close(worker.pipe)
    os._exit(5)


def silent_start(worker: Worker) -> None:
    time.sleep(FOR_EVER_S)


def hang(worker: Worker) -> None:
    worker.phases()
    time.sleep(FOR_EVER_S)


def hang_in(worker: Worker, phase: str) -> None:
    worker.phases(phase if phase in PHASES else "prepare")
    if phase not in PHASES:
        worker.write(phase_line(phase))
    time.sleep(FOR_EVER_S)


def speak_for_a_while(worker: Worker) -> None:
    worker.phases()
    for done in range(15):
        worker.send(type="progress", done=done, fraction=None)
        time.sleep(0.1)
    worker.write(worker.result())


def wait_for_a_file(worker: Worker) -> None:
    """Measure until the model's file ``until`` is there, so that a test can do something meanwhile."""
    worker.phases()
    while not Path(worker.model["until"]).exists():
        time.sleep(0.02)
    worker.write(worker.result())


def hang_and_ignore_term(worker: Worker) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker.phases()
    while True:
        time.sleep(FOR_EVER_S)


def stop_itself(worker: Worker) -> None:
    worker.phases("load")
    os.kill(os.getpid(), signal.SIGSTOP)


def child(code: str, worker: Worker, **options: object) -> None:
    """Leave a child that ignores TERM and holds the pipe."""
    prefix = "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); pipe = int(sys.argv[1])\n"
    command = [sys.executable, "-S", "-c", prefix + code, str(worker.pipe)]
    subprocess.Popen(command, pass_fds=(worker.pipe,), **options)


def leave_children(worker: Worker) -> None:
    worker.phases("load")
    child("time.sleep(3600)", worker)
    child("time.sleep(3600)", worker, start_new_session=True)
    os._exit(7)


def leave_children_after_result(worker: Worker) -> None:
    child("time.sleep(3600)", worker)
    child("time.sleep(3600)", worker, start_new_session=True)
    ok(worker)


def hang_with_children(worker: Worker) -> None:
    child("time.sleep(3600)", worker)
    child("time.sleep(3600)", worker, start_new_session=True)
    hang(worker)


def leave_flooding_child(worker: Worker) -> None:
    worker.phases("load")
    flooding = """
while True:
    os.write(pipe, b'{"type": "progress", "done": 1, "fraction": 0.5}\\n' * 50)
"""
    child(flooding, worker, start_new_session=True)
    time.sleep(0.5)
    os._exit(0)


def loud(worker: Worker, megabytes: str = "100") -> None:
    worker.phases()
    block = b"loud " * 200_000
    for _ in range(int(megabytes)):
        sys.stdout.buffer.write(block)
    sys.stdout.flush()
    worker.write(worker.result())


def escapes_in_error(worker: Worker) -> None:
    worker.phases("load")
    worker.send(type="error", error_type="Bad", error_message=f"bad {ESCAPES} bad", traceback=ESCAPES)


def escapes_in_error_type(worker: Worker) -> None:
    worker.send(type="error", error_type=f"Bad{ESCAPES}", error_message="bad")


def escapes_in_log(worker: Worker) -> None:
    print(f"last words {ESCAPES}", file=sys.stderr, flush=True)
    os._exit(4)


def escapes_on_pipe(worker: Worker) -> None:
    worker.write(ESCAPES.encode() + b"\n")


def secret_in_error(worker: Worker) -> None:
    told = f"401 for url: https://hub/x?a=1 with {os.environ['HUB_TOKEN']} and {os.environ['OTHER_PASSWORD']!r}"
    print(f"asked with {dict(os.environ)}", file=sys.stderr, flush=True)
    worker.phases("load")
    worker.send(type="error", error_type="HTTPError", error_message=told, traceback=f"Traceback …\n{told}")


def secret_in_log(worker: Worker) -> None:
    print(f"{'.' * 190} {os.environ['HUB_TOKEN']}", flush=True)
    os._exit(4)


def secret_on_pipe(worker: Worker) -> None:
    worker.write(f"{'.' * 60} {os.environ['HUB_TOKEN']}\n".encode())


def out_of_memory(worker: Worker) -> None:
    worker.phases("load")
    worker.send(type="error", error_type="OutOfMemory", error_message="CUDA out of memory. Lower batch_size.")
    os._exit(1)


def exception(worker: Worker) -> None:
    worker.phases("warmup")
    worker.send(
        type="error", error_type="RuntimeError", error_message="shapes differ", traceback="Traceback …\nRuntimeError"
    )
    os._exit(1)


def tell_of_survivors(spec: dict, study: str) -> None:
    """Say in the log which processes of other attempts of this study live while this one starts."""
    own = os.environ["LLEM_ATTEMPT"]
    ours = (str(os.getpid()), str(os.getppid()))  # a forked one shows the variables of its zygote
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and folder.name not in ours:
            try:
                variables = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            for variable in variables:
                name, _, value = variable.decode("utf-8", "replace").partition("=")
                if name == "LLEM_ATTEMPT" and value.startswith(study) and value != own:
                    print(f"SURVIVOR {folder.name} of {value}", flush=True)


def main() -> None:
    parent, pipe, hearing = sys.argv[1:]
    die_with_parent(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spec = json.loads(sys.stdin.buffer.read())
    tell_of_survivors(spec, os.environ["LLEM_ATTEMPT"].rsplit("/", 2)[0] + "/")
    worker = Worker(spec, int(pipe), int(hearing))
    behaviour = worker.model.get("behaviour", "ok")
    if behaviour.startswith("first:"):
        behaviour = behaviour.removeprefix("first:") if spec["attempt"] == 1 else "ok"
    if behaviour.startswith("turns:"):
        turns = behaviour.removeprefix("turns:").split("/")
        behaviour = turns[min(spec["attempt"], len(turns)) - 1]
    name, *more = behaviour.split(":", 1)
    globals()[name](worker, *more)


if __name__ == "__main__":
    main()
