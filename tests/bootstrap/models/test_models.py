"""Models: the contract of every architecture, how parameters start, and reference implementations."""

import itertools
import math
import re
from dataclasses import dataclass

import pytest
import torch
from scipy import stats
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.losses import cross_entropy
from deepboot.bootstrap.models import layers, mlp
from deepboot.bootstrap.models.layers import Distribution, Dropout, _Affine, activate
from deepboot.bootstrap.models.stacked import BoundStack, Stack
from deepboot.bootstrap.models.transformer import FEW_KEYS, TransformerBlock, future, sinusoids, small_product
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Image, Inputs, Task, Tokens, Vector
from tests.bootstrap.training.test_pack import Called

KEY = streams.keys([0, 1, 2], "init")
TOKENS = Tokens(vocab=9, length=5, varying=(0, 2, 3))
ANSWERS = Tokens(vocab=9, length=5, varying=(0, 1, 2, 3, 4), answers=3, shows_answers=True)
BLANKS = Tokens(vocab=9, length=5, varying=(0, 1), answers=3)
VECTOR, IMAGE = Vector(6), Image(2, 3, 4)
ALL = {"tokens": TOKENS, "answers": ANSWERS, "blanks": BLANKS, "vector": VECTOR, "image": IMAGE}
SMALL = {
    "mlp": {"width": 8, "embedding": 4},
    "transformer": {"width": 8, "heads": 2},
    "alexnet": {"width": 2},
    "cnn": {"width": 3},
    "dconv": {"width": 2},
    "densenet": {"depth": 10, "growth": 3},
    "resnet": {"width": 3},
    "vgg": {"width": 3},
    "vit": {"width": 8, "heads": 2, "layers": 2, "patch": 1},
}


@dataclass(frozen=True, kw_only=True)
class Given(Task):
    """A task that is nothing but its inputs and classes."""

    inputs: Inputs = VECTOR
    classes: int = 7

    def sample(self, key_E2, index):
        raise NotImplementedError


def accepts(model, inputs):
    """Whether a model takes such inputs."""
    try:
        Stack(model, SMALL[model], Given(inputs=inputs))
    except ValueError:
        return False
    return True


def examples(inputs, members=3, batch=4):
    """Inputs of every member, (E, B, ...)."""
    index = torch.arange(batch)[None].expand(members, -1)
    key_E2 = streams.keys(range(members), "data")
    if isinstance(inputs, Tokens):
        return streams.integers(key_E2, index, inputs.length, inputs.vocab)
    shape = (inputs.size,) if isinstance(inputs, Vector) else (inputs.channels, inputs.height, inputs.width)
    return streams.normal(key_E2, index, math.prod(shape)).view(members, batch, *shape)


def built(model, inputs, key_E2=KEY, *, dtype=torch.float32, scale=1.0, classes=7, **settings):
    """A stack bound to its initial parameters, and these, (E, P)."""
    stack = Stack(model, settings, Given(inputs=inputs, classes=classes), dtype=dtype)
    param_EP = stack.initial(key_E2, torch.full((len(key_E2), 1), scale)).to(dtype)
    return BoundStack(stack, param_EP, stack.initial_buffers(key_E2)), param_EP


def named(bound):
    """Parameters by name, each (E, *shape)."""
    return {name: leaf.detach() for name, leaf in bound.leaves.items()}


def of_model(name):
    return {"model": name, **SMALL.get(name, {})}


REFUSED = {("mlp", "answers"), ("transformer", "vector"), ("transformer", "image")}
CASES = [(model, kind) for model in ("mlp", "transformer") for kind in ALL if (model, kind) not in REFUSED]
CASES += [(model, "image") for model in ("alexnet", "cnn", "dconv", "densenet", "resnet", "vgg", "vit")]


def test_the_contract_covers_every_registered_model():
    """A new model must be added here, with the inputs that it accepts."""
    assert set(registry.names("model")) == {model for model, _ in CASES}
    for model, kind in itertools.product(registry.names("model"), ALL):
        assert accepts(model, ALL[kind]) == ((model, kind) in CASES), (model, kind)


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_logits_have_one_row_per_answer(model, kind):
    """(E, B * answers, classes), finite, in the parameters' dtype, different for every member."""
    inputs = ALL[kind]
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        bound, _ = built(inputs=inputs, dtype=dtype, **of_model(model))
        x = examples(inputs)
        logits = bound(x if isinstance(inputs, Tokens) else x.to(dtype))
        assert (logits.shape, logits.dtype) == ((3, 4 * getattr(inputs, "answers", 1), 7), dtype)
        assert logits.isfinite().all()
        assert len(torch.unique(logits.flatten(1), dim=0)) == 3


