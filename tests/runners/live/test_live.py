"""The live view: what it counts, how it looks, and what of it lies in the folder."""

import contextlib
import io
import os
import platform
import subprocess
import sys
import time

import pandas as pd
import pytest
from rich.console import Console

from deepboot.bootstrap.results import Results
from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import run_study
from deepboot.runners.live import folder as folders
from deepboot.runners.live import observer, status
from deepboot.runners.live.pace import Pace
from deepboot.runners.live.screens import LineScreen, TableScreen
from deepboot.runners.live.table import rendered
from deepboot.runners.live.tally import Tally
from deepboot.runners.live.view import View, WorldView
from deepboot.runners.run import output_folder, work

REAL = WorldView(world="real", runs=8, evaluated=8, memorised=7, grokked=2, median_error=0.25)
IDEAL = WorldView(world="ideal", runs=8, evaluated=3, memorised=0, grokked=0, median_error=0.5)
VIEW = View(
    name="demo", state="training", worlds=(REAL, IDEAL), steps_done=2_000, steps=5_000, rate=200.0, packs_done=1,
    packs_running=2, packs=5, failures="1 pack failed, the last: ValueError: no", process=1, host="here",
)  # fmt: skip
EASY = {"schedule": 1, "threshold": 0.7, "streak": 2}


def text(renderable, width=80):
    """A view as a terminal of that width shows it."""
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


@pytest.fixture
def trained(study, tmp_path):
    """A folder with results in it: two worlds, three seeds, some runs memorise and some do not."""
    path = study(training__seeds=3, training__max_steps=20, evaluation=EASY)
    return path, tmp_path / "out", run_study(path, tmp_path / "out", workers=1)


def test_the_view_is_a_table_of_worlds_with_pace_packs_and_the_last_failure():
    """Worlds of which not every run has an evaluation say how many have."""
    lines = [line.rstrip() for line in text(rendered(VIEW.model_copy(update={"note": "a note"}))).splitlines()]
    assert lines == [
        "demo: training",
        "world  memorised  grokked    median test error",
        "real      7 of 8   2 of 8                0.250",
        "ideal     0 of 8   0 of 8  0.500 (3 evaluated)",
        "2,000 of 5,000 steps, 200 a second, 15 s left",
        "packs: 1 done, 2 running, of 5",
        "1 pack failed, the last: ValueError: no",
        "a note",
    ]


@pytest.mark.parametrize("width", [30, 48])
def test_the_view_fits_a_narrow_terminal(width):
    """No line is longer than the terminal, and the counts are still there."""
    lines = text(rendered(VIEW), width).splitlines()
    assert max(map(len, lines)) <= width
    assert "7 of 8" in " ".join(lines)


def test_a_terminal_is_left_with_its_cursor_and_one_last_view():
    """Also where an interrupt ends it; every view stands in the place of the one before."""
    stream = io.StringIO()
    screen = TableScreen(Console(file=stream, force_terminal=True, width=80))
    with contextlib.suppress(KeyboardInterrupt), screen:
        screen.show(VIEW)
        raise KeyboardInterrupt
    shown = stream.getvalue()
    assert shown.index("\x1b[?25l") < shown.index("real") < shown.rindex("\x1b[?25h")


def test_a_log_has_a_line_a_minute(monkeypatch):
    """Not more, however often there is something to tell."""
    now, stream = [0.0], io.StringIO()
    monkeypatch.setattr("deepboot.runners.live.screens.time.monotonic", lambda: now[0])
    screen = LineScreen(stream, wait=60)
    for now[0] in range(0, 150, 10):
        screen.show(VIEW)
    assert stream.getvalue() == 2 * "2,000 of 5,000 steps, 200 a second, 15 s left\n"


def test_several_studies_are_shown_under_each_other():
    """Tables on a terminal; in a log a line each, with the study's name."""
    other = View(name="other", state="interrupted", worlds=(REAL,), note="a note")
    terminal, log = io.StringIO(), io.StringIO()
    with TableScreen(Console(file=terminal, force_terminal=True, width=80)) as screen:
        screen.show(VIEW, other)
    assert terminal.getvalue().index("demo: training") < terminal.getvalue().index("other: interrupted")
    LineScreen(log, wait=0).show(VIEW, other)
    assert log.getvalue().splitlines() == [
        "demo: 2,000 of 5,000 steps, 200 a second, 15 s left",
        "other: interrupted; real: 7 of 8 memorised, 2 grokked (a note)",
    ]


