"""The registry: names, settings from signatures, and users' plugin files."""

import dataclasses
import hashlib
import re
import sys
from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt, ValidationError

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import Entry, find, load_plugin, names, register, settings
from deepboot.bootstrap.wording import suggestion


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers or loads is forgotten after it."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("deepboot_plugin_"):
            del sys.modules[name]


def exactly(sentence):
    """A pattern that matches this text and no other."""
    return f"^{re.escape(sentence)}$"


def plugin(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_registered_function_is_found_by_its_name_and_unchanged():
    """The decorator returns what it decorates; the entry knows it and its first line."""

    @register("loss", "test_mine")
    def mine(logits, label):
        """Nothing at all.

        More.
        """

    assert find("loss", "test_mine") == Entry("loss", "test_mine", mine, None)
    assert find("loss", "test_mine").summary == "Nothing at all."
    assert "test_mine" in names("loss")
    assert "test_mine" not in names("model")


def test_an_entry_without_docstring_has_an_empty_summary():
    """Nothing is made up."""
    register("loss", "test_bare")(lambda logits, label: logits)
    assert find("loss", "test_bare").summary == ""


@pytest.mark.parametrize("kind", registry.KINDS)
def test_everything_shipped_has_a_summary_sentence_and_settings(kind):
    """Every name of every kind can be listed and validated, in sorted order."""
    assert names(kind) == sorted(names(kind))
    assert names(kind)
    for name in names(kind):
        entry = find(kind, name)
        assert (entry.kind, entry.name, entry.source) == (kind, name, None)
        assert entry.summary.endswith("."), f"{kind} {name}"
        assert settings(kind, name).model_config["extra"] == "forbid"


def test_a_name_taken_by_something_else_is_refused():
    """The message names both claimants."""

    def mse(logits, label): ...

    with pytest.raises(
        ValueError,
        match=exactly(
            f"loss name 'mse' is taken by deepboot.bootstrap.losses.mse, and {__name__}."
            "test_a_name_taken_by_something_else_is_refused.<locals>.mse asks for it too. Choose another name."
        ),
    ):
        register("loss", "mse")(mse)
    assert find("loss", "mse").target.__module__ == "deepboot.bootstrap.losses"


def test_a_plugin_cannot_quietly_replace_what_is_shipped(tmp_path):
    """A class of the same name in another file, such as a copy of mlp.py, is another claimant."""
    path = plugin(
        tmp_path, "from deepboot.bootstrap.registry import register\n@register('model', 'mlp')\nclass MLP: ...\n"
    )
    source = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    with pytest.raises(
        ValueError,
        match=exactly(
            f"plugin file {path} failed to load: model name 'mlp' is taken by deepboot.bootstrap.models.mlp.MLP, "
            f"and deepboot_plugin_{source}.MLP asks for it too. Choose another name."
        ),
    ):
        load_plugin(path)
    assert find("model", "mlp").target.__module__ == "deepboot.bootstrap.models.mlp"


def test_registering_the_same_thing_again_replaces_it():
    """Running a notebook's cell twice is no mistake."""

    def define():
        @register("loss", "test_again")
        def again(logits, label): ...

        return again

    first, second = define(), define()
    assert first is not second
    assert find("loss", "test_again").target is second


def test_an_unknown_name_is_answered_with_the_nearest_and_all():
    """The full sentence."""
    with pytest.raises(
        ValueError,
        match=exactly(
            "unknown loss 'crossentropy'. Did you mean 'cross_entropy'? Known: cross_entropy, hinge, mse, stablemax."
        ),
    ):
        find("loss", "crossentropy")
    with pytest.raises(ValueError, match=exactly("unknown loss 'xyz'. Known: cross_entropy, hinge, mse, stablemax.")):
        settings("loss", "xyz")


def test_suggestion_without_anything_known():
    """An empty registry says so."""
    assert suggestion("a", []) == "Known: none."


def check_settings(schema):
    """What the three ways of writing settings have in common: width, required and limited; mode, with a default."""
    found = schema(width=3)
    assert (found.width, found.mode) == (3, "a")
    assert set(schema.model_fields) == {"width", "mode"}
    for wrong in ({}, {"width": 0}, {"width": 3, "mode": "c"}, {"width": 3, "other": 1}):
        with pytest.raises(ValidationError):
            schema(**wrong)
    with pytest.raises(ValidationError, match="frozen"):
        found.width = 4


def test_settings_of_a_function_are_its_keyword_only_parameters():
    """Positional parameters are given by the harness and are no settings."""

    @register("loss", "test_function")
    def function(logits, label=None, *, width: PositiveInt, mode: Literal["a", "b"] = "a"): ...

    check_settings(settings("loss", "test_function"))


def test_settings_of_a_class_are_the_keyword_only_parameters_of_its_constructor():
    """As for models, whose first two arguments are the task's inputs and classes."""

    @register("model", "test_class")
    class Model:
        def __init__(self, inputs, classes, *, width: PositiveInt, mode: Literal["a", "b"] = "a"): ...

    check_settings(settings("model", "test_class"))


def test_settings_of_a_dataclass_are_its_fields_inherited_ones_included():
    """As for tasks and optimizers."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Base:
        mode: Literal["a", "b"] = "a"

    @register("optimizer", "test_dataclass")
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Optimizer(Base):
        width: Annotated[int, Field(gt=0)]

    check_settings(settings("optimizer", "test_dataclass"))


def test_two_entries_of_one_function_have_the_same_settings_under_their_own_names():
    """The schema's name is the entry's."""

    def function(x, *, width: int = 3): ...

    for name in ("test_one", "test_two"):
        register("loss", name)(function)
        assert settings("loss", name).__name__ == name
        assert settings("loss", name)().width == 3


def test_a_setting_without_annotation_is_refused_in_words():
    """A user can mend it, so it is a ValueError that names the parameter, and no KeyError."""
    register("loss", "test_plain")(lambda logits, label, *, margin=1.0: logits)
    with pytest.raises(ValueError, match="margin"):
        settings("loss", "test_plain")


def test_a_plugin_file_registers_its_names_with_the_hash_of_its_text(tmp_path):
    """The source is the SHA-256 of the file; after the plugin, entries have none again."""
    text = (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from pydantic import PositiveInt\n"
        "from deepboot.bootstrap.registry import register\n"
        "@register('optimizer', 'test_plugin')\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Mine:\n"
        "    '''Mine.'''\n"
        "    size: PositiveInt = 3\n"
    )
    load_plugin(plugin(tmp_path, text))
    assert find("optimizer", "test_plugin").source == hashlib.sha256(text.encode()).hexdigest()
    assert settings("optimizer", "test_plugin")(size=2).size == 2
    with pytest.raises(ValidationError, match="greater than 0"):
        settings("optimizer", "test_plugin")(size=0)
    register("loss", "test_after")(lambda logits, label: logits)
    assert find("loss", "test_after").source is None


COUNTED = """
import builtins
from deepboot.bootstrap.registry import register
builtins.test_loads = getattr(builtins, "test_loads", 0) + 1
@register("loss", "test_counted")
def counted(logits, label, *, {setting}: int = 0): ...
"""


def test_a_plugin_is_run_once_and_again_when_its_text_has_changed(tmp_path):
    """Loading the same text again does nothing; an edited file replaces its own names."""
    import builtins

    for setting, loads in [("one", 1), ("one", 1), ("two", 2)]:
        load_plugin(plugin(tmp_path, COUNTED.format(setting=setting)))
        assert builtins.test_loads == loads
        assert list(settings("loss", "test_counted").model_fields) == [setting]
    del builtins.test_loads


def test_a_missing_plugin_is_refused(tmp_path):
    """The full sentence, also for a folder."""
    for path in (tmp_path / "none.py", tmp_path):
        with pytest.raises(
            ValueError,
            match=exactly(f"plugin file {path} does not exist. Give a path relative to the study's folder."),
        ):
            load_plugin(path)


def test_a_plugin_that_is_no_python_file_is_refused(tmp_path):
    """The full sentence."""
    path = plugin(tmp_path, "x = 1", "mine.txt")
    with pytest.raises(
        ValueError, match=exactly(f"plugin file {path} is not a Python file. Its name must end in .py.")
    ):
        load_plugin(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = (", "SyntaxError: '(' was never closed (mine.py, line 1)"),
    ],
)
def test_a_broken_plugin_is_refused_each_time_with_its_reason(tmp_path, text, reason):
    """The full sentence, the second time too: a broken module is not kept."""
    path = plugin(tmp_path, text)
    for _ in range(2):
        with pytest.raises(ValueError, match=exactly(f"plugin file {path} failed to load: {reason}. Mend the file.")):
            load_plugin(path)
