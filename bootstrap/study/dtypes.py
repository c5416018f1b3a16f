"""Problems of a study whose numbers have 16 bits: settings that would become 0."""

import torch

from deepboot.bootstrap.optimizers import hyperparameters
from deepboot.bootstrap.study.schema import Study, own_settings
from deepboot.bootstrap.torch_optimizers import rule


def eps_problems(study: Study) -> list[str]:
    """Problems of an optimizer's ``eps`` that is 0 in float16, so that a gradient of 0 would be divided by 0."""
    if study.training.dtype != "float16" or not study.optimizer.get("eps"):
        return []
    optimizer = rule(study.optimizer["name"], own_settings(study.optimizer))
    hyper, eps = hyperparameters([optimizer]), study.optimizer["eps"]
    first = optimizer.coefficients({**hyper, "lr": hyper["lr"][None]}, torch.ones(1, 1, dtype=torch.float64))
    if "eps" not in first or first["eps"].half() > 0:
        return []
    least = torch.finfo(torch.float16).smallest_normal * 2**-10 * eps / float(first["eps"])
    return [
        f"`optimizer.eps`: in the first update {eps:g} becomes 0 in float16, and a gradient of 0 divided by "
        f"0 is no number. Set it to at least {least * 1.05:.1e}, or choose another training.dtype."
    ]
