import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from deepboot.bootstrap.registry import names
from deepboot.reports.claims.kind import seeds_needed
from tests.reports.simulated import verdicts

CUTS = (0.0, 0.3, 0.7)
SEEDS = (3, 5, 10, 20)
BESIDE = 40  # studies beside the edge
FEW = 10  # studies where no verdict can be reached
ARMS = (100, 200)
SIZES = (100, 200, 400)
POOLS = (200, 400, 800, 1600, 3200)


@dataclass(frozen=True)
class Case:
    """How often one claim is judged wrongly, and rightly: studies of it, drawn as its truth says.

    Attributes:
        claim: its settings.
        draw: (random, truth, studies, seeds) -> what the runs do, as in `tests.reports.simulated`.
        edge, inside, outside: truths at the end of the claimed region, well within it and well beyond it.
        supported, refuted: largest share of false verdicts on the edge, its nominal level.
        cuts: shares of the real runs that the budget ends before their event.
        event: that event.
        sizes: the cells' train sizes.
        known: larger shares of false support, by seeds, where a kind's docstring owns to them.
        studies: how many are drawn on the edge; beside it ``BESIDE``.
    """

    claim: Mapping[str, Any]
    draw: Callable[..., Mapping[str, np.ndarray]]
    edge: Any
    inside: Any
    outside: Any
    supported: float = 0.025
    refuted: float = 0.025
    cuts: tuple[float, ...] = (0.0,)
    event: str = "grokking"
    sizes: tuple[int, ...] = (100,)
    known: Mapping[int, float] = field(default_factory=dict)
    studies: int = 200


def apart(event, other, scatter):
    """Log steps of one event normal, and as normal a log ratio of another one to it, with a median of the truth."""

    def draw(random, truth, studies, seeds):
        first = 1e4 * np.exp(random.normal(0, 0.3, (studies, 1, seeds)))
        return {other: first, event: truth * first * np.exp(random.normal(0, scatter, first.shape))}

    return draw


def steps(random, truth, studies, seeds):
    """Runs whose grokking steps have the truth as their median."""
    return {"grokking": truth * np.exp(random.normal(0, 0.5, (studies, 1, seeds)))}


def reaches(random, truth, studies, seeds):
    """Runs of which a share groks."""
    return {"grokking": np.where(random.random((studies, 1, seeds)) < truth, 1e4, 1e10)}


def relapses(random, truth, studies, seeds):
    """Runs that grok at the first evaluation, some of them beyond the budget, of which a share falls back later."""
    falls = random.random((studies, 1, seeds)) < truth
    errors = np.where(np.arange(4) == 3, 0.3 * falls[..., None], 0.0)
    return {"real": errors, "grokking": random.uniform(1, 1e4, falls.shape)}


def differences(*of_truth):
    """Bootstrap errors of standard deviation 0.05 around these multiples of the truth, one for every step."""

    def draw(random, truth, studies, seeds):
        means = truth * np.array(of_truth)
        ideal = np.full((studies, 1, seeds, means.size), 0.3)
        return {"ideal": ideal, "real": ideal + means + random.normal(0, 0.05, ideal.shape)}

    return draw


def arms(random, truth, studies, seeds):
    """Two cells whose typical grokking steps have the truth as their ratio; runs of one seed have a part in common."""
    scatter = random.normal(0, 0.5, (studies, 1, seeds)) + random.normal(0, 0.35, (studies, 2, seeds))
    return {"grokking": 1e4 * np.array([truth, 1])[:, None] * np.exp(scatter)}


def finals(random, truth, studies, seeds):
    """Two cells whose final errors have the truth as their mean difference; runs of one seed have a part in common."""
    real = 0.3 + random.normal(0, 0.05, (studies, 1, seeds, 1)) + random.normal(0, 0.05, (studies, 2, seeds, 1))
    return {"real": real + truth * np.array([1, 0])[:, None, None]}


def shared(random, truth, studies, seeds):
    """Pairs whose bootstrap error is in the mean this share of the gap, 0.5."""
    ideal, error = 0.5 - 0.5 * truth, 0.5 * truth + random.normal(0, 0.03, (studies, 1, seeds, 1))
    return {"ideal": np.full_like(error, ideal), "real": ideal + error}


def levels(random, truth, studies, seeds):
    """Runs whose final errors have the truth as their mean."""
    return {"real": random.normal(truth, 0.05, (studies, 1, seeds, 1))}


