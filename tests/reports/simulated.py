"""Studies drawn from known distributions, many to a comparison, and the verdicts of one claim or published number.

Shape letters: K studies, C cells of each, N seeds, S evaluated steps. What a run does is a mapping of arrays:
``grokking, memorization``, their like in the ideal world, ``ideal_grokking, ideal_memorization``, float, (K, C, N), in
steps; ``real, ideal``, float, (K, C, N, S), test errors at steps 10, 20 and so on, of which the last one is the
stopping step.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from deepboot.bootstrap.columns import EVALUATION_COLUMNS, RUN_COLUMNS
from deepboot.bootstrap.registry import find
from deepboot.bootstrap.results import Results, typed
from deepboot.reports import compare
from deepboot.reports.claims.kind import Across, Evidence, scope_of
from deepboot.reports.replication.ledger import replications

TOGETHER = 25  # studies to a comparison: the tables are searched once for each cell
CONFIDENCE = 0.95
ERRORS = ("test_error", "test_soft_error")
EVENTS = ("grokking", "memorization")


def verdicts(claim, drawn, sizes=(100,), *, cut=0.0, event="grokking", missing=0.0):
    """The verdict on each study of one claim: judged in its cell, or over its cells if its kind compares cells.

    Args:
        claim: as a study has it.
        drawn: what the runs did, as above.
        sizes: train size of each cell.
        cut: share of all real runs that the budget ends before their event.
        event: which one.
        missing: share of every cell's real runs that failed, or of one-run cells: those that speak most against the
            survivors, with the largest errors or the latest events.
    """
    runs_KCN = drawn.get("real", drawn.get(event))
    budget = math.ceil(np.quantile(drawn[event], 1 - cut)) if cut else 10**9
    found = []
    for first in range(0, len(runs_KCN), TOGETHER):
        some = {name: values[first : first + TOGETHER] for name, values in drawn.items()}
        lost_KCN = _latest(some["real"][..., -1] if "real" in some else some[event], missing)
        found += _judged(_comparison(some, sizes, budget, lost_KCN.ravel()), claim)
    assert len(found) == len(runs_KCN)
    return found


def beside(entry, drawn, *, cut=0.0):
    """The verdict on one published number in each study, of a kind that is judged in every cell; ``cut`` as above."""
    budget = math.ceil(np.quantile(drawn["grokking"], 1 - cut)) if cut else 10**9
    found = []
    for first in range(0, len(drawn["grokking"]), TOGETHER):
        some = {name: values[first : first + TOGETHER] for name, values in drawn.items()}
        made = _comparison(some, (100,), budget, np.zeros(some["grokking"].size, dtype=bool))
        source = replace(made.sources[0], study={"published": [entry]})
        found += [one.outcome for one in replications(replace(made, sources=(source,)))]
    assert len(found) == len(drawn["grokking"])
    return found


def _judged(comparison, claim):
    """As `judge` does it for all cells of a comparison, here for each cell, or for all cells of each study."""
    settings = {key: value for key, value in claim.items() if key != "kind"}
    target, cells = find("claim", claim["kind"]).target, comparison.cells()
    cells = cells[cells["world"] == "real"].reset_index(drop=True)
    if scope_of(claim["kind"]) == "cell":
        own = cells[["cell_id", "world", "cell"]].itertuples(index=False)
        evidence = [Evidence(comparison, *names, CONFIDENCE) for names in own]
    else:
        studies = cells.groupby(cells["cell_id"].str.split("-").str[0].astype(int))
        evidence = [Across(comparison, study.reset_index(drop=True), CONFIDENCE) for _, study in studies]
    return [target(one, **settings).verdict for one in evidence]


def _latest(values_KCN, share):
    """Whether a run is among the share of its cell with the largest values; of its study, where cells have one run."""
    flat = values_KCN.reshape(len(values_KCN), -1) if values_KCN.shape[2] == 1 else values_KCN
    ranks = np.argsort(np.argsort(-flat, axis=-1), axis=-1)
    return (ranks < math.ceil(share * flat.shape[-1] - 1e-9)).reshape(values_KCN.shape)


def _comparison(drawn, sizes, budget, lost):
    """Studies side by side, each in cells of its own; of runs that are lost there is no row but their own."""
    shape = drawn.get("real", drawn.get("grokking", drawn.get("memorization"))).shape[:3]
    k, c, n = np.indices(shape).reshape(3, -1)
    paired = "ideal" in drawn or any(f"ideal_{event}" in drawn for event in EVENTS)
    number = pd.Series(np.arange(k.size)).astype(str)
    cell = pd.Series(k).astype(str) + "-" + pd.Series(c).astype(str)
    common = {"seed": n, "status": "finished", "last_step": budget, "max_steps": budget}
    real = common | {"run_id": "real-" + number, "cell_id": cell, "world": "real", "train_size": np.array(sizes)[c]}
    if len(set(sizes)) < len(sizes):  # two groups of cells along the sizes
        real |= {"data.labels": np.where(c < len(set(sizes)), "true", "random")}
    steps = drawn["real"].shape[3] if "real" in drawn else 0
    real |= {"first_reuse_step": 5} | ({"stopping_high": 10 * steps} if steps else {})
    real |= {"ideal_run_id": "ideal-" + number} if paired else {}
    ideal = common | {"run_id": "ideal-" + number, "cell_id": "ideal-" + cell, "world": "ideal"}
    for event in EVENTS:
        real |= _seen(event, drawn.get(event), budget)
        ideal |= _seen(event, drawn.get(f"ideal_{event}"), budget)
    tables = [typed(pd.DataFrame(one), RUN_COLUMNS) for one in ([real, ideal] if paired else [real])]
    rows = [_evaluations(f"{world}-" + number, drawn[world]) for world in ("real", "ideal") if world in drawn]
    evaluations = pd.concat(rows) if rows else pd.DataFrame({"run_id": real["run_id"], "step": 0})
    gone = set(real["run_id"][lost])
    events = [f"{event}_{end}" for event in (*EVENTS, "stopping") for end in ("low", "high")]
    tables[0].loc[lost, ["status", "last_step", *events]] = ["failed", 0, *[pd.NA] * len(events)]
    evaluations = evaluations[~evaluations["run_id"].isin(gone)]
    return compare(Results(pd.concat(tables), typed(evaluations, EVALUATION_COLUMNS)))


def _seen(event, steps, budget):
    """The two columns of an event that is looked for after every step up to the budget."""
    if steps is None:
        return {}
    steps, last = np.maximum(np.ceil(steps.ravel()), 1), steps.ravel() > budget
    low = np.where(last, budget, steps - 1)
    return {f"{event}_low": low, f"{event}_high": np.where(last, np.nan, steps)}


def _evaluations(run_ids, errors):
    """One row per run and step; the pool is fitted throughout, so all that a run does is in its test error."""
    errors_RS = errors.reshape(len(run_ids), -1)
    steps = np.tile(10 * np.arange(1, errors_RS.shape[1] + 1), len(run_ids))
    table = {"run_id": run_ids.repeat(errors_RS.shape[1]).to_numpy(), "step": steps}
    table |= dict.fromkeys(("train_error", "train_soft_error"), 0.0)
    return pd.DataFrame(table | dict.fromkeys((*ERRORS, "test_loss"), errors_RS.ravel()))
