"""Every shipped claim can be supported and can be refuted, and its opposite does not support it.

Each study is drawn as tables without any training: in worlds that are equal or apart, with cells that rise, fall or are
alike, and with runs that grok at once, late or never. A claim that every picture supports tests nothing.
"""

import json
import math
import re
import tomllib
from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd
import pytest

from deepboot.bootstrap import registry
from deepboot.bootstrap.columns import EVALUATION_COLUMNS, PROBE_COLUMNS, RUN_COLUMNS
from deepboot.bootstrap.results import Results, typed
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.points import points
from deepboot.reports.claims.judge import fewest_seeds, judge
from deepboot.runners import study_files
from deepboot.runners.shipped import shipped

BUDGET = 100_000
STEPS = (0, 5_000, 10_000, 20_000, BUDGET)
EQUAL = {
    "level": 0.3, "apart": 0.0, "real": 0.0, "ideal": 0.0, "fitted": True, "lasts": True,
    "delay": 2.2, "slower": 1.0, "later": 1.0, "later ideal": 1.0, "second": 1.0, "small": 1.0, "spread": 0.0,
}  # fmt: skip
PICTURES = {
    "equal": {},  # both worlds alike in everything: an error of 0.3, and 2.2 times as late to grok as to memorise
    "low": {"level": 0.0},
    "high": {"level": 0.9},
    "real worse": {"apart": 0.6},
    "ideal worse": {"level": 0.9, "apart": -0.6},
    "both rise": {"real": 0.6, "ideal": 0.6},
    "both fall": {"real": -0.6, "ideal": -0.6},
    "only the real one rises": {"real": 0.6, "ideal": -0.6},
    "real late": {"delay": 40.0, "slower": 16.0},
    "ideal late": {"slower": 1 / 8},
    "both late": {"delay": 20.0},
    "grokking at once": {"delay": 1.0},
    "real never": {"delay": np.inf, "slower": np.inf},
    "never": {"delay": np.inf},
    "no pool fitted": {"fitted": False},
    "later cells late": {"later": 16.0},
    "later cells soon": {"later": 1 / 16},
    "every second cell late": {"second": 16.0},
    "small pools late": {"small": 16.0},
    "small pools soon": {"small": 1 / 16},
    "later ideal cells late": {"later ideal": 16.0},
    "relapse": {"errors": (0.9, 0.0, 0.0, 0.0, 0.9), "lasts": False},
    "rebound": {"errors": (0.9, 0.1, 0.8, 0.1, 0.1), "train": (1.0, 1e-4, 0.5, 1e-4, 1e-4), "delay": 200.0},
    "falls": {"errors": (0.95, 0.6, 0.3, 0.2, 0.05), "memorizes": 5_000, "delay": 2.0},
    "head start": {"delay": 22.0, "slower": 0.5},
    "waits of every length": {"delay": 40.0, "slower": 16.0, "spread": 1.0},
    "waits alike": {"delay": 40.0, "slower": 16.0, "spread": 0.05},
    "waits far apart": {"delay": 40.0, "slower": 16.0, "spread": 3.0},
    "climbs": {"errors": (0.05, 0.2, 0.3, 0.6, 0.95), "memorizes": 5_000, "delay": 2.0},
    "flat": {"errors": (0.3,) * 5, "memorizes": 5_000, "delay": 2.0},
    # losses and errors of the pool and of the test set, by class
    "high train loss": {"train": (1.0,) * 5, "test": (1.0,) * 5, "train errors": (0.9,) * 5, "errors": (0.9,) * 5},
    "high test loss": {"train": (1.0, *(0.0,) * 4), "test": (1.0, *(3.0,) * 4), "errors": (0.9,) * 5},
    "together": dict.fromkeys(("train", "test", "train errors", "errors"), (1.0, *(0.0,) * 4)),
    "grokking": {"train": (1.0, *(0.0,) * 4), "test": (1.0, 3.0, *(0.0,) * 3), "errors": (0.9, 0.9, *(0.0,) * 3)},
}
CELLS_IN_TIME = ("equal", "later cells late", "later cells soon")  # of steps that are compared between cells
POOLS_IN_TIME = ("equal", "small pools late", "small pools soon")
APART = ("equal", "real worse", "ideal worse")
OPPOSITES = {  # what a kind speaks of: a neutral picture, and two ends
    **dict.fromkeys(("bootstrap_error", "difference", "equivalent", "gap_share", "predicts"), APART),
    **dict.fromkeys(("faster", "same_memorization"), ("equal", "real late", "ideal late")),
    **dict.fromkeys(("grokking_delay", "no_delay"), ("equal", "real late", "grokking at once")),
    **dict.fromkeys(("final_difference", "monotone", "trend"), ("equal", "both rise", "both fall")),
    **dict.fromkeys(("power_law", "ratio"), CELLS_IN_TIME),
    "step": ("equal", "real late", "real never"),
    "threshold": ("real late", "equal", "never"),
    "rank_agreement": ("equal", "both rise", "only the real one rises"),
    "rate": ("real late", "equal", "real never", "never"),
    "relapse": ("equal", "low", "relapse"),
    "rebound": ("equal", "high", "rebound"),
    "change": ("flat", "falls", "climbs"),
    "crossing": ("equal", "both rise", "both fall"),
    "final_error": ("equal", "low", "high"),
    "outcome_profile": ("equal", "high train loss", "high test loss", "together", "grokking"),
    "head_start": ("never", "real late", "head start"),
    "variance_share": ("equal", "later cells late", "every second cell late"),
    "waiting_shape": ("waits of every length", "waits alike", "waits far apart"),
}
FITTING = ("equal", "real late", "no pool fitted")  # of a share of runs that memorise
BETWEEN_CELLS = ("monotone", "power_law", "ratio", "trend")
# levels: nothing in them is equal to another
OF_ONE_WORLD = ("rate", "rebound", "relapse", "final_error", "outcome_profile", "threshold", "waiting_shape")
IDEAL_ALONE = [  # the pairs that tell most studies apart come first
    ("real worse", "high"), ("real never", "never"), ("equal", "later ideal cells late"), ("equal", "ideal worse"),
    ("both rise", "only the real one rises"), ("equal", "ideal late"), ("real late", "both late"),
]  # fmt: skip
SAYS_EQUAL = re.compile(r"as much|stays near|are the same|is the ideal one's|within .* of each other")


