"""How many seeds would settle each claim, if a pilot's effects and spreads are right.

Where an effect declares the spread behind its t interval (`Effect.spread`), the seeds are calculated exactly; all other
claims, of users' own kinds too, are judged again on studies drawn from the pilot's seeds.
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
from deepboot.reports.claims.kind import seeds_needed
from deepboot.reports.comparison import BROKEN, Comparison, compare
from deepboot.reports.planning.forecast import Forecast, PilotQuestion
from deepboot.reports.planning.resample import Pilot, drawn_seeds
from deepboot.reports.statistics.intervals import T_MIN, Bounds
from deepboot.reports.statistics.power import MOST, POWER, largest_spread, seeds_for_mean

SIZES = (1, 1.5, 2, 3, 5, 10)  # of the studies drawn, in the pilot's seeds
SIZES_OF_FEWEST = (1, 1.5, 2)  # and in the fewest seeds that the claim needs
RESAMPLES = 100  # at most: fewer where they all agree
RARE = 0.005
ROWS = 4_000_000  # evaluations drawn at one size: large pilots are drawn less often


def forecasts(results: Results | Comparison) -> list[Forecast]:
    """A forecast for every judgement of `reports.claims.judge` but those of withdrawn claims, in its order.

    Raises:
        ValueError: as in `judge`.
    """
    comparison = results if isinstance(results, Comparison) else compare(results)
    found: dict[int, Forecast] = {}
    asked: dict[tuple[str, tuple[tuple[str, str], ...]], dict[int, PilotQuestion]] = {}
    for place, judgement in enumerate(one for one in judge(comparison) if not one.withdrawn):
        if judgement.evidence is None:
            found[place] = Forecast(judgement, comparison.runs["seed"].nunique(), None, reason=judgement.reason)
            continue
        fewest = seeds_needed(judgement.claim["kind"], judgement.settings, judgement.confidence)
        question = PilotQuestion(judgement, judgement.evidence, fewest)
        asked.setdefault((judgement.folder, question.cells), {})[place] = question
    for (_, cells), questions in asked.items():
        own = next(iter(questions.values())).evidence.comparison
        pilot = Pilot.of(_part(own, cells))
        found |= dict(zip(questions, _forecast_cell(pilot, list(questions.values())), strict=True))
    return [found[place] for place in sorted(found)]


def _part(comparison: Comparison, cells: tuple[tuple[str, str], ...]) -> Comparison:
    """The runs of some cells and their ideal partners."""
    runs = comparison.runs
    own = runs.merge(pd.DataFrame(cells, columns=KEY, dtype="string"), on=KEY)
    kept = runs[runs["run_id"].isin(own["run_id"]) | runs["run_id"].isin(own["ideal_run_id"].dropna())]
    rows = comparison.evaluations
    return replace(comparison, runs=kept, evaluations=rows[rows["run_id"].isin(kept["run_id"])])


def _forecast_cell(pilot: Pilot, questions: list[PilotQuestion]) -> list[Forecast]:
    """Forecasts of the claims that are judged on the same runs."""
    known = [_settled(pilot, question) or _calculated(pilot, question) for question in questions]
    drawn = iter(_resampled(pilot, [question for question, one in zip(questions, known, strict=True) if one is None]))
    return [one or next(drawn) for one in known]


def _settled(pilot: Pilot, question: PilotQuestion) -> Forecast | None:
    """The forecast where the pilot alone gives it: its verdict, or that no verdict can be had of it."""
    judgement, seeds = question.judgement, pilot.seeds
    if judgement.verdict != "inconclusive":
        return Forecast(judgement, seeds, seeds, judgement.verdict)
    if seeds < T_MIN:
        needed = f", and a verdict needs {question.fewest}" if (question.fewest or 0) > T_MIN else ""
        return Forecast(judgement, seeds, None, reason=f"a spread needs a pilot of {T_MIN} or more{needed}")
    why = _undecidable(pilot, judgement.effect)
    return Forecast(judgement, seeds, None, reason=why) if why else None


def _calculated(pilot: Pilot, question: PilotQuestion) -> Forecast | None:
    """The forecast of a claim whose effect has a t interval over seeds; None for any other."""
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
    """Forecasts from studies of growing size, drawn from the pilot; all questions are asked of the same ones."""
    found: dict[int, Forecast] = {}
    sizes = {place: _sizes(pilot.seeds, question) for place, question in enumerate(questions)}
    for size in sorted(set().union(*sizes.values())):
        pending = {place: questions[place] for place in sizes if place not in found and size in sizes[place]}
        times = _times(pilot, size)
        for place, verdicts in _verdicts(pilot, pending, size, times).items():
            verdict, hits = _leading(verdicts)
            asked, judgement = verdicts.total(), questions[place].judgement
            if hits >= POWER * asked:
                found[place] = Forecast(judgement, pilot.seeds, size, verdict, hits=hits, resamples=asked)
    for place, question in enumerate(questions):
        yield found.get(place) or Forecast(
            question.judgement, pilot.seeds, None, within=max(sizes[place]), reason=_instead(question)
        )


def _instead(question: PilotQuestion) -> str:
    """What may help where none of the sizes tried does."""
    effect = question.judgement.effect
    if question.fewest is None:
        return "no number of seeds can support it"
    if effect is None or effect.estimate is None:
        return effect.reason if effect else ""
    return "its interval is over cells, so more cells would help" if effect.items == "cells" else ""


def _sizes(seeds: int, question: PilotQuestion) -> set[int]:
    """Sizes of studies to try: none below the pilot's, nor, where that has no interval, too small for one."""
    fewest, effect = question.fewest or 1, question.judgement.effect
    asked = [math.ceil(seeds * size) for size in SIZES] + [math.ceil(fewest * size) for size in SIZES_OF_FEWEST]
    least = seeds if effect and effect.interval else max(seeds, fewest)
    return {size for size in asked if size >= least}


