"""Show what Flax modules take: their fields, as for dataclasses.

`flax.linen.Module` makes a dataclass of every subclass, without a decorator that could
be read in the source. So a signature is made here of the annotated fields.
"""

from griffe import Extension, Function, Kind, Parameter, ParameterKind, Parameters


class FlaxFields(Extension):
    """Gives the signature of every Flax module."""

    def on_package(self, *, pkg, **kwargs):
        for cls in classes(pkg):
            if is_module(cls) and "__init__" not in cls.members:
                cls.set_member(
                    "__init__",
                    Function(
                        "__init__",
                        parameters=Parameters(*fields(cls)),
                        # the source that is shown: all of the class
                        lineno=cls.lineno,
                        endlineno=cls.endlineno,
                    ),
                )


def classes(scope):
    """All classes defined in a module and the modules below it."""
    for member in scope.members.values():
        if member.is_alias:
            continue
        if member.kind is Kind.CLASS:
            yield member
        elif member.kind is Kind.MODULE:
            yield from classes(member)


def is_module(cls) -> bool:
    bases = [str(base) for c in (cls, *cls.mro()) for base in c.bases]
    return any(base in ("nn.Module", "linen.Module") for base in bases)


def fields(cls):
    """One parameter per field, those of base classes first."""
    parameters = {}
    for c in (*reversed(cls.mro()), cls):
        for name, a in c.members.items():
            if a.is_alias or a.kind is not Kind.ATTRIBUTE or "property" in a.labels:
                continue
            if a.annotation is None or "ClassVar" in str(a.annotation):
                continue
            parameters[name] = Parameter(
                name,
                annotation=a.annotation,
                kind=ParameterKind.positional_or_keyword,
                default=a.value,
            )
    return parameters.values()
