"""The command line as a newcomer meets it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from deepboot.bootstrap import results
from deepboot.runners import run_study


def test_help_does_not_load_torch():
    """``deepboot --help`` and ``import bootstrap`` stay light."""
    code = (
        "import sys, deepboot.bootstrap, deepboot.runners.cli as cli\n"
        "try: cli.app.cli(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().endswith("[]")


def test_run_report_claims_and_export_lead_to_each_other(study, tmp_path, deepboot):
    """A study goes from file to report, verdicts and CSV, and every command names the next."""
    path = study(training__seeds=2, claims=[{"kind": "rate", "event": "grokking", "world": "real", "min_rate": 0.5}])
    out = tmp_path / "out"
    ran = deepboot("run", path, "--out", out, "--workers", 1)
    assert ran.returncode == 0, ran.stderr
    assert f"Report: {out / 'report.html'}" in ran.stdout
    assert f"Next: deepboot claims {out}" in ran.stdout
    assert {"study.toml", "environment.json", "runs.parquet", "evaluations.parquet", "claims.json", "report.html",
            "report.md", "figures"} <= set(os.listdir(out))  # fmt: skip
    assert json.loads((out / "environment.json").read_text())["packages"]["torch"]
    judged = deepboot("claims", out, "--json")
    assert json.loads(judged.stdout)["claims"][0]["verdict"] == "inconclusive"
    assert judged.returncode == 0
    assert deepboot("report", out).returncode == 0
    assert deepboot("export", out, "--out", tmp_path / "csv").returncode == 0
    assert len(pd.read_csv(tmp_path / "csv" / "runs.csv")) == 4
    both = deepboot("report", out, out)
    assert f"Report: {tmp_path / 'comparison.html'}" in both.stdout, both.stderr


def test_a_report_alone_has_the_page_of_the_run(study, tmp_path, deepboot):
    """A process that trained nothing knows the defaults of models, optimizers and tasks, too."""
    deepboot("run", study(), "--out", tmp_path / "out", "--workers", 1)
    page = (tmp_path / "out" / "report.html").read_text()
    command = [sys.executable, "-m", "deepboot.runners.cli", "report", tmp_path / "out"]
    subprocess.run(command, capture_output=True, check=True)
    folded = re.compile(r"(\d+) more settings, at their defaults")
    assert folded.findall((tmp_path / "out" / "report.html").read_text()) == folded.findall(page)
    assert len(folded.findall(page)) == 1


def test_a_study_may_be_trained_without_a_report(study, tmp_path, deepboot):
    """The tables are there and the next command is the report's; a page that is not written cannot be opened."""
    out = tmp_path / "out"
    refused = deepboot("run", study(), "--out", out, "--train-only", "--open")
    assert refused.returncode == 2
    assert refused.stderr == "--open: expected a page, got --train-only, which writes none. Leave one of them out.\n"
    assert not out.exists()
    path = study(scale={"quick": {"optimizer.lr": 0.2}})
    ran = deepboot("run", path, "--scale", "quick", "--out", out, "--train-only", "--workers", 1)
    assert ran.returncode == 0, ran.stderr
    more = f"deepboot run {path} --scale quick --out {out} --set training.seeds=2"
    assert ran.stdout == f"Next: deepboot report {out}   or more seeds: {more}\n"
    assert len(results.read(out).runs) == 2
    assert not list(out.glob("report*"))


def test_a_refuted_claim_sets_the_exit_status(study, tmp_path, deepboot):
    """Eight seeds that never grok refute a rate of at least 0.9."""
    claim = {"kind": "rate", "event": "grokking", "world": "real", "min_rate": 0.9}
    path = study(training__seeds=8, training__ideal=False, claims=[claim])
    deepboot("run", path, "--out", tmp_path / "out", "--workers", 1, "--train-only")
    judged = deepboot("claims", tmp_path / "out")
    assert judged.returncode == 1
    assert "refuted" in judged.stdout


