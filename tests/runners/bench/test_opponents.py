"""No opponent is fast because it is wrong: each trains what the naive loop trains."""

import copy
import itertools
import shutil
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

from deepboot.bootstrap.samples.source import SampleSource
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.training.pack import Pack
from deepboot.runners.bench import opponents
from deepboot.runners.bench.contests import CONTESTS, PAIRED
from deepboot.runners.bench.opponents import WITH_OPTIMIZER, Opponent, Variant, fastest, opponent_loop, reshuffled
from deepboot.runners.run.packing import ordered_members

STEPS = 6
MODELS = ["mlp", "parity", "transformer"]
FORMS = [("loop", 1), ("bmm", 3), ("vmap", 3)]


def batches_of(contest, members):
    real, _ = opponents._batches(contest, members, "cpu")
    return [(x.double() if x.is_floating_point() else x, y) for x, y in itertools.islice(real, STEPS)]


@contextmanager
def float64():
    """Numbers fine enough for two orders of summation to agree after some steps of Adam."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def trained_plainly(contest, modules, batches):
    """Each step's loss, summed over members, and the modules after the steps: a plain loop with an unfused AdamW."""
    settings = {key: contest.study["optimizer"][key] for key in ("lr", "weight_decay", "betas")}
    losses = torch.zeros(len(batches))
    for member, module in enumerate(modules):
        optimizer = torch.optim.AdamW(module.parameters(), foreach=False, **settings)
        for step, (x, y) in enumerate(batches):
            loss = nn.functional.cross_entropy(module(x[member]), y[member])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[step] += loss.detach()
    return losses, modules