def gradient(bound, x, function):
    """Gradient of the sum of a function of the logits, (E, P), and the logits."""

    def loss(logits):
        loss_EB = function(logits).sum(-1)
        return loss_EB * loss_EB.shape[1], logits

    grad_EP, logits = bound.gradient(x, loss)
    return grad_EP.clone(), logits.detach()


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_a_member_computes_the_same_alone_and_beside_others(model, kind):
    """Logits and gradients of three stacked members are those of three stacks of one, in float64."""
    inputs = ALL[kind]
    x = examples(inputs)
    x = x if isinstance(inputs, Tokens) else x.double()
    bound, _ = built(inputs=inputs, dtype=torch.float64, **of_model(model))
    grad_EP, logits = gradient(bound, x, torch.square)
    for member in range(3):
        alone, _ = built(inputs=inputs, dtype=torch.float64, key_E2=KEY[member : member + 1], **of_model(model))
        grad_1P, own = gradient(alone, x[member : member + 1], torch.square)
        assert torch.allclose(own[0], logits[member], rtol=1e-12, atol=1e-12)
        assert torch.allclose(grad_1P[0], grad_EP[member], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_a_sample_is_computed_independently_of_its_batch(model, kind):
    """The logits of a part of the batch are that part of the logits, once batch norms use their running statistics."""
    inputs = ALL[kind]
    bound, _ = built(inputs=inputs, **of_model(model))
    bound.module.eval()
    x, answers = examples(inputs), getattr(inputs, "answers", 1)
    assert torch.allclose(bound(x[:, 1:3]), bound(x)[:, answers : 3 * answers], atol=1e-5)


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_parameters_change_in_place_after_they_are_bound(model, kind):
    """The optimizer's row is the module's parameters: all zero gives logits of zero."""
    bound, param_EP = built(inputs=ALL[kind], **of_model(model))
    assert param_EP.shape == (3, bound.stack.size)
    assert bound(examples(ALL[kind])).any()
    param_EP.zero_()
    assert not bound(examples(ALL[kind])).any()


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_the_same_keys_give_the_same_parameters_whatever_the_global_generators(model, kind):
    """Initial parameters come from the streams alone, and building leaves the global generator as it was."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(built(inputs=ALL[kind], **of_model(model))[1])
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*found)
    assert (found[0][0] != found[0][1]).any()
    assert torch.equal(built(inputs=ALL[kind], key_E2=KEY[1:], **of_model(model))[1], found[0][1:])


def test_parameters_of_different_names_start_differently():
    """Two layers of one shape draw from streams of their own."""
    bound, _ = built("mlp", VECTOR, width=7, depth=3)
    parameters = named(bound)
    assert not torch.equal(parameters["hidden.1.weight"], parameters["hidden.2.weight"])
    assert parameters["hidden.1.weight"].shape == parameters["output.weight"].shape
    assert not torch.equal(parameters["hidden.1.weight"], parameters["output.weight"])


def test_a_wider_output_does_not_change_how_other_layers_start():
    """A parameter's start depends on its own name and shape only."""
    few, many = (named(built("mlp", VECTOR, classes=classes, width=8)[0]) for classes in (2, 9))
    assert torch.equal(few["hidden.0.weight"], many["hidden.0.weight"])


@pytest.mark.parametrize(("initialization", "gain"), [("he", 2.0), ("lecun", 1.0), ("torch", 1 / 3)])
def test_weights_start_with_the_standard_deviation_of_their_scheme(initialization, gain):
    """sqrt(gain / fan_in) within four standard errors, mean zero, of both layers."""
    bound, _ = built("mlp", Vector(200), width=100, initialization=initialization, classes=50)
    for name, fan_in in (("hidden.0.weight", 200), ("output.weight", 100)):
        weight = named(bound)[name].double()
        std, error = math.sqrt(gain / fan_in), 1 / math.sqrt(weight.numel())
        assert abs(weight.mean()) < 4 * std * error
        assert abs(weight.square().mean() / std**2 - 1) < 4 * math.sqrt(2) * error
        if initialization == "torch":
            assert weight.abs().max() <= 1 / math.sqrt(fan_in)


@pytest.mark.parametrize("initialization", ["he", "lecun"])
def test_biases_start_at_zero(initialization):
    """Except in torch's own scheme, where they are uniform like the weights."""
    parameters = named(built("mlp", VECTOR, initialization=initialization)[0])
    assert not parameters["hidden.0.bias"].any()
    assert not parameters["output.bias"].any()


def test_biases_of_torchs_scheme_are_uniform():
    """Within 1 / sqrt(fan_in)."""
    bias = named(built("mlp", Vector(4), initialization="torch", width=500)[0])["hidden.0.bias"]
    assert 0.45 < bias.abs().max() <= 0.5
    assert abs(bias.square().mean() - 1 / 12) < 0.01


def test_the_scale_multiplies_all_initial_parameters_of_its_member():
    """init_scale is a factor per member."""
    stack = Stack("mlp", {}, Given())
    one = stack.initial(KEY, torch.ones(3, 1))
    assert torch.equal(
        stack.initial(KEY, torch.tensor([[1.0], [8.0], [0.5]])), one * torch.tensor([[1.0], [8.0], [0.5]])
    )


def test_starts_are_what_they_say():
    """Normal and uniform by their standard deviation, constant everywhere; float32, (E, *shape)."""
    shape = torch.Size((50, 100))
    for kind in ("normal", "uniform"):
        found = Distribution(kind, 0.3).draw(KEY, shape)
        assert (found.shape, found.dtype) == ((3, 50, 100), torch.float32)
        assert abs(found.std() - 0.3) < 0.01
        assert abs(found.mean()) < 0.01
    assert Distribution("uniform", 0.3).draw(KEY, shape).abs().max() <= 0.3 * math.sqrt(3) + 1e-6
    assert torch.equal(Distribution("constant", -2.0).draw(KEY, shape), torch.full((3, 50, 100), -2.0))


@pytest.mark.parametrize("bias", [True, False])
def test_the_affine_map_has_the_gradient_of_finite_differences(bias):
    """torch.autograd.gradcheck in float64, for every needed combination of inputs."""
    shapes = [(2, 5, 3), (2, 4, 3), (2, 1, 4)]
    x, weight, offset = (streams.normal(KEY[0], torch.arange(1), math.prod(s)).double().view(s) for s in shapes)
    offset = offset.requires_grad_() if bias else None
    for wants_x in (True, False):
        arguments = (x.clone().requires_grad_(wants_x), weight.clone().requires_grad_(), offset)
        assert torch.autograd.gradcheck(_Affine.apply, arguments)


def test_the_affine_map_is_that_of_torch_per_member():
    """torch.nn.functional.linear of every member, with and without a bias; unstacked too."""
    for bias in (True, False):
        layer = layers.Linear(3, 4, bias=bias)
        x = streams.normal(KEY, torch.arange(5)[None], 3)
        weight = streams.normal(KEY, torch.arange(4)[None], 3)
        offset = streams.normal(KEY, torch.arange(1)[None], 4)
        expected = [functional.linear(x[e], weight[e], offset[e, 0] if bias else None) for e in range(3)]
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(offset) if bias else None
        assert torch.allclose(layer(x), torch.stack(expected), atol=1e-6)
        layer.weight, layer.bias = nn.Parameter(weight[1]), nn.Parameter(offset[1]) if bias else None
        assert torch.allclose(layer(x[1]), expected[1], atol=1e-6)


def test_a_bias_is_added_to_the_product_where_a_compiler_can_fuse_the_sum(monkeypatch):
    """One operation while nothing is compiled, else two of the same value to rounding."""
    x, weight, bias = (torch.randn(3, rows, 6, dtype=torch.float64) for rows in (5, 6, 1))
    found = {}
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        with Called() as called:
            found[compiling] = _Affine.apply(x, weight, bias)
        assert ("aten.baddbmm.default" in called.names) == (not compiling)
    torch.testing.assert_close(found[True], found[False], rtol=1e-12, atol=1e-12)


def test_embedding_and_layer_norm_are_those_of_torch_per_member():
    """torch.nn.functional's of every member; unstacked too."""
    table = streams.normal(KEY, torch.arange(9)[None], 4)
    token = streams.integers(KEY, torch.arange(6)[None], 1, 9)[..., 0]
    embedding, norm = layers.Embedding(9, 4), layers.LayerNorm(4)
    scale, shift = streams.normal(KEY, torch.arange(2)[None], 4).unsqueeze(2).unbind(1)
    for stacked in (True, False):
        part = slice(None) if stacked else 1
        embedding.weight = nn.Parameter(table[part])
        norm.weight, norm.bias = nn.Parameter(scale[part]), nn.Parameter(shift[part])
        found = norm(embedding(token[part]))
        for e in (0, 1, 2) if stacked else (1,):
            h = functional.embedding(token[e], table[e])
            expected = functional.layer_norm(h, (4,), scale[e, 0], shift[e, 0])
            assert torch.allclose(found[e] if stacked else found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "reference"),
    [("relu", functional.relu), ("gelu", functional.gelu), ("tanh", torch.tanh), ("quadratic", torch.square)],
)
def test_activations_are_those_of_torch(activation, reference):
    """Entry by entry."""
    x = torch.linspace(-3, 3, 25)
    assert torch.allclose(activate(x, activation), reference(x))


