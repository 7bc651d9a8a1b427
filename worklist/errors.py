"""What can go wrong, as one tree. An error carries a code and parameters; words are chosen where it is shown.

HurenError
├── Refused      tell the person who asked; asking again in the same way will be refused again
│   ├── NotFound     not there, or not theirs: the two look the same from outside
│   ├── Forbidden    they are known, and may not do this
│   ├── Conflict     somebody else was faster, or the words on the screen are old
│   └── BadInput     what was sent cannot be understood or accepted
├── TryLater     the same request may succeed later (peer away, database busy)
└── Broken       a person must look; retrying does not help
"""

from __future__ import annotations


class HurenError(Exception):
    """Base of all errors of this program.

    Parameters
    ----------
    code
        Short, stable and lower case (``"order_has_images"``); the catalogue of words is keyed by it.
    params
        Values for the words. Never clinical text and never a person's name: errors reach logs.
    """

    def __init__(self, code: str, **params: object) -> None:
        self.code = code
        self.params = params
        super().__init__(code if not params else f"{code} {params}")


class Refused(HurenError):
    """The request is understood and declined; say why to the person who made it."""


class NotFound(Refused):
    """Not there, or outside the caller's scope. The two are not told apart."""


class Forbidden(Refused):
    """The caller is known and lacks the role or scope for this verb."""


class Conflict(Refused):
    """The thing has moved on since the caller looked at it."""


class BadInput(Refused):
    """Bytes or fields that cannot be understood or accepted."""


class TryLater(HurenError):
    """Retrying the same work later may succeed."""


class Broken(HurenError):
    """Neither retrying nor the caller can help; the work is kept and shown to a person."""
