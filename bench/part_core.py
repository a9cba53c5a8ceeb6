"""part_core.py - the arithmetic: forward and step of one sample, and forward of a batch, on one core, against PyTorch, ONNX Runtime and the
machine's floor.

Rounds go round: PyTorch forward, step and batch, ONNX Runtime forward, batch and a call of nothing, then for each instruction set convd's and
the floor's rates. A figure is that of an undisturbed round: the best tenth of the rounds is passed over, the next is taken, for all alike. The median would flatter convd:
on a shared machine PyTorch, which does not fit into a core's own caches, is the one that a neighbour slows down (bench/NOTES.md).
Time is processor time of a process with one thread, which on a quiet machine is the time on the wall.
"""
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from procs import ENVIRONMENT, HERE, INIT_PLAIN, BenchError, Worker
from report import Goal, Report, at_least, at_most, times

SLICE_NS = 12e6  # of one measurement: short, so that most are undisturbed where others use the machine
PYTHON = "/usr/bin/python3"  # Debian's: the one that python3-torch belongs to
LACK = "peer not there: install python3-torch"
LACK_ONNX = "peer not there: install nodejs and npm; onnxruntime-node comes from npm's registry"
IMAGES = 64  # in the file that both work on: one batch
VERBS = {"forward": at_least(7), "step": at_least(25), "batch": at_least(2)}
ONNX_VERBS = {"forward": at_least(3), "batch": at_least(1.5)}
RATES = ("fma", "read", "update")
WHAT = {"forward": "forward", "step": "train step", "batch": f"forward, an image of {IMAGES}"}
# Times the floor, at most; by the instruction set and what is done.
NEAR = {"x86-64-v4": {"forward": 1.35, "step": 1.35, "batch": 1.25}, "x86-64-v3": {"forward": 1.6, "step": 1.6, "batch": 1.6}}


def torch_worker(exchange: Path) -> Worker | None:
    if subprocess.run([PYTHON, "-c", "import torch, numpy"], capture_output=True).returncode != 0:
        return None
    return Worker(PYTHON, "-B", HERE / "torch_worker.py", exchange)


def onnx_worker(build: Path, out: Path, exchange: Path) -> Worker | None:
    """Works on what convd exports: the same first weights as bench_core's, which it proves."""
    there = build / "bench/onnxruntime"
    if shutil.which("node") is None or not (there / "installed").exists():
        return None
    with tempfile.TemporaryDirectory(dir=out) as folder:
        db, model = Path(folder) / "model.db", Path(folder) / "model.onnx"
        for command in (("init", "--db", db, *INIT_PLAIN), ("export", "--db", db, "--onnx", model)):
            subprocess.run([build / "convd", *command], check=True, capture_output=True, env=ENVIRONMENT)
        return Worker("node", "--single-threaded", there / "worker.mjs", model, exchange)


