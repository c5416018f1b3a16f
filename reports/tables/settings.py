"""Tables of settings: what a study sweeps and changes, what it leaves at its default, and how folders differ."""

from dataclasses import replace

import pandas as pd

from deepboot.bootstrap.results import Results
from deepboot.bootstrap.study.defaults import defaults
from deepboot.reports.cells import KEY, settings_of, varied
from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.tables.table import Table
from deepboot.reports.text import listed, plural, setting

ALWAYS = ("world", "task", "model", "optimizer", "train_size", "batch_size", "seeds", "max_steps")
NAMED = (
    "task.name",
    "model.name",
    "optimizer.name",
)  # the columns `task`, `model` and `optimizer` have the same values


def configuration(comparison: Comparison) -> Table:
    """Every setting and its values over the cells."""
    first = comparison.runs[~comparison.runs.duplicated(KEY)]  # the runs of a cell differ in their seed alone
    rows = [(name, _values(first, name)) for name in settings_of(first) if name not in NAMED]
    rows += [("seeds", plural(comparison.runs["seed"].nunique(), "replicate"))]
    rows += [("max_steps", _values(first, "max_steps"))]
    return Table("Configuration", ("setting", "value"), [row for row in rows if row[1]])


def swept(comparison: Comparison) -> Table:
    """The settings that differ between the cells of the real world, of several folders those within one of them."""
    first = comparison.runs[~comparison.runs.duplicated(KEY)]
    several = comparison.sources if len(comparison.sources) > 1 else ()
    within = {name for source in several for name in _swept_names(_alone(source).runs)}
    names = [name for name in _swept_names(first) if name in within or not several]
    return Table("Swept", ("setting", "value"), [(name, _values(first, name)) for name in names])


def chosen(comparison: Comparison) -> Table:
    """The settings that a reader always asks for, and those of one value that is not the default.

    What differs between several folders is in `between_folders`.
    """
    between = {name for name, *_ in between_folders(comparison).rows}
    defaults, apart = _defaults(comparison), {*_swept_names(comparison.runs), *between}
    rows: list[tuple[str, ...]] = [
        (name, value)
        for name, value in configuration(comparison).rows
        if name not in apart and (name in ALWAYS or value != defaults.get(name, ""))
    ]
    return Table("Chosen", ("setting", "value"), rows)


def untouched(comparison: Comparison) -> Table:
    """The settings that are at their default in every run."""
    shown = {row[0] for table in (swept, chosen, between_folders) for row in table(comparison).rows}
    rows = [row for row in configuration(comparison).rows if row[0] not in shown]
    return Table("At their defaults", ("setting", "value"), rows)


def between_folders(comparison: Comparison) -> Table:
    """The settings that differ between several folders, a column each; without rows for one folder."""
    sources = comparison.sources if len(comparison.sources) > 1 else ()
    tables = [{row[0]: row[1] for row in configuration(_alone(source)).rows} for source in sources]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [(name, *(table.get(name, "–") for table in tables)) for name in names]
    columns = ("setting", *(str(source.folder or f"folder {n}") for n, source in enumerate(sources, start=1)))
    return Table("What differs between the folders", columns, [row for row in rows if len(set(row[1:])) > 1])


def _alone(source: Results) -> Comparison:
    """The comparison of one folder, of which nothing but its settings is asked."""
    return compare(replace(source, evaluations=source.evaluations.head(0), probes=source.probes.head(0)))


def _swept_names(runs: pd.DataFrame) -> list[str]:
    real = runs[runs["world"] != "ideal"]
    return [name for name in varied(real.groupby("cell_id", sort=False).head(1)) if name != "world"]


def _values(runs: pd.DataFrame, name: str) -> str:
    """The values of a setting in words, in the order of the runs; empty where no run has it."""
    known = runs[name].dropna() if runs[name].dtype != object else runs[name]
    values = dict.fromkeys(map(setting, known))
    return listed(value for value in values if value != "none")


def _defaults(comparison: Comparison) -> dict[str, str]:
    """Defaults by dotted name, in words."""
    return {
        name: setting(value) for source in comparison.sources for name, value in defaults(source.study).items()
    }  # fmt: skip
