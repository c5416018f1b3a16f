"""What is written down before the first run: the claims, and all that their verdicts depend on."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deepboot.bootstrap.study.schema import JUDGING
from deepboot.reports.claims.registration import digest, kind_source, plan_of

# what may change in a folder without another cell_id, by column of ``runs``
CHANGEABLE = ("max_steps", "metric", *(f"evaluation.{name}" for name in JUDGING))


def registered(study: Mapping[str, Any], cells: Mapping[str, Mapping[str, Any]], seeds: list[int]) -> dict[str, Any]:
    """The content of ``claims.json``, as `reports.claims.registration` reads it.

    Args:
        study: as resolved.
        cells: what is known beforehand of the runs of each cell, by cell_id and by column of ``runs``.
        seeds: of all runs, sorted.
    """
    claims = study.get("claims", [])
    sources = {claim["kind"]: kind_source(claim["kind"]) for claim in claims}
    content = {
        "registered": claims,
        "seeds": seeds,
        "plan": plan_of(study),
        "cells": {cell_id: {name: row[name] for name in CHANGEABLE} for cell_id, row in cells.items()},
        "kinds": {kind: source for kind, source in sources.items() if source},
        "registered_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {**content, "sha256": digest(content)}
