"""A plan keeps a fast backend only where it was seen to agree with the plain one."""

import pytest

from deepboot.bootstrap.study.sweep import runs_of
from deepboot.runners.run import trusted_backends
from deepboot.runners.run.crew import Bench
from deepboot.runners.run.engine import run_study
from deepboot.runners.run.execution_plan import ExecutionPlan, PackSettings, read_plan, short_key
from deepboot.runners.run.trial import Rate
from tests.bootstrap.conftest import parity
from tests.runners.run.test_engine import equal

DIFFERS = "its parameters differ from those of eager by 0.5 of their size, and 0.01 is allowed"
SENTENCE = f"Backend compiled is not used here: {DIFFERS}. Steps are carried out one operation at a time (eager)."


class Checked:
    """Carries out trials as it is told to, and remembers them."""

    def __init__(self, problem, *, checked=True):
        self.problem, self.checked, self.asked = problem, checked, []

    def __call__(self, trial, workers):
        assert trial.check
        self.asked.append((trial.execution.backend, len(trial.runs), workers))
        return Rate(rate=0.0, problem=self.problem, checked=self.checked)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """What is remembered of this machine is empty, and the person's own stays as it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def compiled_plan(runs):
    return ExecutionPlan(device="cpu", packs={short_key(runs[0]): PackSettings(backend="compiled", pack_size=4)})


def distrust(problem, runs):
    plan, checked, sentences = compiled_plan(runs), Checked(problem), []
    trusted_backends.distrust(plan, runs, [], checked, sentences.append)
    return plan.of(runs[0]), checked.asked, sentences


def test_a_backend_that_disagrees_is_replaced_named_and_recorded():
    """One pair is tried; the plan says why it is eager, and the trial is not repeated."""
    runs = runs_of(parity(training__seeds=3))
    settings, asked, sentences = distrust(DIFFERS, runs)
    assert (settings.backend, settings.pack_size) == ("eager", 4)
    assert settings.measured == [f"compiled is not used here: {DIFFERS}"]
    assert sentences == [SENTENCE]
    assert asked == [("compiled", 2, 1)]
    settings, asked, sentences = distrust(None, runs)
    assert (settings.backend, asked, sentences) == ("eager", [], [SENTENCE])


def test_a_backend_that_agrees_is_kept_and_tried_once_per_architecture():
    """Other seeds and learning rates are of one architecture; another width, or another version of torch, is not."""
    assert distrust(None, runs_of(parity()))[0].backend == "compiled"
    assert distrust(DIFFERS, runs_of(parity(training__seeds=9, optimizer__lr=0.5)))[0].backend == "compiled"
    assert distrust(DIFFERS, runs_of(parity(model__width=8)))[0].backend == "eager"


def test_a_worker_that_died_says_nothing_of_the_backend():
    """The study at hand is trained by the plain backend; the next one tries the fast one again."""
    runs = runs_of(parity())
    killed = Checked("the process died (killed, or out of memory)", checked=False)
    plan = compiled_plan(runs)
    trusted_backends.distrust(plan, runs, [], killed, [].append)
    assert plan.of(runs[0]).backend == "eager"
    assert distrust(None, runs)[0].backend == "compiled"


def test_another_version_of_torch_is_tried_anew(monkeypatch):
    """What one version was seen to do says nothing of the next."""
    runs = runs_of(parity())
    assert distrust(None, runs)[0].backend == "compiled"
    monkeypatch.setattr(trusted_backends.torch, "__version__", "99.0")
    assert distrust(DIFFERS, runs)[0].backend == "eager"


def test_a_memory_that_cannot_be_read_is_no_reason_to_trust(tmp_path):
    """A damaged file, or one of another form, only means that it is tried again."""
    path = tmp_path / "cache" / "deep-bootstrap" / "backends.json"
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"a": 3}'):
        path.write_text(text)
        assert distrust(DIFFERS, runs_of(parity()))[0].backend == "eager"


def test_a_study_is_trained_by_the_plain_backend_where_the_fast_one_disagrees(study, tmp_path, monkeypatch, capfd):
    """The terminal and the plan say so, and the tables are those of the plain backend."""
    path, checked = study(), Checked(DIFFERS)
    monkeypatch.setattr(Bench, "__call__", lambda bench, trial, workers: checked(trial, workers))
    run_study(path, tmp_path / "plain", workers=1)
    run_study(path, tmp_path / "fast", workers=1, backend="compiled")
    equal(tmp_path / "plain", tmp_path / "fast")
    assert capfd.readouterr().err.count(SENTENCE) == 1
    (settings,) = read_plan(tmp_path / "fast").packs.values()
    assert (settings.backend, settings.measured) == ("eager", [f"compiled is not used here: {DIFFERS}"])
    run_study(path, tmp_path / "fast", workers=1, backend="compiled")  # nothing is left to do
    assert len(checked.asked) == 1
