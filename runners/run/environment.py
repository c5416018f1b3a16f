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
    import torch

    return {
        "command": shlex.join(["deepboot", *sys.argv[1:]]) if _is_command_line() else "run_study from Python",
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {processor()}",
        "cores": os.cpu_count(),
        "multiplies bfloat16": multiplies_bfloat16(device),
        "system": platform.platform(),
        "python": platform.python_version(),
        "deep-bootstrap": version("deep-bootstrap"),
        "packages": {name: version(name) for name in PACKAGES},
    }


def multiplies_bfloat16(device: str) -> bool:
    """Whether a device has units for products of bfloat16: of a processor, AVX-512 or AMX instructions."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
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
