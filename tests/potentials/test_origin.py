"""Provenance from a stranger's file: types and sizes, and whatever we write is read again."""

import dataclasses
import json

import pytest
import safetensors
import safetensors.numpy

from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint, origin
from tests import networks


@pytest.fixture(scope="module")
def sound():
    return networks.checkpoint(0)


def with_header(model, path, **changed) -> bytes:
    """The bytes of a checkpoint whose header says something else."""
    checkpoint.save(model, path)
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    return safetensors.numpy.save(safetensors.numpy.load(path.read_bytes()), metadata | changed)


HOSTILE = {
    "errors is a list": '{"errors": [1, 2]}',
    "errors is text": '{"errors": "abc"}',
    "an error is text": '{"errors": {"valid_force_rmse": "<img src=x>"}}',
    "an error is a table": '{"errors": {"valid_force_rmse": {"a": 1}}}',
    "parent is a table": '{"parent": {"a": 1}}',
    "fingerprint is a list": '{"parent_fingerprint": [1]}',
    "frames is a table": '{"frames": {"a": 1}}',
    "frames is text": '{"frames": "<b>"}',
    "epochs is true": '{"epochs": true}',
    "molecule is a number": '{"molecule": 5}',
    "a lone surrogate": '{"parent": "\\ud800"}',
    "a lone surrogate in a key": '{"\\ud800": 1}',
    "a huge integer": '{"frames": ' + "9" * 4000 + "}",
    "a number of 5,000 digits": '{"seed": ' + "9" * 5000 + "}",
    "megabytes": json.dumps({"parent": "A" * 5_000_000}),
    "a long text": json.dumps({"parent": "A" * 2000}),
    "deep": '{"a": ' + "[" * 900 + "]" * 900 + "}",
    "no object": "[1]",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_provenance_is_refused_in_one_short_sentence(sound, tmp_path, what):
    """Wrong types, lone surrogates and huge integers once loaded, and took pages away; a name of
    40 MB went to every visitor."""
    data = with_header(sound, tmp_path / "a.safetensors", provenance=HOSTILE[what])
    with pytest.raises(InputError, match="header of evil is damaged") as refusal:
        checkpoint.load_bytes(data, "evil")
    sentence = str(refusal.value)
    assert len(sentence) < 400 and sentence.encode() and "\n" not in sentence


@pytest.mark.parametrize("name", ["N" * 3000, "\x1b]0;pwn\x07", "red\u202etxt", "two\nlines"])
def test_a_hostile_name_is_refused_and_not_printed(sound, tmp_path, name):
    data = with_header(sound, tmp_path / "a.safetensors", name=name)
    with pytest.raises(InputError, match="name of a model has at most 200") as refusal:
        checkpoint.load_bytes(data, "evil")
    assert str(refusal.value).isprintable()


def test_what_we_write_is_read_whatever_files_are_called(sound, tmp_path):
    odd = dataclasses.replace(
        sound,
        name="x" * 300 + "\n",
        provenance={"data": "d" * 5000 + "\udcff", "frames": 3, "errors": {"valid_loss": 0.5}},
    )
    checkpoint.save(odd, tmp_path / "odd.safetensors")
    again = checkpoint.load(tmp_path / "odd.safetensors")
    assert again.name == "x" * 200 and again.provenance["data"] == "d" * origin.LONGEST_TEXT
    assert again.provenance["errors"] == {"valid_loss": 0.5}
