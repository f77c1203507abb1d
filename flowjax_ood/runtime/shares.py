"""Which rows of a batch one process reads; imports nothing heavy."""

from typing import NamedTuple, TypeVar

Rows = TypeVar("Rows")


class Share(NamedTuple):
    """Which of `count` equal parts of a batch, in order: what one process reads."""

    index: int = 0
    count: int = 1

    def of(self, rows: Rows) -> Rows:
        """The rows of this part; ValueError where they do not divide evenly."""
        each, left = divmod(len(rows), self.count)
        if left:
            raise ValueError(
                f"{len(rows)} rows do not divide over {self.count} processes; use a "
                f"multiple of {self.count}"
            )
        return rows[each * self.index : each * (self.index + 1)]


WHOLE = Share()
