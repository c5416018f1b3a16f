"""How many seeds would settle each claim, if a pilot's effects and spreads are right.

Where an effect declares the spread behind its t interval (`Effect.spread`), the seeds are calculated exactly; all other
claims, of users' kinds too, are judged again on studies resampled from the pilot's seeds.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd
from scipy import special

from deepboot.bootstrap.results import Results
from deepboot.reports.cells import KEY
from deepboot.reports.claims.effect import Effect, Verdict
from deepboot.reports.claims.judge import judge
from deepboot.reports.claims.kind import seeds_needed, traits_of
from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.planning.forecast import Forecast, PilotQuestion
from deepboot.reports.planning.resample import Pilot, drawn_seeds
from deepboot.reports.statistics.intervals import T_MIN, Bounds
from deepboot.reports.statistics.power import MOST, POWER, largest_spread, seeds_for_mean
from deepboot.reports.statistics.survival import BROKEN

SIZES = (1, 1.5, 2, 3, 5, 10)  # of the resampled studies, in multiples of the pilot's seeds
SIZES_OF_FEWEST = (1, 1.5, 2)  # and in multiples of the fewest seeds that the claim needs
RESAMPLES = 100  # of each size at most; fewer where they all agree
RARE = 0.005  # probability of so many, or so few, hits at exactly the wanted power that ends the resampling
ROWS = 4_000_000  # evaluations resampled at one size: of large pilots fewer resamples are drawn


def forecasts(results: Results | Comparison) -> list[Forecast]:
    """A forecast for every judgement of `reports.claims.judge` but those of withdrawn claims, in its order.

    Raises:
        ValueError: as in `judge`.
    """
    comparison = results if isinstance(results, Comparison) else compare(results)
    by_index: dict[int, Forecast] = {}
    by_cells: dict[tuple[str, tuple[tuple[str, str], ...]], dict[int, PilotQuestion]] = {}
    for index, judgement in enumerate(one for one in judge(comparison) if not one.withdrawn):
        if judgement.evidence is None:
            by_index[index] = Forecast(judgement, comparison.runs["seed"].nunique(), None, reason=judgement.reason)
            continue
        fewest = seeds_needed(judgement.claim["kind"], judgement.settings, judgement.confidence)
        question = PilotQuestion(judgement, judgement.evidence, fewest)
        by_cells.setdefault((judgement.folder, question.cells), {})[index] = question
    for (_, cells), questions in by_cells.items():
        study = next(iter(questions.values())).evidence.comparison
        pilot = Pilot.of(_runs_in(study, cells))
        by_index |= dict(zip(questions, _forecast_cell(pilot, list(questions.values())), strict=True))
    return [by_index[index] for index in sorted(by_index)]


def _runs_in(comparison: Comparison, cells: tuple[tuple[str, str], ...]) -> Comparison:
    """The runs of some cells and their ideal partners."""
    runs = comparison.runs
    selected = runs.merge(pd.DataFrame(cells, columns=KEY, dtype="string"), on=KEY)
    kept = runs[runs["run_id"].isin(selected["run_id"]) | runs["run_id"].isin(selected["ideal_run_id"].dropna())]
    rows = comparison.evaluations
    return replace(comparison, runs=kept, evaluations=rows[rows["run_id"].isin(kept["run_id"])])


def _forecast_cell(pilot: Pilot, questions: list[PilotQuestion]) -> list[Forecast]:
    """Forecasts of the claims that are judged on the same runs."""
    calculated = [_settled(pilot, question) or _calculated(pilot, question) for question in questions]
    others = [question for question, forecast in zip(questions, calculated, strict=True) if forecast is None]
    resampled = iter(_resampled(pilot, others))
    return [forecast or next(resampled) for forecast in calculated]


def _settled(pilot: Pilot, question: PilotQuestion) -> Forecast | None:
    """The forecast where the pilot alone decides it: a verdict, or the reason why more seeds bring none."""
    judgement, seeds = question.judgement, pilot.seeds
    if judgement.verdict != "inconclusive":
        return Forecast(judgement, seeds, seeds, judgement.verdict)
    if traits_of(judgement.claim["kind"]).levels:
        return Forecast(
            judgement, seeds, None, reason="more values of the settings that it names would help, not seeds"
        )
    if seeds < T_MIN:
        needed = f", and a verdict needs {question.fewest}" if (question.fewest or 0) > T_MIN else ""
        return Forecast(judgement, seeds, None, reason=f"a spread needs a pilot of {T_MIN} or more{needed}")
    why = _undecidable(pilot, judgement.effect)
    return Forecast(judgement, seeds, None, reason=why) if why else None


def _calculated(pilot: Pilot, question: PilotQuestion) -> Forecast | None:
    """The forecast of a claim with a t interval over seeds; None for any other."""
    judgement, effect = question.judgement, question.judgement.effect
    if effect is None or effect.spread is None or effect.estimate is None:
        return None
    mean, region = effect.estimate.low, effect.region

    def needed(sd: float) -> int | None:
        in_sd = Bounds(*((end - mean) / sd for end in region))
        n = seeds_for_mean(in_sd, confidence=judgement.confidence, one_sided=effect.one_sided)
        return None if n is None else math.ceil(n * pilot.seeds / effect.n)

    n, cautious = needed(effect.spread), needed(effect.spread * largest_spread(effect.n))
    if n is None:
        return Forecast(judgement, pilot.seeds, None, within=MOST, reason="the mean lies too close to the bound")
    return Forecast(judgement, pilot.seeds, n, effect.leaning, cautious)


def _resampled(pilot: Pilot, questions: list[PilotQuestion]) -> Iterable[Forecast]:
    """Forecasts from resampled studies of growing size; all claims are judged on the same studies."""
    forecast: dict[int, Forecast] = {}
    sizes = {index: _study_sizes(pilot.seeds, question) for index, question in enumerate(questions)}
    for size in sorted(set().union(*sizes.values())):
        pending = {index: questions[index] for index in sizes if index not in forecast and size in sizes[index]}
        for index, verdicts in _verdicts(pilot, pending, size, _resamples(pilot, size)).items():
            verdict, hits = _leading(verdicts)
            resamples, judgement = verdicts.total(), questions[index].judgement
            if hits >= POWER * resamples:
                forecast[index] = Forecast(judgement, pilot.seeds, size, verdict, hits=hits, resamples=resamples)
    for index, question in enumerate(questions):
        yield forecast.get(index) or Forecast(
            question.judgement, pilot.seeds, None, within=max(sizes[index]), reason=_why_not_settled(question)
        )


def _why_not_settled(question: PilotQuestion) -> str:
    """Why none of the sizes tried was enough, or the cure; empty where neither is known."""
    effect = question.judgement.effect
    if question.fewest is None:
        return "no number of seeds can support it"
    if effect is None or effect.estimate is None:
        return effect.reason if effect else ""
    return "its interval is over cells, so more cells would help" if effect.items == "cells" else ""


def _study_sizes(seeds: int, question: PilotQuestion) -> set[int]:
    """Sizes of studies to try, at least the pilot's, and at least the fewest seeds where the pilot has no interval."""
    fewest, effect = question.fewest or 1, question.judgement.effect
    sizes = [math.ceil(seeds * size) for size in SIZES] + [math.ceil(fewest * size) for size in SIZES_OF_FEWEST]
    least = seeds if effect and effect.interval else max(seeds, fewest)
    return {size for size in sizes if size >= least}


