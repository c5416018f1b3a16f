"""The member step: what one batch does to every member of a pack.

Shapes: E members, B samples of a batch, V classes, P parameters of one member, S steps.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from deepboot.bootstrap import metrics, registry, streams
from deepboot.bootstrap.losses import label_scale
from deepboot.bootstrap.models.convolutions import pixel_by_pixel
from deepboot.bootstrap.models.stacked import Buffers, Objective, Stack
from deepboot.bootstrap.penalties import penalty_gradient
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.task import Task
from deepboot.bootstrap.torch_optimizers import rule, step_each
from deepboot.bootstrap.training.chain import chain_of
from deepboot.bootstrap.training.layers import columns_of, of_layer
from deepboot.bootstrap.training.members import Members
from deepboot.bootstrap.transforms import choices

IMAGES = 5  # axes of stacked images, (E, B, C, H, W)

# of members, parameters, inputs and an objective: the gradient of every member's mean loss, and what the objective adds
Gradient = Callable[[Members, Tensor, Tensor, Objective], tuple[Tensor, Any]]


class MemberStep:
    """Model, loss and optimizer that all members of a pack share, and one update of every member.

    It holds no tensor of any member, so that packs of one architecture may share it.

    Args:
        run: any of the pack's.
        task: of the pack.
        device: where everything is computed.

    Attributes:
        stack: the model in training mode.
        optimizer: its update rule, with the settings that are texts, which members have in common.
        reading: how predictions of real-valued labels are read off logits.
        key: a string that is equal for all runs that share it.
    """

    def __init__(self, run: Run, task: Task, device: torch.device):
        self.stack = self._stack(run, task, device, training=True)
        self.evaluated_stack = self._stack(run, task, device, training=False)
        self.optimizer = rule(run.optimizer["name"], own_settings(run.optimizer))
        self._task, self._dtype, self._channels_last = task, self.stack.dtype, run.channels_last
        self._penalty: str | None = run.penalty["name"] if run.penalty else None
        self._loss = registry.find("loss", run.loss["name"]).target
        self._loss_settings, self._penalty_settings = own_settings(run.loss), tuple(own_settings(run.penalty or {}))
        self.reading = metrics.Reading(label_scale(run.loss["name"], self._loss_settings), run.evaluation.correct_below)
        self._chain = chain_of(run)
        columns = columns_of(self.stack, run, self.optimizer.matrix)
        self._columns = columns if run.layers or any(one.matrix for one in columns) else []
        model = run.model["name"], own_settings(run.model)
        texts = {name: value for name, value in run.optimizer.items() if isinstance(value, str)}
        rules = run.loss, self._penalty, [choices(one) for one in run.transforms], texts, self._columns
        parts = (device, run.dtype, run.precision, run.channels_last, run.task, model, *rules, self.reading)
        self.key = " ".join(map(str, parts))

    @staticmethod
    def _stack(run: Run, task: Task, device: torch.device, *, training: bool) -> Stack:
        return Stack(
            run.model["name"], own_settings(run.model), task, device,
            dtype=getattr(torch, run.dtype), autocast=run.precision == "bf16", training=training,
        )  # fmt: skip

    def read(self, x: Tensor) -> Tensor:
        """Inputs for the model, of inputs as the task stores them."""
        x = self._task.decode(x)
        if self._channels_last and x.dim() == IMAGES:
            x = pixel_by_pixel(x)
        return x.to(self._dtype) if x.is_floating_point() else x

    def loss(self, logits_EBV: Tensor, label_EB: Tensor) -> Tensor:
        """Loss of every sample, (E, B)."""
        loss_EB: Tensor = self._loss(logits_EBV, label_EB, **self._loss_settings)
        return loss_EB

    def evaluate(self, members: Members, x: Tensor) -> Tensor:
        """Logits of members in evaluation mode, (E, B * answers, V), of inputs as the task stores them."""
        return self.evaluate_at(members.param_EP, members.buffers, members, x)

    def evaluate_at(self, param_EP: Tensor, buffers: Buffers, members: Members, x: Tensor) -> Tensor:
        """The same of other parameters and buffers, with the members' options."""
        return scaled(self.evaluated_stack.logits(param_EP, buffers, self.read(x)), members)

    def update(
        self, members: Members, gradient: Gradient, x_EB: Tensor, label_EB: Tensor, coefficients: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One update of every member; the batch's logits, (E, B, V), and mean losses, (E,), before it.

        Args:
            members: changed in place.
            gradient: of these members.
            x_EB: inputs, (E, B, ...).
            label_EB: labels.
            coefficients: the optimizer's of this step, (E, 1); with noise or transforms also ``step``, int64, (1, 1),
                the number of updates before this one.
        """

        def objective(logits_EBV: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            logits_EBV = scaled(logits_EBV, members)
            loss_EB = self.loss(logits_EBV, label_EB)
            return loss_EB, (logits_EBV, loss_EB)

        options, param_EP = members.member_options, members.param_EP
        if "weight_noise" in options:
            param_EP = param_EP + options["weight_noise"] * _noise(members, "weights", coefficients["step"])
        grad_EP, (logits_EBV, loss_EB) = gradient(members, param_EP, self.read(x_EB), objective)
        with torch.no_grad():
            if self._penalty is not None:
                settings = {name: options[f"penalty.{name}"] for name in self._penalty_settings}
                grad_EP = grad_EP + penalty_gradient(self._penalty, param_EP, settings)
            for link in self._chain:
                grad_EP = link.apply(
                    grad_EP, members.param_EP, members.transform_state, options, coefficients["step"], self.stack.sizes
                )
            self._optimize(members, grad_EP, coefficients)
            if "update_noise" in options:
                scale_E1 = options["update_noise"] * coefficients["noise_rate"]
                members.param_EP.add_(scale_E1 * _noise(members, "updates", coefficients["step"]))
            if "norm_clamp" in options:
                _scale_to_norm(members.param_EP, options["norm_clamp"])
        return logits_EBV.detach(), loss_EB.detach().mean(1)

    def _optimize(self, members: Members, grad_EP: Tensor, coefficients: Mapping[str, Tensor]) -> None:
        """The optimizer's update: of all parameters at once, of each layer or matrix by itself, or by torch's."""
        if members.torch_optimizers:
            step_each(members.torch_optimizers, grad_EP, coefficients["host"])
            return
        if not self._columns:
            self.optimizer.update(members.param_EP, grad_EP, members.optimizer_state, coefficients)
        for layer, columns, matrix in self._columns:
            state = {name: tensor_EP[:, columns] for name, tensor_EP in members.optimizer_state.items()}
            grad = grad_EP[:, columns].contiguous()  # a compiler refuses to write into a part of a row
            param, own = members.param_EP[:, columns], of_layer(coefficients, layer)
            if matrix is None:
                self.optimizer.update(param, grad, state, own)
            else:
                state = {name: tensor.unflatten(1, matrix) for name, tensor in state.items()}
                self.optimizer.update_matrix(param.unflatten(1, matrix), grad.unflatten(1, matrix), state, own)


def scaled(logits_EBV: Tensor, members: Members) -> Tensor:
    """Logits times the members' output scales, where any has one."""
    scale_E11 = members.member_options.get("output_scale")
    return logits_EBV if scale_E11 is None else logits_EBV * scale_E11


def _scale_to_norm(param_EP: Tensor, norm_E1: Tensor) -> None:
    """Scale every member's parameters to a Euclidean norm, in place; where it is infinite they stay, and zeros do."""
    own_E1 = param_EP.double().square().sum(1, keepdim=True).sqrt()
    factor_E1 = torch.where(norm_E1.isinf() | (own_E1 == 0), 1, norm_E1 / own_E1)
    param_EP.mul_(factor_E1.to(param_EP.dtype))


def _noise(members: Members, stream: str, step_11: Tensor) -> Tensor:
    """Standard normals for every parameter at a step, (E, P): a pure function of member, step and parameter."""
    size = members.param_EP.shape[1]
    index = step_11 * size + torch.arange(size, device=step_11.device)
    values_EP1 = streams.normal(members.noise_keys[stream], index.expand(len(members.param_EP), -1), 1)
    return values_EP1[..., 0].to(members.param_EP.dtype)


def accumulate(
    sums_3E: Tensor, logits_SEBV: Tensor, label_SEB: Tensor, loss_SE: Tensor, reading: metrics.Reading
) -> None:
    """Add the losses and errors of some batches to the sums; the logits may be overwritten.

    Batches are added one after another, so that sums do not depend on how they are grouped.
    """
    error_SE = metrics.errors_(logits_SEBV, label_SEB, reading).double().mean(-1)
    batch_S3E = torch.stack((loss_SE.double(), error_SE, torch.ones_like(error_SE)), 1)
    sums_3E.copy_(torch.cat((sums_3E[None], batch_S3E)).cumsum(0)[-1])
