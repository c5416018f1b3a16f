"""Reading a study's file: paths, plugins, scales and changes, and all that is wrong with them at once."""

import pytest

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import study_files
from deepboot.runners.run import work

LONG = "a" * 5_000


def problems(path, **options):
    """All sentences of the refusal of a study's file."""
    with pytest.raises(StudyError) as caught:
        work.plan(path, **options)
    return caught.value.problems


@pytest.mark.parametrize("scale", [3, [1], "x"])
def test_a_scale_that_is_no_table_is_refused(study, scale):
    """Whether it is asked for or not."""
    expected = [f"`scale.full`: expected a table, got {scale!r}. Change its type or value."]
    assert problems(study(scale={"full": scale})) == expected
    assert problems(study(scale={"full": scale}), scale="full") == expected


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("~nobody-of-that-name/x", "there is no home folder ~nobody-of-that-name. Write the path from the root on."),
        ("a\0b", "expected a path, got 'a\\x00b', which holds a null byte. Remove it."),
        (LONG, f"{'a' * 275}… (5,000 characters) cannot be used: File name too long. Give another path."),
    ],
)
def test_a_path_that_no_file_can_have_is_refused_by_its_key(study, path, reason):
    """Of a study, a plugin and a recording."""
    recording = {"task": {"name": "recording", "path": path}, "data": {}}
    for key, found in [
        ("STUDY", problems(path)),
        ("plugins", problems(study(plugins=[path]))),
        ("task.path", problems(study(**recording))),
    ]:
        assert found == [f"`{key}`: {reason}"]


def test_home_may_be_written_as_a_tilde(study, tmp_path, monkeypatch):
    """In a study's path and in a plugin's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "empty.py").write_text("")
    study(plugins=["~/empty.py"])
    assert study_files.load("~/small.toml")["plugins"] == [str(tmp_path / "empty.py")]


def test_what_is_no_toml_is_told_in_words(tmp_path):
    """Integers of thousands of digits and lists nested too deeply are none either."""
    path = tmp_path / "bad.toml"
    path.write_text(f"question = {'1' * 5_000}")
    (found,) = problems(path)
    assert found.startswith(f"study file {path} is not valid TOML: Exceeds the limit (4300 digits)")
    path.write_text(f"question = {'[' * 50_000}")
    assert problems(path) == [f"study file {path} holds lists in lists, too many for TOML. Mend it."]
    assert study_files.toml_value("[" * 50_000) == "[" * 50_000
    assert study_files.toml_value("1\nb = 2") == "1\nb = 2"


def test_a_missing_plugin_hides_no_other_mistake(study, tmp_path):
    """Names that may be its own are not called unknown; all other mistakes are reported."""
    path = study(plugins=["none.py"], task={"name": "mine"}, optimizer__lr=-1.0, training__precision="tf33")
    assert problems(path, scale="none", changes=["training.max_steps"]) == [
        "--scale: this study has no scale 'none'. Known: none.",
        "--set 'training.max_steps': expected key=value. Write for instance --set training.seeds=2.",
        f"`plugins`: plugin file {tmp_path}/none.py does not exist. Give a path relative to the study's folder.",
        "`training.precision`: expected 'float32', 'tf32', 'bf16' or 'bf16_products', got 'tf33'. Choose one of these.",
        "`optimizer.lr`: expected a number above 0, got -1. Change it.",
    ]


def test_changes_that_cannot_be_made_are_told_together(study):
    """A key inside a value, and a name that is none."""
    assert problems(study(), changes=["optimizer.lr.x=1", 'a".b=1', "training.seeds=2"]) == [
        "`optimizer.lr.x`: expected `lr` to be a table, got 0.01. Check the dotted name.",
        '`a".b`: expected a dotted name, of which parts may be in quotes. Write for instance sweep."model.width".',
    ]


def test_plugins_that_are_no_list_of_paths_are_refused_once(study):
    """The sentence says what to write."""
    assert problems(study(plugins="mine.py")) == [
        "`plugins`: expected a list of paths, got 'mine.py'. Write plugins = [\"my_task.py\"]."
    ]


def test_pools_of_a_study_that_tests_on_the_rest_cannot_be_extended(study, tmp_path):
    """A larger pool in the sweep is another test set for all cells."""
    from deepboot.runners import run_study

    changes = {
        "task": {"name": "binary_operations", "operation": "x+y", "modulus": 7},
        "data": {"test_set": "rest"},
        "training__max_steps": 2,
    }
    sizes = {"sweep": {"training.train_size": [10, 12]}}
    run_study(study(**changes, **sizes), tmp_path / "out", workers=1)
    with pytest.raises(StudyError) as caught:
        run_study(study(**changes, sweep={"training.train_size": [10, 12, 20]}), tmp_path / "out", workers=1)
    assert caught.value.problems == [
        f"output folder {tmp_path}/out holds another study: it differs in training.train_size. "
        "Choose another with --out."
    ]