def power(random, truth, studies, seeds):
    """Three cells whose log grokking steps are normal about a power, the truth, of the size."""
    middles = 1e4 * (np.array(SIZES) / 100.0) ** truth
    return {"grokking": middles[:, None] * np.exp(random.normal(0, 0.3, (studies, 3, seeds)))}


def two_powers(random, truth, studies, seeds):
    """As `power`, of the first two cells."""
    return {"grokking": power(random, truth, studies, seeds)["grokking"][:, :2]}


def bump(random, truth, studies, seeds):
    """Three cells whose final errors fall by 0.3, then rise by the truth; runs of one seed have a part in common."""
    middles = np.array([0.6, 0.3, 0.3 + truth])[:, None, None]
    scatter = random.normal(0, 0.05, (studies, 1, seeds, 1)) + random.normal(0, 0.05, (studies, 3, seeds, 1))
    return {"real": middles + scatter}


def needs(random, truth, studies, seeds):
    """Seeds that grok from a pool size on, with the truth as its median."""
    needed = truth * np.exp(random.normal(0, 0.7, (studies, 1, seeds)))
    return {"grokking": np.where(needed <= np.array(POOLS)[:, None], 1e4, 1e10)}


def changes(random, truth, studies, seeds):
    """Runs whose errors change by the truth in the mean."""
    first = np.full((studies, 1, seeds, 1), 0.3)
    return {"real": np.concatenate([first, first + random.normal(truth, 0.05, first.shape)], -1)}


def rebounds(random, truth, studies, seeds):
    """Runs of which a share's errors rise again."""
    rises = random.random((studies, 1, seeds)) < truth
    return {"real": np.where(np.arange(3) == 1, 0.1, 0.1 + 0.3 * rises[..., None])}


def crossings(random, truth, studies, seeds):
    """Two groups of cells along the pools; one's errors exceed the other's from a size with the truth as its median."""
    needed = truth * np.exp(random.normal(0, 0.7, (studies, 1, seeds)))
    exceeds = np.where(needed <= np.array(POOLS)[:, None], 0.5, 0.1)
    return {"real": np.concatenate([exceeds, np.full_like(exceeds, 0.3)], 1)[..., None]}


def ranked(random, truth, studies, cells):
    """Cells, as many as seeds elsewhere, of one pair each, whose errors are normal with the truth as Kendall's tau."""
    rho, (ideal, rest) = math.sin(math.pi / 2 * truth), random.normal(size=(2, studies, cells, 1, 1))
    return {"ideal": 0.5 + 0.1 * ideal, "real": 0.5 + 0.1 * (rho * ideal + math.sqrt(1 - rho**2) * rest)}


def predicted(*, spread, middle):
    """Cells, as many as seeds elsewhere, of one pair each, whose errors of the prediction are normal."""

    def draw(random, truth, studies, cells):
        ideal = np.full((studies, cells, 1, 1), 0.5)
        return {"ideal": ideal, "real": ideal - random.normal(middle(truth), spread(truth), ideal.shape)}

    return draw


def ends(random, truth, studies, seeds):
    """Two cells, of which a share of the seeds comprehends: both or none, which is the most that seeds can agree."""
    wrong = random.random((studies, 1, seeds)) >= truth
    return {"real": 0.5 * np.repeat(wrong, 2, axis=1)[..., None]}


def waits(random, truth, studies, seeds):
    """Waits from a memorisation at step 100 to grokking, by Weibull's law with the truth as its shape."""
    memorized = np.full((studies, 1, seeds), 100.0)
    return {"memorization": memorized, "grokking": memorized + 1e4 * random.weibull(truth, memorized.shape)}


def switched(random, truth, studies, seeds):
    """Steps from the 100th on that have the truth as their median ratio to the ideal world's."""
    drawn = PAIRED(random, truth, studies, seeds)
    return drawn | {"grokking": 100 + drawn["grokking"]}


def crossed(random, truth, studies, seeds):
    """Steps of which eight cells have the truth as their share of the log variance, and seeds half of the rest."""
    share = np.sqrt([truth, (1 - truth) / 2, (1 - truth) / 2])
    shapes = ((studies, 8, 1), (studies, 1, seeds), (studies, 8, seeds))
    return {"grokking": 1e6 * np.exp(sum(part * random.normal(size=shape)
                                         for part, shape in zip(share, shapes, strict=True)))}  # fmt: skip


