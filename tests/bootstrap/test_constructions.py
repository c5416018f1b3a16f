"""Constructed networks: right without training, a part of the identity, and refused where they do not fit."""

import math
import re

import pytest
import torch

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from tests.bootstrap.conftest import parity

ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 67}
CIRCLE = {
    "name": "mlp", "width": 5, "operands": "sum", "activation": "quadratic", "bias": False, "embedding": 2,
}  # fmt: skip


def study(width=5, frequency=1, model=CIRCLE, task=ADDITION, **changes):
    raw = {
        "task": task, "model": {**model, "width": width}, "data": {"test_set": "population"},
        "start": {"construction": {"name": "modular_circle", "frequency": frequency}},
    }  # fmt: skip
    return parity(**{**raw, "training__train_size": 1_000, "training__batch_size": 200, **changes})


def refused(sentence, raw):
    with pytest.raises(StudyError, match=f"^{re.escape(sentence)}$"):
        runs_of(raw)


@pytest.mark.parametrize(("width", "frequency"), [(3, 1), (5, 1), (5, 7), (6, 66), (7, 2), (24, 5)])
@pytest.mark.parametrize("embedded", ["tokens", "operands"])
def test_the_circle_adds_all_pairs_without_training(width, frequency, embedded):
    """All 67² pairs at step 0, in both worlds, by a margin that float32 does not need to round."""
    pack = Pack(runs_of(study(width, frequency, {**CIRCLE, "embedded": embedded})))
    assert [row["test_error"] for row in Evaluator(pack).rows()] == [0.0, 0.0]
    assert torch.equal(*pack.param_EP)


def test_the_logits_of_the_circle_have_their_closed_form():
    """It is width cos²(π f (a - b) / p) cos(2π f (a + b - c) / p) for the answer c of a and b."""
    pack = Pack(runs_of(study(7, 3, training__dtype="float64", training__ideal=False)))
    test = pack.source.test()
    a, b, c = test.x[0, :, :1].double(), test.x[0, :, 2:3].double(), torch.arange(67)
    turn = 2 * math.pi * 3 / 67
    expected = 7 * (turn / 2 * (a - b)).cos() ** 2 * (turn * (a + b - c)).cos()
    torch.testing.assert_close(pack.logits(slice(0, 1), test.x)[0], expected, rtol=1e-9, atol=1e-9)


def test_the_circle_trains_from_there():
    """Both worlds are equal until the first reuse, weights move, and the accuracy of a good start stays."""
    runs = runs_of(study(8, training__max_steps=20, training__batch_size=64, optimizer={"name": "sgd", "lr": 1e-3}))
    for steps, equal in [(1, True), (15, True), (16, False)]:
        pack = Pack(runs)
        start = pack.param_EP.clone()
        train_steps(pack, steps)
        assert torch.equal(*pack.param_EP) == equal
        assert not torch.equal(pack.param_EP, start)
    real, ideal = train(runs)
    assert real.rows[-1]["test_loss"] < real.rows[0]["test_loss"]
    assert (real.rows[-1]["test_error"], ideal.rows[-1]["test_error"]) == (0.0, 0.0)


def test_a_construction_is_a_part_of_the_identity_and_of_the_table():
    """Another one, another setting of it, and none are different runs; a pack may not mix them unseen."""
    runs = [runs_of(raw)[0] for raw in (study(), study(frequency=2), study(start=None))]
    assert len({run.run_id for run in runs}) == len({run.cell_id for run in runs}) == 3
    assert "construction" not in runs[2]._configuration()
    starts = {name: value for name, value in runs[1].settings().items() if name.startswith("start")}
    assert starts == {"start.construction.name": "modular_circle", "start.construction.frequency": 2}
    assert not any(name.startswith("start") for name in runs[2].settings())


def test_a_phase_leaves_the_start_alone():
    """Settings may change later; the run still starts from the circle."""
    phases = [{"at_step": 3, "set": {"optimizer.weight_decay": 0.5}}]
    (run, _) = runs_of(study(phases=phases))
    assert run.construction == {"name": "modular_circle", "frequency": 1}
    assert run.phases[0].run.construction is None
    assert train([run])[0].rows[0]["test_error"] == 0


def test_a_construction_of_some_parameters_leaves_the_others_as_usual():
    """A plugin's construction names what it sets; the init stream fills the rest."""

    @register("construction", "test_ones")
    def ones(task, model, *, value: float = 1.0):
        return {"output.weight": torch.full((2, 16), value)}

    plain, begun = (
        Pack(runs_of(parity(start=start))) for start in (None, {"construction": {"name": "test_ones", "value": 3.0}})
    )
    for name, tensor in begun.weights(0).items():
        expected = torch.full_like(tensor, 3.0) if name == "output.weight" else plain.weights(0)[name]
        assert torch.equal(tensor, expected)


