"""What the probes of ``deepboot bench gpu`` train, on a GPU at full size and on a CPU small, as a dry run."""

from collections.abc import Callable
from typing import Any

from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.execution import BackendName
from deepboot.runners.bench.contests import ALONE, PARITY_STUDY
from deepboot.runners.run.packing import ordered_members

Found = dict[str, Any]  # plain values; "said": a few words; "problem": why this is no good answer
Parts = dict[str, Callable[[], Found]]  # questions of one probe by name, each answered by itself
Study = dict[str, Any]

ONLY_ON_A_GPU: Found = {"skipped": "only a GPU can answer this"}

TINY: Study = {
    "question": "Is it the same?", "task": {"name": "sparse_parity", "num_bits": 8, "num_relevant": 2},
    "model": {"name": "mlp", "width": 16}, "optimizer": {"name": "adamw", "lr": 1e-2}, "data": {"test_samples": 64},
    "training": {"train_size": 24, "batch_size": 8, "max_steps": 400, "seeds": 1},
}  # fmt: skip
STUDIES: dict[str, Study] = {
    "parity": PARITY_STUDY, "addition": ALONE["mlp"].study, "transformer": ALONE["transformer"].study,
}  # fmt: skip
SMALL: Study = {"data": {"test_samples": 32}, "evaluation": {"train_samples": 32}}


def runs_with(study: Study, members: int, **training: Any) -> list[Run]:
    """Runs for a pack of so many members: pairs of a real and an ideal run, or one real run alone."""
    seeds, ideal = (1, False) if members == 1 else (members // 2, True)
    changed = {**study["training"], "seeds": seeds, "ideal": ideal, **training}
    return list(ordered_members(runs_of({**study, "training": changed})))


def sized(study: Study, device: str) -> Study:
    """A study as it is on a GPU; with small batches and evaluations elsewhere."""
    if device == "cuda":
        return study
    batch = study["training"]["batch_size"]
    return {**study, **SMALL, "training": {**study["training"], "batch_size": batch if batch == "full" else 16}}


def images(device: str) -> Study:
    """ResNet-18 on images of 32 x 32; elsewhere than on a GPU a narrow one on a few of them."""
    on_gpu = device == "cuda"
    return {
        "question": "How fast is it?", "task": {"name": "shapes", "size": 32},
        "model": {"name": "resnet"} if on_gpu else {"name": "resnet", "width": 2},
        "optimizer": {"name": "sgd", "lr": 0.1}, "data": {"test_samples": 1_024 if on_gpu else 8},
        "evaluation": {"train_samples": 1_024 if on_gpu else 8},
        "training": {
            "train_size": 4_096 if on_gpu else 32, "batch_size": 128 if on_gpu else 4, "max_steps": 1_000, "seeds": 1,
        },
    }  # fmt: skip


def fast_backend(device: str) -> BackendName:
    """The backend that a GPU is planned with; ``eager`` elsewhere, since only a GPU has graphs."""
    return "graphed" if device == "cuda" else "eager"