@cache
def scales():
    """Every study with claims, at every scale, in the slow suite; in the usual one a few that have all kinds."""
    files = {name: tomllib.loads(path.read_text()) for name, path in shipped().items()}
    files = {name: raw for name, raw in files.items() if raw.get("claims")}
    few, known = set(), set()
    for name, raw in sorted(files.items(), key=lambda item: math.prod(map(len, item[1].get("sweep", {}).values()))):
        kinds = {claim["kind"] for claim in raw["claims"]}
        if kinds - known:
            few.add((name, "quick" if "quick" in raw.get("scale", {}) else None))
            known |= kinds
    places = [(name, scale) for name, raw in files.items() for scale in (None, *raw.get("scale", {}))]
    return [pytest.param(*place, marks=[] if place in few else [pytest.mark.slow]) for place in places]


def flat(table, prefix=""):
    """Nested settings by their dotted names; of a list of tables, such as transforms, by their places in it."""
    found = {}
    for key, value in table.items():
        tables = isinstance(value, list) and value and isinstance(value[0], Mapping)
        nested = dict(enumerate(value)) if tables else value
        found |= flat(nested, f"{prefix}{key}.") if isinstance(nested, Mapping) else {f"{prefix}{key}": value}
    return found


@cache
def cells_in(task):
    """How many samples a finite task has."""
    return build_task(json.loads(task)).size


