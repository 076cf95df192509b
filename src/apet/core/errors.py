"""The one exception type of the library."""

from __future__ import annotations


class ApETError(ValueError):
    """Raised for every user's mistake that the library can name.

    The message is one line that names the operation, the value received and what would be right. It is raised
    before anything is changed.

    Args:
        operation: What was being done, as the user would call it (``"compress"``, ``"apply"``).
        got: The value received, in words.
        expected: What would be right.

    Examples:
        >>> import apet, torch
        >>> try:
        ...     apet.compress(torch.randn(40, 8), keep=64)
        ... except apet.ApETError as error:
        ...     print(error)
        compress: got keep=64 for 40 tokens; expected an int between 1 and 40
    """

    def __init__(self, operation: str, got: str, expected: str) -> None:
        super().__init__(f"{operation}: got {got}; expected {expected}")
        self.operation = operation
        self.got = got
        self.expected = expected

    def __reduce__(self) -> tuple[type[ApETError], tuple[str, str, str]]:
        return type(self), (self.operation, self.got, self.expected)


def not_finite(operation: str, shape: tuple[int, ...], number: int, what: str = "image") -> ApETError:
    """The error for tokens with NaN or infinite values."""
    return ApETError(
        operation,
        f"tokens {shape} with NaN or infinite values (first in {what} {number})",
        "values that are finite in float32",
    )
