"""Frames of one molecule: the Dataset, the files it is read from, and the bonds of a geometry.

file or upload → reader → npz + layouts | structures (ASE) → inference (units) → Dataset
"""

from fisherdash.dataset.core import Dataset, check_temperature, reference_bonds, split
from fisherdash.dataset.inference import ENERGY_UNITS
from fisherdash.dataset.npz import save
from fisherdash.dataset.reader import clean_name, load, load_bytes
from fisherdash.dataset.structures import FORMATS, write_unlabelled
from fisherdash.dataset.temperature import set_temperature
