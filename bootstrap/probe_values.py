"""Values of probes: the table ``probes`` of what packs measured, and the runs that should have values and have none."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from deepboot.bootstrap.columns import PROBE_COLUMNS
from deepboot.bootstrap.files import DamagedFileError, read_study

PROBES = "probes.parquet"


def long_rows(measured: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The table ``probes`` of what packs measured: ``run_id, step, values`` (by name)."""
    rows = [(row["run_id"], row["step"], name, value) for row in measured for name, value in row["values"].items()]
    return pd.DataFrame(rows, columns=list(PROBE_COLUMNS)).astype(PROBE_COLUMNS)


def joined(tables: list[pd.DataFrame], evaluations: pd.DataFrame) -> pd.DataFrame:
    """Tables of values in one, the latest value kept, in the order of the evaluations that they were measured at."""
    parts = [table for table in tables if len(table)]
    if not parts:
        return long_rows([])
    table = pd.concat(parts, ignore_index=True).drop_duplicates(["run_id", "step", "name"], keep="last")
    places = evaluations[["run_id", "step"]].assign(_place=range(len(evaluations)))
    table = table.merge(places, on=["run_id", "step"]).sort_values("_place", kind="stable", ignore_index=True)
    return table.drop(columns="_place").astype(PROBE_COLUMNS)


def unmeasured(folder: Path, runs: pd.DataFrame, probes: pd.DataFrame) -> list[str]:
    """Finished runs without any value, in a folder whose study has probes; their run_ids."""
    try:
        asked = read_study(folder / "study.toml").get("probes")
    except (FileNotFoundError, DamagedFileError):
        asked = None
    if not asked:
        return []
    finished = runs.loc[runs["status"] == "finished", "run_id"]
    return finished[~finished.isin(probes["run_id"].unique())].tolist()