@pytest.mark.parametrize("depth", [1, 2])
def test_the_mean_of_bent_units_has_no_output_weights(depth):
    """The last layer's z + c z^2 / 2, averaged, of every member; c changes outputs and no parameters."""
    x = examples(VECTOR)
    for curvature in (0.25, 2.0):
        bound, _ = built(
            "mlp", VECTOR, classes=1, width=8, depth=depth, bias=False, activation="bent", curvature=curvature,
            readout="mean",
        )  # fmt: skip
        parameters = named(bound)
        assert list(parameters) == [f"hidden.{index}.weight" for index in range(depth)]
        for e, outputs in enumerate(bound(x)):
            h = x[e]
            for index in range(depth):
                z = functional.linear(h, parameters[f"hidden.{index}.weight"][e])
                h = ((1 + curvature * z) ** 2 - 1) / (2 * curvature)
            assert torch.allclose(outputs, h.mean(1, keepdim=True), atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "settings", "sentence"),
    [
        (VECTOR, {"classes": 3}, "model 'mlp' can give the mean of its units for one real-valued label only, this task "
         'has 3 classes and 1 answers. Set model.readout = "learned".'),
        (Vector(4, answers=2), {"classes": 1}, "model 'mlp' can give the mean of its units for one real-valued label "
         'only, this task has 1 classes and 2 answers. Set model.readout = "learned".'),
        (VECTOR, {"classes": 1, "depth": 0}, "model 'mlp' needs a hidden layer and nothing after it to give the mean "
         "of its units, got depth = 0, projection = 0 and queried = false. "
         "Set model.depth = 1, model.projection = 0 and model.queried = false."),
    ],
)  # fmt: skip
def test_a_mean_of_units_that_has_no_place_is_refused(inputs, settings, sentence):
    """With the cure."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        built("mlp", inputs, readout="mean", **settings)


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_the_mlp_on_vectors_is_a_chain_of_affine_maps(depth, bias):
    """Against a torch.nn.Sequential of every member."""
    bound, _ = built("mlp", VECTOR, width=8, depth=depth, bias=bias, activation="tanh")
    x, parameters = examples(VECTOR), named(bound)
    for e, logits in enumerate(bound(x)):
        h = x[e]
        for name in [*(f"hidden.{i}" for i in range(depth)), "output"]:
            h = functional.linear(
                h, parameters[f"{name}.weight"][e], parameters[f"{name}.bias"][e, 0] if bias else None
            )
            h = torch.tanh(h) if name != "output" else h
        assert torch.allclose(logits, h, atol=1e-5)


def test_the_mlp_flattens_images():
    """An image and the vector of its pixels give the same logits."""
    image, vector = (built("mlp", inputs)[0] for inputs in (IMAGE, Vector(24)))
    x = examples(IMAGE)
    assert torch.equal(image(x), vector(x.flatten(2)))


@pytest.mark.parametrize("embedding", [0, 4])
@pytest.mark.parametrize("shared", [True, False])
def test_summed_operands_are_concatenated_ones_with_tied_input_weights(embedding, shared):
    """h_a + h_b: the concatenating network whose input weights repeat for every position."""
    settings = {"width": 8, "embedding": embedding, "shared_embedding": shared, "depth": 2}
    summed, _ = built("mlp", TOKENS, operands="sum", **settings)
    joined, joined_EP = built("mlp", TOKENS, operands="concat", **settings)
    tied = named(summed) | {"hidden.0.weight": named(summed)["hidden.0.weight"].repeat(1, 1, 3)}
    joined_EP.copy_(torch.cat([tied[name].flatten(1) for name in joined.stack.names], 1))
    x = examples(TOKENS)
    assert torch.allclose(summed(x), joined(x), atol=1e-5)


def test_the_mlp_reads_only_the_positions_that_vary():
    """Punctuation reaches no logit; every varying position does."""
    bound, _ = built("mlp", TOKENS)
    x = examples(TOKENS)
    for position in range(TOKENS.length):
        changed = x.clone()
        changed[..., position] = (x[..., position] + 1) % 9
        assert torch.equal(bound(changed), bound(x)) == (position not in TOKENS.varying)


@pytest.mark.parametrize("tables", [{"embedding": 0}, {"shared_embedding": True}, {"shared_embedding": False}])
@pytest.mark.parametrize("operands", ["concat", "sum"])
@pytest.mark.parametrize(
    ("inputs", "settings"),
    [(TOKENS, {}), (BLANKS, {"bias": False, "depth": 2}), (TOKENS, {"depth": 0}), (TOKENS, {"batch_norm": True})],
)
def test_the_mlp_by_token_is_the_mlp_by_sample(tables, operands, inputs, settings, monkeypatch):
    """Logits and gradients of every member in float64, with a product for each token or one for each sample."""
    x, found = examples(inputs, batch=40), []
    for samples_per_token in (0, 1_000):
        monkeypatch.setattr(mlp, "SAMPLES_PER_TOKEN", samples_per_token)
        bound, _ = built("mlp", inputs, dtype=torch.float64, width=8, operands=operands, **tables, **settings)
        found.append(gradient(bound, x, torch.sin))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_the_mlp_does_a_product_for_each_token_from_two_samples_a_token_on(monkeypatch):
    """Addition modulo 97 in batches of 512 then takes less than half of the operations, forward and backward."""
    inputs, counts = Tokens(99, 4, (0, 2)), {}
    bound, _ = built("mlp", inputs, KEY[:1], classes=97)
    for batch in (197, 198, 512):
        with FlopCounterMode(display=False) as counter:
            gradient(bound, examples(inputs, 1, batch), torch.sin)
        counts[batch] = counter.get_total_flops()
    assert counts[198] < 0.7 * counts[197]
    monkeypatch.setattr(mlp, "SAMPLES_PER_TOKEN", 1_000)
    with FlopCounterMode(display=False) as counter:
        gradient(bound, examples(inputs, 1, 512), torch.sin)
    assert counts[512] < 0.5 * counter.get_total_flops()


@pytest.mark.parametrize("tables", [{"embedding": 0}, {"embedding": 16}])
@pytest.mark.parametrize("operands", ["concat", "sum"])
def test_equal_members_have_equal_gradients_by_token(tables, operands):
    """To the last bit, in a batch with many samples of every token: else the worlds would differ before the reuse."""
    bound, param_EP = built("mlp", TOKENS, width=16, operands=operands, **tables)
    param_EP.copy_(param_EP[:1].expand_as(param_EP).clone())
    x = examples(TOKENS, batch=64)[:1].expand(3, -1, -1)
    grad_EP, _ = gradient(bound, x, torch.sin)
    assert torch.equal(grad_EP, grad_EP[:1].expand_as(grad_EP))


def test_a_bias_may_be_a_weight_of_an_input_that_is_always_one():
    """He: the variance of weights and bias is 2 / (inputs + 1); the network without it has one more input."""
    bound, _ = built("mlp", Vector(7), width=4_000, bias="input", output_bias=False)
    parameters = named(bound)
    assert set(parameters) == {"hidden.0.weight", "hidden.0.bias", "output.weight"}
    for name in ("hidden.0.weight", "hidden.0.bias"):
        assert math.isclose(parameters[name].var(), 2 / 8, rel_tol=0.05)
    x = examples(Vector(7))
    wide = torch.cat((x, torch.ones(*x.shape[:-1], 1)), -1)
    weight = torch.cat((parameters["hidden.0.weight"], parameters["hidden.0.bias"].mT), -1)
    logits = torch.relu(wide @ weight.mT) @ parameters["output.weight"].mT
    torch.testing.assert_close(bound(x), logits)


def test_one_logit_is_the_log_odds_of_the_second_class():
    """The cross-entropy of (0, z) and its gradient are those of torch's binary loss of z; one class more is refused."""
    bound, _ = built("mlp", VECTOR, classes=2, width=8, single_logit=True, dtype=torch.float64)
    x, label_EB = examples(VECTOR).double(), torch.tensor([[0, 1, 1, 0]]).expand(3, -1)
    logits = bound(x)
    assert named(bound)["output.weight"].shape == (3, 1, 8)
    assert not logits[..., 0].any()
    binary = functional.binary_cross_entropy_with_logits(logits[..., 1], label_EB.double(), reduction="none")
    torch.testing.assert_close(cross_entropy(logits, label_EB), binary)
    sentence = "model 'mlp' has one logit for two classes only, this task has 7. Set model.single_logit = false."
    with pytest.raises(ValueError, match=re.escape(sentence)):
        built("mlp", VECTOR, single_logit=True)


