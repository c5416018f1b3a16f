"""The studies that come with the package. Loads no torch."""

from pathlib import Path


def shipped() -> dict[str, Path]:
    """The studies that come with the package, by name."""
    folder = Path(__file__).with_name("studies")
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}