def test_the_tally_counts_what_the_tables_say(trained):
    """Memorised, grokked and the last median error of each world are those of the finished tables."""
    path, out, read = trained
    tally = Tally(work.plan(path).runs)
    rows = output_folder.records(read.evaluations)
    assert tally.add(rows) == rows
    assert tally.add(rows) == []  # a pack that starts over tells of them again
    expected = folders.view_of(out).worlds
    assert tally.worlds() == expected
    assert {world.world for world in expected} == {"real", "ideal"}
    assert 0 < sum(world.memorised + world.grokked for world in expected) < 12


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_training_reports_every_evaluation_and_leaves_no_view_behind(study, tmp_path, monkeypatch, workers):
    """The rows that reach the observer are those of the table, from this process and from workers."""
    seen = []
    progress = observer.Observer.progress

    def told(self, steps, rows):
        seen.extend((row["run_id"], row["step"], row["test_loss"]) for row in rows)
        progress(self, steps, rows)

    monkeypatch.setattr(observer.Observer, "progress", told)
    rows = run_study(study(training__seeds=2), tmp_path / "out", workers=workers).evaluations
    assert sorted(seen) == sorted(zip(rows["run_id"], rows["step"], rows["test_loss"], strict=True))
    assert not (tmp_path / "out" / status.FILE).exists()


def test_an_interrupted_study_goes_on_with_the_counts_that_it_had(study, tmp_path, interrupted_at_5, monkeypatch):
    """Tables and checkpoints are counted at once, before anything new is evaluated."""
    path, out = study(training__seeds=4, training__max_steps=12), tmp_path / "out"
    interrupted_at_5(path, out)
    before = {world.world: world.evaluated for world in folders.view_of(out).worlds}
    views = []
    progress = observer.Observer.progress

    def told(self, steps, rows):
        progress(self, steps, rows)
        views.append(self.view())

    monkeypatch.setattr(observer.Observer, "progress", told)
    run_study(path, out, workers=1)
    assert {world.world: world.evaluated for world in views[0].worlds} == before
    assert folders.view_of(out).state == "finished"


def test_an_observer_counts_packs_and_tells_its_view_to_the_folder(study, tmp_path, monkeypatch):
    """A pack in two parts is two packs, one that fails is done, and the last reason is kept in one line."""
    monkeypatch.setattr(observer, "REFRESH_SECONDS", 0.01)
    runs = work.plan(study()).runs
    with observer.Observer(tmp_path, runs, 2, Pace(100), LineScreen(io.StringIO(), 60)) as watched:
        for parts, failures in ((2, []), (0, []), (0, ["ValueError: no\nmore"])):
            watched.begun()
            watched.ended([run.run_id for run in runs], failures, parts)
        watched.begun()
        deadline = time.monotonic() + 10
        while status.read(tmp_path) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        view = status.read(tmp_path)
        assert view.process == os.getpid()
        assert (watched.view().packs_done, watched.view().packs_running, watched.view().packs) == (2, 1, 3)
        assert watched.view().failures == "1 pack failed, the last: ValueError: no"
    assert status.read(tmp_path) is None


def test_what_the_view_says_of_a_folder_that_is_written_by_nobody(study, tmp_path, interrupted_at_5):
    """Missing, empty, interrupted and finished folders are told apart."""
    with pytest.raises(StudyError, match=r"nowhere: there is no such folder\. Name the output folder of"):
        folders.view_of(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyError, match=r"empty: no study was run here\. Begin one with `deepboot run STUDY --out"):
        folders.view_of(tmp_path / "empty")
    path, out = study(training__seeds=4, training__max_steps=12), tmp_path / "out"
    interrupted_at_5(path, out)
    assert folders.view_of(out).state == "interrupted"
    with output_folder.held(out):
        assert folders.view_of(out).state == "preparing"
        assert not folders.is_abandoned(out)
        status.write(out, VIEW)
        assert folders.view_of(out) == VIEW
        status.remove(out)


def test_a_process_that_died_is_told_by_the_age_of_its_last_sign(tmp_path, monkeypatch):
    """A sign is due every two seconds; on this machine the process itself is looked for."""
    now = time.time()
    assert folders.silence(VIEW.model_copy(update={"seen": now})) == ""
    assert folders.silence(VIEW.model_copy(update={"seen": now - 42.2})) == (
        "process 1 on here seems dead: its last sign is 42 s old"
    )
    output_folder.files.write_json({"process": os.getpid(), "host": platform.node()}, tmp_path / folders.OWNER)
    assert not folders.is_abandoned(tmp_path)
    monkeypatch.setattr(folders.os, "kill", lambda *_: (_ for _ in ()).throw(ProcessLookupError))
    assert folders.is_abandoned(tmp_path)


def test_a_damaged_view_is_no_view(tmp_path):
    """A file of another version is left out, as if nothing were trained."""
    (tmp_path / status.FILE).write_text('{"name": 3')
    assert status.read(tmp_path) is None
    (tmp_path / status.FILE).write_text('{"name": "demo"}')
    assert status.read(tmp_path) is None