def test_the_networks_of_pairs_modular_addition():
    """relu(h_a + h_b) of one shared embedding, projected and read by its own transpose; or by a matrix of its own."""
    inputs, settings = Tokens(9, 4, (0, 2)), {"operands": "sum", "bias": False, "embedding": 6, "width": 5}
    settings |= {"initialization": "truncated", "embedding_std": 0.5}
    tied, _ = built("mlp", inputs, projection=6, tied=True, **settings)
    parameters, x = named(tied), examples(inputs)
    table = parameters["embeddings.0.weight"]
    assert list(parameters) == ["embeddings.0.weight", "hidden.0.weight", "projection.weight"]
    member = torch.arange(3)[:, None]
    h = torch.relu((table[member, x[..., 0]] + table[member, x[..., 2]]) @ parameters["hidden.0.weight"].mT)
    projected = h @ parameters["projection.weight"].mT
    torch.testing.assert_close(tied(x), projected @ table[:, :7].mT)
    untied, _ = built("mlp", inputs, projection=6, **settings)
    torch.testing.assert_close(untied(x), projected @ named(untied)["output.weight"].mT)
    sentence = (
        "model 'mlp' can tie its output to one shared embedding of tokens only, as wide as its projection. "
        "Set model.projection = 6 and model.shared_embedding = true, or model.tied = false."
    )
    for wrong in ({"projection": 5}, {}, {"projection": 6, "shared_embedding": False}):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            built("mlp", inputs, tied=True, **settings | wrong)


