"""The nodes of a cluster as Ray describes them: how many workers they have devices for, and what they are called."""

from collections import Counter
from typing import Any

import ray


def alive() -> list[dict[str, Any]]:
    """What Ray knows of each node that is there now."""
    return [node for node in ray.nodes() if node["Alive"]]


def slots(nodes: list[dict[str, Any]], device: str, threads: int, gpu_share: float) -> int:
    """Workers that nodes have devices for, each node by itself.

    Args:
        nodes: as `alive` returns them.
        device: "cuda" counts shares of GPUs, "cpu" threads.
        threads: of a worker on CPUs.
        gpu_share: of one GPU that a worker gets, in (0, 1].

    >>> nodes = [{"Resources": {"CPU": 5.0}}, {"Resources": {"CPU": 2.0, "GPU": 8.0}}]
    >>> slots(nodes, "cpu", 2, 1.0), slots(nodes, "cuda", 1, 0.5)
    (3, 16)
    """
    if device == "cpu":
        return sum(int(node["Resources"].get("CPU", 0)) // threads for node in nodes)
    return sum(int(node["Resources"].get("GPU", 0)) * int(1 / gpu_share + 1e-9) for node in nodes)


def node_names() -> dict[str, str]:
    """A name for each node by Ray's identifier, with the beginning of that where names are the same."""
    nodes = {node["NodeID"]: str(node["NodeName"]) for node in ray.nodes()}
    times = Counter(nodes.values())
    return {own: name if times[name] == 1 else f"{name}-{own[:4]}" for own, name in nodes.items()}
