"""What was registered stays and is judged as registered; whatever changed since then is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deepboot.reports import compare
from deepboot.reports.claims.family import cases
from deepboot.reports.claims.judge import judge
from deepboot.reports.claims.registration import digest
from deepboot.reports.page.page import write_report
from deepboot.reports.tables.verdicts import as_dicts, changed, flags

DELAY = {"kind": "grokking_delay", "min_ratio": 5.0}
RATE = {"kind": "rate", "min_rate": 0.5}
LATE = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}
SETTINGS = {"max_steps": 4000, "evaluation.threshold": 0.99, "evaluation.stopping_metric": "train_soft_error"}
PLAN = {"training.seeds": 6, "training.train_size": 750}


def held(make_pairs, claims=(DELAY,), now=None, *, cells=("real-a", "ideal-a"), seeds=6, **changed):
    """Results of six pairs with all that is registered; ``now`` are the study's claims, ``changed`` its settings."""
    results = make_pairs([LATE] * 6, claims=claims if now is None else now, registered=claims, **(SETTINGS | changed))
    study = {**results.study, "training": {"seeds": 6, "train_size": 750}}
    registered = {
        "registered": list(claims), "seeds": list(range(seeds)), "plan": PLAN,
        "cells": dict.fromkeys(cells, SETTINGS), "kinds": {}, "registered_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return replace(results, study=study, claims={**registered, "sha256": digest(registered)})


def changes(results):
    """What the first judgement says has changed."""
    return judge(results)[0].changed


def test_nothing_changed_says_nothing(make_pairs):
    """A folder as it was registered is not post hoc."""
    (one,) = judge(held(make_pairs))
    assert (one.changed, one.post_hoc, one.withdrawn) == ((), False, False)
    assert one.sentence.endswith("claimed: at least 5.")


@pytest.mark.parametrize(
    ("changed", "clause"),
    [
        ({"evaluation.threshold": 0.9}, "evaluation.threshold was 0.99 when the claim was registered, now 0.9"),
        ({"max_steps": 8000}, "max_steps was 4,000 when the claim was registered, now 8,000"),
        (
            {"evaluation.stopping_metric": "train_loss"},
            "evaluation.stopping_metric was train_soft_error when the claim was registered, now train_loss",
        ),
        (
            {"evaluation.threshold": 0.98999999},
            "evaluation.threshold was 0.99 when the claim was registered, now 0.98999999",
        ),
    ],
)
def test_a_changed_setting_is_named(make_pairs, changed, clause):
    """With its value then and now, in the sentence and for JSON."""
    results = held(make_pairs, **changed)
    (one,) = judge(results)
    assert one.changed == (clause,)
    assert one.sentence.endswith(f"claimed: at least 5 (post hoc: {clause}).")
    (found,) = json.loads(json.dumps(as_dicts(cases([one])), allow_nan=False))
    assert (found["post_hoc"], found["changed"], found["withdrawn"]) == (True, [clause], False)


def test_added_seeds_and_cells_are_named(make_pairs):
    """Both in one sentence; what was added is listed."""
    assert changes(held(make_pairs, seeds=4)) == ("2 seeds were added (4, 5)",)
    assert changes(held(make_pairs, seeds=5, cells=("ideal-a",))) == (
        "1 seed was added (5)",
        "1 cell was added (real)",
    )


def test_what_was_taken_out_before_any_run_is_named_where_the_study_plans_less(make_pairs):
    """Seeds and cells that have no run yet are no change while the study still plans them."""
    unfinished = held(make_pairs, seeds=8, cells=("real-a", "ideal-a", "real-b"))
    assert changes(unfinished) == ()
    claims = {**unfinished.claims, "plan": {**PLAN, "training.seeds": 8}}
    assert changes(replace(unfinished, claims={**claims, "sha256": digest(claims)})) == (
        "2 registered seeds were taken out before any run",
        "1 registered cell was taken out before any run",
    )


def test_cells_that_a_claim_does_not_select_do_not_touch_it(make_pairs):
    """A pool that was added, and a budget that was extended, elsewhere."""
    first, second = held(make_pairs), held(make_pairs, cells=("real-a",), **{"evaluation.threshold": 0.5})
    both = replace(
        first,
        runs=compare([first, replace(second, runs=_renamed(second.runs))]).runs.drop(columns="cell"),
        study={**first.study, "claims": [DELAY | {"where": {"train_size": 750}}]},
    )
    claims = {**first.claims, "registered": both.study["claims"]}
    assert changes(replace(both, claims={**claims, "sha256": digest(claims)})) == ()


def _renamed(runs):
    names = {name: "x" + runs[name] for name in ("run_id", "ideal_run_id", "cell_id")}
    return runs.assign(**names, train_size=runs["train_size"] * 2)


def test_a_withdrawn_claim_is_judged_and_stays_in_the_family(make_pairs):
    """Its verdict is computed, and the others share the error with it as they did."""
    primary = [DELAY | {"primary": True}, RATE | {"primary": True}]
    kept, withdrawn = judge(held(make_pairs, primary, now=primary[:1]))
    assert (kept.withdrawn, kept.confidence, kept.post_hoc) == (False, 0.975, False)
    assert (withdrawn.withdrawn, withdrawn.confidence, withdrawn.verdict) == (True, 0.975, "inconclusive")
    assert withdrawn.sentence.endswith("claimed: at least 0.5 (withdrawn).")
    assert [case.family for case in cases([kept, withdrawn])] == [("primary", 2)] * 2


def test_an_edited_claim_is_the_old_one_withdrawn_and_a_new_one(make_pairs):
    """And a new primary claim takes nothing from those that were registered."""
    old, new = judge(held(make_pairs, [DELAY | {"primary": True}], now=[DELAY | {"primary": True, "min_ratio": 4.0}]))
    assert (old.number, old.withdrawn, old.post_hoc, old.confidence) == (1, True, False, 0.95)
    assert (new.number, new.withdrawn, new.confidence) == (2, False, 0.975)
    assert new.changed == ("the claim was not registered before the first run",)


def test_a_withdrawn_claim_that_cannot_be_judged_does_not_stand_in_the_way(make_pairs):
    """A mistake that was taken out of the study is shown with its reason."""
    wrong = [
        DELAY,
        {"kind": "rate"},
        {"kind": "gone"},
        {"min_rate": 0.5},
        {"kind": "final_error", "metric": "x", "min": 0},
    ]
    found = judge(held(make_pairs, wrong, now=[DELAY]))
    assert [one.withdrawn for one in found] == [False, True, True, True, True]
    assert found[1].sentence.startswith("Not judged: claim `rate` needs a bound on the share, got none.")
    assert found[2].sentence.startswith("Not judged: unknown claim 'gone'.")
    assert len(as_dicts(cases(found))) == 5


def test_an_edited_claims_file_is_said_on_every_verdict_and_page(make_pairs, without_figures, tmp_path):
    """Whatever was edited, and in files of older versions, which registered claims and seeds only."""
    results = held(make_pairs, [DELAY, RATE])
    edited = replace(results, claims={**results.claims, "seeds": [0]})
    for one in judge(edited):
        assert one.changed[0] == "claims.json was edited after registration"
    write_report(edited, tmp_path / "report.html")
    for name in ("report.html", "report.md"):
        assert "Beware: claims.json was edited after registration." in (tmp_path / name).read_text()
    old = {"registered": [DELAY], "seeds": list(range(6)), "sha256": OLDER}
    assert changes(replace(held(make_pairs), claims=old)) == ()
    assert changes(replace(held(make_pairs), claims={**old, "registered": [RATE]}))[0] == (
        "claims.json was edited after registration"
    )
    assert changes(replace(held(make_pairs), claims={"registered": [DELAY]}, folder=Path("a")))[0] == (
        "claims.json was edited after registration"
    )


OLDER = "ae96b9e6459b063b30b395d60a14f8a05fdb98178791518da51af86fbe9cab72"  # of [DELAY], as older versions wrote it


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({}, "claims.json is missing or cannot be read"),
        ({"problem": "claims.json cannot be read"}, "claims.json cannot be read"),
        ({"registered": 3, "seeds": {}, "cells": [], "plan": 1}, "claims.json was edited after registration"),
        ({"registered": [3], "cells": {"real-a": 4}}, "claims.json was edited after registration"),
    ],
)
def test_without_a_readable_registration_all_claims_are_post_hoc(make_pairs, claims, problem):
    """And the reason is said."""
    assert changes(replace(held(make_pairs), claims=claims, folder=Path("a"))) == (
        problem,
        "the claim was not registered before the first run",
    )


