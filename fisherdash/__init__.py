"""FisherDash: re-fit the last layer of a force field by score matching, and see what MD says.

Importing the package switches JAX to 64 bits: the integrator's state and every sum over frames
are double precision, while the network runs in whatever precision its weights have.
"""

import os
import sys

# JAX reads the variable when it is imported, which the shell's help need not wait for.
os.environ["JAX_ENABLE_X64"] = "1"
if "jax" in sys.modules:
    sys.modules["jax"].config.update("jax_enable_x64", True)

__version__ = "0.1.0"
