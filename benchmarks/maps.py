"""Six free maps at every hidden state of a model of 8 billion parameters: 33 states of 4,096 dimensions, 700 pairs, on this machine.

    OMP_NUM_THREADS=1 python benchmarks/maps.py [--states 33] [--write]

Vectors are random about a planted linear relation, made state by state as a scan's are read. Seconds are those of the processor.
Beside them and the peak memory stands the time of the bare thin factors, two singular value decompositions a state, without
which no map can be.
--write puts the figures into benchmarks/results/maps.tsv.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
from common import write_table
from scipy import linalg

from tli import metrics
from tli.metrics.map_choice import MapRows, choose_map, fit_choice, map_curve
from tli.metrics.maps import KINDS

PAIRS, DIMENSIONS = 700, 4096
TRAIN, SELECT = 420, 105  # the default shares


def states(number: int) -> Iterator[tuple[int, metrics.Vectors]]:
    for state in range(number):
        yield state, vectors(state)


def vectors(state: int) -> metrics.Vectors:
    """A spectrum that falls as those of language models do, an offset and noise: [700, 4096] of each language."""
    rng = np.random.default_rng(state)
    source = rng.standard_normal((PAIRS, DIMENSIONS), np.float32) * (np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** -0.5) + 0.05
    target = np.roll(source, 64, axis=1) + 0.01 * rng.standard_normal((PAIRS, DIMENSIONS), np.float32)
    return metrics.Vectors(source, target)


def seconds(function) -> tuple[float, object]:
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=33)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    names = pd.DataFrame({"source": [f"s{i}" for i in range(PAIRS)], "target": [f"t{i}" for i in range(PAIRS)], "alternatives": ""})
    rows = MapRows(metrics.candidates(names), np.arange(TRAIN), np.arange(TRAIN, TRAIN + SELECT))
    making, _ = seconds(lambda: [vectors(0) for _ in range(3)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table = []
    for name in (None, *KINDS):
        used = list(KINDS) if name is None else [name]
        took, curve = seconds(lambda used=used: map_curve(states(arguments.states), rows, used))
        took -= making / 3 * arguments.states
        if name is None:
            peak, everything = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, curve
        table.append({"what": name or "all six", "states": arguments.states, "fits": len(curve), "seconds": f"{took:.1f}"})
    x = vectors(0).source[:TRAIN].astype(np.float64)
    bare, _ = seconds(lambda: [linalg.svd(x - x.mean(axis=0), full_matrices=False) for _ in range(4)])
    table.append({"what": "bare thin factors", "states": arguments.states, "fits": 0, "seconds": f"{bare / 2 * arguments.states:.1f}"})
    chosen = choose_map(everything, "procrustes")
    there = vectors(chosen.hidden_state)
    one, mapping = seconds(lambda: fit_choice(chosen, there, rows))
    applying, _ = seconds(lambda: mapping.vectors(there))
    note = (
        f"{TRAIN} pairs fitted, {SELECT} judged, {PAIRS} in the list; all six maps with every hyperparameter; a chosen Procrustes map is "
        f"fitted in {one:.2f} s and applied to the list in {applying:.2f} s; "
        f"peak {peak:.0f} MiB, {before:.0f} of them imports and one state's vectors"
    )
    if arguments.write:
        write_table("maps", table, note)
    else:
        print(pd.DataFrame(table).to_string(index=False), note, sep="\n")


if __name__ == "__main__":
    main()
