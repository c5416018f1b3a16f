"""Help and mistakes of every command, as a newcomer meets them."""

from importlib import metadata

import pytest

from deepboot.runners import cli
from deepboot.runners.cli_options import LISTED
from deepboot.runners.command_line import Application, examples
from deepboot.runners.commands import listing


@pytest.mark.parametrize("name", ["", *cli.app.commands])
def test_help_is_narrow_and_plain(name, deepboot, monkeypatch):
    """No defaults that say nothing, none of tyro's brackets, no line wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    ran = deepboot(*filter(None, [name]), "--help")
    assert ran.returncode == 0
    for ugly in ("(default: None)", "(default: False)", "(default: )", "{None", "[[", "STR", "--no-"):
        assert ugly not in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80


@pytest.mark.parametrize("name", cli.app.commands)
def test_help_ends_with_examples_that_the_command_understands(name, deepboot):
    """One or more, each with options and choices that there are."""
    lines = examples(cli.app.commands[name])
    assert lines
    assert deepboot(name, "--help").stdout.split("examples:")[1].split() == " ".join(lines).split()
    for line in lines:
        program, *words = line.split()
        assert (program, words[0]) == ("deepboot", name)
        assert cli.app.read(words).func is cli.app.commands[name]


def test_help_tells_no_number_that_means_that_none_was_given(deepboot):
    """The jobs, nodes and GPUs of a batch script are not 0 by default: they are left out."""
    told = {
        line.split()[0]: line for line in deepboot("submit", "--help").stdout.splitlines() if line.startswith("  -")
    }
    assert [name for name in ("--shards", "--nodes", "--gpus") if "(default" in told[name]] == []
    assert "(default: 240)" in told["--minutes"]


def test_the_usage_of_check_has_all_its_files(deepboot):
    """It takes several, and asks for one if it is given none."""
    assert deepboot("check", "--help").stdout.splitlines()[0] == "usage: deepboot check [-h] FILE [FILE ...]"
    ran = deepboot("check")
    sentence = (
        "FILE: expected at least one plugin or study, got none. Write for instance `deepboot check my_study.toml`.\n"
    )
    assert (ran.returncode, ran.stderr) == (2, sentence)


def test_the_examples_of_data_have_every_data_set_and_action():
    """Each choice of its two words is in one of them."""
    words = {word for line in examples(cli.app.commands["data"]) for word in line.split()}
    assert {"cifar5m", "cifar10", "download", "prepare", "verify"} <= words


def test_no_words_are_a_question_for_help(deepboot):
    """Every command has its line."""
    said = deepboot().stdout
    assert said == deepboot("--help").stdout
    assert all(f"• {name} " in said for name in cli.app.commands)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("rnu demo", "unknown command 'rnu'. Did you mean 'run'? Known: {commands}."),
        (
            "plan demo --sed 3",
            "`deepboot plan` has no option '--sed'. Did you mean '--set'? Known: --help, --out, --scale, --set.",
        ),
        (
            "plan demo --checkpoint-seconds 3",
            "`deepboot plan` has no option '--checkpoint-seconds'. It is one of `deepboot run`. "
            "Known here: --help, --out, --scale, --set.",
        ),
        ("run demo --device gpu", "--device: unknown choice 'gpu'. Did you mean 'cpu'? Known: auto, cpu, cuda."),
        ("run demo --workers x", "deepboot run: --workers: expected INT, got 'x'. See `deepboot run --help`."),
        ("plan demo demo", "deepboot plan: not understood: demo. See `deepboot plan --help`."),
        ("plan", "deepboot plan: missing STUDY: a study file, or a name of `deepboot list studies`. "
         "See `deepboot plan --help`."),
        ("list optimzers", "`deepboot list` knows no 'optimzers'. Did you mean 'optimizers'? Known: all, studies, "
         "tasks, models, optimizers, losses, penalties, transforms, constructions, rules, probes, claims."),
        ("--hepl", "deepboot: not understood: --hepl. See `deepboot --help`."),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_the_nearest_name(words, sentence, deepboot):
    """Status 2, and no box."""
    ran = deepboot(*words.split())
    expected = sentence.replace("{commands}", ", ".join(sorted(cli.app.commands)))
    assert (ran.returncode, ran.stderr) == (2, f"{expected}\n")


def test_the_help_of_list_names_all_that_it_lists():
    """The names are written out, since help loads no registry."""
    assert set(LISTED.replace(" or ", ", ").split(", ")) == {"studies", *listing.PLURALS}


def test_a_command_is_read_before_it_is_carried_out():
    """Reading gives the call with its settings; underscores are as good as dashes."""
    calls = []

    def do(what: str, /, how_often: int = 1) -> None:
        """Do it."""
        calls.append((what, how_often))

    call = Application("p", "Does.", {"do": do}, "deep-bootstrap").read(["do", "it", "--how_often", "2"])
    assert calls == []
    call()
    assert calls == [("it", 2)]


def test_the_version_is_that_of_the_package(capsys):
    """Of the one that is installed, after the program's name."""
    cli.app.cli(["--version"])
    assert capsys.readouterr().out == f"deepboot {metadata.version('deep-bootstrap')}\n"
