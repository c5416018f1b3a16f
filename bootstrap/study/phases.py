"""Phases: what the runs of a study become at later steps."""

from collections.abc import Callable, Sequence
from typing import Any

from deepboot.bootstrap.study import checks
from deepboot.bootstrap.study.cell import seeds_of
from deepboot.bootstrap.study.dotted import with_value
from deepboot.bootstrap.study.kept_weights import folder_problems, kept_weights
from deepboot.bootstrap.study.messages import FORMER, StudyError
from deepboot.bootstrap.study.parse import read
from deepboot.bootstrap.study.run import Pair, Phase, Run, changed
from deepboot.bootstrap.study.run_worlds import unread_after
from deepboot.bootstrap.study.schema import IN_PHASE, Change, Start, Study
from deepboot.bootstrap.wording import shown

# from a study and the names of its faulty tables to its pairs in one phase; raises a StudyError with all that is wrong
# beside these tables, where there are any
PairsOf = Callable[[Study, set[str]], list[Pair]]


def phased_pairs(point: dict[str, Any], pairs_of: PairsOf) -> list[tuple[Pair, Sequence[int]]]:
    """The pairs of runs of one point of a sweep, with all their phases and with the weights they start from.

    Each comes with the seeds at which it is trained. These are one for each pair where phases or kept weights may
    depend on it: the indices that a rule has read before a phase, and the run that weights are taken from.

    Args:
        point: the study as it was written, without a sweep.
        pairs_of: makes the pairs of one phase, without a start.

    Raises:
        StudyError: all that is wrong with it, as far as each part can be judged without the faulty ones.
    """
    study, faulty, problems = read(point)
    alike = _seeds_are_alike(study)
    first, first_problems = _pairs_and_problems(study if not alike else _at_first_seed(study), faulty, pairs_of)
    problems += checks.budget_problems(study, faulty) + folder_problems(study, faulty) + first_problems
    later, later_problems = _later_phases(point, study, faulty, pairs_of, reported=set(problems))
    problems += later_problems
    if problems:
        raise StudyError(problems)
    phases = [first, *(_one_for_each(pairs, first, number) for number, pairs in enumerate(later))]
    joined = [_joined(pairs, study) for pairs in zip(*phases, strict=True)]
    seeds = seeds_of(study.training)
    return [(pair, seeds if alike else [pair.real.seed]) for pair in joined]


def _seeds_are_alike(study: Study) -> bool:
    """Whether runs at different seeds differ in nothing else."""
    return not study.phases and (study.start is None or study.start.folder is None)


def _at_first_seed(study: Study) -> Study:
    """The study with one of its seeds."""
    one = seeds_of(study.training)[:1]
    return study.model_copy(update={"training": study.training.model_copy(update={"seeds": list(one)})})


def _pairs_and_problems(study: Study, faulty: set[str], pairs_of: PairsOf) -> tuple[list[Pair], list[str]]:
    """The pairs of one phase; or none, and the problems."""
    try:
        return pairs_of(study, faulty), []
    except StudyError as error:
        return [], error.problems


def _later_phases(
    point: dict[str, Any], study: Study, faulty: set[str], pairs_of: PairsOf, reported: set[str]
) -> tuple[list[list[Pair]], list[str]]:
    """The pairs of every later phase by themselves, and problems of these phases beside those that are reported."""
    raw = {key: value for key, value in point.items() if key not in ("phases", "start")}
    phases: list[list[Pair]] = []
    problems: list[str] = []
    for number, change in enumerate(study.phases if "phases" not in faulty else ()):
        impossible = _change_problems(study, number, change) if "training" not in faulty else []
        if not impossible and faulty.isdisjoint(dotted.partition(".")[0] for dotted in change.set):
            raw, pairs, later_problems = _after(raw, change, pairs_of)
            phases.append(pairs)
            impossible = [f"phases[{number}]: {problem}" for problem in later_problems if problem not in reported]
            reported = reported | set(later_problems)
        problems += impossible
    return phases, problems


def _after(raw: dict[str, Any], change: Change, pairs_of: PairsOf) -> tuple[dict[str, Any], list[Pair], list[str]]:
    """The raw study after a change of settings, its pairs, and its problems."""
    changed = raw
    try:
        for dotted, value in change.set.items():
            changed = with_value(changed, dotted, value)
    except StudyError as error:
        return raw, [], error.problems
    study, faulty, problems = read(changed)
    pairs, more = _pairs_and_problems(study, faulty, pairs_of)
    return changed, pairs, problems + more