def _resamples(pilot: Pilot, size: int) -> int:
    """The number of resamples of this size, fewer the larger they are."""
    rows = len(pilot.comparison.evaluations) / pilot.seeds * size
    return int(min(RESAMPLES, max(RESAMPLES / 5, ROWS // max(rows, 1))))


def _verdicts(pilot: Pilot, questions: dict[int, PilotQuestion], size: int, most: int) -> dict[int, Counter[Verdict]]:
    """Counts of the verdicts on each claim, over as many resamples as decide its power, ``most`` at most."""
    counts: dict[int, Counter[Verdict]] = {index: Counter() for index in questions}
    for number in range(most):
        pending = [
            index for index, verdicts in counts.items() if not _power_is_clear(_leading(verdicts)[1], verdicts.total())
        ]
        if not pending:
            break
        resample = pilot.resample(drawn_seeds(pilot.seeds, size, number))
        for index in pending:
            counts[index][questions[index].ask(resample).verdict] += 1
    return counts


def _power_is_clear(hits: int, resamples: int) -> bool:
    """Whether so many hits, or so few, would be rare at exactly the wanted power.

    >>> _power_is_clear(0, 3), _power_is_clear(0, 4), _power_is_clear(23, 23), _power_is_clear(24, 24)
    (False, True, False, True)
    """
    fewer, more = special.bdtr(hits, resamples, POWER), special.bdtrc(hits - 1, resamples, POWER) if hits else 1.0
    return resamples > 0 and bool(min(fewer, more) < RARE)


def _leading(counts: Counter[Verdict]) -> tuple[Verdict, int]:
    """The more frequent of the two decisive verdicts, and its count."""
    verdicts: tuple[Verdict, ...] = ("supported", "refuted")
    return max(((verdict, counts[verdict]) for verdict in verdicts), key=lambda one: one[1])


def _undecidable(pilot: Pilot, effect: Effect | None) -> str:
    """The cure where the estimate's bounds lie on both sides of a claimed bound, which no number of seeds changes."""
    if effect is None or effect.estimate is None or effect.leaning != "inconclusive":
        return ""
    note = f" ({effect.note})" if effect.note else ""
    if effect.missing:
        known = f"with {effect.sample_text}{note} the estimate lies on both sides of the claim"
        return f"complete the missing runs first: {known}"
    if not math.isinf(effect.estimate.high):
        first = "measure more finely first, by more evaluations or more cells"
        return f"{first}: the estimate, {effect.estimate_text}, lies on both sides of the claim"
    broken = pilot.comparison.runs["status"].isin(BROKEN).any()
    cure = "mend the runs that diverged or failed" if broken else "a longer budget"
    return f"{cure} first: what was not reached{note} lies on both sides of the claim"
