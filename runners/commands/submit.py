"""Batch scripts for Slurm: a job array with a shard each, or one allocation on which Ray is started."""

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepboot.bootstrap.files import write_atomically
from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners.remote.location import is_remote, local_path
from deepboot.runners.run.work import default_folder, requested, shard_of

RAY_SECONDS = 120  # for the first node to answer


@dataclass(frozen=True)
class Request:
    """What is asked of Slurm.

    Attributes:
        study: path or shipped name.
        out: folder or location with a folder for each shard, or the output folder of a study on Ray.
        partition: of the cluster.
        shards: jobs of the array; 0 where Ray is started instead.
        nodes: on which Ray is started; 0 for an array.
        minutes: until Slurm ends a job.
        gpus, cpus: of each job or node.
        settings: further words of `deepboot run`.
    """

    study: str
    out: str
    partition: str
    shards: int
    nodes: int
    minutes: int
    gpus: int
    cpus: int
    settings: tuple[str, ...] = ()

    @property
    def own_folder(self) -> Path:
        """Where the script and Slurm's logs go: the folder itself, beside which a location needs one."""
        return default_folder(self.study) if is_remote(self.out) else local_path(self.out)

    @property
    def command(self) -> str:
        """The command that trains, up to what differs between jobs."""
        return shlex.join(["deepboot", "run", self.study, *self.settings])


def submit(request: Request, scale: str | None, changes: Sequence[str], *, dry_run: bool) -> Iterator[str]:
    """Lines: the script itself where nothing is to be done, else what was submitted and what comes next.

    Raises:
        StudyError: the study has mistakes or no cell for a shard, numbers do not fit, or Slurm refuses.
    """
    if (request.shards > 0) == (request.nodes > 0):
        given = "neither" if request.shards == request.nodes == 0 else f"{request.shards} and {request.nodes}"
        raise StudyError([
            f"--shards and --nodes: expected one of them above 0, got {given}. Write --shards 8 for eight jobs "
            "that know nothing of each other, or --nodes 2 for Ray on two nodes."
        ])  # fmt: skip
    cells = requested(request.study, request.own_folder, scale, changes, None).all_cells
    for number in range(1, request.shards + 1):
        shard_of(cells, f"{number}/{request.shards}")
    script = array_script(request) if request.shards else ray_script(request)
    if dry_run:
        yield script.rstrip("\n")
        return
    path = request.own_folder / "submit.sh"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, script.encode())
    yield _sbatch(path)
    folders = f"{request.out}/shard-*" if request.shards else request.out
    yield f"Next: squeue --me   then: deepboot report {folders}"


def _sbatch(path: Path) -> str:
    """What Slurm says to a script.

    Raises:
        StudyError: it is not there, or refuses.
    """
    if shutil.which("sbatch") is None:
        raise StudyError([
            f"sbatch: this machine has no Slurm. The script is {path}: give it to sbatch on a machine that has."
        ])  # fmt: skip
    ran = subprocess.run(["sbatch", str(path)], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise StudyError([f"sbatch {path}: {ran.stderr.strip()}. Change the options, and submit again."])
    return ran.stdout.strip()


def array_script(request: Request) -> str:
    """A job array: each job trains its shard into a folder of its own, which its lock keeps for one job."""
    numbered = f'--shard "$SLURM_ARRAY_TASK_ID/{request.shards}"'
    folder = f'{shlex.quote(request.out)}/shard-"$SLURM_ARRAY_TASK_ID"-of-{request.shards}'
    return "\n".join([
        *_head(request, "%A-%a"), f"#SBATCH --array=1-{request.shards}", "#SBATCH --nodes=1", "", "set -eu",
        f"exec {request.command} {numbered} --out {folder}", "",
    ])  # fmt: skip


def ray_script(request: Request) -> str:
    """One allocation: Ray is started on its first node, then on the others, and the study is trained on all."""
    resources = f"--num-cpus={request.cpus} --num-gpus={request.gpus}"
    others = 'srun --nodes="$((SLURM_NNODES - 1))" --ntasks="$((SLURM_NNODES - 1))" --exclude="$first" --overlap \\'
    return "\n".join([
        *_head(request, "%j"), f"#SBATCH --nodes={request.nodes}", "#SBATCH --ntasks-per-node=1", "", "set -eu",
        "first=$(scontrol show hostnames \"$SLURM_JOB_NODELIST\" | head -n 1)",
        'port=$((20000 + SLURM_JOB_ID % 20000))  # jobs that share a node do not meet',
        'srun --nodes=1 --ntasks=1 --nodelist="$first" --overlap \\',
        f'    ray start --head --port="$port" {resources} --block &',
        f"for _ in $(seq {RAY_SECONDS}); do",
        '    ray status --address="$first:$port" > /dev/null 2>&1 && break',
        "    sleep 1", "done",
        'if [ "$SLURM_NNODES" -gt 1 ]; then',
        f"    {others}",
        f'        ray start --address="$first:$port" {resources} --block &',
        "fi",
        f'{request.command} --out {shlex.quote(request.out)} --engine ray --address "$first:$port" \\',
        f"    --workers {request.nodes * (request.gpus or request.cpus)}", "",
    ])  # fmt: skip


def _head(request: Request, job: str) -> list[str]:
    """The first lines of a script, with the parameters that every job has."""
    name = default_folder(request.study).name
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={name}",
        f"#SBATCH --partition={request.partition}",
        f"#SBATCH --time={request.minutes}",
        f"#SBATCH --cpus-per-task={request.cpus}",
        f"#SBATCH --output={shlex.quote(f'{request.own_folder}/slurm-{job}.log')}",
    ]
    return [*lines, f"#SBATCH --gpus-per-node={request.gpus}"] if request.gpus else lines
