"""A layout keeps a fast program only where it was seen to agree with the plain one."""

import json

import pytest

from deepboot.bootstrap.study.sweep import runs_of
from deepboot.runners.run import autotune, engine, trusted_backends
from deepboot.runners.run.autotune import Layout, Shape
from deepboot.runners.run.engine import run_study
from deepboot.runners.run.trial import Rate
from tests.bootstrap.conftest import parity
from tests.runners.run.test_engine import equal

DIFFERS = "its parameters differ from those of eager by 0.5 of their size, and 0.01 is allowed"
SENTENCE = f"Program compiled is not used here: {DIFFERS}. Steps are carried out one operation at a time (eager)."


class Checked:
    """Carries out trials as it is told to, and remembers them."""

    def __init__(self, problem, *, checked=True):
        self.problem, self.checked, self.asked = problem, checked, []

    def __call__(self, trial, workers):
        assert trial.check
        self.asked.append((trial.program, len(trial.runs), workers))
        return Rate(rate=0.0, problem=self.problem, checked=self.checked)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """What is remembered of this machine is empty, and the person's own stays as it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def compiled_layout(runs):
    return Layout(device="cpu", shapes={autotune.digest(runs[0]): Shape(program="compiled", pack_size=4)})


def distrust(problem, runs):
    chosen, checked, told = compiled_layout(runs), Checked(problem), []
    trusted_backends.distrust(chosen, runs, [], checked, told.append)
    return chosen.of(runs[0]), checked.asked, told


def test_a_program_that_disagrees_is_replaced_said_and_recorded():
    """One pair is tried; the layout says why it is eager, and what was seen is not tried again."""
    runs = runs_of(parity(training__seeds=3))
    shape, asked, told = distrust(DIFFERS, runs)
    assert (shape.program, shape.pack_size) == ("eager", 4)
    assert shape.measured == [f"compiled is not used here: {DIFFERS}"]
    assert told == [SENTENCE]
    assert asked == [("compiled", 2, 1)]
    shape, asked, told = distrust(None, runs)
    assert (shape.program, asked, told) == ("eager", [], [SENTENCE])


def test_a_program_that_agrees_is_kept_and_tried_once_per_architecture():
    """Other seeds and learning rates are of one architecture; another width, or another version of torch, is not."""
    assert distrust(None, runs_of(parity()))[0].program == "compiled"
    assert distrust(DIFFERS, runs_of(parity(training__seeds=9, optimizer__lr=0.5)))[0].program == "compiled"
    assert distrust(DIFFERS, runs_of(parity(model__width=8)))[0].program == "eager"


def test_a_worker_that_died_says_nothing_of_the_program():
    """The study at hand is trained by the plain program; the next one tries the fast one again."""
    runs = runs_of(parity())
    killed = Checked("the process died (killed, or out of memory)", checked=False)
    chosen = compiled_layout(runs)
    trusted_backends.distrust(chosen, runs, [], killed, [].append)
    assert chosen.of(runs[0]).program == "eager"
    assert distrust(None, runs)[0].program == "compiled"


def test_another_version_of_torch_is_tried_anew(monkeypatch):
    """What one version was seen to do says nothing of the next."""
    runs = runs_of(parity())
    assert distrust(None, runs)[0].program == "compiled"
    monkeypatch.setattr(trusted_backends.torch, "__version__", "99.0")
    assert distrust(DIFFERS, runs)[0].program == "eager"


def test_a_memory_that_cannot_be_read_is_no_reason_to_believe(tmp_path):
    """A damaged file, or one of another form, only means that it is tried again."""
    path = tmp_path / "cache" / "deep-bootstrap" / "programs.json"
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"a": 3}'):
        path.write_text(text)
        assert distrust(DIFFERS, runs_of(parity()))[0].program == "eager"


def test_a_study_is_trained_by_the_plain_program_where_the_fast_one_disagrees(study, tmp_path, monkeypatch, capfd):
    """It is said at the terminal, kept in layout.json, and the tables are those of the plain program."""
    path, checked = study(), Checked(DIFFERS)
    monkeypatch.setattr(engine.Bench, "__call__", lambda bench, trial, workers: checked(trial, workers))
    run_study(path, tmp_path / "plain", workers=1)
    run_study(path, tmp_path / "fast", workers=1, program="compiled")
    equal(tmp_path / "plain", tmp_path / "fast")
    assert capfd.readouterr().err.count(SENTENCE) == 1
    (shape,) = json.loads((tmp_path / "fast" / "layout.json").read_text())["shapes"].values()
    assert (shape["program"], shape["measured"]) == ("eager", [f"compiled is not used here: {DIFFERS}"])
    run_study(path, tmp_path / "fast", workers=1, program="compiled")  # nothing is left to do
    assert len(checked.asked) == 1
