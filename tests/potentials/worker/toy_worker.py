"""The other end with a toy for a library; its model files say in JSON what is to go wrong there.

python toy_worker.py …/worker.py
"""

import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path

spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
sys.path.insert(0, str(Path(__file__).parent))
import numpy as np  # noqa: E402
from toy import Toy  # noqa: E402


class Faulty(Toy):
    """A toy that does what its file says, after so many requests."""

    def __init__(self, data, options):
        said = json.loads(data)
        super().__init__(springs=said.get("springs", True))
        self.theta = np.array(said.get("theta", self.theta))
        self.constants = np.array(said.get("constants", self.constants))
        self.share = 1.0 if said.get("answer", "right") == "right" else 0.5
        self.fault, self.after = said.get("fault", ""), said.get("after", 0)
        print("hello from a library that prints to standard output", flush=True)
        if self.fault == "package":
            raise ModuleNotFoundError("No module named 'toy_torch'")
        if self.fault == "refused":
            raise worker.Refusal("holds nothing that is linear at its end")
        if self.fault == "not finite":
            self.theta = self.theta * np.nan
        if self.fault == "features":
            self.facts["features"] = 10**9

    def per_atom(self, numbers, x):
        self.after -= 1
        if self.after >= 0:
            return super().per_atom(numbers, x)
        if self.fault == "crash":
            print("Illegal something at 0x0", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.fault == "exit":
            os._exit(3)
        if self.fault == "hang":
            time.sleep(1000)
        if self.fault == "error":
            raise RuntimeError("this\nfailed \x1b[31m badly")
        found = super().per_atom(numbers, x)
        if self.fault == "shape":
            return {**found, "h": found["h"][:, :, :1]}
        if self.fault == "type":
            return {**found, "h": found["h"].astype("f4")}
        if self.fault == "names":
            return {"h": found["h"], "more": found["h"]}
        if self.fault == "length":
            os.write(answers, b"\xff\xff\xff\xff")
            time.sleep(1000)
        if self.fault == "no JSON":
            os.write(answers, b"\x04\x00\x00\x00junk")
            time.sleep(1000)
        return found

    def push(self, numbers, x, tangent):
        found = super().push(numbers, x, tangent)
        return {**found, "h": found["h"] * np.nan} if self.fault == "tangent" else found

    def energy_and_forces(self, numbers, x, theta):
        found = super().energy_and_forces(numbers, x, theta)
        if self.fault == "not linear" and theta is not None:
            found["energy"] = found["energy"] + 1e-6 * np.sum(theta**2)
        if self.fault == "constant":
            found["energy"] = found["energy"] + 1e-3
        if self.fault == "head" and theta is not None:
            found["forces"] = found["forces"] * 1.00001
        return found


answers = os.dup(1)
worker.FAMILIES.update(mace=Faulty, so3lr=Faulty)
if os.environ.get("TOY_VERSION"):
    worker.VERSION = int(os.environ["TOY_VERSION"])
worker.main()
