import re

import numpy as np
import pytest
import torch

from deepboot.bootstrap.models.mlp import MLP
from deepboot.bootstrap.models.transformer import Transformer
from deepboot.bootstrap.task import Tokens
from deepboot.reports.representation.layers import (
    group_layer,
    group_layers,
    group_tokens,
    powers_of_a_root,
    token_layers,
)

INPUTS = Tokens(vocab=9, length=4, varying=(0, 2))
RUN = {"task": "binary_operations", "task.operation": "x+y", "task.modulus": 7, "model": "mlp"}


def filled(model):
    """A model with random parameters and its weights by name."""
    generator = torch.Generator().manual_seed(0)
    named = {name: torch.randn(one.shape, generator=generator) for name, one in model.named_parameters()}
    return model, named, {name: tensor.numpy() for name, tensor in named.items()}


@pytest.mark.parametrize("operands", ["concat", "sum"])
@pytest.mark.parametrize(("embedding", "shared"), [(0, True), (5, True), (5, False)])
def test_inputs_add_up_to_the_first_hidden_layer(operands, embedding, shared):
    """What both operands add, activated and sent through the output layer, are the model's own logits."""
    model = MLP(INPUTS, 7, width=6, embedding=embedding, shared_embedding=shared, operands=operands, bias=False)
    model, named, weights = filled(model)
    layers = token_layers(weights, np.arange(7), 9)
    inputs = [layer for name, layer in layers.items() if name.startswith("input")]
    x, y = 3, 5
    hidden = np.maximum(inputs[0][x] + inputs[-1][y], 0)
    tokens = torch.tensor([[x, 7, y, 8]])
    logits = torch.func.functional_call(model, named, (tokens[None],), tie_weights=False).flatten()
    assert layers["output"] @ hidden == pytest.approx(logits.numpy(), rel=1e-4)
    assert (len(inputs) == 1) == (operands == "sum" and (shared or not embedding))
    assert sum(name.startswith("embedding") for name in layers) == (0 if not embedding else 1 if shared else 2)


@pytest.mark.parametrize("tied", [True, False])
def test_the_output_of_a_projected_network_is_seen_through_its_projection(tied):
    """From a hidden unit to the logits, as the model has it, also where the embedding is the output."""
    model = MLP(INPUTS, 7, width=6, embedding=5, operands="sum", bias=False, projection=5, tied=tied)
    model, named, weights = filled(model)
    layers = token_layers(weights, np.arange(7), 9)
    assert {name: layer.shape for name, layer in layers.items()} == {
        "embedding": (7, 5), "input": (7, 6), "output": (7, 6)
    }  # fmt: skip
    hidden = np.maximum(layers["input"][3] + layers["input"][5], 0)
    logits = torch.func.functional_call(model, named, (torch.tensor([[[3, 7, 5, 8]]]),), tie_weights=False).flatten()
    assert layers["output"] @ hidden == pytest.approx(logits.numpy(), rel=1e-4)


def test_a_table_of_operands_alone_has_no_rows_for_signs():
    """One-hot operands without "op" and "=": a block of seven weights for each."""
    model = MLP(Tokens(vocab=9, length=4, varying=(0, 2), operands=7), 7, width=6, embedding=0, embedded="operands")
    _, _, weights = filled(model)
    layers = group_layers(weights, RUN | {"model.embedded": "operands"})
    for number, name in enumerate(("input 1", "input 2")):
        assert (layers[name] == weights["hidden.0.weight"][:, 7 * number : 7 * number + 7].T).all()


def test_a_transformer_has_embedding_output_and_its_last_neurons_logits():
    """The product of the down projection of the last block and the output layer; other tokens are left out."""
    _, _, weights = filled(Transformer(INPUTS, 7, layers=2, width=4, heads=1))
    layers = token_layers(weights, np.arange(7), 9)
    assert {name: layer.shape for name, layer in layers.items()} == {
        "embedding": (7, 4), "output": (7, 4), "neuron_logit": (7, 16)
    }  # fmt: skip
    expected = weights["output.weight"] @ weights["blocks.1.down.weight"]
    assert layers["neuron_logit"] == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("operation", "sign"), [("x*y", 1), ("x/y", -1)])
def test_multiplication_adds_positions(operation, sign):
    """In this order the answer's position is the sum, or the difference, of the operands', modulo p − 1."""
    token = group_tokens(RUN | {"task.operation": operation, "task.modulus": 11}).tolist()
    for x, y in [(3, 8), (9, 9), (0, 7)]:
        answer = token[x] * pow(token[y], sign, 11) % 11
        assert token.index(answer) == (x + sign * y) % 10


def test_layers_follow_the_order_of_the_tokens():
    """Embedding, input and output have the same token in each row."""
    _, _, weights = filled(MLP(INPUTS, 7, width=6, embedding=5, operands="sum"))
    plain = token_layers(weights, np.arange(7), 9)
    layers = group_layers(weights, RUN | {"task.operation": "x*y"})
    assert set(layers) == {"embedding", "input", "output"}
    for name, layer in layers.items():
        assert (layer == plain[name][[1, 3, 2, 6, 4, 5]]).all()


def test_tokens_of_other_tasks_come_as_numbered():
    """Addition modulo 7, and the permutations of 4 things."""
    assert group_tokens(RUN).tolist() == list(range(7))
    assert len(group_tokens({"task": "permutations", "task.degree": 4})) == 24


def test_what_has_no_layers_over_a_group_is_refused():
    """A task, a model, a layer, and a modulus without a root."""
    with pytest.raises(ValueError, match=r"^expected runs of task binary_operations or permutations, got 'digits'\. "):
        group_tokens({"task": "digits"})
    for name in ("conv.weight", "hidden.0.weight"):  # no network over tokens, and one whose units' mean is its output
        with pytest.raises(ValueError, match=rf"^expected the weights of an mlp with .*, got {name}\. Call the "):
            token_layers({name: np.zeros(2)}, np.arange(7), 9)
    sentence = "model 'mlp' has no layer 'outputs'. Did you mean 'output'? Known: embedding, input 1, input 2, output."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        group_layer(filled(MLP(INPUTS, 7, width=6, embedding=5))[2], RUN, "outputs")
    with pytest.raises(
        ValueError, match=r"^`task.modulus` must be prime to .*, got 12\. Call the functions of arrays "
    ):
        powers_of_a_root(12)
