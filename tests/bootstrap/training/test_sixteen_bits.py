"""Training in float16 and bfloat16: all tensors in that type, and the numbers of a plain loop of torch in it."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load, save, save_file
from torch.nn import functional

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.run import KeptWeights
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from tests.bootstrap.conftest import parity

ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
TRANSFORMER = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}
ADAMW = {"name": "adamw", "lr": 2**-6, "eps": 2**-10, "betas": [0.875, 0.96875], "weight_decay": 0.25}
DTYPES = ["bfloat16", "float16"]


def study(dtype, **changes):
    return parity(**{"training__dtype": dtype, "optimizer": ADAMW, **changes})


def plain(pack, optimizer, steps, loss_dtype):
    """The MLP's parameters by name after these steps of a loop in their own dtype, and those at its start."""
    stack, dtype = pack.member_step.stack, pack.param_EP.dtype
    start = {name: tensor[0].clone() for name, tensor in stack.named(pack.param_EP).items()}
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
    update = optimizer(leaves.values())
    block = pack.data.block(0, steps)
    for x, y in zip(block.x[0], block.y[0].flatten(1), strict=True):
        h = functional.linear(x.to(dtype), leaves["hidden.0.weight"], leaves["hidden.0.bias"][0]).relu()
        logits = functional.linear(h, leaves["output.weight"], leaves["output.bias"][0])
        update.zero_grad()
        functional.cross_entropy(logits.to(loss_dtype), y).backward()
        update.step()
    return {name: leaf.detach() for name, leaf in leaves.items()}, start


