"""Batch scripts do what they say, on a Slurm and a Ray that only write down how they were called."""

import os
import subprocess

import pytest

from deepboot.runners import cli
from deepboot.runners.command_line import examples
from deepboot.runners.commands import submit as submitting

SWEEP = {"model.width": [8, 12]}  # a cell in each of two shards
STAND_INS = {
    "scontrol": 'printf "node-a\\nnode-b\\n"',
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
    "ray": 'echo "ray $*" >> "$LOG"',
    "deepboot": 'echo "deepboot $*" >> "$LOG"',
    "sleep": "true",
    "sbatch": 'echo "Submitted batch job 7 $*"',
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder of stand-ins before all other programs; called with a script and its surroundings, it says who ran."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))

    def ran(script, **surroundings):
        for more in ([], ["-n"]):
            subprocess.run(["bash", *more], input=script + "\nwait", env={**os.environ, **surroundings},
                           text=True, check=True)  # fmt: skip
        return (tmp_path / "log").read_text().splitlines()

    return ran


def test_each_job_of_an_array_trains_its_own_shard_into_its_own_folder(study, tmp_path, deepboot, slurm):
    """No two jobs have a pack in common, since cells are in one shard each; a folder's lock keeps out a second job."""
    path, out = study(sweep=SWEEP), tmp_path / "with a blank"
    ran = deepboot("submit", path, "--partition", "gpu", "--shards", 2, "--gpus", 1, "--out", out, "--set",
                   "training.seeds=3", "--dry-run")  # fmt: skip
    assert ran.stdout.splitlines()[:9] == [
        "#!/bin/bash", "#SBATCH --job-name=small", "#SBATCH --partition=gpu", "#SBATCH --time=240",
        "#SBATCH --cpus-per-task=4", f"#SBATCH --output='{out}/slurm-%A-%a.log'", "#SBATCH --gpus-per-node=1",
        "#SBATCH --array=1-2", "#SBATCH --nodes=1",
    ]  # fmt: skip
    assert not out.exists()
    assert slurm(ran.stdout, SLURM_ARRAY_TASK_ID="2") == [
        f"deepboot run {path} --set training.seeds=3 --shard 2/2 --out {out}/shard-2-of-2"
    ]


def test_ray_is_started_on_an_allocation_before_the_study_is_trained_on_it(study, tmp_path, deepboot, slurm):
    """The head first, then the other nodes, all with what was asked for."""
    path = study()
    ran = deepboot("submit", path, "--partition", "gpu", "--nodes", 2, "--gpus", 8, "--out", tmp_path, "--dry-run")
    called = slurm(ran.stdout, SLURM_JOB_NODELIST="node-[a-b]", SLURM_JOB_ID="7", SLURM_NNODES="2")
    assert sorted(called) == [
        f"deepboot run {path} --out {tmp_path} --engine ray --address node-a:20007 --workers 16",
        "ray start --address=node-a:20007 --num-cpus=4 --num-gpus=8 --block",
        "ray start --head --port=20007 --num-cpus=4 --num-gpus=8 --block",
        "ray status --address=node-a:20007",
    ]


def test_a_script_is_kept_and_handed_to_slurm(study, tmp_path, deepboot, slurm):
    """And what comes next is said."""
    out = tmp_path / "out"
    ran = deepboot("submit", study(sweep=SWEEP), "--partition", "cpu", "--shards", 2, "--out", out)
    assert ran.stdout.splitlines() == [
        f"Submitted batch job 7 {out}/submit.sh", f"Next: squeue --me   then: deepboot report {out}/shard-*",
    ]  # fmt: skip
    assert "--gpus" not in (out / "submit.sh").read_text()


def test_what_cannot_be_submitted_is_said(study, tmp_path, deepboot, slurm, monkeypatch):
    """A shard without cells, both ways at once or none, a refusal, and a machine without Slurm."""
    path, out = study(), tmp_path / "out"

    def told(*words):
        ran = deepboot("submit", path, "--partition", "gpu", "--out", out, *words)
        assert ran.returncode == 2
        return ran.stderr

    assert told("--shards", 2) in {
        f"--shard {number}/2: none of the study's 1 cells falls into it. Choose fewer shards, or another.\n"
        for number in (1, 2)
    }
    for words, got in [((), "neither"), (("--shards", 2, "--nodes", 3), "2 and 3")]:
        assert told(*words) == (
            f"--shards and --nodes: expected one of them above 0, got {got}. Write --shards 8 for eight jobs that know "
            "nothing of each other, or --nodes 2 for Ray on two nodes.\n"
        )
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/bash\necho 'sbatch: error: invalid partition' >&2; exit 1\n")
    assert told("--nodes", 1) == (
        f"sbatch {out}/submit.sh: sbatch: error: invalid partition. Change the options, and submit again.\n"
    )
    monkeypatch.setattr(submitting.shutil, "which", lambda name: None)
    assert told("--nodes", 1) == (
        f"sbatch: this machine has no Slurm. The script is {out}/submit.sh: give it to sbatch on a machine that has.\n"
    )


@pytest.mark.parametrize("line", examples(cli.app.commands["submit"]))
def test_the_examples_of_its_help_have_a_cell_for_every_job(line, deepboot):
    """Each makes a script, whose number of jobs or nodes is the one that is asked for."""
    _, *words = line.removesuffix(" --dry-run").split()
    ran = deepboot(*words, "--dry-run")
    assert ran.returncode == 0, ran.stderr
    asked = "--array=1-2" if "--shards" in words else "--nodes=2"
    assert f"#SBATCH {asked}\n" in ran.stdout
