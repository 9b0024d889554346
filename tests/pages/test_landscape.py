"""The loss landscape on the Compare page: asked for, run as a job, shown with its numbers."""

from fisherdash.potentials import checkpoint as checkpoints
from fisherdash.workspace import jobs, paths

PATIENCE = 180.0


def test_two_heads_are_mapped_with_their_sharpness(open_page, water, model):
    other = model.with_head(10.0 * model.head, model.element_bias, "steep", {})
    checkpoints.save(other, paths.folder("checkpoints") / "steep.safetensors")
    app = open_page("compare")
    app.segmented_control[0].set_value("Loss landscape").run()
    next(one for one in app.number_input if one.label == "Points along each").set_value(3)
    app.multiselect(key="mapped").set_value(["tiny", "steep"]).run()
    next(one for one in app.button if one.label == "Map the landscape").click().run()
    job = jobs.every("landscape")[0]
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    app.run()
    assert not app.exception
    table = app.dataframe[0].value.set_index("model")
    shown = table["sharpness (kcal/mol)²"]
    assert shown["steep"] == job.result["steep"].sharpness.value > 5 * shown["tiny"] > 0
    assert job.result["tiny"].surface.loss.shape == (3, 3)
    words = "\n".join(str(item.value) for item in app.markdown)
    assert "steep is" in words and "times as sharp" in words
    assert "python -m fisherdash landscape" in app.code[-1].value
    assert "--points 3" in app.code[-1].value


def test_an_even_number_of_points_is_one_sentence(open_page, water, model):
    app = open_page("compare")
    app.segmented_control[0].set_value("Loss landscape").run()
    next(one for one in app.number_input if one.label == "Points along each").set_value(4)
    app.multiselect(key="mapped").set_value(["tiny"]).run()
    next(one for one in app.button if one.label == "Map the landscape").click().run()
    job = jobs.every("landscape")[0]
    assert job.wait(PATIENCE) and job.status == "failed"
    app.run()
    assert not app.exception
    assert any("points must be an odd number" in item.value for item in app.error)


def test_without_models_it_says_what_to_do(open_page):
    app = open_page("compare")
    app.segmented_control[0].set_value("Loss landscape").run()
    assert any("There is no model yet" in item.value for item in app.info)