def _change_problems(study: Study, number: int, change: Change) -> list[str]:
    """Problems of a change of settings, beside those of the new values."""
    key = f"`phases[{number}]"
    problems = [
        f"{key}.set`: {shown(dotted)} cannot change within a run. Change one of {', '.join(IN_PHASE)}."
        for dotted in change.set
        if dotted not in FORMER and not _may_change(dotted)
    ]
    problems += [f"{key}.set`: {FORMER[dotted]}" for dotted in change.set if dotted in FORMER]
    before = study.phases[number - 1].at_step if number else 0
    if not before < change.at_step < study.training.max_steps:
        problems.append(
            f"{key}.at_step`: expected a step between {before + 1} and {study.training.max_steps - 1:,}, "
            f"got {change.at_step:,}. Phases follow each other within training.max_steps."
        )
    return problems


def _may_change(dotted: str) -> bool:
    """Whether a phase may change a setting."""
    return dotted != "optimizer.name" and any(dotted == name or dotted.startswith(f"{name}.") for name in IN_PHASE)


def _one_for_each(pairs: list[Pair], first: list[Pair], number: int) -> list[Pair]:
    """A later phase's pair for each pair of the first phase: as many pools in the same order, or one for all."""
    if len(pairs) == len(first):
        return pairs
    by_seed = {pair.real.seed: pair for pair in pairs}
    if len(pairs) != len(by_seed):
        raise StudyError([
            f"`phases[{number}].set`: expected one pool, or as many as training.train_size lists at first, got another "
            "number. Give one."
        ])  # fmt: skip
    return [by_seed[pair.real.seed] for pair in first]


def _joined(phases: Sequence[Pair], study: Study) -> Pair:
    """A pair with its phases, in which each run has the other's name."""
    real = _with_phases([pair.real for pair in phases], study)
    ideals = [pair.ideal for pair in phases if pair.ideal is not None]
    if not ideals:
        return Pair(real, None)
    ideal = _with_phases(ideals, study)
    if study.stop is not None:
        ideal = ideal.model_copy(update={"partner": real.cell_id})
    return Pair(real.model_copy(update={"ideal_run_id": ideal.run_id}), ideal)


def _with_phases(runs: list[Run], study: Study) -> Run:
    """The first of a run's phases, with the later ones inside it and with the weights that it starts from."""
    first = before = runs[0]
    largest = max(run.largest_pool or 0 for run in runs)
    phases: list[Phase] = []
    for change, run in zip(study.phases, runs[1:], strict=True):
        before = run.model_copy(update={
            "largest_pool": largest,
            "ideal_run_id": None,
            "first_step": change.at_step,
            "first_draw": before.first_draw + (change.at_step - before.first_step) * before.batch_size,
            "first_unread": unread_after(before, change.at_step),
        })  # fmt: skip
        phases.append(Phase(at_step=change.at_step, run=before, named=tuple(change.set)))
    begin = study.start or Start()
    starts = {
        "start": kept_weights(begin, first) if begin.folder is not None else None, "construction": begin.construction,
    }  # fmt: skip
    return first.model_copy(update={"phases": tuple(phases), "largest_pool": largest, **starts})


def rescaling_problems(runs: list[Run]) -> list[str]:
    """Problems of phases of these runs that ask for another initial scale of a layer, once it is drawn."""
    problems = [
        f"`phases[{number}].set`: the initial scale of layer {shown(layer)} is {_init_scale(run, layer):g} and cannot "
        f"change within a run, got {_init_scale(phase.run, layer):g}. Change its lr or weight_decay alone."
        for run in runs
        for number, phase in enumerate(run.phases)
        for layer in {**run.layers, **phase.run.layers}
        if _init_scale(run, layer) != _init_scale(phase.run, layer)
    ]
    return list(dict.fromkeys(problems))


def _init_scale(run: Run, layer: str) -> float:
    """The factor on a layer's initial parameters."""
    return run.layers[layer].init_scale if layer in run.layers else 1.0


def idle_phase_problems(runs: list[Run]) -> list[str]:
    """Problems of phases that change no setting of any of these runs."""
    numbers = range(1, 1 + max((len(run.phases) for run in runs), default=0))
    return [
        f"`phases[{number - 1}].set`: this phase changes nothing, since these are the values that it follows. "
        "Change a value, or remove the phase."
        for number in numbers
        if not any(_changes(run, number) for run in runs)
    ]


def _changes(run: Run, number: int) -> bool:
    """Whether a run has a later phase of this number, from 1, and it changes a setting."""
    if number > len(run.phases):
        return False
    before = run.phases[number - 2].run if number > 1 else run
    return bool(changed(before, run.phases[number - 1].run))