def test_watch_shows_a_study_to_its_end(trained, deepboot, monkeypatch):
    """Exit status 0 once it is finished, 1 where its process died, 2 where there is nothing to watch."""
    _, out, _ = trained
    views = iter([VIEW.model_copy(update={"seen": time.time()})])
    monkeypatch.setattr(folders.status, "read", lambda folder: next(views, None))
    monkeypatch.setattr("deepboot.runners.commands.watch.LOOK_SECONDS", 0)
    told = deepboot("watch", out)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        "2,000 of 5,000 steps, 200 a second, 15 s left", f"Finished. Next: deepboot report {out}"
    ]  # fmt: skip
    assert deepboot("watch", out, out).stdout.splitlines()[2:] == 2 * [f"Finished. Next: deepboot report {out}"]
    output_folder.files.write_json({"process": 2**22 + 1, "host": platform.node()}, out / folders.OWNER)
    told = deepboot("watch", out)
    assert told.returncode == 1
    assert f"The process that wrote {out} is dead. `deepboot run {out}` goes on from its checkpoints." in told.stdout
    told = deepboot("watch", out / "nowhere")
    assert (told.returncode, told.stderr.count("there is no such folder")) == (2, 1)


WAITING = '''
import os, time
from pathlib import Path
from deepboot.bootstrap.losses import cross_entropy
from deepboot.bootstrap.registry import register

@register("loss", "waiting")
def waiting(logits_EBV, label_EB):
    """Cross-entropy, once a file is there."""
    while not Path(os.environ["GO"]).exists():
        time.sleep(0.01)
    return cross_entropy(logits_EBV, label_EB)
'''


@pytest.mark.slow
def test_watch_follows_two_workers_of_another_process_to_the_end(study, tmp_path, deepboot, monkeypatch):
    """Both are seen at work on a pack each, no step is taken back, and in the end every run is counted."""
    go, out, views = tmp_path / "go", tmp_path / "out", []
    (tmp_path / "waiting.py").write_text(WAITING)
    path = study(plugins=["waiting.py"], loss={"name": "waiting"}, training__seeds=4, training__max_steps=40)
    words = ["run", path, "--out", out, "--workers", 2, "--pack-size", 2, "--backend", "eager", "--train-only"]
    monkeypatch.setenv("GO", str(go))
    monkeypatch.setattr("deepboot.runners.commands.watch.LOOK_SECONDS", 0.05)
    show = LineScreen.show

    def noted(screen, *shown):
        views.extend(shown)
        if shown[0].packs_running == 2:
            go.touch()
        show(screen, *shown)

    monkeypatch.setattr(LineScreen, "show", noted)
    command = [sys.executable, "-m", "deepboot.runners.cli", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as training:
        while training.poll() is None and not (out / folders.OWNER).exists():
            time.sleep(0.02)
        told = deepboot("watch", out)
    assert (training.returncode, told.returncode) == (0, 0), told.stderr
    assert told.stdout.splitlines()[-1] == f"Finished. Next: deepboot report {out}"
    trained = [view for view in views if view.state == "training"]
    assert {(view.process, view.packs, view.steps) for view in trained} == {(training.pid, 4, 8 * 40)}
    assert max(view.packs_running for view in trained) == 2
    assert [view.steps_done for view in trained] == sorted(view.steps_done for view in trained)
    assert [(world.world, world.runs, world.evaluated) for world in views[-1].worlds] == [
        ("real", 4, 4),
        ("ideal", 4, 4),
    ]


def test_watching_can_be_left_while_training_goes_on(tmp_path, deepboot, monkeypatch):
    """An interrupt ends the view alone."""

    def interrupt(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepboot.runners.commands.watch.view_of", interrupt)
    told = deepboot("watch", tmp_path)
    assert (told.returncode, told.stdout) == (130, f"No longer watching {tmp_path}; training goes on.\n")


def test_the_page_is_opened_or_its_path_told(deepboot, tmp_path, monkeypatch):
    """A machine without a browser is no failure."""
    opened, page = [], tmp_path / "report.html"
    monkeypatch.setattr("deepboot.runners.cli_results.write_and_tell", lambda *_: page)
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)) or len(opened) == 1)
    trained = Results(pd.DataFrame({"seed": [0]}), None, {"training": {"seeds": 1}})
    monkeypatch.setattr("deepboot.runners.run.engine.run_study", lambda *_, **__: trained)
    with_browser, without = deepboot("report", tmp_path, "--open"), deepboot("demo", "--open")
    assert (with_browser.returncode, without.returncode) == (0, 0)
    assert opened == 2 * [page.as_uri()]
    sentence = f"No browser could be opened. Open {page} in one yourself."
    assert (sentence in with_browser.stdout, sentence in without.stdout) == (False, True)
