"""Where a long training stands, on disk: weights, the optimiser's state, random numbers. A killed job goes on from there.

For full fine-tuning, whose single run takes hours; a LoRA run is short, and its job goes on at the next seed. What is written
are safetensors and JSON, nothing pickled.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from tli.tables import whole


@dataclass
class Checkpoint:
    """A place for one run's checkpoint, written anew every `minutes`."""

    folder: Path
    minutes: float
    key: dict  # all that the run depends on; another run's checkpoint is not taken for this one's
    written: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        return time.monotonic() - self.written >= 60 * self.minutes

    def save(self, trainable: dict, optimizer, losses: list[float], rates: list[float], seconds: float) -> None:
        """Write, whole, where the run stands after len(losses) steps. A file a parameter: main memory holds a copy of one at a time."""
        import torch
        from safetensors.torch import save_file

        scalars: dict = {}
        random = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            random["cuda"] = torch.cuda.get_rng_state()
        with whole(self.folder) as beside:
            beside.mkdir()
            for number, (name, parameter) in enumerate(trainable.items()):
                tensors = {"weights": parameter.detach().contiguous()}
                for entry, value in optimizer.state.get(parameter, {}).items():
                    if torch.is_tensor(value):
                        tensors[f"optimizer/{entry}"] = value.detach().contiguous()
                    else:
                        scalars[f"{entry}/{name}"] = value
                save_file(tensors, str(beside / f"{number}.safetensors"))
            save_file(random, str(beside / "random.safetensors"))
            record = {"key": self.key, "names": list(trainable), "losses": losses, "learning_rates": rates, "seconds": seconds}
            (beside / "state.json").write_text(json.dumps(record | {"scalars": scalars}), encoding="utf-8")
        self.written = time.monotonic()

    def load(self, trainable: dict, optimizer) -> dict | None:
        """Put weights, optimiser and random numbers as they were. Returns losses, learning_rates, seconds; None without one.

        A checkpoint that cannot be read, or of another run, counts as none, and nothing is changed.
        """
        import torch
        from safetensors import SafetensorError, safe_open

        files = {name: str(self.folder / f"{number}.safetensors") for number, name in enumerate(trainable)}
        random = self.folder / "random.safetensors"
        try:
            record = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
            if record["key"] != json.loads(json.dumps(self.key)) or record["names"] != list(trainable):
                return None
            for file in (*files.values(), str(random)):
                with safe_open(file, "pt"):  # a file that is cut off is found out here
                    pass
        except (OSError, ValueError, KeyError, SafetensorError):
            return None
        state = {}
        for name, parameter in trainable.items():
            with safe_open(files[name], "pt") as stored:
                parameter.data.copy_(stored.get_tensor("weights"))
                state[name] = {place.partition("/")[2]: stored.get_tensor(place) for place in stored.keys() if place != "weights"}  # noqa: SIM118
        for place, value in record["scalars"].items():
            entry, _, name = place.partition("/")
            state[name][entry] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": {i: s for i, s in enumerate(state.values()) if s}, "param_groups": groups})
        with safe_open(str(random), "pt") as stored:
            torch.set_rng_state(stored.get_tensor("cpu"))
            if torch.cuda.is_available() and "cuda" in stored.keys():  # noqa: SIM118
                torch.cuda.set_rng_state(stored.get_tensor("cuda"))
        return {key: record[key] for key in ("losses", "learning_rates", "seconds")}

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
