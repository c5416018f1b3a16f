"""The plan of ``deepboot bench gpu``, with steps that only pretend to ask."""

import json
import sys
import time

import pytest
import torch

from deepboot.runners.bench import gpu, probes
from deepboot.runners.bench.gpu import Step

WRITE = "import json, sys; parts = {parts!r}; " \
    "file = open(sys.argv[sys.argv.index('--answers') + 1], 'w'); " \
    "file.write(''.join(json.dumps(part) + chr(10) for part in parts)); file.flush(); "  # fmt: skip


def step(name, *parts, then="", seconds=60.0):
    """A step that writes these answers and then does something more."""
    return Step(name, seconds, ("-c", WRITE.format(parts=list(parts)) + then))


def planned(tmp_path, *steps, budget=600.0, only=None):
    """Exit status, lines and JSON of a plan."""
    lines, out = [], tmp_path / "out.json"
    status = gpu.run("cpu", budget, only, out, lines.append, steps)
    return status, lines, json.loads(out.read_text())


GOOD = {"part": "one", "seconds": 0.1, "said": "all is well"}
HANGS = "import time; time.sleep(600)"


def test_a_plan_goes_on_after_steps_that_fail_crash_or_hang(tmp_path, monkeypatch):
    """Every step has its line and its place in the JSON; the status says that some did not answer."""
    monkeypatch.setattr(gpu, "PATIENCE", {"cpu": 1})
    status, lines, found = planned(
        tmp_path,
        step("wrong", {"part": "bits", "problem": "other bits"}, then="sys.exit(1)"),
        step("crashes", then="print('a long trace'); sys.exit('no such kernel')"),
        step("hangs", GOOD, then=HANGS, seconds=1.0),
        step("well", GOOD),
    )
    assert status == 1
    kept = [(one["step"], one["status"], one["exit"], len(one["parts"])) for one in found["steps"]]
    assert kept == [("wrong", "failed", 1, 1), ("crashes", "failed", 1, 0), ("hangs", "timed out", None, 1),
                    ("well", "answered", 0, 1)]  # fmt: skip
    assert [line.split()[0] for line in lines[1:-1]] == ["wrong", "crashes", "hangs", "well"]
    for line, words in zip(
        lines[1:], ["bits: other bits", "no such kernel", "all is well", "all is well"], strict=False
    ):
        assert line.endswith(words)
    assert lines[-1].startswith("3 of 4 steps did not answer everything, in ")
    assert lines[-1].endswith(" s: wrong (failed), crashes (failed), hangs (timed out).")
    assert found["steps"][1]["log"] == "a long trace\nno such kernel\n"


def test_a_plan_whose_steps_all_answer_says_so(tmp_path):
    """What nothing here can answer is no failure; the JSON has versions, device and command."""
    status, lines, found = planned(tmp_path, step("well", GOOD), step("waits", {"part": "a", "skipped": "only a GPU"}))
    assert status == 0
    assert [one["status"] for one in found["steps"]] == ["answered", "not asked"]
    assert lines[0].startswith(f"{found['device']}: 2 steps, at most 600 s; a dry run at small sizes")
    assert lines[2].endswith("not asked        a: only a GPU")
    assert lines[-1].startswith("All 2 steps answered, in ")
    assert found["packages"]["torch"] == torch.__version__.split("+")[0]
    assert "command" in found


def test_a_part_that_there_was_no_time_for_is_no_whole_answer(tmp_path):
    """The step ended well, and yet something was not answered."""
    status, lines, _ = planned(tmp_path, step("rates", GOOD, {"part": "two", "left_out": True}))
    assert status == 1
    assert lines[-1].endswith("rates (answered in part).")


def test_no_step_takes_more_than_is_left_of_the_budget(tmp_path, monkeypatch):
    """The first is ended with the budget, and the next is not begun."""
    monkeypatch.setattr(gpu, "LEAST_SECONDS", 0.5)
    status, _, found = planned(tmp_path, step("hangs", then=HANGS), step("late", GOOD), budget=1.0)
    assert status == 1
    assert [one["status"] for one in found["steps"]] == ["timed out", "no time left"]
    assert found["steps"][0]["limit"] <= 1.0
    assert found["steps"][1]["parts"] == []


