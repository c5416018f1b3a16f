"""The view that a training process keeps in its folder for others, as long as it trains."""

from pathlib import Path

from pydantic import ValidationError

from deepboot.bootstrap.files import DamagedFileError, reading, write_atomically
from deepboot.runners.live.view import View

FILE = ".progress.json"


def write(folder: Path, view: View) -> None:
    """Write the view, atomically."""
    write_atomically(folder / FILE, view.model_dump_json().encode())


def read(folder: Path) -> View | None:
    """The last view that was written; None where no process trains, or none of this version."""
    path = folder / FILE
    try:
        with reading(path):
            return View.model_validate_json(path.read_bytes())
    except (FileNotFoundError, DamagedFileError, ValidationError):
        return None


def remove(folder: Path) -> None:
    """Remove the view: nothing is being trained any more."""
    (folder / FILE).unlink(missing_ok=True)