OF_TO = {"of": {"train_size": 100}, "to": {"train_size": 200}}
RATIO = OF_TO | {"min_ratio": 2.0}
ALONG = {"over": "train_size"}
ERRORS_FALL = ALONG | {"direction": "falls", "event": "final_error"}
SHARE = {"classifier": "liu", "outcome": "comprehension", "min_rate": 0.5}
LATE = apart("grokking", "memorization", 0.5)
SOON = apart("grokking", "memorization", 0.3)
PAIRED = apart("grokking", "ideal_grokking", 0.5)
FITTED = apart("memorization", "ideal_memorization", 0.3)
SIZED = predicted(spread=lambda size: size * math.sqrt(math.pi / 2), middle=lambda _: 0.0)
SIGNED = predicted(spread=lambda _: 0.05, middle=lambda mean: mean)
AT_ONE, AT_TWO, AT_THREE = (differences(*shares) for shares in ((1.0,), (0.0, 1.0), (1.0, 1.0, 1.0)))
SKEWED = {3: 0.066, 5: 0.068, 10: 0.059, 20: 0.048}  # t intervals of 400,000 samples of absolute normal values
LABELS = {"of": {"data.labels": "true"}, "to": {"data.labels": "random"}, "metric": "test_error"}
CASES = {
    ("bootstrap_error", ""): Case({"max": 0.1}, AT_ONE, 0.1, 0.05, 0.15),
    ("change", ""): Case({"metric": "test_error", "max": 0.1}, changes, 0.1, 0.05, 0.15),
    ("crossing", ""): Case(LABELS | ALONG | {"max": 800}, crossings, 800, 300, 5_000, sizes=(*POOLS, *POOLS)),
    ("difference", ""): Case({"min_difference": 0.1}, AT_THREE, 0.1, 0.2, 0.0, supported=0.05, refuted=0.05),
    ("equivalent", ""): Case({"margin": 0.2}, AT_TWO, 0.2, 0.1, 0.3, supported=0.05),
    ("faster", ""): Case({"min_ratio": 2.0}, PAIRED, 2.0, 6.0, 2 / 3, cuts=CUTS),
    ("final_difference", ""): Case(OF_TO | {"max": -0.1}, finals, -0.1, -0.2, 0.0, sizes=ARMS),
    ("final_error", ""): Case({"max": 0.3}, levels, 0.3, 0.2, 0.4),
    ("gap_share", ""): Case({"max_share": 0.5}, shared, 0.5, 0.2, 0.8),
    ("grokking_delay", ""): Case({"min_ratio": 5.0}, LATE, 5.0, 15.0, 5 / 3, cuts=CUTS),
    ("head_start", ""): Case({"since": "train_size", "min_ratio": 2.0}, switched, 2.0, 6.0, 2 / 3, cuts=CUTS),
    ("monotone", ""): Case(ALONG | {"direction": "falls"}, power, 0.0, -1.5, 1.5, cuts=CUTS, sizes=SIZES),
    ("monotone", "bump"): Case(ERRORS_FALL, bump, 0.0, -0.2, 0.2, sizes=SIZES),
    ("monotone", "tolerance"): Case(ERRORS_FALL | {"tolerance": 0.1}, bump, 0.1, -0.1, 0.3, sizes=SIZES),
    ("no_delay", ""): Case({"max_ratio": 2.0}, SOON, 2.0, 1.0, 4.0, supported=0.05, cuts=CUTS),
    ("outcome_profile", ""): Case(SHARE, ends, 0.5, 0.95, 0.05, sizes=ARMS),
    ("power_law", ""): Case(ALONG | {"max_slope": -1.0}, power, -1.0, -1.5, -0.5, cuts=CUTS, sizes=SIZES, studies=150),
    ("predicts", "absolute"): Case({"max_error": 0.1}, SIZED, 0.1, 0.05, 0.2, known=SKEWED),
    ("predicts", "signed"): Case({"max_error": 0.1, "signed": True}, SIGNED, 0.1, 0.05, 0.15),
    ("rank_agreement", ""): Case({"min_tau": 1 / 3}, ranked, 1 / 3, 0.8, -1 / 3),
    ("rate", ""): Case({"min_rate": 0.5}, reaches, 0.5, 0.9, 0.1),
    ("ratio", ""): Case(RATIO, arms, 2.0, 4.0, 1.0, cuts=CUTS, sizes=ARMS),
    ("rebound", ""): Case({"min_rise": 0.2, "min_rate": 0.5}, rebounds, 0.5, 0.9, 0.1),
    ("relapse", ""): Case({"max_rate": 0.5}, relapses, 0.5, 0.1, 0.9, cuts=CUTS),
    ("same_memorization", ""): Case(
        {"max_ratio": 2.0}, FITTED, 2.0, 1.0, 4.0, supported=0.05, cuts=CUTS, event="memorization"
    ),
    ("step", ""): Case({"min": 10_000}, steps, 1e4, 3e4, 3e3, cuts=CUTS),
    ("threshold", ""): Case({"max": 800}, needs, 800, 300, 5_000, sizes=POOLS),
    ("trend", ""): Case(ALONG | {"direction": "falls"}, power, 0.0, -0.5, 0.5, cuts=CUTS, sizes=SIZES),
    ("trend", "two cells"): Case(ALONG | {"direction": "falls"}, two_powers, 0.0, -1.0, 1.0, sizes=ARMS),
    ("variance_share", ""): Case(
        {"over": "train_size", "beside": ["seed"], "min_share": 0.5}, crossed, 0.5, 0.95, 0.05
    ),
    ("waiting_shape", ""): Case({"min_shape": 2.0}, waits, 2.0, 6.0, 0.7, cuts=CUTS, studies=150),
}
MISSING = (0.1, 0.4)  # shares of the real runs that failed
WITH_MISSING = [(*key, seeds, share) for key in CASES for seeds in SEEDS[1:] for share in MISSING]
EVERY = [(*key, seeds, cut) for key, case in CASES.items() for seeds in SEEDS for cut in case.cuts]