def test_a_step_is_not_begun_for_a_moment(tmp_path):
    """Where less is left than starting takes, unless the step asks for no more."""
    _, _, found = planned(tmp_path, step("long", GOOD), step("short", GOOD, seconds=2.0), budget=5.0)
    assert [one["status"] for one in found["steps"]] == ["no time left", "answered"]


def test_a_step_that_is_ended_leaves_no_process_behind(tmp_path, monkeypatch):
    """A child of it that would write on for ever writes no more, and its last line is not half read."""
    monkeypatch.setattr(gpu, "PATIENCE", {"cpu": 1})
    trace = tmp_path / "trace"
    child = f"import time\nwhile True:\n open({str(trace)!r}, 'a').write('x'); time.sleep(0.02)"
    then = f"file.write('{{'); file.flush(); import subprocess; subprocess.run([sys.executable, '-c', {child!r}])"
    _, _, found = planned(tmp_path, step("parent", GOOD, then=then, seconds=2.0))
    assert found["steps"][0]["parts"] == [GOOD]
    written = trace.stat().st_size
    assert written > 0
    time.sleep(0.3)
    assert trace.stat().st_size == written


def test_steps_are_chosen_by_name(tmp_path):
    """By a regular expression; the others have no place in the JSON."""
    _, _, found = planned(tmp_path, step("rates_eager", GOOD), step("bits", GOOD), step("demo", GOOD), only="^b|demo")
    assert [one["step"] for one in found["steps"]] == ["bits", "demo"]


def test_every_step_has_its_probe():
    """The plan asks all probes, each once, and starts each as a module."""
    assert [one.name for one in gpu.STEPS] == list(probes.PROBES)
    command = gpu.STEPS[0].command("cuda", "answers", 1.5)
    assert command == [sys.executable, "-m", "deepboot.runners.bench.probes", "bits", "--device", "cuda", "--answers",
                       "answers", "--until", "1.5"]  # fmt: skip


NAMES = ", ".join(one.name for one in gpu.STEPS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--budget", "0"], "--budget: expected a number of seconds above 0, got 0. Change it."),
        (["--only", "rate("], "--only: expected a regular expression, got 'rate(' (missing ), unterminated subpattern "
         "at position 4). Change it."),
        (["--only", "wait_s"], f"--only: no step matches 'wait_s'. Did you mean 'waits'? Known: {NAMES}."),
        (["--json", "no/folder.json"], "--json no/folder.json cannot be written: No such file or directory. Give "
         "another path."),
        (["mlp"], "`gpu` is asked alone: `deepboot bench gpu`. Run the other benchmarks by another command."),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_ends_with_status_2(deepboot, words, sentence):
    """The full sentence, and no other, before any step."""
    ran = deepboot("bench", "gpu", *words, "--device", "cpu")
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"{sentence}\n")


def test_a_gpu_that_is_not_there_is_refused_as_by_run(deepboot, monkeypatch):
    """The sentence of `deepboot run --device cuda`."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ran = deepboot("bench", "gpu", "--device", "cuda")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "--device cuda: this machine has no CUDA device that torch can use. Use --device cpu or auto, or see "
        "`deepboot doctor`.\n"
    )


def test_the_command_carries_out_the_plan(deepboot, monkeypatch, tmp_path):
    """Its options arrive, its lines are printed, and its status is the plan's."""
    asked = []

    def run(*given):
        asked.append(given[:-1])
        given[-1]("a line")
        return 1

    monkeypatch.setattr(gpu, "run", run)
    ran = deepboot(
        "bench", "gpu", "--device", "cpu", "--budget", "9", "--only", "bits", "--json", tmp_path / "out.json"
    )
    assert (ran.returncode, ran.stdout) == (1, "a line\n")
    assert asked == [("cpu", 9.0, "bits", tmp_path / "out.json")]


@pytest.mark.slow
def test_the_dry_run_answers_all_that_a_cpu_can(deepboot, tmp_path):
    """Every probe at its small size, each in a process of its own, without a problem."""
    out = tmp_path / "out.json"
    ran = deepboot("bench", "gpu", "--device", "cpu", "--budget", 1_800, "--json", out)
    steps = json.loads(out.read_text())["steps"]
    assert ran.returncode == 0, ran.stdout
    assert [one["step"] for one in steps] == list(probes.PROBES)
    assert {one["status"] for one in steps} <= {"answered", "not asked"}
    assert not [part for one in steps for part in one["parts"] if part.get("problem")]
