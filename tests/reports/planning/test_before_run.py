import pytest

from deepboot.reports.claims.judge import Effect, Evidence, claim_kind
from deepboot.reports.planning.before_run import prospects
from deepboot.reports.statistics.intervals import clopper_pearson

NAMES = {
    "equivalent": {"margin": 0.02},
    "bootstrap_error": {"min": 0.1},
    "difference": {"min_difference": 0.1},
    "grokking_delay": {"min_ratio": 4.0},
    "faster": {},
    "no_delay": {},
    "same_memorization": {"max_ratio": 1.5},
    "rate": {"min_rate": 0.6},
    "relapse": {"max_rate": 0.5},
}


def prospect(kind, seeds, **given):
    """What is said of a claim, without its heading."""
    (line,) = prospects([{"kind": kind, **given}], seeds)
    return line.split(": ", 1)[1]


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("equivalent", {"margin": 0.02}, "settled if the spread of the pairs is below 0.0174 (80 % power)"),
        (
            "bootstrap_error",
            {"min": -0.02, "max": 0.04},
            "settled if the spread of the pairs is below 0.0224, around a mean of 0.01 (80 % power)",
        ),
        (
            "bootstrap_error",
            {"max": 0.1},
            "settled if the mean is at least 1.2 standard deviations of the pairs away from 0.1 (80 % power)",
        ),
        (
            "final_error",
            {"max": 0.1},
            "settled if the mean is at least 1.2 standard deviations of the runs away from 0.1 (80 % power)",
        ),
        (
            "final_difference",
            {"of": {}, "to": {}, "max": -0.1},
            "settled if the mean is at least 1.2 standard deviations of the pairs away from \N{MINUS SIGN}0.1 (80 % "
            "power)",
        ),
        (
            "change",
            {"metric": "train_loss", "as_ratio": True, "min": 2.0},
            "settled if the ratio is at least 1.2 standard deviations of the logarithms away from what is claimed "
            "(80 % power)",
        ),
        (
            "difference",
            {"min_difference": 0.1},
            "supported if the mean is 1.2 standard deviations of the pairs beyond 0.1 at a step (80 % power; of many "
            "steps a bit more)",
        ),
        (
            "grokking_delay",
            {"min_ratio": 4.0},
            "settled if all 8 lie on one side of 4 (80 % power where 97.2 % of all runs do)",
        ),
        (
            "no_delay",
            {"max_ratio": 2.0},
            "supported if 7 of 8 lie within 0.5 to 2 (80 % power where 89.6 % of all runs do)",
        ),
        (
            "rate",
            {"min_rate": 0.6},
            "supported by 8 of 8 (80 % power at a true share of 97.2 % or more), refuted by 1 of 8 or fewer (80 % "
            "power at 10.4 % or less)",
        ),
        ("rate", {"min_rate": 0.05, "max_rate": 0.95}, "supported by 3 to 5 of 8"),
    ],
)
def test_what_eight_seeds_can_settle(kind, given, said):
    """One readable clause for each kind whose intervals are known beforehand."""
    assert prospect(kind, 8, **given) == f"with 8 seeds {said}"


def test_too_few_seeds_are_said():
    """A median has no interval; of a rate it is said what the few can do."""
    assert prospect("faster", 5) == "needs at least 6 seeds, has 5: cannot be supported"
    assert prospect("equivalent", 2, margin=0.1) == "needs at least 3 seeds, has 2: cannot be supported"
    assert prospect("rate", 5, min_rate=0.6) == (
        "needs at least 8 seeds to be supported; with 5 seeds refuted by 0 of 5 (80 % power at 4.36 % or less)"
    )
    few = "needs at least 6 seeds to be supported; with 2 seeds neither supported nor refuted by any count"
    assert prospect("rate", 2, min_rate=0.5) == few
    assert prospect("difference", 8, min_difference=0.1, confidence=0.99999) == "no number of seeds can settle it"


@pytest.mark.parametrize("n", [8, 9, 30])
def test_the_counts_that_decide_a_rate(n):
    """The smallest count that supports is the first whose interval lies in the region."""
    first = next(hits for hits in range(n + 1) if clopper_pearson(hits, n).low >= 0.5)
    assert f"supported by {first} of {n}" in prospect("rate", n, min_rate=0.5)


def test_kinds_that_compare_cells_are_left_to_a_pilot():
    """Their fewest seeds are told."""
    said = "needs at least 6 seeds for an interval; run a few and ask `deepboot plan` again, on their folder"
    assert prospect("ratio", 8, of={"train_size": 1}, to={"train_size": 2}, min_ratio=2.0) == said


def test_a_users_own_kind_has_its_own_clause():
    """It is declared with the kind, in terms of its settings, the seeds and the confidence."""

    @claim_kind("own_clause", min_seeds=4, clause=lambda given, n, level: f"settled {given.least} times, {n}, {level}")
    def own_clause(evidence: Evidence, *, least: int) -> Effect:
        """Nothing."""

    assert prospect("own_clause", 5, least=2) == "with 5 seeds settled 2 times, 5, 0.95"
    assert prospect("own_clause", 3, least=2) == "needs at least 4 seeds, has 3: cannot be supported"


def test_primary_claims_need_more():
    """Each of two has the margin of a higher confidence, and says which claim it is."""
    claim = {"kind": "equivalent", "margin": 0.02, "primary": True, "where": {"train_size": 1250}, "text": "Equal."}
    one, both = prospects([claim], 8)[0], prospects([claim, claim], 8)[0]
    assert one.startswith("equivalent (margin 0.02; where train_size 1,250): with 8 seeds settled if the spread")
    assert "below 0.0174" in one
    assert "below 0.0149" in both


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("seeds", [1, 3, 6, 40])
def test_any_number_of_seeds_has_a_line(kind, seeds):
    """No number of seeds is refused."""
    assert prospect(kind, seeds, **NAMES[kind])