BAD = {
    "unknown name": ({"task__name": "sparse_party"}, "Did you mean 'sparse_parity'?"),
    "unknown key": ({"optimizer__learning_rate": 1.0}, "`optimizer.learning_rate`: unknown key."),
    "wrong type": ({"training__max_steps": "many"}, "`training.max_steps`: expected a whole number, got 'many'."),
    "out of range": ({"training__train_size": 0}, "`training.train_size`: expected a number above 0, got 0."),
    "empty sweep": ({"sweep": {"optimizer.lr": []}}, "`sweep.optimizer.lr`: expected"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_studies_end_with_status_2_and_a_sentence(name, study, tmp_path, deepboot):
    """No traceback, nothing written, the sentence on standard error."""
    changes, sentence = BAD[name]
    ran = deepboot("run", study(**changes), "--out", tmp_path / "out")
    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout
    assert not (tmp_path / "out").exists()


def test_all_mistakes_of_a_file_come_at_once(study, deepboot):
    """One line per mistake."""
    ran = deepboot("run", study(model__witdh=3, optimizer__lr=-1.0, evaluation={"streak": 0}))
    assert ran.returncode == 2
    assert len(ran.stderr.strip().splitlines()) == 3


def test_bad_files_names_and_devices_end_with_status_2(tmp_path, study, deepboot):
    """Missing file, no TOML, unknown study and scale, no assignment, no CUDA, no results."""
    (tmp_path / "bad.toml").write_text("question = ")
    torchless = [] if _has_cuda() else [(("run", study(), "--device", "cuda"), "this machine has no CUDA device")]
    for words, sentence in [
        (("run", tmp_path / "none.toml"), "does not exist. Check the path"),
        (("run", tmp_path / "bad.toml"), "is not valid TOML"),
        (("run", "dmeo"), "unknown study 'dmeo'. Did you mean 'demo'?"),
        (("run", "demo", "--scale", "huge"), "this study has no scale 'huge'"),
        (("run", "demo", "--set", "seeds"), "--set 'seeds': expected key=value."),
        (("report", tmp_path), "holds no runs.parquet"),
        (("show", "sparse_party"), "Did you mean 'sparse_parity', a task?"),
        (("bench", "nothing"), "unknown benchmark 'nothing'."),
        *torchless,
    ]:
        ran = deepboot(*words)
        assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), words
        assert sentence in ran.stderr, words


def _has_cuda():
    import torch

    return torch.cuda.is_available()


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGINT, ["--workers", "2"]),
        pytest.param(signal.SIGTERM, ["--workers", "1"], marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_keeps_finished_packs_and_says_how_to_go_on(study, tmp_path, number, options, deepboot):
    """Stopped in the middle, the folder is readable, and the same command ends what it began, by one process or two."""
    path = study(training__seeds=16, training__max_steps=300)
    command = [sys.executable, "-m", "deepboot.runners.cli", "run", str(path), "--out", str(tmp_path / "out")]
    command += ["--train-only", "--pack-size", "4"]  # to try what is fastest takes longer than the study
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300  # a busy machine takes a minute to import torch
    while not list((tmp_path / "out" / "shards").glob("*.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "the same command goes on from there" in out
    assert "Traceback" not in err
    held = results.read(tmp_path / "out").runs
    assert 2 <= len(held) < 32
    again = deepboot(*command[3:], "--workers", 1)
    assert again.returncode == 0, again.stderr
    runs = results.read(tmp_path / "out").runs
    assert len(runs) == 32
    assert (runs["status"] == "finished").all()


@pytest.mark.parametrize("words", [("run", "--workers", "1"), ("report",)])
def test_an_interrupt_while_a_report_is_written_says_what_is_safe(study, tmp_path, deepboot, monkeypatch, words):
    """All runs are done by then; the same command writes the report."""
    path, out = study(), tmp_path / "out"

    def pressed(*_, **__):
        raise KeyboardInterrupt

    deepboot("run", path, "--out", out, "--workers", "1", "--train-only")
    monkeypatch.setattr("deepboot.reports.page.page.write_report", pressed)
    told = [words[0], path, "--out", out, *words[1:]] if words[0] == "run" else ["report", out]
    ran = deepboot(*told)
    assert ran.returncode == 130
    said = {
        "run": f"Stopped. 2 finished runs are safe in {out}; the same command goes on from there:",
        "report": "Stopped before it was done; no trained run is lost. The same command begins again:",
    }
    assert (ran.stdout + ran.stderr).splitlines() == [said[words[0]], f"  deepboot {' '.join(map(str, told))}"]


def test_lists_and_samples_are_printed(deepboot):
    """Every kind is listed with its first line; a task shows samples with index and label."""
    everything = deepboot("list").stdout
    for name in ("sparse_parity", "mlp", "adamw", "cross_entropy", "sliding", "dose-of-reuse", "grokfast", "no_delay"):
        assert name in everything
    shown = deepboot("show", "sparse_parity", "--set", "num_bits=6", "--samples", "3").stdout.splitlines()
    assert sum("->" in line for line in shown) == 3


def test_an_option_of_several_values_may_be_given_again(study, tmp_path, deepboot):
    """Nothing that was asked for is lost without a word: settings add up over occurrences of --set."""
    told = ("--set", "training.max_steps=20", "training.batch_size=8", "--set", "training.seeds=2")
    assert deepboot("run", study(), "--out", tmp_path / "out", "--workers", 1, "--train-only", *told).returncode == 0
    runs = results.read(tmp_path / "out").runs
    assert sorted(runs["seed"].unique()) == [0, 1]
    assert (runs["max_steps"] == 20).all()
    assert (runs["batch_size"] == 8).all()


def test_doctor_finds_a_healthy_installation(deepboot):
    """Known random numbers match."""
    ran = deepboot("doctor")
    assert ran.returncode == 0
    assert "known answers match" in ran.stdout


LONG = "a" * 5_000


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["report"], "DIR: expected at least one output folder, got none. Write for instance "
         "`deepboot report results/demo`."),
        (["export", "--out", "x"], "DIR: expected at least one output folder, got none. Write for instance "
         "`deepboot export results/demo --out tables`."),
        (["report", LONG], f"{'a' * 275}… (5,012 characters) cannot be used: File name too long. Give another path."),
        (["claims", LONG], f"{'a' * 275}… (5,012 characters) cannot be used: File name too long. Give another path."),
        (["run", LONG], f"{'a' * 275}… (5,000 characters) cannot be used: File name too long. Give another path."),
        (["plan", "demo", "--out", LONG],
         f"{'a' * 275}… (5,013 characters) cannot be used: File name too long. Give another path."),
        (["show", "sparse_parity", "--samples", "-1"], "--samples: expected a number above 0, got -1. Change it."),
        (["show", "recording", "--set", "path=~nobody-of-that-name/x"],
         "`task.path`: there is no home folder ~nobody-of-that-name. Write the path from the root on."),
        (["show", "sparse_parity", "--set", LONG],
         f"--set '{'a' * 54}… (5,002 characters): expected key=value. Write for instance --set num_bits=10."),
        (["bench", LONG], f"unknown benchmark '{'a' * 54}… (5,002 characters). "
         "Known: mlp, transformer, packs, scale, folders, images, cluster, gpu."),
    ],
)  # fmt: skip
def test_words_that_no_command_can_use_end_with_status_2(deepboot, words, sentence):
    """The full sentence, and no other."""
    ran = deepboot(*words)
    assert (ran.returncode, ran.stderr) == (2, f"{sentence}\n")


OWN_KIND = '''
from deepboot.reports.claims.judge import Effect, claim_kind
from deepboot.reports.statistics.intervals import Bounds


@claim_kind("of_my_own")
def of_my_own(evidence):
    """Anything."""
    return Effect("own effect", Bounds(0.0, 1.0), 1, "runs", Bounds(0.5, 0.5), Bounds(0.4, 0.6))
'''


def test_a_kind_of_claim_that_a_plugin_brought_is_known_to_later_commands(study, tmp_path):
    """`claims` and `report` load the plugin that the folder's study names; a reader that has enough is no error."""
    (tmp_path / "own.py").write_text(OWN_KIND)
    path, out = study(plugins=["own.py"], claims=[{"kind": "of_my_own"}]), tmp_path / "out"
    run_study(path, out, workers=1)  # in another process than the commands
    command = [sys.executable, "-m", "deepboot.runners.cli"]
    judged = subprocess.run([*command, "claims", out], capture_output=True, text=True, check=False)
    assert (judged.returncode, judged.stderr) == (0, "")
    assert "own effect" in judged.stdout
    piped = f"{shlex.join(map(str, [*command, 'report', out]))} | head -c 1"
    assert subprocess.run(piped, shell=True, capture_output=True, check=False).stderr == b""
