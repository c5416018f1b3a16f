"""What packs give, a file each, until it is in the tables. Nothing here loads pandas: workers are quick to start."""

from pathlib import Path
from typing import Any

from deepboot.bootstrap.files import write_json


def write(folder: Path, name: str, runs: list[dict[str, Any]], evaluations: list[dict[str, Any]]) -> None:
    """What one pack gave, written before the next one starts."""
    (folder / "shards").mkdir(exist_ok=True)
    write_json({"runs": runs, "evaluations": evaluations}, folder / "shards" / f"{name}.json")


def exists(folder: Path, name: str = "*") -> bool:
    """Whether a pack, or any, was written since the tables were."""
    return any((folder / "shards").glob(f"{name}.json"))
