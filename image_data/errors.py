"""What is wrong with a data set or an image, in a sentence for whoever can mend it."""

from __future__ import annotations


class DataError(Exception):
    """The data set cannot be used; the message says what, where, and what to do."""


class UnreadableImageError(Exception):
    """The bytes are not an image that can be used; the message says why."""
