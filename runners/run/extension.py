"""Whether a study extends the one that an output folder holds: more seeds, budget, pools, sweep or claims."""

from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from deepboot.bootstrap.columns import RUN_COLUMNS
from deepboot.bootstrap.files import read_study
from deepboot.bootstrap.results import read_table
from deepboot.bootstrap.study.dotted import names_in
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.schema import EXTENDABLE
from deepboot.runners import study_files

NAMED = 3  # runs that are named; beyond, they are counted
POOL = ("training.train_size", "training.train_fraction")


def refuse_another(folder: Path, study: dict[str, Any]) -> None:
    """Refuse an output folder whose study differs in more than may change when a study is extended.

    Raises:
        StudyError: it does; the settings are named.
        DamagedFileError: the folder's study cannot be read.
    """
    try:
        old = _with_new_settings(read_study(folder / "study.toml"))
    except FileNotFoundError:
        return
    _refuse_more_probes(folder, old, study)
    before, now = _fixed(old), _fixed(study)
    different = [key for key in before | now if before.get(key) != now.get(key) and not _is_swept(key, old, study)]
    if different:
        keys = ", ".join(sorted({key.removeprefix("sweep.") for key in different}))
        raise StudyError(
            [f"output folder {folder} holds another study: it differs in {keys}. Choose another with --out."]
        )


def _refuse_more_probes(folder: Path, old: dict[str, Any], study: dict[str, Any]) -> None:
    """Refuse a folder whose runs were trained without some of the study's probes.

    Raises:
        StudyError: the probes and the runs without them are named.
    """
    more = [name for name in study.get("probes", {}) if name not in old.get("probes", {})]
    if not more:
        return
    try:
        trained = read_table(folder / "runs.parquet", RUN_COLUMNS)["run_id"].tolist()
    except FileNotFoundError:
        trained = []
    rest = f" and {len(trained) - NAMED} more" if len(trained) > NAMED else ""
    runs = f"its {len(trained)} runs ({', '.join(trained[:NAMED])}{rest})" if trained else "its runs"
    raise StudyError([
        f"output folder {folder}: {runs} lack the probe {' and '.join(more)}, and no run is trained again for a probe. "
        "Choose another folder with --out, where all runs are measured, or remove it from [probes]."
    ])  # fmt: skip


def _with_new_settings(study: dict[str, Any]) -> dict[str, Any]:
    """A folder's study with the settings that came after it was written, at their defaults; as it is if none fit."""
    try:
        return study_files.resolved(study)
    except StudyError:
        return study


def _is_swept(key: str, old: dict[str, Any], study: dict[str, Any]) -> bool:
    """Whether a setting may differ because it is swept: in both studies, or in one over the value of the other."""
    old_sweep, sweep = old.get("sweep", {}), study.get("sweep", {})
    for dotted in {**old_sweep, **sweep}:
        if key != dotted and not key.startswith(f"{dotted}."):
            continue
        if dotted in old_sweep and dotted in sweep:
            return True
        values, unswept = (old_sweep[dotted], study) if dotted in old_sweep else (sweep[dotted], old)
        return any(_agrees(value, _value_at(unswept, dotted)) for value in values)
    return False


def _value_at(study: dict[str, Any], dotted: str) -> Any:
    """A study's value under a dotted name; None where it has none."""
    value: Any = study
    for name in names_in(dotted):
        value = _inner(value).get(name)
    return value


def _inner(value: Any) -> dict[str, Any]:
    """The values inside a table by name, and those inside a list of tables by index; none in anything else."""
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return {str(index): item for index, item in enumerate(value)}
    return value if isinstance(value, dict) else {}


def _agrees(swept: Any, resolved: Any) -> bool:
    """Whether a sweep's value is a resolved one; of tables only the keys in the sweep, since the rest are defaults."""
    if isinstance(swept, dict) and isinstance(resolved, dict):
        return all(_agrees(value, resolved.get(key)) for key, value in swept.items())
    if isinstance(swept, list) and isinstance(resolved, list) and len(swept) == len(resolved):
        return all(map(_agrees, swept, resolved))
    return bool(swept == resolved)


def _fixed(study: dict[str, Any]) -> dict[str, Any]:
    """The values that may not change between the runs of one folder, by dotted name."""
    sweep = study.get("sweep", {})
    fixed: set[str] = set()  # extendable settings that this study may not change
    if _value_at(study, "schedule.shape") not in (None, "constant"):  # the learning rate depends on the budget
        fixed.add("training.max_steps")
    if "rest" in (
        _value_at(study, "data.test_set"),
        *sweep.get("data.test_set", ()),
    ):  # the largest pool decides the test
        fixed |= {*POOL}
    leaves = dict(_leaves(study, leave_out=EXTENDABLE - fixed))
    if fixed.issuperset(POOL):
        leaves |= {f"sweep.{name}": values for name, values in sweep.items() if name in ("training", *POOL)}
    return leaves


def _leaves(nested: dict[str, Any], leave_out: Set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All values that are no tables or lists of them by dotted name, without these names and what is inside them."""
    for name, value in nested.items():
        dotted = f'{prefix}"{name}"' if "." in name else f"{prefix}{name}"
        if dotted in leave_out:
            continue
        if isinstance(value, list | dict) and (inner := _inner(value)):
            yield from _leaves(inner, leave_out, f"{dotted}.")
        else:
            yield dotted, value