def test_truncated_normals_lie_within_two_standard_deviations():
    """And have 0.8796 of the standard deviation; by Kolmogorov and Smirnov they are SciPy's."""
    values = Distribution("truncated", 0.5).draw(KEY[:1], torch.Size((20_000,)))[0]
    assert values.abs().max() < 1
    assert math.isclose(values.std(), 0.8796 * 0.5, rel_tol=0.02)
    assert stats.kstest(values.double().numpy(), stats.truncnorm(-2, 2, scale=0.5).cdf).pvalue > 0.01


@pytest.mark.parametrize(("settings", "tables"), [({"embedding": 0}, 0), ({}, 1), ({"shared_embedding": False}, 3)])
def test_the_mlp_has_one_table_for_all_positions_or_one_each(settings, tables):
    """And none for one-hot tokens."""
    names = built("mlp", TOKENS, **settings)[0].stack.names
    assert sum(name.startswith("embeddings.") for name in names) == tables


def reference_logits(parameters, x, inputs, *, count, heads, norm, activation=torch.relu):
    """A plain causal transformer of one member at all positions, logits (B, answers, classes)."""

    def affine(h, name):
        bias = parameters.get(f"{name}.bias")
        return functional.linear(h, parameters[f"{name}.weight"], None if bias is None else bias[0])

    def normalise(h, name):
        return functional.layer_norm(
            h, h.shape[-1:], parameters[f"{name}.weight"][0], parameters[f"{name}.bias"][0], eps=1e-5
        )

    def attend(h, name):
        batch, length, width = h.shape
        query, (key, value) = affine(h, f"{name}.query"), affine(h, f"{name}.key_value").chunk(2, -1)
        query, key, value = (t.view(batch, length, heads, -1).transpose(1, 2) for t in (query, key, value))
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return affine(mixed.transpose(1, 2).reshape(batch, length, width), f"{name}.mix")

    h = parameters["embedding.weight"][x]
    h = h + parameters.get("position", sinusoids(inputs.length, h.shape[-1]).to(h.dtype))
    for block in (f"blocks.{i}" for i in range(count)):
        if norm == "pre":
            h = h + attend(normalise(h, f"{block}.norms.0"), block)
            h = h + affine(activation(affine(normalise(h, f"{block}.norms.1"), f"{block}.up")), f"{block}.down")
        else:
            h = h + attend(h, block)
            h = normalise(h, f"{block}.norms.0") if norm == "post" else h
            h = h + affine(activation(affine(h, f"{block}.up")), f"{block}.down")
            h = normalise(h, f"{block}.norms.1") if norm == "post" else h
    h = normalise(h, "norm") if norm == "pre" else h
    return affine(h, "output")[:, -inputs.answers :]


