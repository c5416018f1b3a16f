"""How a pack is carried out, which changes no more than rounding: device, backend, threads and order of members."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from deepboot.bootstrap.registry import Settings
from deepboot.bootstrap.study.run import Run

BackendName = Literal["eager", "compiled", "graphed", "compiled_graphed"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
MATMUL = {"tf32": "high", "bf16_products": "medium"}  # torch's names for precisions of float32 products
VARIANTS = 64  # numbers of members, say, that one architecture is compiled for


class Execution(Settings):
    """How steps are carried out, one value from the command line to the checkpoint.

    Attributes:
        device: where everything is computed, "cpu" or "cuda".
        backend: one operation after another, compiled, replayed as CUDA graphs, or both.
        threads: of the process that trains.
        sequential: whether members are stepped one after another, each with all of the device, as large models are.
    """

    device: str = "cpu"
    backend: BackendName = "eager"
    threads: int = 1
    sequential: bool = False

    @property
    def compiles(self) -> bool:
        """Whether steps are compiled."""
        return self.backend.startswith("compiled")

    @property
    def replays(self) -> bool:
        """Whether steps are replayed as CUDA graphs."""
        return self.backend.endswith("graphed")


ON_CPU = Execution()


@contextmanager
def torch_settings(run: Run, execution: Execution) -> Iterator[None]:
    """Let torch compute in the run's precision, and the same for equal inputs; its settings are put back afterwards."""
    precision, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn
    flags = cudnn.allow_tf32, cudnn.deterministic
    try:
        torch.set_float32_matmul_precision(MATMUL.get(run.precision, "highest"))
        if execution.device != "cpu":
            cudnn.allow_tf32 = run.precision in MATMUL
            cudnn.deterministic = True  # else the two worlds' convolutions round differently
        if not execution.compiles:
            yield
            return
        extensions = logging.getLogger("torch.utils.cpp_extension")
        level = extensions.level
        with torch._dynamo.config.patch(recompile_limit=VARIANTS), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")  # whether to use them is the study's choice
            extensions.setLevel(logging.ERROR)  # it warns that there is no CUDA
            try:
                yield
            finally:
                extensions.setLevel(level)
    finally:
        torch.set_float32_matmul_precision(precision)
        cudnn.allow_tf32, cudnn.deterministic = flags
