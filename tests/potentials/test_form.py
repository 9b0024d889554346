"""Forms of a head: what they refuse, how they are written and joined."""

import numpy as np
import pytest

from fisherdash.errors import InputError
from fisherdash.potentials.form import HeadForm, joint_basis, rewritten
from fisherdash.potentials.head import Head
from tests.potentials.toy import FORMS


def test_two_reductions_meet_in_one_that_spans_both() -> None:
    rng = np.random.default_rng(5)
    bases = [np.linalg.qr(rng.normal(size=(8, 2)))[0] for _ in range(2)]
    joint = joint_basis(bases, 8)
    assert joint is not None and joint.shape == (8, 4)
    np.testing.assert_allclose(joint.T @ joint, np.eye(4), atol=1e-12)
    for basis in bases:
        form, wide = HeadForm("quadratic", (6,), 2), HeadForm("quadratic", (6,), 4)
        weights = rng.normal(size=form.size(8))
        wider = rewritten(weights, form, basis, wide, joint, 8)
        small, large = Head.of(form, 8, weights), Head.of(wide, 8, wider)
        np.testing.assert_allclose(
            basis @ small.quadratic[0] @ basis.T, joint @ large.quadratic[0] @ joint.T, atol=1e-12
        )
    assert joint_basis([bases[0], bases[0]], 8) is bases[0]
    assert joint_basis([bases[0], None], 8) is None
    assert joint_basis([np.eye(8)[:, :4], np.eye(8)[:, 4:]], 8) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "cubic"}, "the form of a head is one of"),
        ({"kind": "by element"}, "has elements of its own"),
        ({"kind": "shared", "elements": (1,)}, "has no elements of its own"),
        ({"kind": "by element", "elements": (6, 1)}, "rising order"),
        ({"kind": "by element", "elements": (1, 6), "reduce": 3}, "only a quadratic head"),
        ({"kind": "quadratic", "elements": (1, 6), "reduce": -1}, "a whole number"),
    ],
)
def test_forms_that_make_no_sense_are_refused(fields: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        HeadForm(**fields)


def test_forms_survive_json() -> None:
    for form, _ in FORMS.values():
        assert HeadForm.from_json(form.to_json()) == form
    with pytest.raises(InputError, match="has the fields"):
        HeadForm.from_json({"kind": "shared"})
