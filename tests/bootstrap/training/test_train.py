"""The science of a pair: identical until the first reuse, different after it, and a pure function of its run."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats

from deepboot.bootstrap import registry
from deepboot.bootstrap.samples.source import TEST_START, SampleSource
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.run_worlds import reuse_of
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.coefficients import learning_rate_factor
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from tests.bootstrap.conftest import parity

TRANSFORMER = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}
ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 7}


def parameters(runs, steps):
    """Parameters of every member after these steps, (E, P)."""
    pack = Pack(runs)
    train_steps(pack, steps)
    return pack.param_EP


def extended(resume_from, runs):
    """Outcomes of a shorter budget as the start of a longer one."""
    return [dataclasses.replace(outcome, run=run, rows=[]) for outcome, run in zip(resume_from, runs, strict=True)]


@pytest.mark.parametrize("model", [{"name": "mlp", "width": 16}, TRANSFORMER])
def test_worlds_are_bit_identical_until_the_first_reuse_and_differ_after_it(model):
    """Weights agree to the last bit while every sample is new, and no longer once one is used again."""
    runs = runs_of(parity(model=model, task=ADDITION, training__train_size=24, training__batch_size=8))
    assert [run.rule for run in runs] == ["real", "ideal"]
    for steps in (1, 2, 3):
        real, ideal = parameters(runs, steps)
        assert torch.equal(real, ideal)
    real, ideal = parameters(runs, 4)
    assert not torch.equal(real, ideal)


def test_all_rules_train_identically_until_the_first_reuse():
    """Every registered index rule has the ideal world's weights before the reuse and others after it."""
    settings = {
        "fresh": {"share": 0.5}, "redraw": {"share": 0.5}, "sliding": {"shift": 3}, "switch": {"at_step": 5},
        "consecutive": {"times": 2}, "spacing": {"times": 2, "gap": 2},
        "growing": {"first": 16, "growth": 4},
    }  # fmt: skip
    sooner = {"consecutive": 1, "spacing": 2, "growing": 2}
    for rule in sorted(set(registry.names("rule")) - {"ideal"}):
        runs = runs_of(parity(training__world={"rule": rule, **settings.get(rule, {})}))
        equal = sooner.get(rule, 3)
        before, after = parameters(runs, equal), parameters(runs, 6)
        assert torch.equal(before[0], before[1]), rule
        assert not torch.equal(after[0], after[1]), rule
        assert reuse_of(runs[0], 6)["first_reuse_step"] == equal, rule


def test_bootstrap_error_is_zero_until_the_first_reuse():
    """The evaluated rows of a pair agree exactly at all steps up to the first reuse."""
    real, ideal = train(runs_of(parity(evaluation__schedule=1)))
    gaps = [a["test_soft_error"] - b["test_soft_error"] for a, b in zip(real.rows, ideal.rows, strict=True)]
    assert gaps[:4] == [0.0] * 4
    assert all(gap != 0 for gap in gaps[4:])


@pytest.mark.parametrize("batch", [8, "full"])
def test_a_member_alone_is_bit_equal_to_itself_in_a_pack(batch):
    """An MLP's weights and rows do not depend on its neighbours."""
    runs = runs_of(parity(training__seeds=3, training__batch_size=batch))
    packed = {outcome.run.run_id: outcome for outcome in train(runs)}
    for run in runs:
        (alone,) = train([run])
        assert torch.equal(alone.state["parameters"], packed[run.run_id].state["parameters"])
        np.testing.assert_equal(alone.rows, packed[run.run_id].rows)


