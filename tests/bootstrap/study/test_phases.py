"""Phases: what a run becomes at a step, weights it starts from, and how it may end before its budget."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file, save_file

from deepboot.bootstrap import columns, results
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.kept_weights import weights_file
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.run_worlds import world_of, worlds_of
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.train import train
from deepboot.bootstrap.usage import usage
from deepboot.runners.run.execute import _row
from tests.bootstrap.conftest import parity

LONG = {"training__max_steps": 40, "evaluation__schedule": 5}


def changed(*phases, **more):
    """A study of 40 steps whose settings change: (step, {dotted name: value}) each."""
    return parity(**{**LONG, **more}, phases=[{"at_step": step, "set": values} for step, values in phases])


def test_a_phase_changes_nothing_before_its_step():
    """All rows up to the step are those of the run without it, and later ones are not."""
    plain, phased = train(runs_of(parity(**LONG))), train(runs_of(changed((20, {"training.train_size": 12}))))
    for one, other in zip(plain, phased, strict=True):
        for a, b in zip(one.rows[:5], other.rows[:5], strict=True):
            assert repr({**a, "run_id": None}) == repr({**b, "run_id": None})
    assert plain[0].rows[5]["test_loss"] != phased[0].rows[5]["test_loss"]
    assert plain[1].rows[5]["test_loss"] == phased[1].rows[5]["test_loss"]  # the ideal world has no pool


def test_a_phase_is_the_other_run_begun_from_the_state_of_the_first():
    """Changing the decay at step 20 equals 20 steps without and then the run with it, to the last bit."""
    first = runs_of(parity(training__max_steps=20, evaluation__schedule=5, optimizer__weight_decay=0.0))
    other = runs_of(parity(**LONG, optimizer__weight_decay=0.5))
    begun = [dataclasses.replace(outcome, run=run, rows=[]) for outcome, run in zip(train(first), other, strict=True)]
    phased = train(runs_of(changed((20, {"optimizer.weight_decay": 0.5}), optimizer__weight_decay=0.0)))
    for one, two in zip(train(other, resume_from=begun), phased, strict=True):
        assert torch.equal(one.state["parameters"], two.state["parameters"])


@pytest.mark.parametrize("at", [19, 20, 21, 25])
def test_a_phased_run_goes_on_from_any_step_to_the_last_bit(at):
    """Cut before, at and after the change, it ends with the weights and rows of the run that was never cut."""
    runs = runs_of(changed((20, {"training.train_size": 12, "training.world": {"rule": "fresh", "share": 0.5}})))
    taken = []

    def on_steps(steps, snapshot):
        state = snapshot()
        if int(state[0].state["step"]) == at:
            taken.append(state)

    whole = train(runs, on_steps=on_steps)
    for one, other in zip(whole, train(runs, resume_from=taken[-1]), strict=True):
        assert torch.equal(one.state["parameters"], other.state["parameters"])
        assert repr(one.rows) == repr(other.rows)


def test_a_full_batch_follows_its_pool_and_the_ideal_world_stays_fresh():
    """Samples are counted across the change of batch size, and no draw of the ideal world is read twice."""
    real, ideal = runs_of(
        changed((10, {"training.train_size": 12}), training__train_size=64, training__batch_size="full")
    )
    assert [run.samples_seen(step) for run in (real, ideal) for step in (10, 40)] == [640, 1000] * 2
    worlds = [world_of([run], build_task(ideal.task)) for run in (ideal, ideal.phases[0].run)]
    assert usage(worlds, 40) == type(usage(worlds, 40))(None, 1000)
    worlds = [world_of([run], build_task(real.task)) for run in (real, real.phases[0].run)]
    assert usage(worlds, 40).first_reuse_step == 1
    assert usage(worlds, 40).distinct == 64


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ({"rule": "fresh", "share": 0.125}, {"rule": "fresh", "share": 0.5}),
        ({"rule": "fresh", "share": 1.0}, {"rule": "ideal"}),
        ({"rule": "sliding", "shift": 20}, {"rule": "fresh", "share": 0.25}),
        ({"rule": "sliding", "shift": 100}, {"rule": "ideal"}),
        ({"rule": "ideal"}, {"rule": "fresh", "share": 0.5}),
        ({"rule": "real"}, {"rule": "ideal"}),
    ],
)
@pytest.mark.parametrize("size", [12, 20])
def test_samples_that_are_never_used_were_not_used_before_a_phase_either(first, later, size):
    """What a fresh rule reads beyond the pool after a phase is new to the run, whatever the phases before read."""
    raw = changed((20, {"training.world": later}), training__world=first, training__train_size=size)
    run = runs_of({**raw, "training": {**raw["training"], "ideal": False}})[0]
    before, after = worlds_of(run, build_task(run.task))
    used = set(before.indices(0, 20).flatten().tolist())
    new = after.indices(20, 40).flatten()
    new = new[new >= size] if later["rule"] == "fresh" else new
    assert len(new)
    assert len(new.unique()) == len(new)
    assert not used & set(new.tolist())
    low, high = after.indices_and_range(20, 40)[1]
    assert low <= int(new.min()) <= int(new.max()) <= high


def test_a_phase_before_the_first_reuse_leaves_the_worlds_alike():
    """A rule that takes over while the pool still lasts goes on at the next sample, as the ideal world does."""
    for later in ({"rule": "ideal"}, {"rule": "fresh", "share": 0.5}, {"rule": "redraw", "share": 0.5}):
        raw = changed((20, {"training.world": later}), training__train_size=200)
        (run,) = runs_of({**raw, "training": {**raw["training"], "ideal": False}})
        _, after = worlds_of(run, build_task(run.task))
        assert after.indices(20, 25).flatten().tolist() == list(range(160, 200))


def test_a_phase_with_one_pool_takes_over_from_each_of_several_pools():
    """Each run goes on with the later run of its own seed and world, also where the later world is the ideal one."""
    change = (20, {"training.train_size": 12, "optimizer.weight_decay": 0.5})
    runs = runs_of(changed(change, training__train_size=[24, 48], training__seeds=2))
    found = [(run.rule, run.seed, run.train_size, run.phases[0].run.rule, run.phases[0].run.seed) for run in runs]
    assert found == [
        ("real", 0, 24, "real", 0), ("real", 1, 24, "real", 1), ("real", 0, 48, "real", 0), ("real", 1, 48, "real", 1),
        ("ideal", 0, None, "ideal", 0), ("ideal", 1, None, "ideal", 1),
    ]  # fmt: skip
    change = (20, {"training.train_size": 12, "training.world": {"rule": "ideal"}})
    alone = runs_of(changed(change, training__train_size=[24, 48], training__ideal=False))
    assert [(run.train_size, run.phases[0].run.rule) for run in alone] == [(24, "ideal"), (48, "ideal")]


def test_phases_are_part_of_the_identity_and_of_the_table():
    """A run with another second phase is another run; the columns name what changes."""
    one, other = (runs_of(changed((20, {"training.train_size": size})))[0] for size in (12, 16))
    assert one.run_id != other.run_id
    columns = {name: value for name, value in other.settings().items() if name.startswith("phases")}
    assert columns == {"phases.1.at_step": 20, "phases.1.training.train_size": 16}
    real, ideal = runs_of(changed((20, {"training.train_size": 12})))
    assert real.ideal_run_id == ideal.run_id


def test_a_phase_that_gives_the_value_held_already_has_its_column():
    """Cells of a sweep are told apart by what their phases give, also where one of them gives what holds already."""
    held = runs_of(changed((20, {"training.train_size": 12, "optimizer.lr": 0.01})))[0]
    assert held.optimizer["lr"] == 0.01
    assert held.settings()["phases.1.optimizer.lr"] == 0.01
    without = runs_of(changed((20, {"training.train_size": 12})))[0]
    assert "phases.1.optimizer.lr" not in without.settings()
    assert without.run_id == held.run_id


@pytest.mark.parametrize(
    ("phase", "sentence"),
    [
        (
            (20, {"training.batch_size": 4}),
            "`phases[0].set`: 'training.batch_size' cannot change within a run. Change one of data.label_noise, "
            "data.labels, optimizer, training.layers, training.norm_clamp, training.penalty, training.train_fraction, "
            "training.train_size, training.transforms, training.update_noise, training.weight_noise, training.world.",
        ),
        (
            (20, {"training.layers": {"output": {"init_scale": 2.0}}}),
            "`phases[0].set`: the initial scale of layer 'output' is 1 and cannot change within a run, got 2. "
            "Change its lr or weight_decay alone.",
        ),
        (
            (20, {"training.transforms.0.norm": 2.0}),
            "phases[0]: `training.transforms`: expected a list, got {'0': {'norm': 2.0}}. Change its type or value.",
        ),
        (
            (40, {"training.train_size": 12}),
            "`phases[0].at_step`: expected a step between 1 and 39, got 40. Phases follow each other within "
            "training.max_steps.",
        ),
        (
            (20, {"training.train_size": [12, 16, 20]}),
            "`phases[0].set`: expected one pool, or as many as training.train_size lists at first, got another number. "
            "Give one.",
        ),
        (
            (20, {"training.train_size": 4}),
            "phases[0]: `training.batch_size`: expected at most the pool's 4 samples, got 8. Lower it, or set it to "
            '"full".',
        ),
    ],
)
def test_impossible_phases_are_refused(phase, sentence):
    """What cannot change, a step outside the budget, and settings that are wrong by themselves."""
    with pytest.raises(StudyError) as caught:
        runs_of(changed(phase))
    assert caught.value.problems == [sentence]


@pytest.fixture
def kept(tmp_path):
    """An output folder with the final weights of a pair."""
    found = {}
    raw = parity(**LONG, keep={"weights": "final"})
    outcomes = train(runs_of(raw), keep=lambda run, step, weights: found.update({(run.run_id, step): weights}))
    (tmp_path / "weights").mkdir()
    for (run_id, step), weights in found.items():
        save_file(weights, weights_file(tmp_path, run_id, step))
    rows = [
        {
            "run_id": one.run.run_id,
            "cell_id": one.run.cell_id,
            "world": one.run.rule,
            "seed": one.run.seed,
            "last_step": one.last_step,
        }
        for one in outcomes
    ]
    nothing = results.typed([], columns.EVALUATION_COLUMNS)
    results.write(results.Results(results.typed(rows, columns.RUN_COLUMNS), nothing), tmp_path)
    (tmp_path / "study.toml").write_text("")
    return tmp_path, outcomes


def test_a_run_starts_from_the_weights_that_another_kept(kept):
    """Both worlds begin with their partner's final test loss; with layers named, the others start as usual."""
    folder, before = kept
    start = {"folder": str(folder), "world": "same"}
    outcomes = train(runs_of(parity(start=start)))
    for old, new in zip(before, outcomes, strict=True):
        assert new.rows[0]["test_loss"] == old.rows[-1]["test_loss"]
    real, ideal = train(runs_of(parity(start={**start, "world": "real"})))
    assert real.rows[0] == {**ideal.rows[0], "run_id": real.run.run_id, **nan_free(real.rows[0])}
    partly = runs_of(parity(start={**start, "layers": ["hidden"]}))
    weights = {}
    train(partly, keep=lambda run, step, named: weights.setdefault(run.rule, named))
    assert partly[0].run_id != runs_of(parity(start=start))[0].run_id