def shares(kind, case, truth, *, studies, seeds, cut=0.0, missing=0.0):
    """Shares of supported and of refuted studies of a truth."""
    random = np.random.default_rng([seeds, round(10 * cut), round(1_000 * (10 + truth))])
    drawn = case.draw(random, truth, studies, seeds)
    cells = next(iter(drawn.values())).shape[1]
    sizes = case.sizes if len(case.sizes) == cells else range(100, 100 + cells)
    found = verdicts({"kind": kind, **case.claim}, drawn, sizes, cut=cut, event=case.event, missing=missing)
    return found.count("supported") / studies, found.count("refuted") / studies


def most(level, studies):
    """The level and three standard errors."""
    return level + 3 * math.sqrt(level * (1 - level) / studies)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "variant", "seeds", "cut"), EVERY)
def test_verdicts_are_rarely_false(kind, variant, seeds, cut, record_property):
    """On the edge as seldom as the level says; well within and beyond it right, if nothing is cut and 20 seeds ran."""
    case = CASES[kind, variant]
    studies = case.studies if seeds >= (seeds_needed(kind, case.claim) or math.inf) else FEW
    beside = min(studies, BESIDE)
    edge = shares(kind, case, case.edge, studies=studies, seeds=seeds, cut=cut)
    inside = shares(kind, case, case.inside, studies=beside, seeds=seeds, cut=cut)
    outside = shares(kind, case, case.outside, studies=beside, seeds=seeds, cut=cut)
    record_property("studies", (studies, beside))
    for name, found in (("edge", edge), ("inside", inside), ("outside", outside)):
        record_property(name, found)
    assert edge[0] <= most(case.known.get(seeds, case.supported), studies)
    assert edge[1] <= most(case.refuted, studies)
    assert inside[1] <= most(case.refuted, beside)
    assert outside[0] <= most(case.supported, beside)
    if studies == FEW:
        assert edge == inside == outside == (0, 0)
    if (seeds, cut) == (20, 0):
        assert min(inside[0], outside[1]) >= 0.7


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "variant", "seeds", "missing"), WITH_MISSING)
def test_survivors_do_not_mislead(kind, variant, seeds, missing, record_property):
    """With the runs that speak against the others missing, false verdicts are no more than without."""
    case = CASES[kind, variant]
    studies = 100 if seeds >= (seeds_needed(kind, case.claim) or math.inf) else FEW
    edge = shares(kind, case, case.edge, studies=studies, seeds=seeds, missing=missing)
    inside = shares(kind, case, case.inside, studies=BESIDE, seeds=seeds, missing=missing)
    outside = shares(kind, case, case.outside, studies=BESIDE, seeds=seeds, missing=missing)
    for name, found in (("edge", edge), ("inside", inside), ("outside", outside)):
        record_property(name, found)
    assert edge[0] <= most(case.known.get(seeds, case.supported), studies)
    assert edge[1] <= most(case.refuted, studies)
    assert inside[1] <= most(case.refuted, BESIDE)
    assert outside[0] <= most(case.supported, BESIDE)


def test_every_kind_is_simulated():
    """A kind that is registered has a case."""
    assert {kind for kind, _ in CASES} == set(names("claim"))