def cells_of(raw):
    """Settings of every real cell, by dotted names, in the order of the study."""
    found = []
    for point in points({key: value for key, value in raw.items() if key not in ("scale", "claims", "plugins")}):
        name = "train_size" if "train_size" in point["training"] else "train_fraction"
        values = point["training"][name]
        named = {kind: point[kind]["name"] for kind in ("task", "model", "optimizer")}
        pools = values if isinstance(values, list) else [values]
        later = {f"phases.{n}.{key}": value for n, phase in enumerate(point.get("phases", []), 1)
                 for key, value in ({"at_step": phase["at_step"]} | phase["set"]).items()}  # fmt: skip
        whole = cells_in(json.dumps(point["task"])) if name == "train_fraction" else 1
        batch = point["training"]["batch_size"]
        defaults = {
            f"{kind}.{key}": field.default for kind in ("task", "model", "optimizer")
            for key, field in registry.settings(kind, point[kind]["name"]).model_fields.items()
        }  # fmt: skip
        nested = flat({kind: value for kind, value in point.items() if kind != "phases"})
        settings = defaults | nested | named | later
        for value in pools:
            size = round(whole * value)
            batch_size = size if batch == "full" else batch
            found.append(settings | {"train_size": size, name: value, "batch_size": batch_size})
    return found


def seeds_of(raw):
    """How many seeds a study has."""
    seeds = raw["training"]["seeds"]
    return len(seeds) if isinstance(seeds, list) else seeds


def with_one_ideal(raw, cells):
    """Of each cell the place of the first that has the same ideal runs: that differs from it in the pool alone."""
    shared = "stop" not in raw and not any(cell.get("data.swapped_answers") for cell in cells)
    alike = {}
    for place, cell in enumerate(cells):
        kept = {key: value for key, value in cell.items() if not key.endswith(("train_size", "train_fraction"))}
        yield alike.setdefault(json.dumps(kept, sort_keys=True), place) if shared else place


def results_of(raw, picture):
    """The results that a study would have if its runs did what the picture says."""
    drawn, cells, seeds = EQUAL | picture, cells_of(raw), seeds_of(raw)
    largest = max(cell["train_size"] for cell in cells)
    scatter = np.random.default_rng(0).normal(0, 0.001, (len(cells), 2, seeds))
    scatter -= scatter.mean(axis=2, keepdims=True)  # what is alike is alike in the mean
    runs, rows = [], []
    for place, (cell, ideal) in enumerate(zip(cells, with_one_ideal(raw, cells), strict=True)):
        along = place / max(len(cells) - 1, 1)
        for seed in range(seeds):
            memorizes = drawn.get("memorizes", 103 if seed % 2 else 97) * drawn["later"] ** along
            memorizes *= drawn["second"] ** (place % 2)
            late = memorizes * (1 + (drawn["delay"] - 1) * math.exp(drawn["spread"] * extreme(seed, seeds)))
            soon = 300.0 if np.isinf(drawn["slower"]) else late / drawn["slower"] * drawn["later ideal"] ** along
            late *= drawn["small"] ** (1 - cell["train_size"] / largest)
            common = cell | {"seed": seed, "status": "finished", "last_step": BUDGET, "max_steps": BUDGET}
            rule = cell.get("training.world.rule", "real")
            for which, (world, groks, apart) in enumerate(((rule, late, drawn["apart"]), ("ideal", soon, 0.0))):
                if world == "ideal" and ideal != place:
                    continue
                run_id = f"{world}-{place}-{seed}"
                along_it = drawn["ideal" if world == "ideal" else "real"] * along
                error = drawn["level"] + apart + along_it + scatter[place, which, seed]
                run = common | {"run_id": run_id, "cell_id": f"{world}-{place}", "world": world}
                run |= event("memorization", memorizes if drawn["fitted"] else np.inf)
                run |= event("grokking", groks) | event("stable", groks if drawn["lasts"] else np.inf)
                pool = {"ideal_run_id": f"ideal-{ideal}-{seed}", "first_reuse_step": 1, "stopping_high": STEPS[1]}
                runs.append(run | (pool if world != "ideal" else {"train_size": None, "train_fraction": None}))
                rows += [{"run_id": run_id} | row for row in evaluations(drawn, error, scatter[place, which, seed])]
    claims = raw["claims"]
    values = [
        {"run_id": row["run_id"], "step": row["step"], "name": claim["metric"].removeprefix("probes."),
         "value": row["test_error"]}
        for claim in claims if claim.get("metric", "").startswith("probes.") for row in rows
    ]  # fmt: skip
    tables = typed(runs, RUN_COLUMNS), typed(rows, EVALUATION_COLUMNS)
    probes = typed(pd.DataFrame(values, columns=list(PROBE_COLUMNS)), PROBE_COLUMNS)
    return Results(*tables, {"claims": claims}, claims={"registered": claims}, probes=probes)


