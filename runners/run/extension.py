"""Whether a study extends the one that an output folder holds: more seeds, budget, pools, sweep or claims."""

from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from deepboot.bootstrap.files import read_study
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.schema import EXTENDABLE

POOL = ("training.train_size", "training.train_fraction")


def refuse_another(folder: Path, study: dict[str, Any]) -> None:
    """Refuse a folder whose study differs in more than seeds, budget, pools, sweep or claims.

    Raises:
        StudyError: it does; the settings are named.
        DamagedFileError: the folder's study cannot be read.
    """
    try:
        held = read_study(folder / "study.toml")
    except FileNotFoundError:
        return
    one, other = _fixed(held), _fixed(study)
    different = [key for key in one | other if one.get(key) != other.get(key) and not _swept(key, held, study)]
    if different:
        keys = ", ".join(sorted({key.removeprefix("sweep.") for key in different}))
        raise StudyError(
            [f"output folder {folder} holds another study: it differs in {keys}. Choose another with --out."]
        )


def _swept(key: str, held: dict[str, Any], study: dict[str, Any]) -> bool:
    """Whether a setting may differ because it is swept: in both studies, or in one over the value of the other."""
    sweeps = held.get("sweep", {}), study.get("sweep", {})
    for dotted in {**sweeps[0], **sweeps[1]}:
        if key != dotted and not key.startswith(f"{dotted}."):
            continue
        if dotted in sweeps[0] and dotted in sweeps[1]:
            return True
        values, fixed = (sweeps[0][dotted], study) if dotted in sweeps[0] else (sweeps[1][dotted], held)
        return any(_agrees(value, _at(fixed, dotted)) for value in values)
    return False


def _at(study: dict[str, Any], dotted: str) -> Any:
    """A study's value under a dotted name; None where it has none."""
    value: Any = study
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _agrees(swept: Any, resolved: Any) -> bool:
    """Whether a value is one of a sweep's; of a table, as far as the sweep says it, since the rest are defaults."""
    if isinstance(swept, dict) and isinstance(resolved, dict):
        return all(_agrees(value, resolved.get(key)) for key, value in swept.items())
    return bool(swept == resolved)


def _fixed(study: dict[str, Any]) -> dict[str, Any]:
    """What may not change between the runs of one folder, under dotted names."""
    swept = study.get("sweep", {})
    fixed: set[str] = set()  # here, though other studies may change it
    if _at(study, "schedule.shape") not in (None, "constant"):  # the learning rate depends on the budget
        fixed.add("training.max_steps")
    if "rest" in (_at(study, "data.test_set"), *swept.get("data.test_set", ())):  # the largest pool decides the test
        fixed |= {*POOL}
    leaves = dict(_leaves(study, leave_out=EXTENDABLE - fixed))
    if fixed.issuperset(POOL):
        leaves |= {f"sweep.{name}": values for name, values in swept.items() if name in ("training", *POOL)}
    return leaves


def _leaves(nested: dict[str, Any], leave_out: Set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All values that are no tables under their dotted names, without these names and what is inside them."""
    for name, value in nested.items():
        dotted = f"{prefix}{name}"
        if dotted in leave_out:
            continue
        if isinstance(value, dict):
            yield from _leaves(value, leave_out, f"{dotted}.")
        else:
            yield dotted, value