def trains_as_a_plain_loop(contest, variant, backend):
    torch.manual_seed(1)
    batches = batches_of(contest, variant.members)
    with float64():
        opponent = Opponent(contest, variant, backend=backend)
        expected, modules = trained_plainly(contest, copy.deepcopy(opponent.modules), batches)
        losses = torch.stack([opponent.update(x, y) for x, y in batches])
    assert not torch.equal(losses[0], losses[-1])
    torch.testing.assert_close(losses, expected, rtol=1e-9, atol=0)
    for name, parameter in opponent.parameters.items():
        ours = parameter if variant.form != "loop" else parameter[None]
        theirs = torch.stack([module.get_parameter(name) for module in modules])
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("form", "members"), FORMS)
@pytest.mark.parametrize("compiled", ["eager", pytest.param("compiled", marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", MODELS)
def test_every_variant_has_the_losses_and_the_weights_of_a_plain_loop(tiny, model, form, members, compiled):
    """One run or three stacked, fused and compiled, on the same batches from the same start."""
    trains_as_a_plain_loop(tiny[model], Variant(form, members, compiled), "aot_eager")


@pytest.mark.parametrize(("form", "members"), FORMS)
def test_so_has_one_whose_optimizer_is_compiled_too(tiny, form, members):
    """The optimizer is the same for every model."""
    trains_as_a_plain_loop(tiny["parity"], Variant(form, members, WITH_OPTIMIZER), "aot_eager")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize(("form", "members"), FORMS)
@pytest.mark.parametrize("model", MODELS)
def test_so_has_every_variant_with_the_compiler_that_is_raced(tiny, model, form, members):
    """As above, by generated code."""
    trains_as_a_plain_loop(tiny[model], Variant(form, members, WITH_OPTIMIZER), "inductor")


def test_a_compiled_variant_is_compiled(tiny):
    """The compiler sees the gradient once, and in the last kind the optimizer's step too."""

    def graphs(compiled):
        seen = []

        def backend(graph, inputs):
            seen.append(graph)
            return graph.forward

        loop, _ = opponent_loop(tiny["mlp"], Variant("bmm", 2, compiled), backend=backend)
        loop(3)
        return len(seen)

    assert (graphs("eager"), graphs("compiled")) == (0, 1)
    assert graphs(WITH_OPTIMIZER) > 1


NAMES = {
    "self_attn.in_proj_": "query_key_value.", "self_attn.out_proj.": "mix.", "linear1.": "up.", "linear2.": "down.",
    "blocks.layers.": "blocks.", "blocks.norm.": "norm.",
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_an_opponents_model_is_the_naive_one_and_as_large_as_the_harness_one(tiny, model):
    """With the naive module's weights, the opponent's gives its logits."""
    contest = tiny[model]
    plain, tried = contest.module(), contest.tried()
    weights = {}
    for name, parameter in plain.named_parameters():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)  # noqa: PLW2901
        weights[name] = parameter
    tried.load_state_dict(weights)
    ((x, _),) = itertools.islice(opponents._batches(contest, 1, "cpu")[0], 1)
    torch.testing.assert_close(tried(x[0]), plain(x[0]))
    assert sum(map(torch.numel, tried.parameters())) == Pack(contest.runs()).param_EP.shape[1]


def test_a_pass_reads_every_sample_of_every_pool_once_and_the_next_in_another_order():
    """Three pools of six samples in batches of two; the seventh is left over."""
    x = torch.arange(21).view(3, 7)
    batches = list(itertools.islice(reshuffled(x, 10 * x, 2), 6))
    assert all(torch.equal(10 * x_EB, y_EB) for x_EB, y_EB in batches)
    for passes in (batches[:3], batches[3:]):
        read = torch.cat([x_EB for x_EB, _ in passes], 1)
        assert all(
            len(set(row.tolist())) == 6 and set(row.tolist()) <= set(x[e].tolist()) for e, row in enumerate(read)
        )
    assert not torch.equal(batches[0][0], batches[3][0])


def test_the_ideal_half_reads_all_training_cells_and_no_test_cell(tiny):
    """Real members stay in their pools; every label is the sum."""
    contest = replace(tiny["mlp"], pairs=True)
    real, ideal = opponents._batches(contest, 4, "cpu")
    runs = ordered_members(contest.runs(4))
    source = SampleSource(build_task(runs[0].task), runs)
    for side, whole in ((real, False), (ideal, True)):
        x = torch.cat([x for x, y in itertools.islice(side, 20) if torch.equal(y, (x[..., 0] + x[..., 2]) % 7)], 1)
        assert x.shape[1] == 20 * 8
        for member, own in enumerate(x):
            cells = set((own[:, 0] * 7 + own[:, 2]).tolist())
            allowed = source.cell_EU[member + 2 * whole].tolist()
            size = len(allowed) if whole else runs[0].pool_size
            assert cells == set(allowed[:size])


def test_fresh_samples_of_parity_are_new_at_every_step_and_labelled_by_it(tiny):
    """Beside the real half, which stays."""
    contest = replace(tiny["parity"], pairs=True)
    real, ideal = opponents._batches(contest, 4, "cpu")
    (pool, _), (alone, label) = next(real), next(ideal)
    assert torch.equal(label, alone[..., :3].sum(-1).long() % 2)
    steps = [(x.clone(), y.clone()) for x, y in itertools.islice(opponents.beside_fresh(real, contest.fresh), 2)]
    for x, y in steps:
        assert torch.equal(y, x[..., :3].sum(-1).long() % 2)
        assert torch.equal(x[:2], pool)
        assert set(x[2:].unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(steps[0][0][2:], steps[1][0][2:])


@pytest.mark.parametrize("model", ["mlp", "parity"])
def test_pairs_are_trained_in_every_form(tiny, model):
    """A loop of one run at a time steps a real and an ideal run by turns, a stack half and half."""
    contest = replace(tiny[model], pairs=True)
    for variant, members in ((Variant(), 2), (Variant("bmm", 4), 4), (Variant("vmap", 2), 2)):
        loop, stepped = opponent_loop(contest, variant)
        loop(2)
        assert stepped == members


def test_the_fastest_variant_is_found_and_only_the_best_of_each_form_compiled():
    """A variant that fails has the rate 0; one run at a time where no sizes are given."""
    rates = {
        "one run, eager": 5, "bmm of 2, eager": 7, "bmm of 4, eager": 6, "vmap of 2, eager": 1, "vmap of 4, eager": 2,
        "one run, compiled": 6, "bmm of 2, compiled": 9, "vmap of 4, compiled": 0,
        "bmm of 2, compiled with its optimizer": 8, "one run, compiled with its optimizer": 5,
    }  # fmt: skip
    asked = []

    def rate(variant):
        asked.append(str(variant))
        return rates[str(variant)]

    assert fastest(rate, (2, 4)) == Variant("bmm", 2, "compiled")
    assert asked == list(rates)[:-1]
    assert fastest(rate, (2, 4), compiles=False) == Variant("bmm", 2)
    assert fastest(rate, ()) == Variant(compiled="compiled")


def test_a_contest_of_pairs_has_as_many_ideal_runs_as_real_ones():
    """The shipped ones race sixteen runs."""
    rules = [[run.rule for run in ordered_members(contest.runs(contest.members))] for contest in PAIRED.values()]
    assert rules == 2 * [["real"] * 16, ["real"] * 8 + ["ideal"] * 8]
    assert set(PAIRED) < set(CONTESTS)