def extreme(seed, seeds):
    """The log of a wait without memory, of unit scale: quantiles of the smallest-extreme-value law, one a seed."""
    return math.log(-math.log(1 - (seed + 0.5) / seeds))


def event(name, step):
    """The two columns of an event at a step; beyond the budget where that is infinite."""
    known = np.isfinite(step)
    return {f"{name}_low": int(step) - 1 if known else BUDGET, f"{name}_high": int(step) if known else None}


def evaluations(drawn, error, scatter):
    """A run's rows: an error that stays, a fitted pool and a test loss of five times the error, or what is drawn.

    Errors that are drawn are scattered by a share of them: runs that are all the same have no spread.
    """
    errors = [each * (1 + scatter) for each in drawn["errors"]] if "errors" in drawn else [error] * len(STEPS)
    train, test = drawn.get("train", (0.0,) * len(STEPS)), drawn.get("test", [5 * each for each in errors])
    fitted = drawn.get("train errors", (0.0,) * len(STEPS))
    for step, each, train_loss, test_loss, left in zip(STEPS, errors, train, test, fitted, strict=True):
        pool = {"train_loss": train_loss, "online_loss": train_loss, "train_error": left, "train_soft_error": left}
        yield (
            pool
            | {"weight_norm": each}
            | {"step": step, "test_loss": test_loss, "test_error": each, "test_soft_error": each}
        )


def judged(raw, picture, places):
    """The overall verdict on the claims in these places in one picture; a number is an error's level."""
    drawn = {"level": picture} if isinstance(picture, float) else PICTURES[picture]
    asked = raw | {"claims": [raw["claims"][place] for place in places]}
    return {places[one.number - 1]: one.overall for one in judge(results_of(asked, drawn))}


def differing(claim):
    """Settings in which the two cells that a claim compares differ."""
    one, other = flat(claim["of"]), flat(claim["to"])
    return {key for key in one | other if one.get(key) != other.get(key)}


def opposites_of(claim):
    """The neutral picture and the two ends that a claim speaks of."""
    event = claim.get("event", "grokking")
    if claim["kind"] == "ratio" and differing(claim) <= {"train_size", "train_fraction"}:
        return POOLS_IN_TIME
    if claim["kind"] in BETWEEN_CELLS and event != "final_error":
        return CELLS_IN_TIME
    return FITTING if (claim["kind"], event) == ("rate", "memorization") else OPPOSITES[claim["kind"]]


def pictures_of(claim):
    """The pictures that a claim is looked at in: those of its kind, and one in a claimed level that has two ends."""
    level = claim["kind"] == "final_error" and {"min", "max"} <= set(claim)
    return [*opposites_of(claim), *([(claim["min"] + claim["max"]) / 2] if level else [])]


