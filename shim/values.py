"""Values: frozen, slotted, keyword-only classes that cost next to nothing to declare.

dataclasses would serve as well, but pulls in inspect, dis and ast: 17 more modules on the way to every boot.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self, dataclass_transform
else:
    def dataclass_transform(**_options):
        return lambda cls: cls


@dataclass_transform(frozen_default=True, kw_only_default=True)
class ValueMeta(type):
    """Turn annotated names into slots, and their class-level values into defaults (immutable ones only)."""

    if TYPE_CHECKING:
        __fields__: tuple[str, ...]
        __defaults__: dict[str, Any]

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> ValueMeta:
        own = tuple(field for field in space.get("__annotations__", {}) if not field.startswith("__"))
        defaults = {field: space.pop(field) for field in own if field in space}
        space["__slots__"] = own
        cls = super().__new__(mcs, name, bases, space)
        fields: dict[str, None] = {}
        merged: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            fields.update(dict.fromkeys(base.__dict__.get("__value_own__", ())))
            merged.update(base.__dict__.get("__value_own_defaults__", {}))
        fields.update(dict.fromkeys(own))
        merged.update(defaults)
        type.__setattr__(cls, "__value_own__", own)
        type.__setattr__(cls, "__value_own_defaults__", defaults)
        type.__setattr__(cls, "__fields__", tuple(fields))
        type.__setattr__(cls, "__defaults__", merged)
        return cls


class Value(metaclass=ValueMeta):
    """A frozen record of named fields. `check` is called once when it is made, and raises on nonsense."""

    def __init__(self, **given: Any) -> None:
        for name in type(self).__fields__:
            if name in given:
                object.__setattr__(self, name, given.pop(name))
            elif name in type(self).__defaults__:
                object.__setattr__(self, name, type(self).__defaults__[name])
            else:
                raise TypeError(f"{type(self).__name__} needs {name}")
        if given:
            raise TypeError(f"{type(self).__name__} has no {', '.join(given)}")
        self.check()

    def check(self) -> None:
        """Raise if the fields do not belong together; the default takes all."""

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; it is checked like a new one."""
        return type(self)(**{**self.as_dict(), **changes})

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in order of declaration; values are not converted."""
        return {name: getattr(self, name) for name in type(self).__fields__}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is frozen")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).__fields__)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in type(self).__fields__)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__fields__)
        return f"{type(self).__name__}({shown})"
