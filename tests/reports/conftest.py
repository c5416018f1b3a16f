"""Results made by hand: smooth curves for figures and pages, bare event steps for statistics."""

import numpy as np
import pandas as pd
import pytest

from deepboot.bootstrap.columns import EVALUATION_COLUMNS, RUN_COLUMNS
from deepboot.bootstrap.events import run_events
from deepboot.bootstrap.results import Results, typed

QUESTION = "Does a finite pool delay generalisation on sparse parity?"


def grid(budget, evaluations):
    """Evaluated steps: 0, then about evenly spaced on the log axis."""
    return np.unique(np.concatenate([[0], np.geomspace(1, budget, evaluations - 1).round()])).astype(int)


def rise(steps, middle, sharpness=8.0):
    """Accuracy that rises from 0.5 to 1 around the step ``middle``."""
    return 0.5 + 0.5 / (1 + np.exp(-sharpness * (np.log1p(steps) - np.log1p(middle))))


def evaluations_of(run_id, steps, *, middle, memorized, random, diverged_at=None):
    """One run's rows; ``memorized`` None for an ideal run."""
    n = len(steps)
    test = 1 - rise(steps, middle) if np.isfinite(middle) else np.full(n, 0.5)
    test = np.round(np.clip(test + random.normal(0, 0.004, n) * (test > 0.01), 0, 1) * 2000) / 2000
    train = np.full(n, np.nan) if memorized is None else np.round(1 - rise(steps, memorized), 3)
    online = np.where(steps == 0, np.nan, test if memorized is None else train)
    rows = pd.DataFrame(
        {
            "run_id": run_id,
            "step": steps,
            "samples_seen": steps * 100,
            "train_loss": train * 2,
            "train_error": train,
            "train_soft_error": train,
            "test_loss": test * 2,
            "test_error": test,
            "test_soft_error": np.minimum(test * 1.05, 1),
            "online_loss": online * 2,
            "online_error": online,
            "weight_norm": 10 + np.log1p(steps),
        }
    )
    if diverged_at is not None:
        rows.loc[rows["step"] >= diverged_at, [name for name in rows if name not in ("run_id", "step")]] = np.nan
        rows["samples_seen"] = steps * 100
    return rows


def synthetic(
    seeds=8,
    train_sizes=(750,),
    *,
    decays=(0.3,),
    world="real",
    budget=4000,
    evaluations=90,
    censored=(),
    diverged=(),
    failed=(),
    loss="cross_entropy",
    claims=(),
    registered=None,
    facts=True,
):
    """Sigmoid curves of a small grokking study.

    Args:
        censored, diverged, failed: seeds of real runs (in every cell) with that outcome.
    """
    random = np.random.default_rng(0)
    steps = grid(budget, evaluations)
    runs, tables = [], []
    for decay in decays:
        base = {"task": "sparse_parity", "model": "mlp", "optimizer": "adamw", "batch_size": 100, "max_steps": budget}
        base |= {"optimizer.lr": 3e-3, "optimizer.weight_decay": decay, "model.width": 128, "loss.name": loss}
        base |= {"evaluation.threshold": 0.99, "evaluation.streak": 3, "optimizer.betas": [0.9, 0.98]}
        for seed in range(seeds):
            ideal_id = f"ideal-{decay}-{seed}"
            middle = 0.08 * budget * np.exp(random.normal(0, 0.1))
            rows = evaluations_of(ideal_id, steps, middle=middle, memorized=None, random=random)
            tables.append(rows)
            runs.append(
                base
                | row(ideal_id, None, f"ideal-{decay}", "ideal", seed=seed, size=None, status="finished", rows=rows)
            )
            for size in train_sizes:
                run_id = f"{world}-{decay}-{size}-{seed}"
                late = middle * 4 * (750 / size) ** 0.5 * np.exp(random.normal(0, 0.15))
                stops = 0.3 * budget if seed in diverged else None
                real = evaluations_of(
                    run_id,
                    steps,
                    middle=np.inf if seed in censored else late,
                    memorized=0.02 * budget,
                    random=random,
                    diverged_at=stops,
                )
                same = real["step"] <= size // 100
                shared = ["test_loss", "test_error", "test_soft_error"]
                real.loc[same, shared] = rows.loc[same, shared].to_numpy()
                status = "diverged" if seed in diverged else "failed" if seed in failed else "finished"
                real = real.head(0 if status == "failed" else None)
                tables.append(real)
                cell = f"{world}-{decay}-{size}"
                runs.append(base | row(run_id, ideal_id, cell, world, seed=seed, size=size, status=status, rows=real))
    table = typed(runs, RUN_COLUMNS)
    if facts:
        table["facts.classes"] = 2
        table["facts.universe_size"] = 2**30
        table["facts.test_size"] = 2000
        table["facts.mirrored_share"] = np.linspace(0.1, 0.2, len(table))
    study = {"question": QUESTION, "source": "PAIR, 2023", "claims": list(claims)}
    environment = {"command": "deepboot run parity.toml", "python": "3.11.9", "packages": {"numpy": "2.3.1"}}
    return Results(
        runs=table,
        evaluations=typed(pd.concat(tables, ignore_index=True), EVALUATION_COLUMNS),
        study=study,
        environment=environment,
        claims={"registered": list(claims if registered is None else registered)},
    )