@pytest.mark.parametrize("inputs", [TOKENS, ANSWERS, Tokens(9, 5, (0,), answers=5, shows_answers=True)])
@pytest.mark.parametrize("norm", ["pre", "post", "none"])
@pytest.mark.parametrize(("count", "positions", "bias"), [(1, "learned", False), (2, "sinusoidal", True)])
def test_the_transformer_is_a_plain_causal_one_read_at_the_answers(inputs, norm, count, positions, bias):
    """Leaving out what cannot reach the loss changes neither logits nor gradients, to 1e-10 in float64."""
    bound, param_EP = built(
        "transformer", inputs, dtype=torch.float64, layers=count, width=8, heads=2, norm=norm,
        positions=positions, bias=bias,
    )  # fmt: skip
    size = bound.stack.size
    param_EP.add_(0.1 * streams.normal(KEY, torch.ones(3, 1, dtype=torch.int64), size)[:, 0])  # no zero biases
    x = examples(inputs)
    grad_EP, logits = gradient(bound, x, torch.sin)
    for e in range(3):
        leaves = {name: leaf[e].clone().requires_grad_() for name, leaf in named(bound).items()}
        expected = reference_logits(leaves, x[e], inputs, count=count, heads=2, norm=norm).flatten(0, 1)
        assert torch.allclose(logits[e], expected, rtol=1e-10, atol=1e-10)
        grads = torch.autograd.grad(expected.sin().sum(), list(leaves.values()))
        assert torch.allclose(grad_EP[e], torch.cat([g.flatten() for g in grads]), rtol=1e-9, atol=1e-9)


def test_no_answer_depends_on_later_positions():
    """Changing the last token changes the last answer only."""
    bound, _ = built("transformer", ANSWERS, width=8, heads=2)
    x = examples(ANSWERS)
    changed = x.clone()
    changed[..., -1] = (x[..., -1] + 1) % 9
    before, after = (bound(tokens).view(3, 4, 3, 7) for tokens in (x, changed))
    assert torch.equal(before[:, :, :2], after[:, :, :2])
    assert (before[:, :, 2] != after[:, :, 2]).any(-1).all()


def test_every_position_reaches_the_last_answer():
    """Also those before the other answers."""
    bound, _ = built("transformer", ANSWERS, width=8, heads=2)
    x = examples(ANSWERS)
    for position in range(ANSWERS.length):
        changed = x.clone()
        changed[..., position] = (x[..., position] + 1) % 9
        assert (bound(x).view(3, 4, 3, 7)[:, :, 2] != bound(changed).view(3, 4, 3, 7)[:, :, 2]).any(-1).all()


@pytest.mark.parametrize(("rows", "inner", "columns"), [(4, 32, 4), (1, 4, 32), (3, 1, 1)])
def test_a_small_product_is_the_matrix_product(rows, inner, columns):
    """Values and both gradients to 1e-12 in float64, with leading axes and a transposed factor."""
    left = torch.randn(2, 5, rows, inner, dtype=torch.float64, requires_grad=True)
    right = torch.randn(2, 5, columns, inner, dtype=torch.float64, requires_grad=True)
    pairs = []
    for product in (small_product, torch.matmul):
        out = product(left, right.mT)
        pairs.append((out, *torch.autograd.grad(out.sin().sum(), (left, right))))
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("device", "keys", "batched"), [("cuda", FEW_KEYS, 0), ("cuda", 9, 2), ("cpu", 4, 2)])
def test_few_keys_on_a_gpu_are_attended_to_without_matrix_products(device, keys, batched):
    """On a GPU that does not exist; many keys, and any on a CPU, take two batched products."""
    block = TransformerBlock(8, 2, 8, "relu", "pre", "torch")
    with FakeTensorMode(), Called() as called:
        q, k, v = (torch.empty(3, 5, positions, 8, device=device) for positions in (2, keys, keys))
        assert block._mixed(q, k, v).shape == (3, 5, 2, 8)
    assert called.names.count("aten.bmm.default") == batched


def test_the_mask_lets_the_last_queries_see_what_lies_before_them():
    """Two queries over four positions."""
    assert future(2, 4, torch.device("cpu")).tolist() == [[False, False, False, True], [False] * 4]


