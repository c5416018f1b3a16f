"""Mutated studies: whatever a study holds, it is planned, or refused in sentences that name a place and a cure."""

import os
import re
import resource
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path

import pytest

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners.run import work
from tests.runners.run.mutations import Mutant

IN_PROCESS, AS_PROCESSES = 1_000, 100
SECONDS, BYTES = 120, 12 << 30  # that a process may take: silence and a full memory are answers too
PLACE = r"(phases\[\d+\]: )?`.+`|--[a-z]+\b|study file |unknown study |claim"
CURE = r".*[.?]\)? (?=[A-Z`\"']).+"  # a second sentence


def is_told(sentence):
    """Whether a message names a place and, in a sentence of its own, a cure."""
    return re.match(PLACE, sentence) is not None and re.fullmatch(CURE, sentence, re.DOTALL) is not None


def refusal(mutant):
    """The sentences that a mutant is refused with, none where it can be planned."""
    options = dict(zip(mutant.options[::2], mutant.options[1::2], strict=True))
    changes = [options["--set"]] if "--set" in options else []
    try:
        work.plan(mutant.path, scale=options.get("--scale"), changes=changes)
    except StudyError as error:
        return error.problems
    return []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # a mutated plugin may warn
def test_mutated_studies_are_planned_or_refused_in_sentences(tmp_path, record_property):
    """No other exception, and every sentence names a place and a cure."""
    planned, wrong = 0, []
    for seed in range(IN_PROCESS):
        try:
            problems = refusal(Mutant(tmp_path, seed))
        except (Exception, SystemExit):
            wrong.append((seed, traceback.format_exc(limit=-3)))
        else:
            planned += not problems
            wrong += [(seed, sentence) for sentence in problems if not is_told(sentence)]
    record_property("planned", planned)
    assert not wrong, "\n".join(f"{seed}: {text}" for seed, text in wrong)
    assert IN_PROCESS // 10 < planned < IN_PROCESS * 9 // 10


def limited():
    """Bound the memory of a process before it begins."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_commands_of_mutated_studies_end_with_0_or_2_and_without_a_traceback(tmp_path, record_property):
    """As a person runs them: 2 and sentences where a study cannot be planned, or its claims not be judged; else 0."""
    wrong, codes = [], Counter()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    for seed in range(IN_PROCESS, IN_PROCESS + AS_PROCESSES):
        mutant = Mutant(tmp_path, seed)
        command = ["run", str(mutant.path), "--dry-run"] if seed % 2 else ["plan", str(mutant.path)]
        ran = subprocess.run(
            [sys.executable, "-m", "deepboot.runners.cli", *command, *mutant.options], cwd=tmp_path, env=environment,
            capture_output=True, text=True, timeout=SECONDS, check=False, preexec_fn=limited,
        )  # fmt: skip
        codes[ran.returncode] += 1
        expected = 2 if refusal(mutant) or "claim" in ran.stderr else 0
        untold = [line for line in ran.stderr.splitlines() if ran.returncode == 2 and not is_told(line)]
        if ran.returncode != expected or "Traceback" in ran.stderr + ran.stdout or untold:
            wrong.append(f"{seed}: {ran.returncode}, expected {expected} {untold} {ran.stderr[-1_500:]}")
    record_property("codes", codes)
    assert not wrong, "\n".join(wrong)
    assert set(codes) == {0, 2}