def _times(pilot: Pilot, size: int) -> int:
    rows = len(pilot.comparison.evaluations) / pilot.seeds * size
    return int(min(RESAMPLES, max(RESAMPLES / 5, ROWS // max(rows, 1))))


def _verdicts(pilot: Pilot, questions: dict[int, PilotQuestion], size: int, times: int) -> dict[int, Counter[Verdict]]:
    """How often each verdict came to each question, in as many resamples as it took to tell, ``times`` at most."""
    found: dict[int, Counter[Verdict]] = {place: Counter() for place in questions}
    for number in range(times):
        pending = [place for place, verdicts in found.items() if not _told(_leading(verdicts)[1], verdicts.total())]
        if not pending:
            break
        drawn = pilot.drawn(drawn_seeds(pilot.seeds, size, number))
        for place in pending:
            found[place][questions[place].ask(drawn).verdict] += 1
    return found


def _told(hits: int, asked: int) -> bool:
    """Whether so many hits, or so few, would be rare at exactly the power that is wanted.

    >>> _told(0, 3), _told(0, 4), _told(23, 23), _told(24, 24)
    (False, True, False, True)
    """
    fewer, more = special.bdtr(hits, asked, POWER), special.bdtrc(hits - 1, asked, POWER) if hits else 1.0
    return asked > 0 and bool(min(fewer, more) < RARE)


def _leading(found: Counter[Verdict]) -> tuple[Verdict, int]:
    """The decisive verdict that came most often, and how often."""
    verdicts: tuple[Verdict, ...] = ("supported", "refuted")
    return max(((verdict, found[verdict]) for verdict in verdicts), key=lambda one: one[1])


def _undecidable(pilot: Pilot, effect: Effect | None) -> str:
    """What would help where seeds do not: an estimate that lies on both sides of a claimed bound stays there."""
    if effect is None or effect.estimate is None or effect.leaning != "inconclusive":
        return ""
    noted = f" ({effect.note})" if effect.note else ""
    if effect.missing:
        known = f"with {effect.sample_text}{noted} the estimate lies on both sides of the claim"
        return f"complete the missing runs first: {known}"
    if not math.isinf(effect.estimate.high):
        first = "measure more finely first, by more evaluations or more cells"
        return f"{first}: the estimate, {effect.estimate_text}, lies on both sides of the claim"
    broken = pilot.comparison.runs["status"].isin(BROKEN).any()
    cure = "mend the runs that diverged or failed" if broken else "a longer budget"
    return f"{cure} first: what was not reached{noted} lies on both sides of the claim"
