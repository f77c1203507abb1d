"""A function with some of its arguments, which compares by value."""

from functools import partial


class Bound(partial):
    """`functools.partial` that equals another of the same function and arguments.

    Two of `partial` are never equal, and so are no two modules that hold one: what JAX
    compiles for a flow given as a static argument would be compiled again for the same
    flow built anew. All arguments must be hashable.
    """

    def _value(self) -> tuple:
        return self.func, self.args, frozenset(self.keywords.items())

    def __eq__(self, other):
        return type(other) is type(self) and self._value() == other._value()

    def __hash__(self):
        return hash(self._value())
