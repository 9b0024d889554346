"""Tables in files: as they are and packed."""

from pathlib import Path

import pandas as pd
import pytest

from fisherdash.errors import InputError
from fisherdash.study import read_tables, write_tables
from fisherdash.study.results import Kept
from fisherdash.study.tables import COLUMNS
from tests.study import planted
from tools.study_pieces import pack_tables


def test_packed_tables_are_the_same_bytes_and_read_like_the_others(tmp_path: Path) -> None:
    tables, packed = planted.tables(seed=1, models=4, replicas=3, epochs=5), []
    for folder in (tmp_path / "one", tmp_path / "two"):
        write_tables(tables, folder / "tables")
        plain = read_tables(folder / "tables")
        pack_tables(folder / "tables")
        packed.append({path.name: path.read_bytes() for path in (folder / "tables").iterdir()})
        assert set(packed[-1]) == {f"{name}.csv.xz" for name in COLUMNS}
        for found in (read_tables(folder / "tables"), Kept("it", folder).tables()):
            for name in COLUMNS:
                pd.testing.assert_frame_equal(getattr(found, name), getattr(plain, name))
    assert packed[0] == packed[1]


def test_a_damaged_packed_table_is_one_sentence(tmp_path: Path) -> None:
    write_tables(planted.tables(seed=1, models=4, replicas=3, epochs=5), tmp_path)
    pack_tables(tmp_path)
    whole = (tmp_path / "curves.csv.xz").read_bytes()
    (tmp_path / "curves.csv.xz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"curves\.csv\.xz is a damaged packed file, or cut short"):
        read_tables(tmp_path)
