"""Files to begin with, each with its test: a study, or a task, model, optimizer or claim and a study that uses it."""

import keyword
from importlib.resources import files
from pathlib import Path
from typing import Literal

from deepboot.bootstrap import registry
from deepboot.bootstrap.files import write_atomically
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.wording import shown, with_article
from deepboot.runners import builtins

NewKind = Literal["study", "task", "model", "optimizer", "claim"]
USED = {"TASK": "sparse_parity", "MODEL": "mlp", "OPTIMIZER": "adamw", "CLAIM": "bootstrap_error"}
SETTINGS = {"bootstrap_error": 'min = 0.0\ntext = "The real world ends no better than the ideal one."'}


def write(kind: NewKind, name: str, out: Path | None) -> list[str]:
    """Write the files of a new thing, and return what a person should read.

    Args:
        kind: what is wanted.
        name: of it in a study, and of its files.
        out: its file; NAME.py, or NAME.toml of a study, in the current folder if None.

    Raises:
        StudyError: the name is none or taken, or a file is there already.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise StudyError([f"NAME: expected letters, digits and underscores such as my_{kind}, got {shown(name)}."
                          " Choose another name."])  # fmt: skip
    suffix = ".toml" if kind == "study" else ".py"
    main = out or Path(f"{name}{suffix}")
    if main.suffix != suffix:
        raise StudyError([f"--out {main}: expected a file that ends in {suffix}, got {shown(main.name)}. Rename it."])
    texts = _study_alone(name, main) if kind == "study" else _plugin(kind, name, main)
    for path in texts:
        if path.exists():
            raise StudyError([f"{path} is there already, and nothing is written over. Choose another NAME or --out."])
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    return [*(f"Wrote {path}" for path in texts), f"Next: deepboot check {main}",
            f"then: deepboot run {main.with_suffix('.toml')}"]  # fmt: skip


def _study_alone(name: str, main: Path) -> dict[Path, str]:
    """The texts of a study and of its test, by path."""
    test = _filled("test_study.py.txt", NAME=name, FILE=main.name)
    return {main: _study({}, "", main.name), main.with_name(f"test_{main.stem}.py"): test}


def _plugin(kind: str, name: str, main: Path) -> dict[Path, str]:
    """The texts of a plugin, of its test and of a study that uses it, by path."""
    builtins.load()
    if name in registry.names(kind):  # type: ignore[arg-type]
        raise StudyError([f"NAME: there is a {kind} {name!r} already. Choose another name."])
    kept = with_article(kind).replace(" ", "_")
    study = main.with_suffix(".toml")
    return {
        main: _filled(f"{kind}.py.txt", NAME=name),
        main.with_name(f"test_{main.name}"): _filled("test.py.txt", NAME=name, KIND=kept, FILE=main.name),
        study: _study({kind.upper(): name}, f'plugins = ["{main.name}"]\n', study.name),
    }


def _study(chosen: dict[str, str], plugins: str, file: str) -> str:
    """The text of a study that uses these names, for a file of that name."""
    used = USED | chosen
    text = _filled("study.toml", FILE=file).replace("PLUGINS\n", plugins + "\n").replace("SETTINGS\n", "SETTINGS")
    text = text.replace("SETTINGS", SETTINGS.get(used["CLAIM"], "max = 0.5") + "\n")
    for place, name in used.items():
        text = text.replace(f'"{place}"', f'"{name}"')
    return text


def _filled(template: str, **words: str) -> str:
    """The text of a template with a word for each place."""
    text = (files("deepboot.runners") / "templates" / template).read_text(encoding="utf-8")
    for place, word in words.items():
        text = text.replace(place, word)
    return text