def test_each_folder_is_judged_by_its_own_claims(make_pairs, without_figures, tmp_path):
    """Side by side, each under its own heading, with the verdicts that it has alone."""
    first = replace(held(make_pairs, [DELAY, RATE]), folder=Path("first"))
    second = make_pairs([LATE] * 6, cell="b", claims=[RATE], **{"optimizer.lr": 0.5})
    second = replace(second, study={**second.study, "question": "Another?"}, folder=Path("second"))
    second.claims["sha256"] = digest(second.claims | {"cells": {}})
    second.claims["cells"] = {}
    both = judge(compare([first, second]))
    assert [(one.folder, one.number) for one in both] == [("first", 1), ("first", 2), ("second", 1)]
    alone = [one for results in (first, second) for one in judge(results)]
    assert [(one.sentence, one.overall) for one in both] == [(one.sentence, one.overall) for one in alone]
    assert [case.family for case in cases(both)] == [("all", 2), ("all", 2), ("all", 1)]
    write_report([first, second], tmp_path / "both.html")
    for name in ("both.html", "both.md"):
        text = (tmp_path / name).read_text()
        assert text.index("Claims of first") < text.index("Claims of second") < text.index("Finding")


def test_shards_of_one_study_are_judged_together(make_pairs):
    """They differ in the time of their registration only."""
    claim = {"kind": "monotone", "over": "train_size", "direction": "falls"}
    shards = [held(make_pairs, [claim]) for _ in range(2)]
    shards[1] = replace(shards[1], runs=_renamed(shards[1].runs), claims={**shards[1].claims, "registered_at": "later"})
    (one,) = judge(compare(shards))
    assert (one.folder, one.cell) == ("", "over 2 cells")


def test_a_claim_over_many_cells_says_once_what_changed(make_pairs):
    """Where no cell is spelt out, the claim's own line has it; its flags are in every table."""
    (case,) = cases(judge(held(make_pairs, now=[], seeds=5)))
    assert changed(case) == "Post hoc: 1 seed was added (5)."
    assert flags(case.first) == "withdrawn, post hoc"
    assert case.first.sentence.endswith("claimed: at least 5 (withdrawn; post hoc: 1 seed was added (5)).")
    (case,) = cases(judge(held(make_pairs)))
    assert changed(case) == flags(case.first) == ""