def test_both_worlds_start_from_the_same_kept_weights_unless_told_otherwise(kept):
    """By default they are identical until the first reuse; with other weights they differ from step 0 on."""
    folder, _ = kept
    real, ideal = train(runs_of(parity(start={"folder": str(folder)})))
    assert real.run.start.run_id == ideal.run.start.run_id
    assert real.rows[0]["test_loss"] == ideal.rows[0]["test_loss"]
    assert _row(real)["first_reuse_step"] == 3
    own = train(runs_of(parity(start={"folder": str(folder), "world": "same"})))
    assert own[0].rows[0]["test_loss"] != own[1].rows[0]["test_loss"]
    assert [_row(one)["first_reuse_step"] for one in own] == [0, None]


def test_seeds_that_start_from_seeds_of_one_configuration_are_one_cell(kept):
    """Each seed begins with the weights of its own, and all of them are one configuration."""
    folder, _ = kept
    raw = parity(**LONG, keep={"weights": "final"}, training__seeds=2)
    rows = [
        {"run_id": run.run_id, "cell_id": run.cell_id, "world": run.rule, "seed": run.seed, "last_step": 40}
        for run in runs_of(raw)
    ]
    for row in rows:
        save_file({}, weights_file(folder, row["run_id"], 40))
    results.write_table(results.typed(rows, columns.RUN_COLUMNS), folder / "runs.parquet")
    runs = runs_of(parity(start={"folder": str(folder), "world": "same"}, training__seeds=2))
    assert len({run.start.run_id for run in runs}) == 4
    assert len({run.cell_id for run in runs if run.rule == "real"}) == 1
    assert len({run.run_id for run in runs}) == 4
    assert [name for name in runs[0].settings() if name.startswith("start")] == ["start.cell_id", "start.layers"]


