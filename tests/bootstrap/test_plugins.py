"""Helpers that a plugin imports: each plugin has its own, they are hashed, and read anew when they change."""

import builtins
import hashlib
import re
import sys
from pathlib import Path

import pytest

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import find, load_plugin
from deepboot.bootstrap.study.sweep import runs_of
from tests.bootstrap.conftest import parity

LOSS = """
from deepboot.bootstrap.registry import register
{imports}

@register("loss", "{name}")
def mine(logits, label):
    return {value}
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers or imports is forgotten after it."""
    monkeypatch.setattr(registry, "_plugins", {})
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


@pytest.fixture
def plugin(tmp_path):
    """Writes a loss with these imports, in a folder of its own, loads it and gives it back."""

    def write(imports, value="helper.VALUE", folder="one", name="test_mine", **helpers):
        directory = tmp_path / folder
        directory.mkdir(exist_ok=True)
        for helper, text in helpers.items():
            path = directory / f"{helper}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (directory / "mine.py").write_text(LOSS.format(imports=imports, name=name, value=value))
        load_plugin(directory / "mine.py")
        return find("loss", name)

    return write


def test_a_changed_helper_changes_the_identity_of_the_runs(plugin):
    """The plugin's own file stays as it was; the run is another one, and computes with the new helper."""
    found = [plugin("import helper", helper=f"VALUE = {value}") for value in (1, 2, 2)]
    assert [entry.target(0, 0) for entry in found] == [1, 2, 2]
    assert found[0].source != found[1].source == found[2].source
    first = runs_of(parity(loss={"name": "test_mine"}))
    plugin("import helper", helper="VALUE = 3")
    second = runs_of(parity(loss={"name": "test_mine"}))
    assert not {run.run_id for run in first} & {run.run_id for run in second}


def test_helpers_of_helpers_and_of_packages_count(plugin):
    """Nested imports, packages with and without ``__init__.py``, and parts of them."""
    texts = {
        "helper": "from deeper import VALUE\nimport bare.inner, whole",
        "deeper": "VALUE = 1",
        "bare/inner": "",
        "whole/__init__": "from . import part",
        "whole/part": "",
    }
    sources = {plugin("import helper", **texts).source}
    sources |= {plugin("import helper", **{**texts, name: f"{text}\n# changed"}).source for name, text in texts.items()}
    assert len(sources) == 6


def test_what_is_installed_or_ours_is_no_helper(plugin):
    """Only the file itself is hashed, as where nothing is imported."""
    entry = plugin("import json, numpy, torch.nn, colorsys\nfrom deepboot.bootstrap import streams", value="1")
    assert entry.source == hashlib.sha256(Path(entry.file).read_bytes()).hexdigest()


def test_a_helper_that_another_plugin_has_loaded_counts_too(plugin, tmp_path):
    """Two plugins of one folder import the same helper; a change of it changes both."""
    sources = []
    for value in (1, 2):
        one = plugin("import helper", helper=f"VALUE = {value}")
        (tmp_path / "one" / "second.py").write_text(
            LOSS.format(imports="import helper", name="test_second", value="helper.VALUE")
        )
        load_plugin(tmp_path / "one" / "second.py")
        sources.append((one.source, find("loss", "test_second").source))
    assert not set(sources[0]) & set(sources[1])