def problems(claim, found, *, batch):
    """Why a claim tests less than it seems to, from its verdict in each of its pictures."""
    neutral, *ends = opposites_of(claim)
    lacking = {"supported", "refuted"} - set(found.values())
    equality = found[neutral] == "supported" and claim["kind"] not in OF_ONE_WORLD
    if lacking:
        yield f"it is never {' or '.join(sorted(lacking))}"
    if all(found[end] == "supported" for end in ends):
        yield "both opposites support it"
    if equality and any(found[end] == "supported" for end in ends):
        yield "it is supported where nothing differs, and also where something does"
    if SAYS_EQUAL.search(claim.get("text", "")) and not (equality and all(found[end] == "refuted" for end in ends)):
        yield "its text says equal, and it is no claim of equality"
    named = [claim.get("over", ""), *flat({key: claim[key] for key in ("where", "of", "to") if key in claim})]
    pooled = any(name.endswith(("train_size", "train_fraction")) for name in named)
    if claim.get("world") == "ideal" and pooled and batch != "full":
        yield "one ideal run serves all pools: of the ideal world it holds by construction"


def test_kinds_have_their_opposites():
    """A kind that is registered has a neutral picture and two ends."""
    assert set(OPPOSITES) == set(registry.names("claim"))


@pytest.mark.parametrize(("name", "scale"), scales())
def test_a_shipped_claim_can_be_refuted(name, scale):
    """And supported; not by its opposite, nor both by a difference and by none. Too few seeds for any verdict aside."""
    raw = study_files.load(name, scale=scale)
    asked = {
        place: pictures_of(claim)
        for place, (claim, needed) in enumerate(zip(raw["claims"], fewest_seeds(raw["claims"]), strict=True))
        if needed <= seeds_of(raw)
    }
    found = {place: {} for place in asked}
    for picture in dict.fromkeys(picture for pictures in asked.values() for picture in pictures):
        places = [place for place, pictures in asked.items() if picture in pictures]
        for place, verdict in judged(raw, picture, places).items():
            found[place][picture] = verdict
    said = {
        (place + 1, raw["claims"][place]["kind"]): list(
            problems(raw["claims"][place], verdicts_on_one, batch=raw["training"]["batch_size"])
        )
        for place, verdicts_on_one in found.items()
    }
    assert not {claim: why for claim, why in said.items() if why}


@pytest.mark.parametrize(("name", "scale"), scales())
def test_a_study_that_asks_about_the_worlds_looks_at_both(name, scale):
    """At least one of its claims has another verdict where the ideal world alone is another."""
    raw = study_files.load(name, scale=scale)
    if re.search("ideal|worlds", raw["question"]):
        found = cache(lambda picture: judged(raw, picture, range(len(raw["claims"]))))
        assert any(found(one) != found(other) for one, other in IDEAL_ALONE)


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ({"kind": "bootstrap_error", "at": "end", "max": 0.2}, "it is supported where nothing differs, and also"),
        ({"kind": "bootstrap_error", "at": "end", "max": 0.2, "text": "It stays near."}, "its text says equal"),
        ({"kind": "grokking_delay", "min_ratio": 2.0}, "it is supported where nothing differs, and also"),
        ({"kind": "final_error", "max": 5.0}, "both opposites support it"),
        ({"kind": "final_error", "max": -1.0}, "it is never supported"),
        ({"kind": "final_error", "world": "ideal", "max": 0.1, "where": {"train_size": 100}}, "one ideal run serves"),
    ],
)
def test_a_claim_that_tests_nothing_is_found(claim, why):
    """The rules find what they are for."""
    raw = study_files.load("demo") | {"claims": [claim]}
    raw["training"] = raw["training"] | {"train_size": [100, 200], "batch_size": 100}
    found = {name: judge(results_of(raw, PICTURES[name]))[0].overall for name in pictures_of(claim)}
    assert any(one.startswith(why) for one in problems(claim, found, batch=100))