def test_weights_of_two_steps_are_two_configurations(kept):
    """Swept over, each is a cell of its own, which the tables know by the step that the study names."""
    folder, outcomes = kept
    for step in (0, 20):
        save_file({}, weights_file(folder, outcomes[0].run.run_id, step))
        save_file({}, weights_file(folder, outcomes[1].run.run_id, step))
    runs = runs_of(parity(start={"folder": str(folder)}, sweep={"start.step": [0, 20]}))
    real = [run for run in runs if run.rule == "real"]
    assert [run.settings()["start.step"] for run in real] == [0, 20]
    assert len({run.cell_id for run in real}) == 2
    assert len({run.run_id for run in runs}) == 4


def nan_free(row):
    """The train and online metrics, which the worlds do not share at step 0."""
    return {name: value for name, value in row.items() if name.startswith(("train", "online"))}


def test_a_start_that_cannot_be_found_is_refused(kept, tmp_path):
    """No folder, no such column, several runs, weights that were not kept, and a model of another shape."""
    folder, outcomes = kept

    def sentence(**start):
        with pytest.raises(StudyError) as caught:
            runs_of(parity(start={"folder": str(folder), **start}))
        return caught.value.problems[0]

    assert sentence(folder="nowhere") == (
        '`start.folder`: nowhere holds no results. Run that study into it first, with keep.weights = "final".'
    )
    assert sentence(where={"depth": 2}) == (
        f"`start.where`: {folder} has no column 'depth'. Use a column of its runs.parquet."
    )
    assert sentence(seed=5) == (
        f"`start`: expected one run of {folder} for the real run of seed 0, found 0. "
        "Narrow it down with start.where, start.world and start.seed."
    )
    run_id = outcomes[0].run.run_id
    assert sentence(step=7) == (
        f"`start`: the weights of run {run_id} at step 7 were not kept ({weights_file(folder, run_id, 7)} is missing). "
        'Run that study with keep.weights = "final" or "evaluations".'
    )
    path = weights_file(folder, run_id, 40)
    wide = runs_of(parity(start={"folder": str(folder)}, model__width=8))
    with pytest.raises(ValueError, match=r"expected .* to hold a parameter 'hidden.0.weight' of shape") as caught:
        train(wide)
    assert str(caught.value) == (
        f"`start`: expected {path} to hold a parameter 'hidden.0.weight' of shape (8, 8), found one of shape (16, 8). "
        "List in start.layers the parameters that both models have."
    )