def test_a_run_does_not_read_the_global_generators():
    """Disturbing torch's and numpy's generators changes nothing, and they are not disturbed by training."""
    runs = runs_of(parity())
    first = parameters(runs, 5)
    torch.manual_seed(5)
    np.random.seed(5)  # the generator that must not matter
    state = torch.get_rng_state()
    assert torch.equal(parameters(runs, 5), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_of_single_streams_change_only_what_they_name():
    """Fixing the init stream gives two seeds equal starting weights and different data."""
    runs = runs_of(parity(training__seeds=2, training__ideal=False, training__streams={"init": 9}))
    start = Pack(runs)
    assert torch.equal(start.param_EP[0], start.param_EP[1])
    x = start.data.block(0, 1).x
    assert not torch.equal(x[0], x[1])
    same_data = runs_of(parity(training__seeds=2, training__ideal=False, training__streams={"data": 9}))
    pack = Pack(same_data)
    x = pack.data.block(0, 1).x
    assert torch.equal(x[0], x[1])
    assert not torch.equal(pack.param_EP[0], pack.param_EP[1])


def test_a_longer_budget_goes_on_exactly_where_a_shorter_one_ended():
    """Four steps, then to seven from the state, gives the weights and rows of seven steps at once."""
    short, long = runs_of(parity(training__max_steps=4)), runs_of(parity(training__max_steps=7))
    assert [run.run_id for run in short] == [run.run_id for run in long]
    resume_from = train(short)
    resumed = train(
        long,
        resume_from=[
            dataclasses.replace(outcome, run=run, rows=[]) for outcome, run in zip(resume_from, long, strict=True)
        ],
    )
    for whole, first, rest in zip(train(long), resume_from, resumed, strict=True):
        assert torch.equal(whole.state["parameters"], rest.state["parameters"])
        np.testing.assert_equal([*first.rows, *rest.rows], whole.rows)


def test_an_evaluation_off_the_schedule_does_not_cut_the_online_metrics():
    """A budget that ends between scheduled steps leaves the later rows as if it had not ended there."""
    short = runs_of(parity(training__max_steps=5, evaluation__schedule=4))
    long = runs_of(parity(training__max_steps=9, evaluation__schedule=4))
    resume_from = train(short)
    resumed = train(
        long,
        resume_from=[
            dataclasses.replace(outcome, run=run, rows=[]) for outcome, run in zip(resume_from, long, strict=True)
        ],
    )
    whole = train(long)
    rows = {row["step"]: row for row in whole[0].rows}
    assert [row["step"] for row in resume_from[0].rows] == [0, 4, 5]
    assert resumed[0].rows[0] == rows[8]


def test_a_diverged_member_is_marked_with_its_step_and_changes_no_bit_of_its_neighbours():
    """A learning rate of 1e30 ends as NaN; the members beside it are as they were without it."""
    calm = runs_of(parity(training__seeds=2, training__ideal=False, optimizer={"name": "sgd", "lr": 0.1}))
    wild = calm[0].model_copy(update={"optimizer": {**calm[0].optimizer, "lr": 1e30}, "seed": 9})
    together, alone = train([calm[0], wild, calm[1]]), train(calm)
    assert together[1].status == "diverged"
    assert together[1].last_step == together[1].rows[-1]["step"] < 6
    for packed, solo in zip((together[0], together[2]), alone, strict=True):
        assert torch.equal(packed.state["parameters"], solo.state["parameters"])
        np.testing.assert_equal(packed.rows, solo.rows)


def test_hyperparameters_are_each_members_own():
    """Two learning rates in one pack give what each gives alone."""
    one = runs_of(parity(training__ideal=False))[0]
    other = one.model_copy(update={"optimizer": {**one.optimizer, "lr": 0.3, "betas": [0.5, 0.9], "weight_decay": 1.0}})
    packed = train([one, other])
    for run, outcome in zip((one, other), packed, strict=True):
        assert torch.equal(train([run])[0].state["parameters"], outcome.state["parameters"])


def test_init_scale_scales_the_start_and_output_scale_the_logits():
    """A factor of 2 on the start doubles the parameters; a factor of 3 on the output triples the logits."""
    plain = Pack(runs_of(parity(training__ideal=False)))
    scaled = Pack(runs_of(parity(training__ideal=False, model__init_scale=2.0, model__output_scale=3.0)))
    torch.testing.assert_close(scaled.param_EP, 2 * plain.param_EP)
    x = plain.data.block(0, 1).x[:, 0]
    scaled.param_EP.copy_(plain.param_EP)
    torch.testing.assert_close(scaled.logits(slice(0, 1), x), 3 * plain.logits(slice(0, 1), x))


def test_float64_is_used_throughout():
    """With dtype float64 the parameters are float64 and nearly those of float32."""
    wide = parameters(runs_of(parity(training__dtype="float64")), 5)
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide.float(), parameters(runs_of(parity()), 5), rtol=1e-3, atol=1e-5)
    for one, other in zip(train(runs_of(parity(training__dtype="float64"))), train(runs_of(parity())), strict=True):
        assert one.rows[-1]["test_loss"] == pytest.approx(other.rows[-1]["test_loss"], abs=1e-5)