class Rounds:
    """Every measurement by name, one value a round."""

    def __init__(self, core: Worker, torch: Worker | None, onnx: Worker | None):
        self.core, self.torch, self.onnx, self.taken, self.repeats = core, torch, onnx, {}, {}

    def add(self, name: str, value: float) -> None:
        self.taken.setdefault(name, []).append(value)

    def time(self, name: str, worker: Worker, *words: str) -> None:
        """Adds microseconds. The first call finds out how many passes fill a slice."""
        if name not in self.repeats:
            images = IMAGES if words[0] == "batch" else 1
            self.repeats[name] = max(1, int(SLICE_NS / worker.number(*words, 20) / images))
        self.add(name, worker.number(*words, self.repeats[name]) / 1e3)

    def go_round(self) -> None:
        if self.torch:
            for verb in VERBS:
                self.time(f"torch {verb}", self.torch, verb)
        if self.onnx:
            for verb in (*ONNX_VERBS, "call"):
                self.time(f"onnx {verb}", self.onnx, verb)
        for arith in self.core.ready:
            for verb in (*VERBS, "normalized", "known"):
                self.time(f"{arith} {verb}", self.core, verb, arith)
            for rate in RATES:
                if (answer := self.core.ask(rate, arith)) != "none":
                    self.add(f"{arith} {rate}", float(answer))

    def undisturbed(self, name: str) -> float | None:
        """Of times the tenth part from below, of rates from above."""
        if name not in self.taken:
            return None
        rate = name.split()[-1] in RATES
        return sorted(self.taken[name], reverse=rate)[len(self.taken[name]) // 10]


def floor_us(rounds: Rounds, arith: str, verb: str) -> float | None:
    if f"{arith} fma" not in rounds.taken:
        return None
    memory = rounds.undisturbed(f"{arith} {'update' if verb == 'step' else 'read'}")
    fmas = rounds.core.number("count", "step" if verb == "step" else "forward")
    w01 = rounds.core.number("count", "w01") / (IMAGES if verb == "batch" else 1)
    return (fmas / rounds.undisturbed(f"{arith} fma") + w01 / memory) / 1e3


def onnx_row(report: Report, rounds: Rounds, verb: str, goal: Goal) -> None:
    """Against the call as its user makes it; the note says what the ratio is without what a call of nothing takes."""
    ours, theirs, call = (rounds.undisturbed(name) for name in (f"{rounds.core.ready[0]} {verb}", f"onnx {verb}", "onnx call"))
    note, floor = LACK_ONNX, floor_us(rounds, rounds.core.ready[0], verb)
    if theirs:
        per_image = call / IMAGES if verb == "batch" else call
        note = f"a call of a model that is one Identity: {call:.1f} us; without it {(theirs - per_image) / ours:.2f} x"
        note += f"; at the machine's floor convd would be at {times(theirs / floor)}" if floor else ""
    report.add(f"onnx-{verb}", f"  {WHAT[verb]}", "us", ours, "ONNX Runtime" if theirs else "", theirs, theirs / ours if theirs else None, goal, note)


def rows(report: Report, rounds: Rounds) -> None:
    best = rounds.core.ready[0]
    for verb, goal in VERBS.items():
        ours, theirs = rounds.undisturbed(f"{best} {verb}"), rounds.undisturbed(f"torch {verb}")
        report.add(
            f"core-{verb}", f"{WHAT[verb]}, one core" if verb == "batch" else f"{WHAT[verb]}, batch 1, one core", "us", ours,
            peer_name="PyTorch" if theirs else "", peer=theirs, ratio=theirs / ours if theirs else None,
            goal=goal, note="" if theirs else LACK,
        )
        if verb in ONNX_VERBS:
            onnx_row(report, rounds, verb, ONNX_VERBS[verb])
    plain, normalized = rounds.undisturbed(f"{best} forward"), rounds.undisturbed(f"{best} normalized")
    report.add("core-normalized", "  of an image that is normalized (std)", "us", normalized, "forward, plain", plain, plain / normalized)
    report.add("core-known", "  how near it is to what was taught, ten classes of 64 images (?known=1)", "us", rounds.undisturbed(f"{best} known"),
               goal=at_most(5))
    for verb in VERBS:
        for arith in rounds.core.ready:
            ours, floor = rounds.undisturbed(f"{arith} {verb}"), floor_us(rounds, arith, verb)
            report.add(
                f"floor-{verb}-{arith}", f"  {WHAT[verb]}, {arith}", "us", ours,
                peer_name="floor" if floor else "", peer=floor, ratio=floor / ours if floor else None,
                goal=at_least(1 / NEAR[arith][verb]) if floor else None,
                note=f"{ours / floor:.2f} times the floor" if floor else "no floor known",
            )
    for arith in rounds.core.ready:
        if f"{arith} fma" in rounds.taken:
            fma, read, update = (rounds.undisturbed(f"{arith} {r}") for r in RATES)
            report.raw.setdefault("floor", {})[arith] = {"gflops": 2 * fma, "read_gb_s": read, "update_gb_s": update}


def measure(report: Report, build: Path, out: Path, n_rounds: int) -> None:
    exchange = out / "exchange.bin"
    with ExitStack() as workers:
        core = workers.enter_context(Worker(build / "bench/bench_core", exchange))
        peers = {"torch": (torch_worker(exchange), LACK), "onnxruntime": (onnx_worker(build, out, exchange), LACK_ONNX)}
        for name, (peer, lack) in peers.items():
            if peer is None:
                report.lack(lack)
            else:
                report.machine[name] = workers.enter_context(peer).ready[0]
        rounds = Rounds(core, *(peer for peer, _ in peers.values()))
        for _ in range(n_rounds):
            rounds.go_round()
        rows(report, rounds)
        report.raw["core"] = rounds.taken
        for worker in (core, *(peer for peer, _ in peers.values() if peer)):
            worker.close()
        if core.process.returncode != 0:
            raise BenchError("bench_core failed")