OPTIMIZERS = {
    "sgd": ({"name": "sgd", "lr": 0.125, "momentum": 0.5}, lambda p: torch.optim.SGD(p, lr=0.125, momentum=0.5)),
    "adamw": (
        ADAMW,
        lambda p: torch.optim.AdamW(
            p, lr=2**-6, eps=2**-10, betas=(0.875, 0.96875), weight_decay=0.25, foreach=False, fused=False
        ),
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("loss", ["float32", "own"])
def test_training_is_a_plain_loop_in_that_dtype(dtype, name, loss):
    """With coefficients that 16 bits hold exactly, six steps are SGD's to the last bit and AdamW's to rounding."""
    own, optimizer = OPTIMIZERS[name]
    loss_dtype = dtype if loss == "own" else loss
    chosen = {"name": "cross_entropy", "dtype": loss_dtype}
    pack = Pack(runs_of(study(dtype, optimizer=own, loss=chosen, training__ideal=False)))
    expected, start = plain(pack, optimizer, 6, getattr(torch, loss_dtype))
    train_steps(pack, 6)
    wanted, begun = (torch.cat([tensor.flatten() for tensor in named.values()]) for named in (expected, start))
    assert wanted.dtype == pack.param_EP.dtype == getattr(torch, dtype)
    off, way = ((pack.param_EP[0].double() - other.double()).norm() for other in (wanted, begun))
    allowed = 0.0 if name == "sgd" else 0.03 if dtype == "bfloat16" else 0.008
    assert off <= allowed * way


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_that_is_kept_of_a_member_has_that_dtype(dtype):
    """Parameters and the optimizer's tensors, also of a member that is large enough for torch's own kernel."""
    pack = Pack(runs_of(study(dtype, model__width=300)))
    train_steps(pack, 2)
    tensors = [pack.param_EP, *pack.members.optimizer_state.values()]
    assert {tensor.dtype for tensor in tensors} == {getattr(torch, dtype)}
    assert pack.logits(slice(0, 2), pack.source.test().x).dtype == getattr(torch, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_torchs_own_kernel_is_left_alone(dtype, monkeypatch):
    """It would round once an update, where a GPU and the other operations round each time."""
    monkeypatch.setattr(torch, "_fused_adamw_", lambda *_, **__: pytest.fail("fused"))
    train_steps(Pack(runs_of(study(dtype, model__width=300))), 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", [{"name": "mlp", "width": 15}, TRANSFORMER])
def test_worlds_are_equal_until_the_first_reuse(dtype, model):
    """To the last bit, as in float32; then they differ, and a member alone is what it is beside others."""
    runs = runs_of(study(dtype, task=ADDITION, model=model))
    for steps, equal in [(1, True), (3, True), (6, False)]:
        pack = Pack(runs)
        train_steps(pack, steps)
        assert torch.equal(*pack.param_EP) == equal
    if model["name"] == "mlp":
        alone = Pack(runs[:1])
        train_steps(alone, 6)
        assert torch.equal(alone.param_EP[0], pack.param_EP[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_run_goes_on_from_a_state_on_disk(dtype):
    """Saved, read and gone on from, it ends with the bits of the run that was not cut."""
    short, long = (runs_of(study(dtype, training__max_steps=steps)) for steps in (4, 8))
    cut = [
        dataclasses.replace(one, run=run, state=load(save({n: t.contiguous() for n, t in one.state.items()})))
        for one, run in zip(train(short), long, strict=True)
    ]
    for one, other in zip(train(long), train(long, resume_from=cut), strict=True):
        assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_finite_and_their_soft_error_is_that_of_float32(dtype):
    """Errors are compared as the logits are; the soft error is computed of them in float32, and averaged in float64."""
    pack = Pack(runs_of(study(dtype, training__ideal=False)))
    train_steps(pack, 5)
    (row,) = Evaluator(pack).rows()
    test = pack.source.test()
    logits, label = pack.logits(slice(0, 1), test.x)[0], test.y[0].flatten()
    soft = 1 - logits.float().softmax(-1)[torch.arange(len(label)), label].double()
    assert row["test_soft_error"] == pytest.approx(soft.mean().item(), rel=1e-6)
    assert np.isfinite([row[name] for name in ("train_loss", "online_loss", "weight_norm")]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_kept_weights_can_be_read_by_numpy_and_started_from(dtype, tmp_path):
    """bfloat16 is kept as float32, which holds every one of its numbers."""
    pack = Pack(runs_of(study(dtype, training__ideal=False)))
    train_steps(pack, 3)
    path = tmp_path / "kept.safetensors"
    save_file(pack.weights(0), path)
    wanted = np.float32 if dtype == "bfloat16" else np.float16
    assert {array.dtype.type for array in load_file(path).values()} == {wanted}
    kept = KeptWeights(path=str(path), cell_id="", run_id="", step=3, named_step=None, layers=[])
    assert torch.equal(Pack([pack.runs[0].model_copy(update={"start": kept})]).param_EP, pack.param_EP)


@pytest.mark.parametrize(
    ("settings", "least"), [({"betas": [0.9, 0.999]}, "2.0e-06"), ({"name": "adam", "betas": [0.9, 0.98]}, "4.4e-07")]
)
def test_an_eps_that_float16_does_not_have_is_refused(settings, least):
    """0 / 0 would make every parameter without a gradient NaN; at the value of the message training stays finite."""
    optimizer = {"name": "adamw", "lr": 1e-3, **settings}
    sentence = (
        "`optimizer.eps`: in the first update 1e-08 becomes 0 in float16, and a gradient of 0 divided by 0 is no "
        f"number. Set it to at least {least}, or choose another training.dtype."
    )
    with pytest.raises(StudyError, match=f"^{re.escape(sentence)}$"):
        runs_of(study("float16", optimizer=optimizer))
    runs_of(study("bfloat16", optimizer=optimizer))
    model = {"name": "mlp", "width": 8, "embedding": 4}  # the rows of signs have no gradient
    pack = Pack(runs_of(study("float16", task=ADDITION, model=model, optimizer={**optimizer, "eps": float(least)})))
    train_steps(pack, 3)
    assert pack.member_step.stack.named(pack.param_EP)["embeddings.0.weight"][:, 7:].isfinite().all()


def test_a_precision_of_float32_products_is_refused_beside_sixteen_bits():
    """The message names both settings."""
    sentence = (
        "`training.precision`: 'bf16' is a precision of float32 and cannot be had with "
        'training.dtype = "bfloat16". Remove one of the two.'
    )
    with pytest.raises(StudyError, match=f"^{re.escape(sentence)}$"):
        runs_of(study("bfloat16", training__precision="bf16"))