def test_weights_are_kept_at_every_evaluation_where_asked_for():
    """Each evaluated step has the named parameters of that step, of the shapes of the plain model."""
    found = {}
    raw = parity(**LONG, keep={"weights": "evaluations"})
    (real, _) = train(runs_of(raw), keep=lambda run, step, weights: found.update({(run.run_id, step): weights}))
    own = {step: weights for (run_id, step), weights in found.items() if run_id == real.run.run_id}
    assert sorted(own) == list(range(0, 41, 5))
    last = own[40]
    assert {name: tuple(value.shape) for name, value in last.items()} == {
        "hidden.0.weight": (16, 8), "hidden.0.bias": (1, 16), "output.weight": (2, 16), "output.bias": (1, 2),
    }  # fmt: skip
    assert torch.equal(torch.cat([value.flatten() for value in last.values()]), real.state["parameters"])


STOP = {"metric": "test_loss", "at_most": 0.7505, "streak": 2}


def test_a_pair_stops_together_once_both_have_met_the_rule():
    """Neither ends before the other has met it; rows up to there are those of the run without the rule."""
    plain = train(runs_of(parity(**LONG, training__seeds=3)))
    stopped = train(runs_of(parity(**LONG, training__seeds=3, stop=STOP)))
    assert {outcome.last_step for outcome in stopped} == {10, 30, 40}
    for one, other in zip(plain, stopped, strict=True):
        count = len(other.rows)
        assert [row["test_loss"] for row in one.rows[:count]] == [row["test_loss"] for row in other.rows]
    by_seed = {}
    for outcome in stopped:
        by_seed.setdefault(outcome.run.seed, []).append(outcome)
    for pair in by_seed.values():
        assert len({outcome.last_step for outcome in pair}) == 1
        if pair[0].stopped:
            assert all(outcome.meets_stop_rule for outcome in pair)
            cut = [dataclasses.replace(outcome, rows=outcome.rows[:-1]) for outcome in pair]
            assert not all(outcome.meets_stop_rule for outcome in cut)


