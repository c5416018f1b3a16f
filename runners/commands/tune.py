"""Fair baselines: as many settings for every arm on seeds of their own, and a study with the best of each, frozen."""

import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from deepboot.bootstrap import results
from deepboot.bootstrap.files import write_atomically
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.parse import parse
from deepboot.bootstrap.study.points import inside_tables, points, values_at_points
from deepboot.bootstrap.study.schema import Tune
from deepboot.bootstrap.study.sweep import cells_of, runs_of
from deepboot.bootstrap.study.tuning import Values, frozen, settings_by_arm, tuning_study
from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.measures.tuning import FINAL_ERROR, Choice, choose, trial_of
from deepboot.reports.tables import terminal
from deepboot.reports.tables.tuning import reached, setting_label, trial_table, warnings
from deepboot.reports.text import EVENT_WORDS, plural
from deepboot.reports.time_axis import UNITS
from deepboot.runners import builtins, study_files
from deepboot.runners.run import engine
from deepboot.runners.run.engine import Device

WIDTH = 118  # of a comment


@dataclass(frozen=True)
class Tuning:
    """What is trained to tune a study.

    Attributes:
        raw: the study, as it was written, at its scale and with its changes.
        tune: its table.
        plan: the study that is trained.
        arms: every arm with its settings, each with the runs that it has, by run_id.
    """

    raw: dict[str, Any]
    tune: Tune
    plan: dict[str, Any]
    arms: list[tuple[Values, list[tuple[Values, list[str]]]]]

    @property
    def summary(self) -> str:
        """How much is trained."""
        settings, seeds = len(self.arms[0][1]), len(self.tune.seeds)
        runs = len(self.arms) * settings * seeds
        return (
            f"{plural(len(self.arms), 'arm')}, {plural(settings, 'setting')} each, {plural(seeds, 'tuning seed')}: "
            f"{plural(runs, 'run')} in the {self.tune.world} world"
        )

    @property
    def by(self) -> str:
        """What decides, in words."""
        if self.tune.by == FINAL_ERROR:
            return "final test error"
        return f"{EVENT_WORDS[self.tune.by].step} in {UNITS[self.tune.axis].plural}"


def planned(study: str | Path, *, scale: str | None = None, changes: Sequence[str] = ()) -> Tuning:
    """What tuning a study would train.

    Raises:
        StudyError: all that is wrong with the study, with its table ``tune``, or with one of the settings.
    """
    builtins.load()
    raw = study_files.load(study, scale=scale, changes=list(changes))
    cells_of(raw)  # a study that cannot be run is not tuned for
    first = parse(points(raw)[0])
    plan = tuning_study(raw, first)
    assert first.tune is not None
    run_ids, seeds = [run.run_id for run in runs_of(plan)], len(first.tune.seeds)
    assert len(run_ids) == len(values_at_points(plan)) * seeds, "one pool and one world"
    rest = iter(run_ids)  # point by point: arm by arm, setting by setting
    arms = [
        (arm, [(setting, list(islice(rest, seeds))) for setting in settings])
        for arm, settings in settings_by_arm(raw, first.tune)
    ]
    return Tuning(raw, first.tune, plan, arms)


def train(tuning: Tuning, folder: Path, *, device: Device = "auto", workers: int | None = None) -> Comparison:
    """Train what a folder does not hold yet, and return its runs on the axis that decides.

    Raises:
        StudyError: the device or folder cannot be used.
        TrainingError: some runs are not done; nothing is chosen without them.
        KeyboardInterrupt: a stop was asked for; the same command goes on.
    """
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"{folder.name}.toml"
        path.write_bytes(study_files.to_toml(tuning.plan))
        engine.run_study(path, folder, device=device, workers=workers)
    return compare(results.read(folder)).over(tuning.tune.axis)


def choices(tuning: Tuning, comparison: Comparison) -> list[tuple[Values, Choice]]:
    """The setting that is frozen for every arm."""
    return [
        (arm, choose([trial_of(comparison, setting, ids, tuning.tune.by) for setting, ids in trials]))
        for arm, trials in tuning.arms
    ]


def lines(tuning: Tuning, chosen: Sequence[tuple[Values, Choice]], budget: float) -> Iterator[str]:
    """A table for every arm, with what its choice leaves open."""
    for arm, choice in chosen:
        table = trial_table(choice, tuning.tune.by, tuning.tune.axis, budget)
        yield f"\n{setting_label(inside_tables(arm)) or 'the study'}"
        yield from terminal.lines(table)
        yield from warnings(choice, tuning.tune.by)
    yield f"\n{table.note}"


def write(tuning: Tuning, chosen: Sequence[tuple[Values, Choice]], path: Path, folder: Path, budget: float) -> None:
    """Write the study with its frozen settings, which say how they were found.

    Raises:
        StudyError: the file is there already, and is another one; or it cannot be written.
    """
    study = frozen(tuning.raw, [(arm, dict(choice.setting)) for arm, choice in chosen])
    text = "\n".join([*_comment(tuning, chosen, folder, budget), "", study_files.concise(study)])
    try:
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise StudyError([
                f"--to: {path} holds something else, and what is frozen is not written over. Remove it, or choose "
                "another with --to."
            ])  # fmt: skip
        write_atomically(path, text.encode())
    except OSError as error:
        raise StudyError([f"--to: {path} cannot be written: {error.strerror}. Choose another file."]) from error


def _comment(tuning: Tuning, chosen: Sequence[tuple[Values, Choice]], folder: Path, budget: float) -> Iterator[str]:
    """Lines that say how a study came by its settings."""
    seeds = ", ".join(map(str, tuning.tune.seeds))
    yield from _commented(
        f"Made by `deepboot tune`: of {len(tuning.arms[0][1])} settings in every arm the best by {tuning.by}, in the "
        f"{tuning.tune.world} world, on the tuning seeds {seeds} (in {folder.name}). The study's own seeds are others. "
        "[tune] is the record of what was tried, and is not trained."
    )
    for arm, choice in chosen:
        best = choice.trials[choice.best]
        told = f"{setting_label(best.setting)} ({reached(best, tuning.tune.by, budget)})."
        label = f"{setting_label(inside_tables(arm))}: " if arm else ""
        yield from _commented(" ".join([f"{label}{told}", *warnings(choice, tuning.tune.by)]))


def _commented(text: str) -> Iterator[str]:
    return (f"# {line}" for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def budget_of(comparison: Comparison) -> float:
    """The shortest budget, on the axis of the comparison."""
    return float(comparison.runs["max_steps"].min())


def default_file(study: str | Path) -> Path:
    """Where the tuned study is written if nothing is said: beside its file, or here for a shipped one."""
    path = Path(study)
    return path.with_name(f"{path.stem}-tuned.toml") if path.is_file() else Path(f"{path.stem}-tuned.toml")


def default_folder(study: str | Path) -> Path:
    """The folder of the runs of tuning if none is given."""
    return Path("results") / f"{Path(study).stem}-tuning"
