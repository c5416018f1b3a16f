"""``deepboot data cifar5m``: from a server to a trained study, as a person types it."""

import shlex

import pytest
import tomli_w

from deepboot.datasets.cifar5m import prepare, transfer
from deepboot.runners import run_study, study_files
from deepboot.runners.commands import data
from deepboot.runners.live.progress import Progress
from tests.bootstrap.conftest import parity
from tests.datasets.published import write

pytestmark = pytest.mark.usefixtures("no_proxy")


def test_download_prepare_verify_and_show_lead_to_each_other(server, tmp_path, deepboot, monkeypatch):
    """Each command ends with the next one worth typing, which then works."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    size = (server.folder / "part0.npz").stat().st_size
    fetched = deepboot("data", "cifar5m", "download", "--root", root, "--parts", 0, 5, "--url", server.url)
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stdout.splitlines() == [
        *(f"{root / f'part{number}.npz'}  {size / 1_000:.1f} kB" for number in (0, 5)),
        f"Next: deepboot data cifar5m prepare --root {root} --parts 0 5",
    ]
    prepared = deepboot(*shlex.split(fetched.stdout.splitlines()[-1])[2:])
    assert prepared.stdout.splitlines() == [
        "part 0: 60 images from part0.npz",
        "part 5: 60 images from part5.npz",
        f"{root}: 120 images are prepared; the .npz files are no longer needed.",
        f"Next: deepboot data cifar5m verify --root {root}",
    ]
    verified = deepboot(*shlex.split(prepared.stdout.splitlines()[-1])[2:])
    assert verified.stdout.splitlines() == [
        "part 0: 60 images, checksums and labels right",
        "part 5: 60 images, checksums and labels right",
        "Not the published CIFAR-5m, whose parts have 1,000,448 images each.",
        f"Next: deepboot show cifar5m --set root={root} 'train_parts=[0]' 'test_parts=[5]'",
    ]
    shown = deepboot(*shlex.split(verified.stdout.splitlines()[-1])[2:])
    assert shown.returncode == 0, shown.stderr
    assert f"cifar5m: root = {root}, train_parts = [0], test_parts = [5]" in shown.stdout


def test_all_parts_need_no_naming(tmp_path, deepboot):
    """Nor does their reference split."""
    write(tmp_path, *range(6))
    prepared = deepboot("data", "cifar5m", "prepare", "--root", tmp_path)
    assert f"{tmp_path}: 360 images are prepared; the .npz files are no longer needed." in prepared.stdout
    verified = deepboot("data", "cifar5m", "verify", "--root", tmp_path)
    assert verified.stdout.endswith(f"Next: deepboot show cifar5m --set root={tmp_path}\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("prepare", "--parts", "6"), "--parts: expected numbers from 0 to 5, got 6. Name some of 0 1 2 3 4 5."),
        (("prepare", "--url", "http://x"), "--url: only `download` reads from a server, got 'prepare'. Remove it."),
        (("verify", "--parts", "0"), "--parts: `verify` reads all that is prepared. Remove it."),
        (
            ("download", "--url", "x"),
            "--url: expected an address with http:// or https://, got 'x'. Write it in full.",
        ),
        (
            ("verify",),
            "{root}: no prepared CIFAR-5m here (cifar5m.json is missing). "
            "Prepare it: deepboot data cifar5m prepare --root {root}",
        ),
    ],
)
def test_mistakes_end_with_one_sentence(tmp_path, deepboot, words, sentence):
    """Exit status 2, and what to do."""
    done = deepboot("data", "cifar5m", *words, "--root", tmp_path)
    assert done.returncode == 2
    assert done.stderr == sentence.format(root=tmp_path) + "\n"


def test_trouble_with_the_disk_is_one_sentence(tmp_path, deepboot, monkeypatch):
    """A disk that fills up meanwhile."""

    def full(*args, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(data.ACTIONS, "prepare", full)
    done = deepboot("data", "cifar5m", "prepare", "--root", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path}: No space left on device. Mend this; then the same command goes on.\n"


def test_stopping_a_download_keeps_what_came(server, tmp_path, deepboot, monkeypatch):
    """Exit status 130, a sentence, and the same command fetches the rest."""
    words = ("data", "cifar5m", "download", "--root", tmp_path / "data", "--parts", 0, "--url", server.url)

    def stop(seconds):
        raise KeyboardInterrupt

    server.faults = ["", "drop 5000", "503"]
    with monkeypatch.context() as patched:
        patched.setattr(transfer.download, "__kwdefaults__", {**transfer.download.__kwdefaults__, "pause": stop})
        stopped = deepboot(*words)
    assert stopped.returncode == 130
    assert stopped.stdout == "Stopped. The same command goes on where the download was.\n"
    assert deepboot(*words).returncode == 0
    assert server.asked[-1] == "bytes=5000-"


def test_both_worlds_are_trained_on_it(tmp_path):
    """From the files to the tables: the ideal world's samples are fresh, the real world's pool is used again."""
    write(tmp_path, 0, 1, 5)
    prepare(tmp_path, [0, 1, 5])
    raw = parity(
        task={"name": "cifar5m", "root": ".", "train_parts": [0, 1]},
        data={"test_set": "reference", "test_samples": 20},
        training={"train_size": 24, "batch_size": 8, "max_steps": 15, "seeds": 2},
    )
    (tmp_path / "small.toml").write_text(tomli_w.dumps(raw))
    read = run_study(tmp_path / "small.toml", tmp_path / "out", workers=1)
    runs = read.runs.set_index("world")
    assert (runs["status"] == "finished").all()
    assert (runs.loc["real", "first_reuse_step"] == 3).all()
    assert runs.loc["ideal", "first_reuse_step"].isna().all()
    assert (runs["task.train_parts"] == "[0, 1]").all()
    rows = read.evaluations
    worlds = [rows[rows["run_id"].isin(runs.loc[[world], "run_id"])] for world in ("real", "ideal")]
    before, after = ([set(rows[rows["step"] == step]["test_loss"]) for rows in worlds] for step in (3, 15))
    assert len(before[0]) == 2
    assert before[0] == before[1]
    assert not after[0] & after[1]


def test_every_action_has_its_word_for_an_interruption():
    """What is left of it, and what to do."""
    assert {action: data.interrupted(action) for action in data.ACTIONS} == {
        "download": "Stopped. The same command goes on where the download was.",
        "prepare": "Stopped. Nothing half done is left; the same command begins again.",
        "verify": "Stopped. Nothing was changed.",
    }


def test_bytes_are_told_in_megabytes(monkeypatch):
    """Done / total, rate, time left."""
    now = [100.0]
    monkeypatch.setattr("deepboot.runners.live.progress.time.monotonic", lambda: now[0])
    progress = Progress(18_400_000_000, work="downloading")
    now[0] += 10
    progress(400_000_000)
    assert progress.line() == "400 of 18,400 MB, 40 a second, 7.5 min left"


def test_a_folder_of_images_is_found_beside_its_study_or_at_home(tmp_path, monkeypatch):
    """In a study file from the file's folder, on the command line from where the person is."""
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for root, expected in (("images", tmp_path / "images"), ("~/images", tmp_path / "home" / "images")):
        (tmp_path / "small.toml").write_text(tomli_w.dumps(parity(task={"name": "cifar5m", "root": root})))
        assert study_files.load(tmp_path / "small.toml")["task"]["root"] == str(expected)
    for root, expected in (("images", tmp_path / "there" / "images"), ("~/images", tmp_path / "home" / "images")):
        changed = study_files.load(tmp_path / "small.toml", changes=[f"task.root={root}"])
        assert changed["task"]["root"] == str(expected)
