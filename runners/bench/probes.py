"""One probe of ``deepboot bench gpu`` in a process of its own: ``python -m deepboot.runners.bench.probes bits``.

Every part of a probe is answered by itself and written down at once, so that a part that fails, or a process that is
ended, takes nothing from the others.
"""

import argparse
import gc
import json
import math
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from deepboot.bootstrap.wording import error_line
from deepboot.runners import builtins
from deepboot.runners.bench import probe_commands, probe_exactness, probe_rates, probe_variants
from deepboot.runners.bench.probe_studies import Found, Parts
from deepboot.runners.run.process import prepare

PROBES: dict[str, Callable[[str], Parts]] = {
    "bits": probe_exactness.bits,
    "graphs": probe_exactness.graphs,
    "repeats": probe_exactness.repeats,
    "rates_graphed": partial(probe_rates.rates, "graphed"),
    "rates_eager": partial(probe_rates.rates, "eager"),
    "rates_compiled": partial(probe_rates.rates, "compiled_graphed"),
    "demo": probe_commands.demo,
    "precisions": probe_variants.precisions,
    "resnet": probe_variants.resnet,
    "waits": probe_variants.waits,
    "interrupt": probe_commands.interrupt,
    "tests": partial(probe_commands.tests, chosen="not compiled"),
    "tests_compiled": partial(probe_commands.tests, chosen="compiled"),
}


def answer(parts: Parts, tell: Callable[[Found], None], until: float = math.inf) -> bool:
    """Answer the parts of a probe in turn; whether none of them has a problem.

    Args:
        parts: in the order in which they are asked.
        tell: called with every answer as it is found, and for those that there was no time for.
        until: in seconds since the epoch; no part is begun that would end later if it took as long as the longest.
    """
    longest, well = 0.0, True
    for name, ask in parts.items():
        if time.time() + longest > until:
            tell({"part": name, "left_out": True})
            continue
        began = time.monotonic()
        found = asked(ask)
        longest = max(longest, time.monotonic() - began)
        well = well and not found.get("problem")
        tell({"part": name, "seconds": time.monotonic() - began, **found})
    return well


def asked(ask: Callable[[], Found]) -> Found:
    """The answer of one part; whatever it raises is its problem. What it held on the device is given back."""
    try:
        return ask()
    except Exception as error:  # a compiler or a device may raise anything
        traceback.print_exc()
        return {"problem": error_line(error)}
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def main(words: Sequence[str]) -> int:
    """Entry point; exit status 0 if no part has a problem, else 1."""
    parser = argparse.ArgumentParser(prog="probes", description="Answer one probe; a line of JSON per part.")
    parser.add_argument("probe", choices=PROBES)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--answers", type=Path, help="file that the lines go to, instead of standard output")
    parser.add_argument("--until", type=float, default=math.inf, help="when to begin no more, in seconds since 1970")
    given = parser.parse_args(words)
    builtins.load(claims=False)
    prepare(1)

    def tell(found: Found) -> None:
        line = json.dumps(found, default=str) + "\n"
        if given.answers is None:
            sys.stdout.write(line)
            return
        with given.answers.open("a") as file:
            file.write(line)

    return 0 if answer(PROBES[given.probe](given.device), tell, given.until) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
