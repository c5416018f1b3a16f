"""Sides of a race, each in processes of its own that stay warm, and the turns that they take.

A side is built in its processes once; all sides of a race then take turns, and the ratio of two sides is the median
over turns of the ratios, since a machine's speed wanders.
"""

import logging
import multiprocessing
import signal
import statistics
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from deepboot.bootstrap.study.run import Run, evaluation_steps
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import Execution, torch_settings
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.wording import error_line
from deepboot.runners import builtins
from deepboot.runners.bench.contests import CONTESTS, plain_loop
from deepboot.runners.bench.opponents import Variant, opponent_loop
from deepboot.runners.run.process import prepare, wait_for

TURNS = 5
TURN_SECONDS = 2.0
TRIAL_SECONDS = 1.0
WARM_UP_STEPS = 3
GONE_SECONDS = 10  # for a process to end
TINY = 1e-9  # seconds
LOOKS = 8  # at the clock in a turn


@dataclass
class Stepper:
    """What a process of a side does.

    Attributes:
        advance: steps its members so many times.
        members: how many they are.
        evaluate: evaluates them all, where that is part of the side's work.
        evaluations_per_step: how many evaluations the study asks for.
    """

    advance: Callable[[int], object]
    members: int = 1
    evaluate: Callable[[], object] | None = None
    evaluations_per_step: float = 0.0


@dataclass(frozen=True)
class Lap:
    """What one process did in its turn, or all processes of a side together.

    Attributes:
        rate: member steps a second, evaluations at the study's schedule included where they are the side's work.
        processor_rate: the same by the time that the process was given a processor, whatever else the machine did; of
            use where all of the work is one thread of a CPU.
        evaluation_share: share of the time that evaluations take.
    """

    rate: float
    processor_rate: float
    evaluation_share: float = 0.0

    def trial_rate(self, *, single_threaded: bool) -> float:
        """The rate to choose by: by the time on a processor where that tells, since other work must not choose."""
        return self.processor_rate if single_threaded else self.rate


class Side(ABC):
    """Something that can be sent to a process and built there."""

    @abstractmethod
    def build(self, stack: ExitStack) -> Stepper:
        """Its stepper; contexts under which it is to be called are entered."""


@dataclass(frozen=True)
class Naive(Side):
    """The naive loop of a contest."""

    contest: str
    device: str = "cpu"

    def build(self, stack: ExitStack) -> Stepper:
        return Stepper(plain_loop(CONTESTS[self.contest], self.device))


@dataclass(frozen=True)
class Tried(Side):
    """A variant of a contest's opponent."""

    contest: str
    variant: Variant
    device: str = "cpu"

    def build(self, stack: ExitStack) -> Stepper:
        return Stepper(*opponent_loop(CONTESTS[self.contest], self.variant, self.device))


@dataclass(frozen=True)
class Harness(Side):
    """A pack of runs."""

    runs: Sequence[Run]
    execution: Execution

    def build(self, stack: ExitStack) -> Stepper:
        stack.enter_context(torch_settings(self.runs[0], self.execution))
        return harness_stepper(Pack(self.runs, self.execution))


def harness_stepper(pack: Pack) -> Stepper:
    """A pack that is stepped and evaluated; its budget begins anew where it ends."""
    budget = pack.runs[0].max_steps

    def advance(steps: int) -> None:
        if pack.step + steps > budget:
            pack.step = 0
        train_steps(pack, pack.step + min(steps, budget))

    return Stepper(advance, len(pack), Evaluator(pack).rows, evaluations_per_step(pack.runs[0]))


def evaluations_per_step(run: Run) -> float:
    """How many evaluations the run's schedule has per step of its budget."""
    return len(evaluation_steps(run.evaluation, run.max_steps)) / run.max_steps


