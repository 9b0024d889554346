"""ANI potentials as potentials, evaluated in JAX from the files of NeuroChem.

``network`` is the potential, and ``reading`` takes a folder of files apart and writes another head
into it.
"""

from fisherdash.potentials.ani.network import Ani
