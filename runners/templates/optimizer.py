"""An optimizer of your own, which updates all members at once: each has a row of parameters."""

from dataclasses import dataclass

from deepboot.bootstrap.optimizers import Optimizer
from deepboot.bootstrap.registry import register

# A torch.optim.Optimizer works too, one member after another:
#
#     @register("optimizer", "other")
#     def other(params, *, lr: float = 1e-3):
#         return torch.optim.RMSprop(params, lr=lr)


@register("optimizer", "NAME")
@dataclass(frozen=True, kw_only=True)
class Own(Optimizer):
    """Steps by the sign of a running mean of the gradient."""

    optimizer_state = ("mean",)  # tensors of one number per parameter, 0 at first

    lr: float = 1e-3
    momentum: float = 0.9

    @staticmethod
    def update(param_EP, grad_EP, optimizer_state, at):
        """Change parameters and state in place; `at` has every member's settings, (E, 1), `lr` as scheduled."""
        mean_EP = optimizer_state["mean"]
        mean_EP.mul_(at["momentum"]).add_(grad_EP)
        param_EP.addcmul_(mean_EP.sign(), at["lr"], value=-1)