def test_a_pair_stops_at_the_same_step_whatever_else_is_trained_beside_it():
    """Under a stop rule a run's rows follow from its own specification: other pools and worlds change none of them."""

    def rows(**changes):
        outcomes = train(runs_of(parity(**LONG, training__seeds=3, stop=STOP, **changes)))
        return {outcome.run.run_id: repr(outcome.rows) for outcome in outcomes}

    worlds = {"sweep": {"training.world": [{"rule": "real"}, {"rule": "fresh", "share": 0.5}]}}
    alone = rows(training__train_size=[24])
    for beside in (rows(training__train_size=[12, 24]), rows(training__train_size=[24], **worlds)):
        assert len(beside) == 2 * len(alone)
        assert {run_id: beside[run_id] for run_id in alone} == alone


def test_under_a_stop_rule_every_real_run_has_an_ideal_partner_of_its_own():
    """It is named by the configuration that it stops with; without the rule, pools and worlds share one."""
    changes = {
        "training__train_size": [12, 24],
        "sweep": {"training.world": [{"rule": "real"}, {"rule": "redraw", "share": 1}]},
    }
    shared, own = runs_of(parity(**LONG, **changes)), runs_of(parity(**LONG, stop=STOP, **changes))
    assert [sum(run.rule == "ideal" for run in runs) for runs in (shared, own)] == [1, 4]
    real = [run for run in own if run.rule != "ideal"]
    partners = {run.run_id: run for run in own if run.rule == "ideal"}
    assert [partners[run.ideal_run_id].partner for run in real] == [run.cell_id for run in real]
    assert {run.settings().get("stop.partner") for run in real} == {None}
    assert {run.settings()["stop.partner"] for run in partners.values()} == {run.cell_id for run in real}


def test_members_that_leave_change_no_bit_of_those_that_stay():
    """A member that diverges at once leaves the pack; the others' weights and rows are what they are alone."""
    calm = runs_of(parity(**LONG, training__seeds=2))
    wild = runs_of(parity(**LONG, optimizer={"name": "sgd", "lr": 1e30}, training__ideal=False))
    calm = [run.model_copy(update={"optimizer": {**wild[0].optimizer, "lr": 0.05}}) for run in calm]
    together, alone = train([calm[0], *wild, *calm[1:]]), train(calm)
    assert together[1].status == "diverged"
    assert together[1].removed
    assert together[1].last_step < 40
    for one, other in zip(alone, [together[0], *together[2:]], strict=True):
        assert torch.equal(one.state["parameters"], other.state["parameters"])
        assert repr(one.rows) == repr(other.rows)


def test_loading_kept_weights_needs_no_torch(kept):
    """They are plain safetensors under the names of the parameters."""
    folder, outcomes = kept
    path = weights_file(folder, outcomes[0].run.run_id, 40)
    assert sorted(load_file(path)) == ["hidden.0.bias", "hidden.0.weight", "output.bias", "output.weight"]
