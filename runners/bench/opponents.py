"""The loops of an opponent who tries: fused optimizer, pools on the device, many seeds stacked, compiled if that pays.

Which way is fastest depends on machine and model, so every way is a `Variant`, and short trials choose among them.

Shapes: E members, M of them under one rule, N samples of a pool, S steps of a pass, B samples of a batch.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack
from deepboot.runners.bench.contests import Contest
from deepboot.runners.bench.opponent_models import Parameters
from deepboot.runners.run.packing import ordered_members

Form = Literal["loop", "bmm", "vmap"]
Compiled = Literal["eager", "compiled", "compiled with its optimizer"]
Batches = Iterator[tuple[Tensor, Tensor]]
Fresh = Callable[[Tensor], Tensor]

FORMS: tuple[Form, ...] = ("bmm", "vmap")
WITH_OPTIMIZER: Compiled = "compiled with its optimizer"


@dataclass(frozen=True)
class Variant:
    """One way to write the loop.

    Attributes:
        form: a module of one run; modules stacked by hand; the gradient of one module mapped over stacked parameters.
        members: runs that are stepped together.
        compiled: nothing, the gradient, or also the optimizer's step.
    """

    form: Form = "loop"
    members: int = 1
    compiled: Compiled = "eager"

    def __str__(self) -> str:
        return f"{'one run' if self.form == 'loop' else f'{self.form} of {self.members}'}, {self.compiled}"


def fastest(rate: Callable[[Variant], float], sizes: Sequence[int], *, compiles: bool = True) -> Variant:
    """The fastest variant: every form and size is tried eager, then the best size of each form compiled.

    Args:
        rate: tries a variant and returns its member steps a second, 0 where it fails.
        sizes: members that are tried together; none: one run at a time.
        compiles: whether compiled ones are tried.
    """
    forms = [[Variant()], *([Variant(form, members) for members in sizes] for form in FORMS if sizes)]
    rates = {variant: rate(variant) for form in forms for variant in form}
    if compiles:
        for form in forms:
            best_of_form = replace(max(form, key=rates.__getitem__), compiled="compiled")
            rates[best_of_form] = rate(best_of_form)
        best = max(rates, key=rates.__getitem__)
        if best.compiled == "compiled":
            with_optimizer = replace(best, compiled=WITH_OPTIMIZER)
            rates[with_optimizer] = rate(with_optimizer)
    return max(rates, key=rates.__getitem__)


class Opponent:
    """Members that one variant trains together.

    Args:
        contest: with the model and the optimizer's settings.
        variant: how.
        device: where.
        backend: of torch.compile.

    Attributes:
        modules: the members as they begin.
        parameters: by name; those of several members have a leading axis.
    """

    def __init__(self, contest: Contest, variant: Variant, device: str = "cpu", backend: str = "inductor"):
        self.modules = [contest.tried().to(device) for _ in range(variant.members)]
        module, members = self.modules[0], variant.members
        self.parameters: Parameters = dict(module.named_parameters())
        if variant.form != "loop":
            self.parameters = torch.func.stack_module_state(self.modules)[0]
        if variant.form == "vmap":  # else its gradients would remember how they were computed
            self.parameters = {name: parameter.detach() for name, parameter in self.parameters.items()}
        # a compiler fuses an optimizer's plain operations itself
        fused = variant.compiled != WITH_OPTIMIZER
        self._optimizer = torch.optim.AdamW(self.parameters.values(), fused=fused, **contest.adamw_settings)
        self._step: Callable[[], Any] = self._optimizer.step

        def loss_of_one(x: Tensor, y: Tensor) -> Tensor:
            return nn.functional.cross_entropy(module(x), y)

        def loss_of_all(parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
            logits_EBV = contest.stacked(parameters, x)
            return members * nn.functional.cross_entropy(logits_EBV.flatten(0, 1), y.flatten())

        def loss_of_each(parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
            return nn.functional.cross_entropy(torch.func.functional_call(module, parameters, (x,)), y)

        gradients = torch.func.vmap(torch.func.grad_and_value(loss_of_each))
        compiled: Callable[[Any], Any] = lambda function: function  # noqa: E731
        if variant.compiled != "eager":
            torch.compiler.reset()  # else the variants before would count as recompilations of this one
            compiled = partial(torch.compile, fullgraph=True, dynamic=False, backend=backend)
        if variant.compiled == WITH_OPTIMIZER:
            self._step = torch.compile(self._optimizer.step, backend=backend)
        self._one, self._all, self._each = compiled(loss_of_one), compiled(loss_of_all), compiled(gradients)
        self.update: Callable[[Tensor, Tensor], Tensor] = {
            "loop": self._update_one, "bmm": self._update_all, "vmap": self._update_each
        }[variant.form]  # fmt: skip

    def _update_one(self, x: Tensor, y: Tensor) -> Tensor:
        """Train the only member on a batch, (1, B, ...); its mean loss."""
        return self._descend(self._one(x[0], y[0]))

    def _update_all(self, x: Tensor, y: Tensor) -> Tensor:
        """Train all members on a batch each, (E, B, ...); the sum of their mean losses."""
        return self._descend(self._all(self.parameters, x, y))

    def _descend(self, loss: Tensor) -> Tensor:
        self._optimizer.zero_grad()
        loss.backward()
        self._step()
        return loss.detach()

    def _update_each(self, x: Tensor, y: Tensor) -> Tensor:
        """As `_update_all`."""
        grads, loss_E = self._each(self.parameters, x, y)
        for name, parameter in self.parameters.items():
            parameter.grad = grads[name]
        self._step()
        return loss_E.sum()


def opponent_loop(
    contest: Contest, variant: Variant, device: str = "cpu", backend: str = "inductor"
) -> tuple[Callable[[int], None], int]:
    """A loop over so many steps of an opponent, and how many members it steps.

    A variant of one run steps, where pairs are raced, a real run and an ideal one by turns.
    """
    torch.manual_seed(0)
    if variant.form == "loop" and contest.pairs:
        real, ideal = _batches(contest, 2, device)
        sides = [(Opponent(contest, variant, device, backend), batches) for batches in (real, ideal)]
    else:
        real, ideal = _batches(contest, variant.members, device)
        if ideal is not None:
            real = beside(real, ideal) if contest.fresh is None else beside_fresh(real, contest.fresh)
        sides = [(Opponent(contest, variant, device, backend), real)]

    def loop(steps: int) -> None:
        for _ in range(steps):
            for opponent, batches in sides:
                opponent.update(*next(batches))

    return loop, sum(len(opponent.modules) for opponent, _ in sides)


def _batches(contest: Contest, members: int, device: str) -> tuple[Batches, Any]:
    """Batches of the real members, and of the ideal ones where there are any."""
    runs = ordered_members(contest.runs(members))
    pack, batch = Pack(runs, Execution(device=device)), runs[0].batch_size
    pool = pack.data.groups[0].pool
    assert pool is not None
    x, y = pool.x, pool.y.flatten(1)
    real: Batches = itertools.repeat((x, y)) if batch == y.shape[1] else reshuffled(x, y, batch)
    if not contest.pairs:
        return real, None
    if contest.fresh is not None:
        return real, fresh_batches(contest.fresh, torch.empty_like(x[:, :batch]), torch.empty_like(y[:, :batch]))
    assert pack.source.cell_EU is not None
    cells = torch.arange(pack.source.cell_EU.shape[1], device=device).expand(members // 2, -1)
    universe = pack.source.train(slice(members // 2, members), cells, (0, cells.shape[1] - 1))
    return real, reshuffled(universe.x, universe.y.flatten(1), batch)


def reshuffled(x: Tensor, y: Tensor, batch: int) -> Batches:
    """Batches of pools, (M, N, ...), each in a new order every pass; what is left of a pass is dropped."""
    members, size = y.shape
    steps = size // batch
    first_M1 = torch.arange(0, members * size, size, device=y.device)[:, None]
    rows_x, rows_y = x.flatten(0, 1), y.flatten(0, 1)
    while True:
        order_MN = first_M1 + torch.stack([torch.randperm(size, device=y.device) for _ in range(members)])
        row_SMB = order_MN[:, : steps * batch].unflatten(1, (steps, batch)).transpose(0, 1)
        yield from zip(
            rows_x.index_select(0, row_SMB.flatten()).unflatten(0, row_SMB.shape),
            rows_y.index_select(0, row_SMB.flatten()).unflatten(0, row_SMB.shape),
            strict=True,
        )


def fresh_batches(fresh: Fresh, x: Tensor, y: Tensor) -> Batches:
    """Fresh samples, in the same memory every time."""
    while True:
        y.copy_(fresh(x))
        yield x, y


def beside(real: Batches, ideal: Batches) -> Batches:
    """Batches of the real members and then of the ideal ones."""
    for (real_x, real_y), (ideal_x, ideal_y) in zip(real, ideal, strict=False):
        yield torch.cat((real_x, ideal_x)), torch.cat((real_y, ideal_y))


def beside_fresh(real: Batches, fresh: Fresh) -> Batches:
    """Batches of the real members and then fresh samples for as many, in the same memory every time."""
    first = next(real)
    x, y = (torch.cat((part, part)) for part in first)
    members, seen = len(first[1]), first[0]
    for real_x, real_y in itertools.chain([first], real):
        if real_x is not seen:  # else the whole pool is every batch
            x[:members], y[:members], seen = real_x, real_y, real_x
        y[members:] = fresh(x[members:])
        yield x, y