def test_learning_rate_schedules_follow_their_closed_forms():
    """Linear warm-up over 4 updates, then constant, half a cosine or a line to 0 at the budget."""
    step = torch.arange(1, 11, dtype=torch.float64)[:, None]
    for shape in ("constant", "cosine", "linear"):
        raw = parity(training__max_steps=10, schedule={"shape": shape, "warmup_steps": 4})
        factor = learning_rate_factor(runs_of(raw)[0], step)[:, 0].tolist()
        for update in range(1, 11):
            done = max(update - 5, 0) / 6
            tail = {"constant": 1, "cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done}[shape]
            assert factor[update - 1] == pytest.approx(min(update / 4, 1) * tail)


def test_rows_hold_what_a_plain_evaluation_gives():
    """Train and test metrics of the table equal those computed sample by sample in numpy."""
    runs = runs_of(parity(training__seeds=1))
    pack = Pack(runs)
    train_steps(pack, 5)
    row = Evaluator(pack).rows()[0]
    hidden, bias, output, last = (tensor.double().numpy() for tensor in pack.weights(0).values())
    task = build_task(runs[0].task)
    x, y = task.sample(pack.source.test_E2[:1], TEST_START + torch.arange(64)[None])
    logits = np.maximum(x[0].numpy() @ hidden.T + bias, 0) @ output.T + last
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    right = p[np.arange(64), y[0].numpy()]
    assert row["test_soft_error"] == pytest.approx(np.mean(1 - right), abs=1e-6)
    assert row["test_loss"] == pytest.approx(np.mean(-np.log(right)), abs=1e-6)
    assert row["test_error"] == pytest.approx(np.mean(logits.argmax(-1) != y[0].numpy()), abs=1e-12)
    assert row["weight_norm"] == pytest.approx(pack.param_EP[0].double().norm().item())


def test_train_metrics_are_of_each_members_own_pool():
    """Two pools of different sizes in one pack are each measured on their own samples, as alone."""
    runs = runs_of(parity(training__train_size=[12, 24], training__seeds=1))
    packed = {outcome.run.run_id: outcome.rows for outcome in train(runs)}
    for run in runs:
        for alone, beside in zip(train([run])[0].rows, packed[run.run_id], strict=True):
            assert alone.keys() == beside.keys()
            for name in set(alone) - {"run_id"}:
                assert alone[name] == pytest.approx(beside[name], abs=1e-6, nan_ok=True), name


def test_online_error_is_the_mean_error_of_batches_before_their_updates():
    """At step 2 of every-step evaluation it is the error of the second batch under the weights after one update."""
    runs = runs_of(parity(training__ideal=False, evaluation__schedule=1))
    (outcome,) = train(runs)
    pack = Pack(runs)
    train_steps(pack, 1)
    block = pack.data.block(1, 2)
    wrong = pack.logits(slice(0, 1), block.x[:, 0]).argmax(-1) != block.y[:, 0]
    assert outcome.rows[2]["online_error"] == wrong.double().mean().item()
    assert math.isnan(outcome.rows[0]["online_error"])


def test_ideal_world_has_no_train_metrics():
    """They are missing, not zero: there is no pool."""
    real, ideal = train(runs_of(parity()))
    assert all(math.isnan(row["train_error"]) for row in ideal.rows)
    assert all(math.isfinite(row["train_error"]) for row in real.rows)


def test_label_noise_has_its_rate_belongs_to_the_sample_and_spares_the_test():
    """A binomial test of the rate; the same sample is noisy at every use; test labels stay right."""
    raw = parity(data={"label_noise": 0.2, "test_samples": 256}, training__train_size=4000, training__batch_size=50)
    run = runs_of(raw)[0]
    source = SampleSource(build_task(run.task), [run])
    index = torch.arange(4000)[None]
    samples = source.train(slice(0, 1), index)
    flipped = int((samples.y != samples.clean).sum())
    assert stats.binomtest(flipped, 4000, 0.2).pvalue > 1e-3
    again = source.train(slice(0, 1), index.flip(1))
    assert torch.equal(again.y.flip(1), samples.y)
    test = source.test()
    assert torch.equal(test.y, test.clean)


def test_label_noise_of_one_makes_every_label_wrong():
    """Noise gives a wrong label, never the right one by chance."""
    run = runs_of(parity(task=ADDITION, data={"label_noise": 1.0}))[0]
    samples = SampleSource(build_task(run.task), [run]).train(slice(0, 1), torch.arange(24)[None])
    assert (samples.y != samples.clean).all()
    assert len(((samples.y - samples.clean) % 7).unique()) > 3


def test_noisy_labels_are_reported_beside_clean_ones():
    """Under label noise rows have train_clean_error; without it they do not."""
    noisy = train(runs_of(parity(data={"label_noise": 0.5, "test_samples": 16})))[0].rows[-1]
    assert noisy["train_clean_error"] != noisy["train_error"]
    assert "train_clean_error" not in train(runs_of(parity()))[0].rows[-1]


def test_swapped_answers_exchange_k_labels_of_the_pool_among_themselves():
    """Of the pool k labels move, their multiset stays, and the ideal world has the same outliers."""
    runs = runs_of(parity(task=ADDITION, data={"swapped_answers": 10}, training__train_size=18, training__batch_size=6))
    source = SampleSource(build_task(runs[0].task), runs)
    index = torch.arange(36).expand(2, -1)
    samples = source.train(slice(0, 2), index)
    pool, clean = samples.y[0, :18], samples.clean[0, :18]
    assert sorted(pool.tolist()) == sorted(clean.tolist())
    assert 5 <= int((pool != clean).sum()) <= 10
    assert torch.equal(samples.y[0], samples.y[1])
    assert sorted(samples.y[0, 18:].tolist()) == sorted(samples.clean[0, 18:].tolist())


def test_each_swapped_pool_has_its_own_ideal_partner():
    """The rate of outliers is k / N, so pools of other sizes are not compared with the same ideal run."""
    runs = runs_of(parity(data={"swapped_answers": 4}, training__train_size=[12, 24]))
    assert len({run.run_id for run in runs if run.rule == "ideal"}) == 2
    assert len({run.ideal_run_id for run in runs if run.rule == "real"}) == 2


def test_members_of_a_pack_must_share_their_step():
    """States at different steps are our bug, not the user's."""
    runs = runs_of(parity(training__seeds=2, training__ideal=False))
    resume_from = train(runs)
    resume_from[0].state["step"] = torch.tensor(2)
    with pytest.raises(AssertionError, match="members of a pack share one step counter"):
        train([run.model_copy(update={"max_steps": 9}) for run in runs], resume_from=resume_from)


@pytest.mark.parametrize(
    ("optimizer", "at"), [("sgd", 1), ("sgd", 4), ("sgd", 64), ("sgd", 130), ("adamw", 7), ("adamw", 65)]
)
def test_training_goes_on_from_any_step_to_the_last_bit(at, optimizer):
    """Outcomes taken in the middle of a block lead to the weights and rows of the run that was never cut."""
    runs = runs_of(parity(training__max_steps=140, optimizer={"name": optimizer, "lr": 0.01}))
    taken = []

    def on_steps(steps, snapshot):
        if len(taken) < at:
            taken.append(snapshot() if len(taken) == at - 1 else None)

    whole = train(runs, on_steps=on_steps)
    resumed = train(runs, resume_from=taken[-1])
    for one, other in zip(whole, resumed, strict=True):
        assert int(taken[-1][0].state["step"]) == at
        assert one.state.keys() == other.state.keys()
        assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)
        np.testing.assert_equal(one.rows, other.rows)


