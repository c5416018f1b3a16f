"""The figure that shows what a page's answer speaks of: the measure of the leading claim, at its step."""

from dataclasses import dataclass
from typing import Any

from deepboot.reports.at_step import When
from deepboot.reports.claims.family import leading
from deepboot.reports.claims.judge import parsed
from deepboot.reports.claims.kind import figures_of
from deepboot.reports.claims.registration import Registration
from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.events import event_bounds

# By the figure that shows a claim's effect best, the one that shows it over swept settings.
EFFECTS = {"bootstrap_error": "effect_bootstrap_error", "test_error": "effect_final_error",
           "test_soft_error": "effect_final_error", "scatter": "scatter"}  # fmt: skip


@dataclass(frozen=True)
class Answering:
    """What the leading claim of a study measures.

    Attributes:
        effect: name of the figure that shows it over swept settings.
        curves: name of the figure that shows it where nothing is swept; events are marked on the test error.
        when: step at which it compares worlds; None where it names none.
        metric: column of ``evaluations`` that it names; None for the usual one.
    """

    effect: str
    curves: str
    when: When | None = None
    metric: str | None = None


def answering(comparison: Comparison) -> Answering:
    """What the answer of the first study speaks of; without a claim the grokking step, or the error if none groks."""
    claim = leading_claim(comparison)
    given = parsed(claim)[1].model_dump() if claim else {}
    best, *_ = (*(figures_of(str(claim["kind"]), given) if claim else ()), "")
    at = str(given.get("at") or "")
    when: When | None = "stopping" if "stopping" in at else "end" if at == "end" else None
    metric = given.get("metric")
    soft = metric == "test_soft_error" and best.startswith("test_")
    curves = best if best == "bootstrap_error" else "test_soft_error" if soft else "test_error"
    return Answering(EFFECTS.get(best) or _of_time(comparison), curves, when, metric)


def _of_time(comparison: Comparison) -> str:
    """Name of the figure of grokking steps over swept settings, or of final errors where none groks."""
    groks = (event_bounds(comparison.runs, "grokking")["outcome"] == "reached").any()
    return "effect_grokking" if groks else "effect_final_error"


def leading_claim(comparison: Comparison) -> dict[str, Any] | None:
    """The claim that a page's answer is about, of those that still stand."""
    source = comparison.sources[0]
    standing = [one.claim for one in Registration.of(source).claims_of(source.study) if not one.withdrawn]
    return leading(standing, lambda claim: bool(claim.get("primary")))
