"""Where a long training stands, on disk: weights, the optimiser's state, random numbers. A killed job goes on from there.

For full fine-tuning, whose single run takes hours; a LoRA run is short, and its job goes on at the next seed. What is written
are safetensors and JSON, nothing pickled.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tli.io.atomic import whole
from tli.log import say

if TYPE_CHECKING:
    import torch


@dataclass
class Checkpoint:
    """A place for one run's checkpoint, written anew every `minutes`; 0: never."""

    folder: Path
    minutes: float
    key: dict  # all that the run depends on; another run's checkpoint is not taken for this one's
    written: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        return bool(self.minutes) and time.monotonic() - self.written >= 60 * self.minutes

    def save(self, trainable: dict, optimizer: torch.optim.Optimizer, losses: list[float], rates: list[float], seconds: float) -> None:
        """Write, whole, where the run stands after len(losses) steps. A file a parameter: main memory holds a copy of one at a time.

        Where it cannot be written (a full disk) the training goes on without.
        """
        from safetensors import SafetensorError

        try:
            self._write(trainable, optimizer, losses, rates, seconds)
        except (OSError, SafetensorError) as error:
            say(f"train: the checkpoint cannot be written ({error}); training goes on")
        self.written = time.monotonic()

    def _write(self, trainable: dict, optimizer: torch.optim.Optimizer, losses: list[float], rates: list[float], seconds: float) -> None:
        import torch
        from safetensors.torch import save_file

        scalars: dict = {}
        steps = {"steps": str(len(losses))}
        random = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            random |= {f"cuda-{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
        with whole(self.folder) as beside:
            beside.mkdir()
            for number, (name, parameter) in enumerate(trainable.items()):
                tensors = {"weights": parameter.detach().contiguous()}
                for entry, value in optimizer.state.get(parameter, {}).items():
                    if torch.is_tensor(value):
                        tensors[f"optimizer/{entry}"] = value.detach().contiguous()
                    else:
                        scalars[f"{entry}/{name}"] = value
                save_file(tensors, str(beside / f"{number}.safetensors"), metadata=steps)
            save_file(random, str(beside / "random.safetensors"), metadata=steps)
            record = {"key": self.key, "names": list(trainable), "losses": losses, "learning_rates": rates, "seconds": seconds}
            (beside / "state.json").write_text(json.dumps(record | {"scalars": scalars}), encoding="utf-8")

    def load(self, trainable: dict, optimizer: torch.optim.Optimizer) -> dict | None:
        """Put weights, optimiser and random numbers as they were. Returns losses, learning_rates, seconds; None without one.

        A checkpoint that cannot be read, or of another run, counts as none, and nothing is changed.
        """
        from safetensors import SafetensorError, safe_open

        with ExitStack() as stack:
            try:
                record = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
                if record["key"] != json.loads(json.dumps(self.key)) or record["names"] != list(trainable):
                    return None
                names = [*range(len(trainable)), "random"]
                devices = [str(p.device) for p in trainable.values()] + ["cpu"]
                # All are opened before one is read: another copy of the job may put a newer checkpoint here at any moment.
                files = [
                    stack.enter_context(safe_open(str(self.folder / f"{name}.safetensors"), "pt", device=device))
                    for name, device in zip(names, devices, strict=True)
                ]
                if any((file.metadata() or {}).get("steps") != str(len(record["losses"])) for file in files):
                    return None
            except (OSError, ValueError, KeyError, SafetensorError):
                return None
            self._put(trainable, optimizer, files, record["scalars"])
        return {key: record[key] for key in ("losses", "learning_rates", "seconds")}

    @staticmethod
    def _put(trainable: dict, optimizer: torch.optim.Optimizer, files: list, scalars: dict) -> None:
        import torch

        *parameters, random = files
        state: dict = {}
        for (name, parameter), stored in zip(trainable.items(), parameters, strict=True):
            parameter.data.copy_(stored.get_tensor("weights"))
            state[name] = {place.partition("/")[2]: stored.get_tensor(place) for place in stored.keys() if place != "weights"}  # noqa: SIM118
            if "step" in state[name]:
                state[name]["step"] = state[name]["step"].cpu()  # where AdamW keeps it
        for place, value in scalars.items():
            entry, _, name = place.partition("/")
            state[name][entry] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": {i: s for i, s in enumerate(state.values()) if s}, "param_groups": groups})
        torch.set_rng_state(random.get_tensor("cpu"))
        cards = [random.get_tensor(name) for name in sorted(random.keys()) if name.startswith("cuda-")]
        if torch.cuda.is_available() and len(cards) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(cards)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
