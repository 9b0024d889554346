"""The one exception that stands for a user's mistake.

Everything a user can get wrong (a file, a number, a name) is refused with an ``InputError`` whose
text is one sentence: what was wrong, what was received, what would be right. The shell prints it
and exits with status 2; a page shows it and keeps what was loaded. Any other exception is a failure
of the program itself.
"""

import re

LONGEST = 1200
"""Characters of a sentence: it may quote what a file holds, and files have no end."""


class InputError(ValueError):
    """Input that cannot be used; ``str(error)`` is the sentence for the user."""

    def __init__(self, sentence: object) -> None:
        text = str(sentence)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST - 300]} … {text[-200:]}"
        super().__init__(text)


def within(error: BaseException) -> InputError | None:
    """The InputError that compiled code met on a call out of it; None for any other exception.

    JAX raises one of its own then, of which only the text says what it was.
    """
    if isinstance(error, InputError):
        return error
    text = str(error)
    if not re.search("calling (buffer )?callback", text):
        return None
    _, mark, sentence = text.rpartition(f"{InputError.__name__}: ")
    return InputError(sentence.strip().split("\n")[0]) if mark else None
