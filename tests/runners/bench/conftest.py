"""Contests small enough for a test."""

from dataclasses import replace
from functools import partial

import pytest

from deepboot.runners.bench import opponent_models
from deepboot.runners.bench.contests import MLP_64, PARITY, TRANSFORMER, PlainMLP, PlainTransformer


def _smaller(contest, task, model, batch, **changes):
    study = dict(contest.study)
    study["task"], study["model"] = study["task"] | task, study["model"] | model
    study["training"] = study["training"] | {"max_steps": 40} | batch
    return replace(contest, study=study, **changes)


@pytest.fixture
def tiny():
    """Contests by the names of their models."""
    return {
        "mlp": _smaller(
            MLP_64, {"modulus": 7}, {"width": 8, "embedding": 8}, {"batch_size": 8},
            module=lambda: PlainMLP(7, 8), tried=lambda: opponent_models.MLP(7, 8),
        ),
        "parity": _smaller(
            PARITY, {"num_bits": 6}, {"width": 8}, {"train_size": 24},
            module=lambda: opponent_models.vector_mlp(6, 8, 2), tried=lambda: opponent_models.vector_mlp(6, 8, 2),
        ),
        "transformer": _smaller(
            TRANSFORMER, {"modulus": 7}, {"width": 8, "heads": 2}, {"batch_size": 8},
            module=lambda: PlainTransformer(7, 8, 2, 2, everywhere=False),
            tried=lambda: opponent_models.Transformer(7, 8, 2, 2),
            stacked=partial(opponent_models.stacked_transformer, heads=2, layers=2),
        ),
    }  # fmt: skip