def row(run_id, ideal_id, cell_id, world, *, seed, size, status, rows):
    """One row of ``runs``, with its events read off its evaluations."""
    return {
        "run_id": run_id,
        "ideal_run_id": ideal_id,
        "cell_id": cell_id,
        "world": world,
        "seed": seed,
        "train_size": size,
        "status": status,
        "last_step": rows["step"].max() if len(rows) else 0,
        "samples_seen": rows["samples_seen"].max() if len(rows) else 0,
        "first_reuse_step": None if size is None else size // 100,
        "seconds": 1.5,
        **run_events(rows, world=world),
    }


def by_hand(pairs, *, claims=(), registered=None, cell="a", **settings):
    """Results of one cell from bare numbers, one dictionary per pair.

    Keys of a pair: ``memorization, grokking, stable`` and the same with ``ideal_`` (intervals),
    ``stopping`` (a step of 0, 10, 20 or 30), ``differences`` (bootstrap error at those steps), ``status``.
    """
    runs, rows = [], []
    for seed, pair in enumerate(pairs):
        for world in ("real", "ideal"):
            real = world == "real"
            run_id = f"{world}-{cell}-{seed}"
            runs.append(
                {
                    "run_id": run_id,
                    "ideal_run_id": f"ideal-{cell}-{seed}" if real else None,
                    "cell_id": f"{world}-{cell}",
                    "world": world,
                    "seed": seed,
                    "train_size": 750 if real else None,
                    "status": pair.get("status", "finished") if real else "finished",
                    "last_step": 4000,
                    "max_steps": 4000,
                    "first_reuse_step": 5 if real else None,
                    "stopping_high": pair.get("stopping") if real else None,
                    **settings,
                }
                | interval("memorization", pair.get("memorization" if real else "ideal_memorization", (None, None)))
                | interval("grokking", pair.get("grokking" if real else "ideal_grokking", (None, None)))
                | interval("stable", pair.get("stable" if real else "ideal_stable", (None, None)))
            )
            differences = pair.get("differences", (0.0, 0.0, 0.0, 0.0)) if real else (0.0, 0.0, 0.0, 0.0)
            pool = dict.fromkeys(("train_loss", "train_error", "train_soft_error"), 0.1 if real else np.nan)
            for step, difference in zip((0, 10, 20, 30), differences, strict=True):
                error = 0.3 + difference
                row = {"run_id": run_id, "step": step, "samples_seen": 0, **pool}
                rows.append(row | {"test_loss": 2 * error, "test_error": error, "test_soft_error": error})
    return Results(
        runs=typed(runs, RUN_COLUMNS),
        evaluations=typed(rows, EVALUATION_COLUMNS),
        study={"claims": list(claims)},
        claims={"registered": list(claims if registered is None else registered)},
    )


def interval(event, ends):
    """The two columns of an event."""
    return {f"{event}_low": ends[0], f"{event}_high": ends[1]}


@pytest.fixture(scope="session")
def make_results():
    """Builder of results with smooth curves."""
    return synthetic


@pytest.fixture(scope="session")
def make_pairs():
    """Builder of results with bare numbers."""
    return by_hand