def test_a_circular_embedding_leaves_all_else_as_usual_and_can_be_held():
    """The numbers lie on the circle, signs at its center; the other layers are drawn, and train alone."""
    held = {"lr": 0.0, "weight_decay": 0.0}
    start = {"construction": {"name": "circular_embedding", "frequency": 2}}
    runs = runs_of(study(start=start, training__layers={"embeddings": held}))
    pack, plain, circle = Pack(runs), Pack(runs_of(study(start=None))), Pack(runs_of(study(frequency=2)))
    train_steps(pack, 3)
    weights, drawn = pack.weights(0), plain.weights(0)
    assert torch.equal(weights["embeddings.0.weight"], circle.weights(0)["embeddings.0.weight"])
    begun = Pack(runs).weights(0)
    for name in ("hidden.0.weight", "output.weight"):
        assert torch.equal(begun[name], drawn[name])
        assert not torch.equal(weights[name], drawn[name])


def test_a_circular_embedding_has_no_two_numbers_in_one_place():
    """At the modulus itself all numbers would lie at one point."""
    refused(
        "`start.construction`: construction 'circular_embedding' needs a frequency without a common divisor with 67, "
        "got 67. Set start.construction.frequency = 1.",
        study(start={"construction": {"name": "circular_embedding", "frequency": 67}}),
    )


@pytest.mark.parametrize(
    "changes", [{"task": {"name": "permutations", "degree": 3}}, {"model": CIRCLE | {"embedding": 4}}]
)
def test_a_circular_embedding_is_refused_where_it_does_not_fit(changes):
    """Tasks without a modulus, and other tables than of two numbers."""
    start = {"construction": {"name": "circular_embedding"}}
    refused(
        "`start.construction`: construction 'circular_embedding' needs a task with a modulus and an mlp that embeds "
        'tokens in two numbers. Set task.name = "binary_operations", model.name = "mlp", model.embedding = 2 and '
        "model.shared_embedding = true.",
        study(start=start, training__train_size=20, training__batch_size=20, **changes),
    )


def test_the_source_of_a_plugins_construction_is_part_of_the_identity(tmp_path):
    """An edited file is another start."""
    ids = set()
    for value in (1, 2):
        path = tmp_path / "mine.py"
        path.write_text(
            "import torch\nfrom deepboot.bootstrap.registry import register\n\n\n"
            f"@register('construction', 'test_mine')\ndef mine(task, model):\n    return {{}} if {value} else None\n"
        )
        registry.load_plugin(path)
        ids.add(runs_of(parity(start={"construction": {"name": "test_mine"}}))[0].run_id)
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"output.weight": (2, 15)},
         "`start.construction`: construction 'test_wrong' returns 'output.weight' of shape (2, 15), and this model has "
         "it of shape (2, 16). Change the settings of one of them."),
        ({"out.weight": (2, 16)},
         "`start.construction`: construction 'test_wrong' returns a parameter 'out.weight', which this model lacks. "
         "It has hidden.0.weight, hidden.0.bias, output.weight, output.bias."),
    ],
)  # fmt: skip
def test_weights_that_fit_no_parameter_are_refused(weights, sentence):
    """By name or by shape, before anything is trained."""
    register("construction", "test_wrong")(
        lambda task, model: {name: torch.zeros(shape) for name, shape in weights.items()}
    )
    refused(sentence, parity(start={"construction": {"name": "test_wrong"}}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 4}, "needs a width of 3 or at least 5, got 4. Set model.width."),
        ({"frequency": 134}, "needs a frequency without a common divisor with 67, got 134. "
         "Set start.construction.frequency = 1."),
        ({"model": {**CIRCLE, "embedding": 4, "operands": "concat"}},
         'needs model.operands = "sum" and model.embedding = 2. Set them.'),
        ({"model": {**CIRCLE, "bias": True}}, "needs model.bias = false. Set it."),
        ({"task": {**ADDITION, "operation": "x*y"}}, "adds modulo an odd number. "
         'Set task.name = "binary_operations", task.operation = "x+y" and task.modulus to an odd number.'),
        ({"task": {**ADDITION, "modulus": 66}}, "adds modulo an odd number. "
         'Set task.name = "binary_operations", task.operation = "x+y" and task.modulus to an odd number.'),
    ],
)  # fmt: skip
def test_the_circle_is_refused_where_it_does_not_add(changes, sentence):
    """Width, frequency, model and task: each with its cure."""
    refused(f"`start.construction`: construction 'modular_circle' {sentence}", study(**changes))


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ({}, "`start`: expected exactly one of folder and construction, got neither. "
         "Name the folder with the weights of another study, or a construction."),
        ({"folder": "x", "construction": {"name": "modular_circle"}},
         "`start`: expected exactly one of folder and construction, got both. "
         "Name the folder with the weights of another study, or a construction."),
        ({"construction": {"name": "modular_circle"}, "layers": ["hidden"]},
         "`start.layers`: this is about the runs of start.folder, and the start is constructed. Remove the key."),
        ({"construction": {"name": "modular_circel"}},
         "`start.construction.name`: unknown construction 'modular_circel'. Did you mean 'modular_circle'? "
         "Known: circular_embedding, modular_circle."),
        ({"construction": {"name": "modular_circle", "frequency": 0}},
         "`start.construction.frequency`: expected a number above 0, got 0. Change it."),
    ],
)  # fmt: skip
def test_a_start_is_a_folder_or_a_construction(start, sentence):
    """One of the two, with its own settings only."""
    refused(sentence, study(start=start))
