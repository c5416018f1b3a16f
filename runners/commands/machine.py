"""What ``deepboot doctor`` looks at on the machine: cores and threads, memory, disk, compiler, GPU."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import torch

from deepboot.runners.commands.findings import Finding
from deepboot.runners.run import autotune, environment
from deepboot.runners.run.local import cores

WORKER_BYTES = 600_000_000  # of a worker process before it has any data, measured with torch 2.15
LITTLE_DISK, NO_DISK = 1_000_000_000, 50_000_000  # bytes
COMPILE_SECONDS = 20
SOURCE = '#include <Python.h>\nextern "C" int twice(int number) { return 2 * number; }\n'
DRIVER = Path("/proc/driver/nvidia/version")
WITH_CUDA = "install torch with CUDA for this driver, as https://pytorch.org/get-started/locally says."


def threads(usable: int, total: int, quota: float | None) -> Finding:
    """How many worker processes a study gets, and whether they are more than the processor may serve.

    Args:
        usable: cores that this process may use.
        total: cores of the machine.
        quota: cores' worth of time that a container allows; None: no limit.
    """
    told = f"{usable} of {total} cores are usable: training has up to {usable} worker processes of one thread each"
    given = os.environ.get("OMP_NUM_THREADS")
    told += f". OMP_NUM_THREADS = {given} does not change that" if given else ""
    if quota is not None and quota < usable:
        cure = f"add --workers {max(1, int(quota))} to `deepboot run`."
        return Finding("threads", f"{told}, but this container has the time of {quota:g} cores only.", cure)
    return Finding("threads", f"{told}.")


def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Cores' worth of time that a container allows; None: no limit, or not known."""
    path = root / "cpu.max"
    limit, _, period = path.read_text().strip().partition(" ") if path.is_file() else ("max", "", "")
    return None if limit == "max" else int(limit) / int(period)


def memory(available: int, workers: int) -> Finding:
    """Whether the free memory suffices for all worker processes.

    Args:
        available: bytes.
        workers: processes.
    """
    told = f"{_size(available)} are free; each of {workers} worker processes takes {_size(WORKER_BYTES)} and its data"
    fitting = available // (2 * WORKER_BYTES)
    if available < WORKER_BYTES:
        return Finding("memory", f"{told}: too little for one.", "close other programs.", is_broken=True)
    if fitting < workers:
        cure = f"close other programs, or add --workers {max(1, fitting)} to `deepboot run`."
        return Finding("memory", f"{told}: larger studies may fail.", cure)
    return Finding("memory", f"{told}.")


def free_memory(root: Path = Path("/sys/fs/cgroup"), info: Path = Path("/proc/meminfo")) -> int:
    """Bytes that programs may still take, of the machine or of the container, whichever has less."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", info.read_text()) if info.is_file() else None
    free = int(found[1]) * 1_024 if found else autotune.free_memory("cpu")
    limit, used = (root / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and used.is_file() and limit.read_text().strip() != "max":
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return free


def disk(folder: Path) -> Finding:
    """Whether results can be written to an output folder."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    told = f"{_size(free)} are free for {folder}"
    elsewhere = "give another folder with --out, or free some space."
    if not os.access(place, os.W_OK):
        return Finding("disk", f"{place} cannot be written to.", "give another folder with --out.", is_broken=True)
    if free < LITTLE_DISK:
        return Finding(
            "disk", f"{told}: kept weights and large studies need more.", elsewhere, is_broken=free < NO_DISK
        )
    return Finding("disk", f"{told}.")


def compiler(command: str | None = None) -> Finding:
    """Whether torch can compile for this processor: a C++ compiler, with OpenMP and Python's headers.

    Args:
        command: of the compiler; None: the one that torch would take.
    """
    command = command or os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    slower = "long studies on a CPU are trained without compiling, which is slower."
    if shutil.which(command) is None:
        return Finding("compiler", f"there is no {command}: {slower}", "install it, as by `apt install g++`.")
    problem = _compile(command)
    if problem:
        cure = f"install {'the headers of Python' if 'Python.h' in problem else 'what it misses'}: {problem}"
        return Finding("compiler", f"{command} cannot compile for torch: {slower}", cure)
    return Finding("compiler", f"{command} can compile for torch; it does where a study is long enough to repay it.")


def _compile(command: str) -> str:
    """The first error of compiling a few lines as torch's compiler would; empty if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        include = f"-I{sysconfig.get_path('include')}"
        openmp = ["-fopenmp"] if sys.platform != "darwin" else []
        words = [command, "-x", "c++", "-", "-shared", "-fPIC", *openmp, include, "-o", f"{folder}/tried.so"]
        try:
            ran = subprocess.run(
                words, input=SOURCE, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    errors = [line for line in ran.stderr.splitlines() if "error" in line] or ran.stderr.splitlines()
    return "" if ran.returncode == 0 else (errors or [f"exit status {ran.returncode}"])[0]


def gpu(driver_file: Path = DRIVER) -> Finding:
    """Which GPU training uses, or why none.

    Args:
        driver_file: in which NVIDIA's driver tells its version, if it is there.
    """
    driver = _driver(driver_file)
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        told = f"{torch.cuda.get_device_name()}, {_size(free)} of {_size(total)} free, driver {driver or 'unknown'}"
        if torch.cuda.get_device_capability() < (7, 0):
            return Finding(
                "gpu", f"{told}: too old to be compiled for.", "use a GPU of 2017 or later (capability 7.0)."
            )
        return Finding("gpu", f"{told}.")
    if driver is None:
        return Finding("gpu", "none: the processor trains.")
    if torch.version.cuda is None:
        return Finding("gpu", f"there is one (driver {driver}), but this torch is for processors alone.", WITH_CUDA)
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Finding("gpu", "there is one, but CUDA_VISIBLE_DEVICES hides it.", "unset CUDA_VISIBLE_DEVICES.")
    told = f"there is one (driver {driver}), but torch for CUDA {torch.version.cuda} cannot use it."
    return Finding("gpu", told, f"update the driver, or {WITH_CUDA}")


def _driver(path: Path) -> str | None:
    """Version of NVIDIA's driver; None where there is none."""
    found = re.search(r"Module\s.*?(\d+\.\d+(?:\.\d+)?)", path.read_text()) if path.is_file() else None
    return found[1] if found else None


def processor() -> Finding:
    """The processor, and whether it multiplies numbers of 16 bits."""
    units = environment.multiplies_bfloat16("cpu")
    told = "multiplies bfloat16" if units else (
        'has no units for bfloat16: training.precision = "bf16" is slow on it, and "bf16_products" is float32'
    )  # fmt: skip
    return Finding("processor", f"{environment.processor()}, which {told}.")


def usual() -> list[Finding]:
    """Findings about this machine, but for its disk."""
    usable = cores()
    return [
        processor(),
        threads(usable, os.cpu_count() or usable, cpu_quota()),
        memory(free_memory(), usable),
        compiler(),
        gpu(),
    ]


def _size(number: int) -> str:
    """Bytes in gigabytes, or below one in megabytes."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"
