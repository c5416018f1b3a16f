"""Where and with what a study was run."""

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "pandas", "pyarrow", "pydantic", "safetensors", "scipy", "seaborn", "torch", "torchvision")


def describe(device: str, seconds: float) -> dict[str, Any]:
    """Versions, machine, device and command, as plain values for ``environment.json``."""
    return {
        "command": shlex.join(["deepboot", *sys.argv[1:]]) if _is_command_line() else "run_study from Python",
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "device": device_name(device) if device == "cuda" else f"cpu, {processor()}",
        "cores": os.cpu_count(),
        "multiplies bfloat16": multiplies_bfloat16(device),
        "system": platform.platform(),
        "python": platform.python_version(),
        "deep-bootstrap": version("deep-bootstrap"),
        "packages": {name: version(name) for name in PACKAGES},
    }


def device_name(device: str) -> str:
    """Name of the processor or of the GPU; a cluster's GPU has none on a machine without one."""
    import torch

    if device == "cpu":
        return processor()
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "a GPU of a cluster"


def multiplies_bfloat16(device: str) -> bool:
    """Whether a device has units for products of bfloat16: of a processor, AVX-512 or AMX instructions.

    Of a cluster's GPU, asked on a machine without one, it is taken to be so.
    """
    import torch

    if device == "cuda":
        return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def version(package: str) -> str:
    """Installed version of a package, or "not installed"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def _is_command_line() -> bool:
    """Whether this is `deepboot` or `python -m deepboot.runners.cli`."""
    called = Path(sys.argv[0])
    return called.name.startswith("deepboot") or called.parts[-2:] == ("runners", "cli.py")
