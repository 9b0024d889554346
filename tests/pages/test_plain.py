"""Text from strangers as Markdown: everything that means something is taken its meaning."""

import pytest

from pages.ui.progress import plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words, 300 K.npz", "plain words, 300 K.npz"),
        ("ethanol_500K", "ethanol\\_500K"),
        ("# a <b> `c` $x$ :red[d]", "\\# a \\<b\\> \\`c\\` \\$x\\$ \\:red\\[d\\]"),
        ("- a", "\\- a"),
        ("12. a", "12\\. a"),
        ("two\n\nparagraphs\n    and code", "two paragraphs and code"),
        ("https://a.b", "https\\:\u2060//a.b"),
        ("www.a.b", "www\u2060.a.b"),
        ("me@a.b", "me\\@\u2060a.b"),
    ],
)
def test_plain(text, expected):
    assert plain(text) == expected
