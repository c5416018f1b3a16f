"""The member step: what one batch does to every member of a pack.

Shapes: E members, B samples of a batch, V classes, P parameters of one member, S steps.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from deepboot.bootstrap import metrics, registry, streams
from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.optimizers import Optimizer
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.task import Task

IMAGES = 5  # axes of stacked images, (E, B, C, H, W)


class Members(NamedTuple):
    """Tensors of stacked members; the step changes the first five in place.

    Attributes:
        param_EP: parameters.
        buffers: what the model's forward pass changes, each (E, ...).
        optimizer_state: the optimizer's own tensors, each (E, P).
        sums_3E: float64, (3, E): sum of losses and of errors since the last evaluation, and number of batches.
        grad_EP: memory for the gradient. It is the same for the pack's life, since a captured graph writes to it.
        member_options: what some members have that others may lack, one value each: ``output_scale``, (E, 1, 1),
            ``clip_norm``, ``weight_noise`` and ``update_noise``, (E, 1). Left out where no member has it.
        noise_keys: int32, (E, 2): keys of the streams of ``weights`` and ``updates`` inside the ``noise`` stream.
    """

    param_EP: Tensor
    buffers: dict[str, Tensor]
    optimizer_state: dict[str, Tensor]
    sums_3E: Tensor
    grad_EP: Tensor
    member_options: dict[str, Tensor]
    noise_keys: dict[str, Tensor]

    def at(self, place: slice) -> "Members":
        """Some of them, in the same memory."""
        buffers, optimizer_state, member_options, keys = (
            {name: tensor[place] for name, tensor in held.items()}
            for held in (self.buffers, self.optimizer_state, self.member_options, self.noise_keys)
        )
        param_EP, grad_EP = self.param_EP[place], self.grad_EP[place]
        return Members(param_EP, buffers, optimizer_state, self.sums_3E[:, place], grad_EP, member_options, keys)

    @property
    def changing(self) -> list[Tensor]:
        """The tensors that carry a member from one step to the next."""
        return [self.param_EP, *self.buffers.values(), *self.optimizer_state.values(), self.sums_3E]


def member_options_of(runs: Sequence[Run], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """The options that some of these runs have, with the value that changes nothing for those that lack them."""
    values = {
        "output_scale": ([run.model["output_scale"] for run in runs], 1.0),
        "clip_norm": ([run.clip_norm or torch.inf for run in runs], torch.inf),
        "weight_noise": ([run.weight_noise for run in runs], 0.0),
        "update_noise": ([run.update_noise for run in runs], 0.0),
    }
    found = {}
    for name, (column, nothing) in values.items():
        if any(value != nothing for value in column):
            found[name] = torch.tensor(column, dtype=dtype)[:, None].to(device)
    if "output_scale" in found:
        found["output_scale"] = found["output_scale"][..., None]
    return found


class MemberStep:
    """Model, loss and optimizer that all members of a pack share, and one update of every member."""

    def __init__(self, run: Run, task: Task, device: torch.device):
        self._made_from = run, task, device
        self.stack = Stack(run.model["name"], own_settings(run.model), task, device)
        self.stack.autocast = run.precision == "bf16"
        self._task, self._dtype, self._channels_last = task, getattr(torch, run.dtype), run.channels_last
        self.stack.module.to(self._dtype)
        self.optimizer = cast("type[Optimizer]", registry.find("optimizer", run.optimizer["name"]).target)
        self._loss = registry.find("loss", run.loss["name"]).target
        self._loss_settings = own_settings(run.loss)

    @property
    def key(self) -> str:
        """The same for all runs that share it."""
        run, _, device = self._made_from
        model, optimizer = (run.model["name"], own_settings(run.model)), run.optimizer["name"]
        return f"{device} {run.dtype} {run.precision} {run.channels_last} {run.task} {model} {run.loss} {optimizer}"

    def copy_for_compilation(self) -> "MemberStep":
        """Another one that belongs to no pack."""
        other = MemberStep(*self._made_from)
        other.stack.bind(torch.empty(1, other.stack.size, device=self._made_from[2]), other.stack.begin(1))
        return other

    def read(self, x: Tensor) -> Tensor:
        """What the model reads of inputs as the task stores them."""
        x = self._task.decode(x)
        if self._channels_last and x.dim() == IMAGES:
            x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).view_as(x)
        return x.to(self._dtype) if x.is_floating_point() else x

    def loss(self, logits_EBV: Tensor, label_EB: Tensor) -> Tensor:
        """Loss of every sample, (E, B)."""
        loss_EB: Tensor = self._loss(logits_EBV, label_EB, **self._loss_settings)
        return loss_EB

    def update(
        self, members: Members, x_EB: Tensor, label_EB: Tensor, at: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One update of every member; the batch's logits, (E, B, V), and mean losses, (E,), before it.

        Args:
            members: changed in place.
            x_EB: inputs, (E, B, ...).
            label_EB: labels.
            at: the optimizer's coefficients of this step, (E, 1); with noise also ``step``, int64, (1, 1), the
                number of updates before this one.
        """

        def loss(logits_EBV: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            if "output_scale" in members.member_options:
                logits_EBV = logits_EBV * members.member_options["output_scale"]
            loss_EB = self.loss(logits_EBV, label_EB)
            return loss_EB, (logits_EBV, loss_EB)

        param_EP = members.param_EP
        if "weight_noise" in members.member_options:
            param_EP = param_EP + members.member_options["weight_noise"] * _noise(members, "weights", at["step"])
        grad_EP, (logits_EBV, loss_EB) = self.stack.gradient(
            param_EP, members.buffers, self.read(x_EB), loss, out=members.grad_EP
        )
        with torch.no_grad():
            if "clip_norm" in members.member_options:
                norm_E1 = grad_EP.double().square().sum(1, keepdim=True).sqrt().to(grad_EP.dtype)
                grad_EP = grad_EP * (members.member_options["clip_norm"] / norm_E1).clamp(max=1)
            self.optimizer.update(members.param_EP, grad_EP, members.optimizer_state, at)
            if "update_noise" in members.member_options:
                scale_E1 = members.member_options["update_noise"] * at["noise_rate"]
                members.param_EP.add_(scale_E1 * _noise(members, "updates", at["step"]))
        return logits_EBV.detach(), loss_EB.detach().mean(1)


def _noise(members: Members, what: str, step_11: Tensor) -> Tensor:
    """Standard normals for every parameter at a step, (E, P): a pure function of member, step and parameter."""
    size = members.param_EP.shape[1]
    index = step_11 * size + torch.arange(size, device=step_11.device)
    values_EP1 = streams.normal(members.noise_keys[what], index.expand(len(members.param_EP), -1), 1)
    return values_EP1[..., 0].to(members.param_EP.dtype)


def accumulate(sums_3E: Tensor, logits_SEBV: Tensor, label_SEB: Tensor, loss_SE: Tensor) -> None:
    """Add the losses and errors of some batches to the sums; the logits may be overwritten.

    Batches are added one after another, so that sums do not depend on how they are grouped.
    """
    wrong_SE = metrics.errors_(logits_SEBV, label_SEB).double().mean(-1)
    each_S3E = torch.stack((loss_SE.double(), wrong_SE, torch.ones_like(wrong_SE)), 1)
    sums_3E.copy_(torch.cat((sums_3E[None], each_S3E)).cumsum(0)[-1])
