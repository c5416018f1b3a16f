"""Runs that differ in their seed alone: checked and described once, and made one by one where each is needed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat

from deepboot.bootstrap.study.run import Run


@dataclass(frozen=True)
class Replicates:
    """The runs of one configuration, one for each seed.

    Attributes:
        run: one of them, at whatever seed.
        seeds: of all of them, without duplicates.
        ideal: of real runs, the ideal partner of one of them, at whatever seed; None where there is none.
    """

    run: Run
    seeds: Sequence[int]
    ideal: Run | None = None

    def __len__(self) -> int:
        """Number of runs."""
        return len(self.seeds)

    def __iter__(self) -> Iterator[Run]:
        """The runs, in the order of their seeds; each is made when its turn comes."""
        _ = self.run.cell_id, self.run.first_settings  # computed once, for all of them
        ideal_ids = self.ideal.ids_at(self.seeds) if self.ideal is not None else repeat(None, len(self))
        for seed, run_id, ideal_id in zip(self.seeds, self.ids(), ideal_ids, strict=True):
            yield self.run.at_seed(seed, run_id, ideal_id)

    def ids(self) -> Iterator[str]:
        """The ``run_id`` of each run."""
        return self.run.ids_at(self.seeds)


def without_duplicates(cells: Sequence[Replicates]) -> list[Replicates]:
    """The same runs, each where it comes first; replicates without a run of their own are left out."""
    earlier: dict[tuple[bytes, bytes], list[Sequence[int]]] = {}  # seeds so far, by identity
    kept = []
    for cell in cells:
        lists = earlier.setdefault(cell.run.identity, [])
        known = set(chain.from_iterable(lists))
        seeds = [seed for seed in cell.seeds if seed not in known] if known else cell.seeds
        if seeds:
            lists.append(seeds)
            kept.append(replace(cell, seeds=seeds))
    return kept