def test_pools_batches_and_noise_that_cannot_be_are_refused_with_a_cure():
    """Every impossible request is a sentence with place, expectation, value and cure."""
    cases = {
        '`training.batch_size`: expected at most the pool\'s 24 samples, got 25. Lower it, or set it to "full".': (
            parity(training__batch_size=25)
        ),
        "`training.train_fraction`: task 'sparse_parity' is endless, so a pool is no fraction of it. "
        "Give training.train_size instead.": parity(training__train_size=None, training__train_fraction=0.5),
        "`data.swapped_answers`: expected at most the pool's 24 samples, got 30. Lower it.": (
            parity(data={"swapped_answers": 30})
        ),
        '`data.split`: this task has no mirror images, so there are no orbits. Set it to "cells".': (
            parity(data={"split": "orbits"})
        ),
        "`data.noisy_test`: there is no label noise to put on the test. Set data.label_noise.": (
            parity(data={"noisy_test": True})
        ),
        "`training.train_size`: a pool of 45 does not fit into the 39 training cells. Lower it (train_fraction at "
        'most 0.795), lower data.test_fraction, or set data.test_set = "rest".': (
            parity(task=ADDITION, training__train_size=45)
        ),
        "`training.train_size`: a pool of 49 leaves no cell to test on. "
        'Lower it, or set data.test_set = "population".': (
            parity(task=ADDITION, training__train_size=49, data={"test_set": "rest"})
        ),
    }
    for sentence, raw in cases.items():
        with pytest.raises(StudyError) as caught:
            runs_of(raw)
        assert caught.value.problems == [sentence]


def test_outcome_seconds_are_shared_by_the_members():
    """The seconds of a pack's members add up to the pack's time, so they can be summed over a study."""
    outcomes = train(runs_of(parity(training__seeds=2)))
    assert len({outcome.seconds for outcome in outcomes}) == 1
    assert dataclasses.is_dataclass(outcomes[0])


@pytest.mark.gpu
def test_a_gpu_reads_the_same_samples_and_learns_the_same():
    """Batches are equal bits on both devices; losses after a few updates agree to float32 rounding."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    runs = runs_of(parity(training__world={"rule": "fresh", "share": 0.5}, training__max_steps=20))
    here, there = Pack(runs), Pack(runs, Execution(device="cuda"))
    for start in (0, 9):
        one, other = here.data.block(start, start + 4), there.data.block(start, start + 4)
        assert torch.equal(one.x, other.x.cpu())
        assert torch.equal(one.y, other.y.cpu())
    for pack in (here, there):
        train_steps(pack, 20)
    for one, other in zip(Evaluator(here).rows(), Evaluator(there).rows(), strict=True):
        assert one["test_loss"] == pytest.approx(other["test_loss"], rel=1e-3)
