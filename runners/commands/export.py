"""Writing the tables of output folders for other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from deepboot.bootstrap import files, results
from deepboot.bootstrap.study.messages import StudyError


def export_tables(folders: Sequence[Path], out: Path, form: Literal["csv", "parquet"]) -> list[Path]:
    """The paths of one table ``runs``, one ``evaluations`` and one ``probes`` where there are any, of all folders.

    Raises:
        StudyError: ``out`` cannot be written.
        ValueError: a folder holds no results.
    """
    parts = [results.read(folder) for folder in folders]
    tables = {
        "runs": pd.concat([part.runs for part in parts], ignore_index=True).drop_duplicates("run_id"),
        "evaluations": pd.concat([part.evaluations for part in parts], ignore_index=True).drop_duplicates(
            ["run_id", "step"]
        ),
    }
    probes = pd.concat([part.probes for part in parts], ignore_index=True).drop_duplicates(["run_id", "step", "name"])
    if len(probes):
        tables["probes"] = probes
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            path = out / f"{name}.{form}"
            data = table.to_csv(index=False).encode() if form == "csv" else table.to_parquet(index=False)
            files.write_atomically(path, data)
    except OSError as error:
        raise StudyError([f"--out {out} cannot be written: {error.strerror}. Choose another folder."]) from error
    return [out / f"{name}.{form}" for name in tables]
