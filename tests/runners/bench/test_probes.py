"""The probes of ``deepboot bench gpu`` at the size of a dry run: they answer, and they notice what is wrong."""

import functools
import json
import subprocess
import sys
import textwrap
import time
import warnings

import pytest
import torch

from deepboot.bootstrap import streams
from deepboot.bootstrap.training import pack as packs
from deepboot.bootstrap.training.backend import Eager
from deepboot.bootstrap.training.execution import Execution
from deepboot.datasets.digits import Digits
from deepboot.runners.bench import probe_commands, probe_exactness, probe_rates, probe_variants, probes
from deepboot.runners.bench.probe_studies import TINY, runs_with

TINY_RUNS = functools.partial(runs_with, TINY, 4, max_steps=100)
IN_PROCESS = [name for name in probes.PROBES if name not in {"demo", "interrupt", "tests", "tests_compiled"}]


def told(parts, **more):
    """What `answer` tells of some parts, and whether all is well."""
    lines = []
    return probes.answer(parts, lines.append, **more), lines


@pytest.mark.parametrize("name", IN_PROCESS)
def test_every_probe_answers_on_a_cpu(name):
    """Its first part, with a few words and plain values; or it says that only a GPU can answer."""
    part, ask = next(iter(probes.PROBES[name]("cpu").items()))
    well, (line,) = told({part: ask})
    assert well
    assert line["part"] == part
    assert line.get("said") or line["skipped"] == "only a GPU can answer this"
    assert json.loads(json.dumps(line)) == line


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_parts_of_every_probe_are_known_before_they_are_asked(device):
    """Nothing is computed, so that no part's error can take the others with it."""
    for probe in probes.PROBES.values():
        assert probe(device)


def test_a_part_that_raises_takes_nothing_from_the_others():
    """Its error's first line is its problem."""

    def broken():
        raise RuntimeError("no such kernel\nand a long trace")

    well, lines = told({"a": broken, "b": lambda: {"said": "fine"}})
    assert not well
    assert [(line["part"], line.get("problem"), line.get("said")) for line in lines] == [
        ("a", "RuntimeError: no such kernel", None), ("b", None, "fine"),
    ]  # fmt: skip


def test_parts_that_there_is_no_time_for_are_left_out_and_named():
    """None is begun that would end too late if it took as long as the longest so far."""

    def long():
        time.sleep(0.3)
        return {"said": "fine"}

    well, lines = told({"a": long, "b": long, "c": long}, until=time.time() + 0.5)
    assert well
    assert [line.get("left_out") for line in lines] == [None, True, True]


def test_a_probe_is_a_process_that_writes_a_line_per_part(tmp_path):
    """And its status is 0 where nothing is wrong."""
    out = tmp_path / "answers"
    words = [sys.executable, "-m", "deepboot.runners.bench.probes", "waits", "--answers", str(out)]
    assert subprocess.run(words, check=False).returncode == 0
    (line,) = map(json.loads, out.read_text().splitlines())
    assert line["skipped"] == "only a GPU can answer this"


def test_a_process_with_a_problem_ends_with_status_1(monkeypatch, capsys):
    """Its answer is there all the same."""
    monkeypatch.setitem(probes.PROBES, "bits", lambda device: {"a": lambda: {"problem": f"wrong on {device}"}})
    assert probes.main(["bits"]) == 1
    assert json.loads(capsys.readouterr().out)["problem"] == "wrong on cpu"


@pytest.mark.parametrize(
    ("part", "module", "name", "wrong"),
    [
        ("streams", streams, "integers", "integers"),
        ("samples", Digits, "sample", "digits inputs"),
    ],
)
def test_bits_that_differ_are_named(part, module, name, wrong, monkeypatch):
    """One value changed by one on the second device is enough."""
    real, calls = getattr(module, name), []

    def altered(*given, **named):
        found = real(*given, **named)
        calls.append(found)
        if len(calls) == 2:
            (found if isinstance(found, torch.Tensor) else found.x).flatten()[0] += 1
        return found

    monkeypatch.setattr(module, name, altered)
    assert probe_exactness.bits("cpu")[part]()["problem"] == f"not those of the CPU: {wrong}"


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ([1.0, 1.0 + 2**-23], None),
        ([1.0, 1.0 + 2**-21], "not those of the CPU: x"),
        ([1.0, float("nan")], "not those of the CPU: x"),
        ([1.0], "not those of the CPU: x"),
    ],
)
def test_floats_are_compared_to_rounding(other, problem):
    """One unit in the last place may differ; eight, NaN and another shape are no agreement."""
    here, there = torch.tensor([1.0, 1.0]), torch.tensor(other)
    assert probe_exactness.compared({"x": here}, {"x": there})["problem"] == problem


def spoilt(monkeypatch, spoil):
    """Let every backend but the plain one do something more after each update."""
    make = packs.backend_of

    class Spoilt(Eager):
        def update(self, batch):
            super().update(batch)
            for group in self.groups:
                spoil(group.members)

    def backend_of(execution, groups, step, cache):
        return make(execution, groups, step, cache) if execution.backend == "eager" else Spoilt(groups, step)

    monkeypatch.setattr(packs, "backend_of", backend_of)
    return Execution(backend="graphed")


def test_a_backend_that_trains_otherwise_has_a_problem(monkeypatch):
    """The sentence of the check, and the distance."""
    found = probe_exactness.beside_eager(TINY_RUNS, spoilt(monkeypatch, lambda members: members.param_EP.mul_(1.01)))
    assert "its parameters differ from those of eager by" in found["problem"]
    assert found["distance"] > 0.1


