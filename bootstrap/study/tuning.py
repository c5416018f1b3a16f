"""Tuning: every arm of a study, a point of its sweep, is trained with as many settings, on seeds of their own."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from deepboot.bootstrap import streams
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.points import fits, point_label, values_at_points
from deepboot.bootstrap.study.schema import MEASURED, OwnParameters, Study, Tune
from deepboot.bootstrap.wording import shown

Values = dict[str, Any]  # of settings, by dotted name
STREAM = "tune"  # of random settings
DIGITS = 4  # of a random value: it is written down, and read by people
COMPARED = ("task", "data", "evaluation", "stop", "start", "phases")  # tables that decide what is compared
OF_THE_BUDGET = tuple(f"training.{name}" for name in (
    "train_size", "train_fraction", "ideal", "max_steps", "seeds", "streams",
))  # fmt: skip
LEFT_OUT = ("tune", "scale", *MEASURED, "claims", "published", "probes")  # of the study that is trained for tuning


def tuning_problems(study: Study) -> list[str]:
    """Problems of the table ``tune`` that do not depend on the arms."""
    tune = study.tune
    if tune is None:
        return []
    problems = _parameter_problems(tune.parameters, "tune.parameters", drawn=tune.draws is not None)
    for number, own in enumerate(tune.own):
        problems += _parameter_problems(own.parameters, f"tune.own[{number}].parameters", drawn=tune.draws is not None)
    if not tune.parameters and not tune.own:
        problems.append(
            '`tune.parameters`: expected at least one setting to tune. Write for instance "optimizer.lr" = [0.01, 0.1].'
        )
    if len(set(tune.seeds)) < len(tune.seeds):
        problems.append(f"`tune.seeds`: expected different values, got {shown(tune.seeds)}. Remove the repeated ones.")
    seeds = study.training.seeds
    known = [seed for seed in tune.seeds if seed in (range(seeds) if isinstance(seeds, int) else seeds)]
    if known:
        problems.append(
            f"`tune.seeds`: expected seeds that the study itself has not, got {shown(known)}, which training.seeds has "
            "too. Choose others, such as 1_000 and the next."
        )
    if tune.world == "ideal" and not study.training.ideal:
        problems.append('`tune.world`: this study trains no ideal world. Write "real", or set training.ideal = true.')
    if tune.world == "ideal" and tune.by == "stopping":
        problems.append('`tune.by`: the ideal world has no stopping step, since it has no pool. Choose "grokking".')
    return problems


def _parameter_problems(parameters: Mapping[str, Any], key: str, *, drawn: bool) -> list[str]:
    """Problems of parameters that are tuned, and of their values."""
    problems = []
    for name, values in parameters.items():
        if name.partition(".")[0] in COMPARED or any(_inside(name, fixed) for fixed in OF_THE_BUDGET):
            problems.append(f"`{key}.{name}`: this decides what is compared. Tune a setting such as optimizer.lr.")
        elif isinstance(values, dict) and {*values} == {"low", "high"}:
            if (
                not all(isinstance(end, int | float) for end in values.values())
                or not 0 < values["low"] < values["high"]
            ):
                problems.append(
                    f"`{key}.{name}`: expected 0 < low < high, got {shown(values)}. Values are drawn log-uniformly."
                )
            elif not drawn:
                problems.append(f"`tune.draws`: expected a number of random settings, since {name} is a range. Add it.")
        elif isinstance(values, dict):
            problems.append(
                f"`{key}.{name}`: expected a list, or a table of low and high, got {shown(values)}. A dotted name "
                "stands in quotes."
            )
        elif not isinstance(values, list) or not values or _repeated(values):
            problems.append(f"`{key}.{name}`: expected a list of different values, got {shown(values)}. Change it.")
    return problems


def _inside(name: str, table: str) -> bool:
    """Whether a setting is this one, or inside it, or a table around it."""
    return f"{name}.".startswith(f"{table}.") or f"{table}.".startswith(f"{name}.")


def _repeated(values: Sequence[Any]) -> bool:
    return len({json.dumps(value, sort_keys=True) for value in values}) < len(values)


def arms_of(raw: dict[str, Any]) -> list[Values]:
    """The arms of a study: the swept values of every point, one without any where nothing is swept."""
    return values_at_points({"sweep": raw.get("sweep", {})})


def tuning_study(raw: dict[str, Any], study: Study) -> dict[str, Any]:
    """The study that trains every setting of every arm, in one world and on the tuning seeds.

    All arms have the same number of settings. Random ones are made by counter: setting k of an arm depends on k and on
    the names of its parameters alone, so that arms with the same parameters have the same settings.

    Args:
        raw: the study, as it was written.
        study: the same at its first point.

    Raises:
        StudyError: it has no table ``tune``, or arms that cannot be tuned alike.
    """
    tune = study.tune
    problems = [] if tune is not None else [
        "`tune`: expected a table that says what to try, but there is none. See docs/tuning.md."
    ]  # fmt: skip
    if raw.get("settings"):
        problems.append("`settings`: this study has its settings already. Tune the one that it was made from.")
    problems += [
        f"`training.{name}`: expected one pool, since every arm has settings of its own, got a list. Sweep over it: "
        f'"training.{name}" = {shown(getattr(study.training, name))} in [sweep].'
        for name in ("train_size", "train_fraction")
        if isinstance(getattr(study.training, name), list)
    ]
    if tune is None or problems:
        raise StudyError(problems)
    entries = [{"where": arm, "set": setting} for arm, settings in settings_by_arm(raw, tune) for setting in settings]
    training = {**raw["training"], "ideal": False, "seeds": tune.seeds}
    if tune.world == "ideal":
        training["world"] = {"rule": "ideal"}
    kept = {name: table for name, table in raw.items() if name not in LEFT_OUT}
    return {**kept, "training": training, "settings": entries}


def settings_by_arm(raw: dict[str, Any], tune: Tune) -> list[tuple[Values, list[Values]]]:
    """Every arm with the settings that are tried in it, as many in each.

    Raises:
        StudyError: an arm has none or another number, or something is tuned and swept.
    """
    arms = arms_of(raw)
    problems = [
        f"`tune.own[{number}].where`: no point of the sweep is ({point_label(own.where)}). Write values of `sweep`."
        for number, own in enumerate(tune.own)
        if not any(fits(own.where, arm) for arm in arms)
    ]
    tuned = {*tune.parameters, *(name for own in tune.own for name in own.parameters)}
    problems += [
        f"`tune.parameters.{name}`: {swept} is swept, so that every arm has its own already. Remove one of the two."
        for swept in raw.get("sweep", {})
        for name in sorted(tuned)
        if f"{swept}.".startswith(f"{name}.")
    ]
    by_arm = [] if problems else [(arm, parameters_of(arm, tune)) for arm in arms]
    problems += [
        f"`tune.parameters`: the arm ({point_label(arm)}) has no setting to tune. Give it some, in tune.parameters or "
        "tune.own."
        for arm, parameters in by_arm
        if not parameters
    ]
    counts = {point_label(arm): _combinations(parameters) for arm, parameters in by_arm}
    if tune.draws is not None:
        problems += [
            f"`tune.draws`: expected at most the {count:,} settings that there are{_of_arm(arm)}, got {tune.draws:,}. "
            "Lower it, or list more values."
            for arm, count in counts.items()
            if count < tune.draws
        ]
    elif len(set(counts.values())) > 1:
        most, fewest = max(counts, key=lambda arm: counts[arm]), min(counts, key=lambda arm: counts[arm])
        problems.append(
            f"`tune.own`: expected as many settings in every arm, got {counts[most]} for ({most}) and {counts[fewest]} "
            f"for ({fewest}). List as many values, or set tune.draws."
        )
    if problems:
        raise StudyError(problems)
    return [(arm, list(_settings(parameters, tune.draws))) for arm, parameters in by_arm]


def _of_arm(label: str) -> str:
    return f" for ({label})" if label else ""


def parameters_of(arm: Values, tune: Tune) -> Values:
    """The parameters that are tuned in an arm: its own ones, where it has any, else those of all."""
    own: list[OwnParameters] = [one for one in tune.own if fits(one.where, arm)]
    return {name: values for one in own for name, values in one.parameters.items()} or tune.parameters


def _combinations(parameters: Values) -> float:
    """How many different settings there are; infinity where one is drawn from a range."""
    return math.prod(len(values) if isinstance(values, list) else math.inf for values in parameters.values())


def _settings(parameters: Values, draws: int | None) -> Iterator[Values]:
    """All combinations of listed values, or so many different random settings."""
    if draws is None:
        for values in itertools.product(*parameters.values()):
            yield dict(zip(parameters, values, strict=True))
        return
    found: set[str] = set()
    for number in itertools.count():
        setting = {name: _drawn(name, values, number) for name, values in parameters.items()}
        key = json.dumps(setting, sort_keys=True)
        if key not in found:
            found.add(key)
            yield setting
        if len(found) == draws:
            return


def _drawn(name: str, values: Any, number: int) -> Any:
    """A parameter's value in a random setting: one of a list, or log-uniform between the ends of a range."""
    key_12 = streams.keys([0], f"{STREAM} {name}")
    index = torch.tensor([[number]])
    if isinstance(values, list):
        return values[int(streams.integers(key_12, index, 1, len(values)))]
    low, high = float(values["low"]), float(values["high"])
    share = float(streams.uniform(key_12, index, 1))
    return float(f"{low * (high / low) ** share:.{DIGITS}g}")


def frozen(raw: dict[str, Any], chosen: Sequence[tuple[Values, Values]]) -> dict[str, Any]:
    """The study with one setting for every arm, and with its table ``tune`` as the record of how they were found."""
    kept = {name: table for name, table in raw.items() if name not in ("scale", *MEASURED)}
    return {**kept, "settings": [{"where": arm, "set": setting} for arm, setting in chosen]}