def lap(stepper: Stepper, seconds: float, wait: Callable[[], None] = lambda: None) -> Lap:
    """Let a stepper work for about so long, and evaluate once if it evaluates.

    Args:
        stepper: warm.
        seconds: of steps.
        wait: waits for the device.
    """
    wait()
    steps, block, began = 0, 1, _now()
    while True:
        stepper.advance(block)
        wait()
        steps += block
        passed = _since(began)
        if passed[0] >= seconds:
            break
        block = max(1, round(steps / passed[0] * seconds / LOOKS))
    evaluation = (0.0, 0.0)
    if stepper.evaluate is not None:
        began = _now()
        stepper.evaluate()
        evaluation = _since(began)
    spent = [a / steps + b * stepper.evaluations_per_step for a, b in zip(passed, evaluation, strict=True)]
    share = evaluation[0] * stepper.evaluations_per_step / spent[0]
    return Lap(stepper.members / spent[0], stepper.members / max(spent[1], TINY), share)


def _now() -> tuple[float, float]:
    """The time, and that in which this process was given a processor."""
    return time.perf_counter(), time.process_time()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    """Seconds of both kinds since then."""
    now = _now()
    return now[0] - began[0], now[1] - began[1]


class Crew:
    """So many processes that do the same at the same time.

    Args:
        processes: how many.
        threads: of each.
        device: "cpu" or "cuda".

    Attributes:
        single_threaded: whether all of its work is one thread a process, on a CPU.

    Raises:
        RuntimeError: one of them died while it was asked for something.
    """

    def __init__(self, processes: int, threads: int, device: str = "cpu"):
        context = multiprocessing.get_context("spawn")
        self.single_threaded = device == "cpu" and threads == 1
        self._ends: list[Connection] = []
        self._processes = []
        for _ in range(processes):
            end, other = context.Pipe()
            process = context.Process(target=_serve, args=(other, threads, device), daemon=True)
            process.start()
            other.close()
            self._ends.append(end)
            self._processes.append(process)

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()  # upon which the process ends
        for process in self._processes:
            process.join(GONE_SECONDS)
            process.kill()
            process.join()

    def build(self, side: Side) -> str | None:
        """Build a side, in the place of the one before, and warm it up; why that failed, None where it did not."""
        return next((problem for problem in self._ask(side) if problem is not None), None)

    def lap(self, seconds: float) -> Lap:
        """Let all processes work for so long; their rates are added."""
        laps = self._ask(seconds)
        return Lap(
            sum(one.rate for one in laps),
            sum(one.processor_rate for one in laps),
            statistics.mean(one.evaluation_share for one in laps),
        )

    def _ask(self, asked: Side | float) -> list[Any]:
        try:
            for end in self._ends:
                end.send(asked)
            return [end.recv() for end in self._ends]
        except (EOFError, OSError):
            raise RuntimeError("a process of the benchmark died, perhaps because memory ran out") from None


def _serve(end: Connection, threads: int, device: str) -> None:
    """Build sides and take turns until nobody asks any more."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks is interrupted too, and closes its end
    logging.disable(logging.WARNING)  # a compiler says that there is no GPU
    builtins.load(claims=False)
    prepare(threads)
    wait = partial(wait_for, device)
    stepper: Stepper | None = None
    with ExitStack() as stack, suppress(EOFError, OSError):
        while True:
            asked = end.recv()
            if isinstance(asked, Side):
                stack.close()
                stepper = None  # a device need not hold two
                stepper, problem = _built(asked, stack)
                end.send(problem)
            else:
                assert stepper is not None, "nothing was built"
                end.send(lap(stepper, asked, wait))


def _built(side: Side, stack: ExitStack) -> tuple[Stepper | None, str | None]:
    """A side's stepper, warm, or why there is none."""
    try:
        return warm(side.build(stack)), None
    except Exception as error:  # no compiler, no memory, what a compiler cannot do
        return None, error_line(error)


def warm(stepper: Stepper) -> Stepper:
    """A stepper after its first steps, in which compilers work and memory is asked for."""
    stepper.advance(WARM_UP_STEPS)
    if stepper.evaluate is not None:
        stepper.evaluate()
    return stepper


def trial(crew: Crew, side: Side, say: Callable[[str], None], name: str) -> float:
    """Member steps a second of a side that is built for it, as `Lap.trial_rate`; 0 where it fails, with a sentence."""
    problem = crew.build(side)
    if problem is not None:
        say(f"{name}: {problem}")
        return 0.0
    rate = crew.lap(TRIAL_SECONDS).trial_rate(single_threaded=crew.single_threaded)
    say(f"{name}: {rate:,.1f}/s")
    return rate


