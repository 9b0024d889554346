"""Frames of one molecule: the Dataset, the files it is read from, and the bonds of a geometry.

file or upload → reader (by format) → Raw → units, consistency → Dataset
"""

from fisherdash.dataset.core import (
    Dataset,
    at_temperature,
    reference_bonds,
    split,
    split_order,
)
from fisherdash.dataset.npz import save
from fisherdash.dataset.reader import Keys, clean_name, keys_of, load, load_bytes
from fisherdash.dataset.structures import FORMATS, write_unlabelled
