"""``deepboot doctor``: whether this installation computes what it should, and on what."""

import os

import torch

from deepboot.bootstrap import streams
from deepboot.runners.run import environment
from deepboot.runners.run.local import cores

NO_UNITS = 'no units for it: training.precision = "bf16" is slow here, and "bf16_products" is float32'
KNOWN_ANSWER = (0x6B200159, 0x99BA4EFE)  # Threefry-2x32-20 of zeros, Salmon et al. 2011


def examine() -> tuple[list[str], bool]:
    """Lines about the machine, and whether all checks passed."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    lines = [
        f"deep-bootstrap  {environment.version('deep-bootstrap')}",
        *(f"{name:15} {environment.version(name)}" for name in environment.PACKAGES),
        f"{'processor':15} {environment.processor()}, {cores()} cores usable of {os.cpu_count()}",
        f"{'bfloat16':15} {'multiplied by the processor' if environment.multiplies_bfloat16('cpu') else NO_UNITS}",
        f"{'cuda':15} {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'}",
    ]
    healthy = True
    for device in devices:
        zero = torch.zeros((), dtype=torch.int32, device=device)
        answer = tuple(int(word) & 0xFFFFFFFF for word in streams.threefry(zero, zero, zero, zero))
        healthy &= answer == KNOWN_ANSWER
        lines.append(f"{'streams':15} {device}: {'known answers match' if answer == KNOWN_ANSWER else 'WRONG NUMBERS'}")
    return [
        *lines,
        "Next: deepboot demo" if healthy else "This build of torch computes wrong integers: reinstall it.",
    ], healthy
