"""Import on a page of a model that only its own library can evaluate."""

import shlex

import numpy as np
import pytest

from fisherdash import dataset, submit
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint
from fisherdash.potentials.worker import trusted
from fisherdash.settings import ImportSettings, OutsideSettings
from fisherdash.workspace import jobs, paths
from tests.pages.test_pages import PATIENCE, texts
from tests.pages.test_pages import submit as press
from tests.potentials.worker.conftest import file, nothing_left_running, python  # noqa: F401
from tests.randomised import ETHANOL, displaced_ethanol


@pytest.fixture
def ethanol():
    """Frames of ethanol with forces that are not the toy's."""
    x = displaced_ethanol(40)
    rng = np.random.default_rng(3)
    data = dataset.Dataset(x, rng.normal(size=40), rng.normal(size=x.shape), ETHANOL, 300.0)
    dataset.save(data, paths.folder("datasets") / "ethanol.npz")
    return data


def fill(app, path, python, trust):  # noqa: F811
    app.text_input(key="outside file").set_value(str(path))
    app.selectbox(key="outside family").select("mace")
    app.text_input(key="outside python").set_value(python)
    app.toggle(key="outside trusted").set_value(trust)
    press(app, "Import")


def test_a_trusted_file_becomes_a_checkpoint_that_can_be_re_fitted(
    open_page, ethanol, file, python  # noqa: F811
):  # fmt: skip
    app = open_page("refit")
    fill(app, file(), python, trust=False)
    (error,) = app.error
    assert "add “Trust this file” if it comes from somebody" in error.value
    assert not jobs.every("import") and not trusted.everything()
    for name in (file().with_name("absent"), "~nosuchuser/file", "x" * 300):
        fill(app, name, python, trust=True)
        assert "is no file; give the file of the model itself" in app.error[0].value
    assert not app.exception
    fill(app, file(), python, trust=True)
    assert not app.error and not app.exception
    (job,) = jobs.every("import")
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    app.run()
    assert "sum over atoms, cutoff 50 Å" in texts(app) and not app.exception
    made = paths.folder("checkpoints") / "toy.safetensors"
    words = shlex.split(job.info["command"])
    assert words[2:7] == ["fisherdash", "import", str(file()), "--out", str(made)]
    assert words[7:] == ["--family", "mace", "--python", python, "--trust-this-file"]
    app.selectbox(key="model").select("toy").run()
    assert not app.exception and not app.error
    refit = submit.refit(
        made, paths.folder("datasets") / "ethanol.npz", checkpoint.load(made), ethanol,
        fisher_options(),
    )  # fmt: skip
    assert refit.wait(PATIENCE) and refit.status == "finished", refit.error


def fisher_options():
    """Of the report's own head, which needs no more than the toy's four features."""
    from fisherdash.settings import Options

    return Options(head="shared", ridge=0, test_boltzmann=False)


def test_a_file_that_is_refused_is_one_sentence(open_page, ethanol, file, python):  # noqa: F811
    app = open_page("refit")
    fill(app, file(fault="refused", of="a page"), python, trust=True)
    (job,) = jobs.every("import")
    assert job.wait(PATIENCE) and "holds nothing that is linear" in str(job.error)
    app.run()
    assert not app.exception and [one.value for one in app.error] == [str(job.error)]
    assert not list(paths.folder("checkpoints").glob("*"))


def test_a_shared_server_offers_and_does_nothing_of_it(
    open_page, ethanol, file, python, coming_as  # noqa: F811
):  # fmt: skip
    coming_as("somebody")
    app = open_page("refit")
    assert not [one for one in app.text_input if one.key == "outside file"]
    outside = OutsideSettings(family="mace", python=python, trusted=True)
    with pytest.raises(InputError, match="this server is shared by many, and opens none"):
        submit.import_model(file(), ImportSettings(), outside)