def turns(laps: Mapping[str, Callable[[], Lap]], times: int = TURNS) -> dict[str, list[Lap]]:
    """What every side did, turn by turn."""
    found: dict[str, list[Lap]] = {name: [] for name in laps}
    for _ in range(times):
        for name, one in laps.items():
            found[name].append(one())
    return found


@dataclass(frozen=True)
class Race:
    """Three sides in turns; rates are medians over turns, ratios the medians of their ratios.

    Attributes:
        name: what is raced.
        unit: of the rates, per second.
        processes, threads: of the opponent and of the harness.
        naive_rate, opponent_rate, harness_rate: evaluation is in the harness's time only.
        opponent, harness: which variant of each.
        ratio_to_opponent, ratio_to_naive: of the harness's rate to theirs.
        lowest_ratio, highest_ratio: to the opponent, in any turn.
        processor_ratio: to the opponent by the time on a processor, where each of their processes is one thread.
        evaluation_share: of the harness's time.
        peak_share: the harness's floating-point operations of matrix products over those of a large product in that
            time.
    """

    name: str
    unit: str
    processes: int
    threads: int
    naive_rate: float
    opponent_rate: float
    opponent: str
    harness_rate: float
    harness: str
    ratio_to_opponent: float
    ratio_to_naive: float
    lowest_ratio: float
    highest_ratio: float
    processor_ratio: float | None
    evaluation_share: float
    peak_share: float | None = None

    def line(self) -> str:
        """The figure as a line of a table."""
        peak = "" if self.peak_share is None else f"   {self.peak_share:.0%} of peak"
        spread = f"{self.lowest_ratio:.2f} to {self.highest_ratio:.2f}"
        spread += "" if self.processor_ratio is None else f", {self.processor_ratio:.2f} by processor time"
        return (
            f"{self.name:36} {self.processes} x {self.threads}   naive {self.naive_rate:9,.1f}   "
            f"opponent {self.opponent_rate:9,.1f}   harness {self.harness_rate:9,.1f} {self.unit}/s   "
            f"ratio to opponent {self.ratio_to_opponent:.2f} ({spread}), "
            f"to naive {self.ratio_to_naive:.2f}{peak}   evaluation {self.evaluation_share:.1%}   "
            f"[opponent: {self.opponent}; harness: {self.harness}]"
        )


def race(
    name: str, laps: Mapping[str, list[Lap]], *, opponent: str, harness: str, unit: str = "steps",
    processes: int = 1, threads: int = 1, peak_steps: float | None = None, scale: float = 1.0,
    single_threaded: bool = True,
) -> Race:  # fmt: skip
    """The figures of three sides' laps.

    Args:
        name: what is raced.
        laps: of "naive", "opponent" and "harness", as many of each.
        opponent, harness: which variant of each.
        unit: of the rates.
        processes, threads: of opponent and harness.
        peak_steps: steps a second at which the harness would do as many operations as a large product.
        scale: units of a step.
        single_threaded: whether opponent and harness are one thread a process, on a CPU.
    """
    by_processor = [a.processor_rate / b.processor_rate for a, b in zip(laps["harness"], laps["opponent"], strict=True)]
    rates = {side: [one.rate * scale for one in laps[side]] for side in ("naive", "opponent", "harness")}
    ratios = {
        side: [a / b for a, b in zip(rates["harness"], rates[side], strict=True)] for side in ("naive", "opponent")
    }
    middle = {side: statistics.median(of_side) for side, of_side in rates.items()}
    return Race(
        name=name, unit=unit, processes=processes, threads=threads, naive_rate=middle["naive"],
        opponent_rate=middle["opponent"], opponent=opponent, harness_rate=middle["harness"], harness=harness,
        ratio_to_opponent=statistics.median(ratios["opponent"]), ratio_to_naive=statistics.median(ratios["naive"]),
        lowest_ratio=min(ratios["opponent"]), highest_ratio=max(ratios["opponent"]),
        processor_ratio=statistics.median(by_processor) if single_threaded else None,
        evaluation_share=statistics.median(one.evaluation_share for one in laps["harness"]),
        peak_share=None if peak_steps is None else middle["harness"] / peak_steps,
    )  # fmt: skip