def test_runs_that_are_not_repeatable_have_a_problem(monkeypatch):
    """An update with a random number of torch's own gives other bits each time."""
    execution = spoilt(monkeypatch, lambda members: members.param_EP.add_(1e-6 * torch.rand_like(members.param_EP)))
    found = probe_exactness.repeated(TINY_RUNS, execution)
    assert found["problem"] == "other bits when repeated and resumed and repacked"


@pytest.mark.parametrize("is_context", [False, True])
def test_a_pack_that_memory_cannot_hold_is_an_answer(is_context, monkeypatch):
    """Also where the end of a capture raises something else because of it; any other error is none."""

    def too_large(*_):
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        except torch.OutOfMemoryError as error:
            if is_context:
                raise RuntimeError("operation failed due to a previous error during capture") from error
            raise

    monkeypatch.setattr(probe_rates, "Pack", too_large)
    found = probe_rates.rate(TINY_RUNS, Execution())
    assert (found["said"], found["members"]) == ("too large for the memory", 4)
    monkeypatch.setattr(probe_rates, "Pack", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        probe_rates.rate(TINY_RUNS, Execution())


def test_a_rate_has_the_parts_of_a_step(monkeypatch):
    """Data, coefficients and update of a step, and an evaluation; the members are those that were asked for."""
    monkeypatch.setattr(probe_rates, "PART_SECONDS", 0.001)
    found = probe_rates.rate(functools.partial(runs_with, TINY, 1), Execution())
    assert found["members"] == 1
    assert set(found["parts_ms"]) == {"data", "coefficients", "update", "evaluation", "states"}
    assert all(value > 0 for value in [found["rate"], *found["parts_ms"].values()])
    assert found["member_bytes"] is None  # of a CPU


def test_a_precision_that_ends_in_nan_has_a_problem(monkeypatch):
    """A rate of numbers that mean nothing is none."""
    execution = spoilt(monkeypatch, lambda members: members.param_EP.fill_(torch.nan))
    found = probe_variants.precise(functools.partial(runs_with, TINY, 2), "bf16", execution)
    assert found["problem"] == "parameters are not finite"


@pytest.mark.filterwarnings("ignore:called a synchronizing")  # before they are counted
def test_waits_are_counted_with_their_lines(monkeypatch):
    """A wait in training is a problem; one in an evaluation is not."""
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: None)
    assert probe_variants.waited(TINY_RUNS, Execution())["problem"] is None
    execution = spoilt(
        monkeypatch, lambda members: warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
    )
    found = probe_variants.waited(TINY_RUNS, execution)
    assert "training waits for the device at test_probes.py:" in found["problem"]
    assert len(found["training"]) == probe_variants.WATCHED_STEPS
    assert found["evaluation"] == []


FAILS = (sys.executable, "-c", "import sys; print('a line'); sys.exit('the last line')")


def test_a_command_that_fails_is_told_with_its_last_line(monkeypatch):
    """Of the demo and of the run that is to be interrupted."""
    monkeypatch.setattr(probe_commands, "COMMAND_LINE", FAILS)
    assert probe_commands.demonstrated("cpu") == {"problem": "deepboot run ended with status 1: the last line"}
    assert probe_commands.interrupted("cpu") == {"problem": "an interrupted run ended with status 1, not 130"}


@pytest.mark.slow
def test_an_interrupted_run_that_goes_on_otherwise_is_noticed(monkeypatch):
    """Rows of another seed are not those of a whole run."""
    real = probe_commands.run_study
    other = ("training.max_steps=1500", "training.seeds=[1]")
    monkeypatch.setattr(
        probe_commands, "run_study", lambda *given, **named: real(*given, **{**named, "changes": other})
    )
    assert probe_commands.interrupted("cpu")["problem"] == "an interrupted run has other rows than a whole one"


def test_tests_that_need_a_gpu_are_run_and_counted(tmp_path, monkeypatch):
    """Those of the repository with the mark and the word; a failing one is a problem and is named."""
    monkeypatch.setattr(probe_commands, "TEST_PROCESSES", "0")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["gpu"]\naddopts = "--no-such"\n')
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_other.py").write_text("import a_module_that_is_not_here")
    (tmp_path / "tests" / "test_device.py").write_text(
        textwrap.dedent("""
            import pytest

            def test_on_a_cpu(): raise RuntimeError
            @pytest.mark.gpu
            def test_eager(): pass
            @pytest.mark.gpu
            def test_compiled(): raise RuntimeError("no kernel")
        """)
    )
    assert "1/3 tests collected" in probe_commands.tested("cpu", "compiled", tmp_path)["said"]
    found = probe_commands.tested("cuda", "not compiled", tmp_path)
    assert found["problem"] is None
    assert found["said"].startswith("1 passed, 2 deselected in ")
    found = probe_commands.tested("cuda", "compiled", tmp_path)
    assert found["problem"].startswith("pytest ended with status 1: 1 failed, 2 deselected in ")
    (failed,) = found["failed"]
    assert failed.endswith("test_device.py::test_compiled - RuntimeError: no kernel")


def test_without_tests_or_pytest_nothing_is_asked(tmp_path, monkeypatch):
    """An installed package has no tests beside it."""
    found = probe_commands.tested("cpu", "compiled", tmp_path)
    assert found == {"skipped": "there are no tests beside the package: they are in the repository"}
    monkeypatch.setattr(probe_commands.importlib.util, "find_spec", lambda name: None)
    assert probe_commands.tested("cpu", "compiled", tmp_path) == {"skipped": "pytest is not installed"}