@pytest.mark.parametrize("width", [8, 7])
def test_sinusoids_are_those_of_vaswani(width):
    """Sin and cos of position / 10000^(2i / width), in turn."""
    table = sinusoids(5, width)
    assert table.shape == (5, width)
    for position, place in itertools.product(range(5), range(width)):
        angle = position / 10_000 ** (2 * (place // 2) / width)
        assert table[position, place].item() == pytest.approx((math.cos if place % 2 else math.sin)(angle), abs=1e-6)


def test_powers_transformer_has_about_400_000_parameters():
    """Two layers of width 128 with 4 heads on p = 97: "about 4 * 10^5 non-embedding parameters"."""
    stack = Stack("transformer", {}, Given(inputs=Tokens(99, 4, (0, 2)), classes=97))
    table = 99 * 128 + 97 * 128
    assert 3.9e5 < stack.size - table < 4.1e5


def test_nandas_transformer_has_the_published_parameters():
    """One layer without norms and biases, learned positions, p = 113: 4 * 128^2 + 2 * 128 * 512 and the tables."""
    settings = {"layers": 1, "norm": "none", "bias": False, "positions": "learned"}
    stack = Stack("transformer", settings, Given(inputs=Tokens(114, 3, (0, 1)), classes=113))
    assert stack.size == 114 * 128 + 3 * 128 + 4 * 128**2 + 2 * 128 * 512 + 113 * 128


@pytest.mark.parametrize(
    ("model", "settings", "inputs", "sentence"),
    [
        ("mlp", {}, ANSWERS,
         "model 'mlp' reads all positions at once, but this task shows earlier answers in its input. "
         "Set task.shows_answers = false or use a causal model such as 'transformer'."),
        ("transformer", {}, VECTOR,
         "model 'transformer' reads tokens, but this task gives vector inputs. "
         "Use model 'mlp', or a task of tokens."),
        ("transformer", {}, IMAGE,
         "model 'transformer' reads tokens, but this task gives image inputs. "
         "Use model 'mlp', or a task of tokens."),
        ("transformer", {"width": 10, "heads": 4}, TOKENS,
         "width must be a multiple of heads = 4, got 10. Set model.width to 8."),
        ("transformer", {"width": 2, "heads": 3}, TOKENS,
         "width must be a multiple of heads = 3, got 2. Set model.width to 3."),
    ],
)  # fmt: skip
def test_models_refuse_what_they_cannot_read(model, settings, inputs, sentence):
    """The full sentence."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Stack(model, settings, Given(inputs=inputs))


@pytest.fixture
def own_models(monkeypatch):
    """Models that a test registers are forgotten after it."""


class Plain(nn.Module):
    """What a user would write who knows torch only."""

    def __init__(self, inputs, classes, *, width: int = 5):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs.size, width), nn.LayerNorm(width), nn.Tanh())
        self.register_buffer("shift", torch.tensor(0.5))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(x) + self.shift)


def test_an_ordinary_torch_module_computes_as_its_own_copy_per_member(own_models):
    """Mapped over members: logits and gradients of a loop over modules with each member's parameters."""
    register("model", "test_plain")(Plain)
    bound, _ = built("test_plain", VECTOR)
    x = examples(VECTOR)
    grad_EP, logits = gradient(bound, x, torch.sin)
    for e in range(3):
        module = Plain(VECTOR, 7)
        module.load_state_dict({name: value[e] for name, value in named(bound).items()} | {"shift": torch.tensor(0.5)})
        expected = module(x[e])
        assert torch.allclose(logits[e], expected, atol=1e-5)
        grads = torch.autograd.grad(expected.sin().sum(), list(module.parameters()))
        assert torch.allclose(grad_EP[e], torch.cat([g.flatten() for g in grads]), atol=1e-4)


def test_an_ordinary_torch_module_starts_like_torchs_layers_but_from_the_streams(own_models):
    """Linear: uniform within 1 / sqrt(fan_in); LayerNorm: ones and zeros; no global generator."""
    register("model", "test_plain")(Plain)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(built("test_plain", Vector(100), width=80)[0])
        assert torch.equal(torch.get_rng_state(), before)
    first, second = map(named, found)
    assert all(torch.equal(first[name], second[name]) for name in first)
    weight, torchs = first["body.0.weight"], nn.Linear(100, 80).weight
    assert 0.099 < weight.abs().max() <= 0.1
    assert abs(weight.std() / torchs.std() - 1) < 0.05
    assert (first["body.1.weight"] == 1).all()
    assert not first["body.1.bias"].any()
    assert first["head.bias"].any()


class Convolution(nn.Module):
    """Convolution and embedding layers of torch start as torch's would."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.conv = nn.Conv2d(inputs.channels, 40, 2)
        self.norm = nn.GroupNorm(2, 40)
        self.table = nn.Embedding(50, 40)
        self.head = nn.Linear(40, classes)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean((-1, -2)) + self.table.weight.mean(0))


def test_convolutions_and_embeddings_start_like_torchs(own_models):
    """Convolution: within 1 / sqrt(channels * 4); embedding: standard normal; GroupNorm: ones and zeros."""
    register("model", "test_convolution")(Convolution)
    bound, _ = built("test_convolution", IMAGE)
    found = named(bound)
    assert bound(examples(IMAGE)).shape == (3, 4, 7)
    assert 0.34 < found["conv.weight"].abs().max() <= 1 / math.sqrt(8)
    assert abs(found["table.weight"].std() - 1) < 0.05
    assert (found["norm.weight"] == 1).all()


class Tied(nn.Module):
    """Two layers that share one weight."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.first, self.second = nn.Linear(inputs.size, inputs.size), nn.Linear(inputs.size, inputs.size)
        self.second.weight = self.first.weight
        self.head = nn.Linear(inputs.size, classes)

    def forward(self, x):
        return self.head(self.second(torch.tanh(self.first(x))))


def test_shared_weights_stay_shared(own_models):
    """A parameter that stands in two places is one parameter in both, from the streams and trained."""
    register("model", "test_tied")(Tied)
    bound, _ = built("test_tied", VECTOR)
    x, found = examples(VECTOR), named(bound)
    for e, logits in enumerate(bound(x)):
        weight = found["first.weight"][e]
        h = torch.tanh(functional.linear(x[e], weight, found["first.bias"][e]))
        h = functional.linear(h, weight, found["second.bias"][e])
        assert torch.allclose(logits, functional.linear(h, found["head.weight"][e], found["head.bias"][e]), atol=1e-5)


class Unused(nn.Module):
    """A layer that never reaches the logits."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.spare, self.head = nn.Linear(3, 3), nn.Linear(inputs.size, classes)

    def forward(self, x):
        return self.head(x)


def test_a_parameter_that_never_reaches_the_logits_has_gradient_zero(own_models):
    """As an optimizer of torch would leave it alone; it is no reason to stop."""
    register("model", "test_unused")(Unused)
    bound, _ = built("test_unused", VECTOR)
    grad_EP, _ = gradient(bound, examples(VECTOR), torch.exp)
    assert not grad_EP[:, :12].any()
    assert grad_EP[:, 12:].all()


class Bare(nn.Module):
    """Parameters that are no layer's, a layer that the constructor starts in its own way, and torch's own start."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.table = nn.Parameter(torch.randn(inputs.size, 6))
        self.own, self.head = nn.Linear(6, 6), nn.Linear(6, classes)
        self.own.weight.data.normal_(0, 5)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        return self.head(self.own(x @ self.table))


def test_what_a_constructor_starts_in_its_own_way_starts_so_from_the_members_key(own_models):
    """Other numbers for every member, the same again, without torch's global generator; the rest from the streams."""
    register("model", "test_bare")(Bare)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(named(built("test_bare", VECTOR)[0]))
        assert torch.equal(torch.get_rng_state(), before)
    first, second = found
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["table"][0], first["table"][1])
    assert 3 < first["own.weight"].std() < 7
    assert not first["head.bias"].any()
    assert first["own.bias"].any()
    assert Stack("test_bare", {}, Given()).starts["own.bias"] is not None


class Recurrent(nn.Module):
    """An LSTM, which vmap cannot map."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.lstm(x[..., None])[0][:, -1])


def test_a_module_that_cannot_be_mapped_computes_member_after_member(own_models):
    """As its own copy does for each, gradients too."""
    register("model", "test_recurrent")(Recurrent)
    bound, _ = built("test_recurrent", VECTOR)
    assert bound.stack.loops_members
    grad_EP, logits = gradient(bound, examples(VECTOR), torch.sin)
    for e in range(3):
        module = Recurrent(VECTOR, 7)
        module.load_state_dict({name: value[e] for name, value in named(bound).items()})
        expected = module(examples(VECTOR)[e])
        assert torch.allclose(logits[e], expected, atol=1e-5)
        grads = torch.autograd.grad(expected.sin().sum(), list(module.parameters()))
        assert torch.allclose(grad_EP[e], torch.cat([g.flatten() for g in grads]), atol=1e-4)


class Normed(nn.Module):
    """A batch norm of torch, with its running means, and dropout whose masks are the harness's."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm1d(inputs.size), Dropout(0.5)
        self.head = nn.Linear(inputs.size, classes)

    def forward(self, x):
        return self.head(self.dropout(self.norm(x)))


def test_a_batch_norm_of_torch_keeps_every_members_running_mean(own_models):
    """They move in training as a module's own do, and start at 0 and 1."""
    register("model", "test_normed")(Normed)
    stack, x = Stack("test_normed", {}, Given()), examples(VECTOR)
    key_E2 = streams.keys(range(3), "noise")
    buffers = stack.initial_buffers(key_E2)
    assert not buffers["norm.running_mean"].any()
    stack.logits(stack.initial(key_E2, torch.ones(3, 1)), buffers, x)
    assert torch.allclose(buffers["norm.running_mean"], 0.1 * x.mean(1), atol=1e-6)
    assert buffers["norm.num_batches_tracked"].tolist() == [1, 1, 1]


class Dropping(Recurrent):
    """With torch's dropout, whose masks no stream gives."""

    def forward(self, x):
        return functional.dropout(super().forward(x), 0.5, self.training)


def test_a_module_that_draws_random_numbers_is_refused_in_training(own_models):
    """The full sentence; in evaluation mode it draws none."""
    register("model", "test_dropping")(Dropping)
    sentence = (
        "model 'test_dropping' draws from torch's global generator, so the two worlds of a pair would differ. "
        "For dropout use deepboot.bootstrap.models.layers.Dropout."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Stack("test_dropping", {}, Given())
    assert Stack("test_dropping", {}, Given(), training=False).loops_members