def test_a_helper_that_the_program_has_imported_is_read_anew_and_stays_the_programs(plugin, tmp_path, monkeypatch):
    """The plugin computes with the file as it is now, the program with what it had imported."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "helper.py").write_text("VALUE = 1")
    monkeypatch.syspath_prepend(tmp_path / "one")
    import helper

    entry = plugin("import helper", helper="VALUE = 2")
    assert (entry.target(0, 0), helper.VALUE, sys.modules["helper"]) == (2, 1, helper)


def test_two_studies_may_have_helpers_of_the_same_name(plugin):
    """Each plugin keeps its own, also for imports inside its functions, which follow the plugin loaded last."""
    lazy = "__import__('helper').VALUE"
    for folder, value in (("one", 1), ("two", 2), ("one", 1), ("two", 2)):
        entry = plugin("import helper", value=f"({lazy}, helper.VALUE)", folder=folder, name=f"test_{folder}",
                       helper=f"VALUE = {value}")  # fmt: skip
        assert entry.target(0, 0) == (value, value)
    assert find("loss", "test_one").target(0, 0)[1] == 1


def test_copies_of_a_plugin_with_other_helpers_are_two_plugins(plugin):
    """The same text in two folders: what counts is the folder of the study that is loaded last."""
    for folder, value in (("one", 1), ("two", 2), ("one", 1)):
        entry = plugin("import helper", folder=folder, helper=f"VALUE = {value}")
        assert entry.target(0, 0) == value


def test_an_unchanged_plugin_with_helpers_is_run_once(plugin, monkeypatch):
    """Loading it again runs neither its file nor its helper."""
    monkeypatch.setattr(builtins, "test_runs", [], raising=False)
    for _ in range(3):
        plugin("import helper", helper="import builtins\nbuiltins.test_runs.append('helper')\nVALUE = 1")
    assert builtins.test_runs == ["helper"]


def test_a_plugin_that_fails_leaves_nothing_behind(plugin, tmp_path):
    """Neither its names nor its helpers, nor its folder among the places to import from."""
    path = list(sys.path)
    with pytest.raises(
        ValueError,
        match=f"^{re.escape(f'plugin file {tmp_path}/one/mine.py failed to load: SystemExit: 3. Mend the file.')}$",
    ):
        plugin("import helper\nimport sys", value="1\nsys.exit(3)", helper="VALUE = 1")
    assert "test_mine" not in registry.names("loss")
    assert "helper" not in sys.modules
    assert sys.path == path


TWO_TRANSFORMS = """
from dataclasses import dataclass

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.transforms import Transform


@register("transform", "test_one")
@dataclass(frozen=True, kw_only=True)
class One(Transform):
    @staticmethod
    def apply(grad_EP, param_EP, state, at, step_11):
        return {scale} * grad_EP


@register("transform", "test_two")
class Two(One):
    version = 3
"""


def test_a_stated_version_changes_the_identity(plugin):
    """For what no hash sees, such as a file of data; without one nothing is added."""
    plain = plugin("", value="1")
    before = runs_of(parity(loss={"name": "test_mine"}))[0]
    plain.target.version = 2
    after = runs_of(parity(loss={"name": "test_mine"}))[0]
    assert set(before.code) == {"task_version", "loss"}
    assert after.code == {**before.code, "loss_version": "2"}
    assert before.run_id != after.run_id


def test_every_transform_of_a_chain_is_in_the_identity(tmp_path):
    """A run may have several from plugins, each with its own source and version."""

    def code(scale):
        path = tmp_path / "transforms.py"
        path.write_text(TWO_TRANSFORMS.format(scale=scale))
        load_plugin(path)
        return runs_of(parity(training__transforms=[{"name": "test_one"}, {"name": "test_two"}]))[0].code

    before, after = code(1), code(2)
    assert set(before) == {
        "task_version", "transform test_one", "transform test_two", "transform test_two_version",
    }  # fmt: skip
    assert before["transform test_one"] != after["transform test_one"]


def test_a_rules_version_is_no_part_of_the_ideal_run(monkeypatch):
    """The ideal world does not read it."""
    before = runs_of(parity(training__world={"rule": "redraw", "share": 0.5}))
    monkeypatch.setattr(find("rule", "redraw").target, "version", 2, raising=False)
    after = runs_of(parity(training__world={"rule": "redraw", "share": 0.5}))
    assert (before[0].run_id == after[0].run_id, before[1].run_id == after[1].run_id) == (False, True)


@pytest.mark.parametrize("old", ["bootstrap", "bootstrap.registry", "datasets.recording", "reports", "runners.cli"])
def test_a_name_of_before_the_namespace_is_answered_with_the_new_one(old, tmp_path):
    """Whether or not the folder of that name can be imported from where the command was given."""
    path = tmp_path / "plugin.py"
    path.write_text(f"import {old}\n")
    top = old.partition(".")[0]
    with pytest.raises(ValueError, match=f"failed to load: `{top}[.a-z]*` is `deepboot.{top}[.a-z]*` now. "):
        load_plugin(path)
    assert top not in sys.modules
