"""Values made at first use, once, also when several threads ask at the same time.

`functools.cached_property` and `functools.cache` make them several times then, and a session takes
tenths of a second. What fails is not kept: the next who asks gets the error anew.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar, overload

_Value = TypeVar("_Value")


class once_property(Generic[_Value]):  # noqa: N801  (it reads like `property`)
    """Decorator for a property that is computed at first use; other threads wait for it."""

    def __init__(self, make: Callable[[Any], _Value]) -> None:
        """Wrap the method that makes the value."""
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> once_property[_Value]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> _Value: ...
    def __get__(
        self, instance: object | None, owner: type | None = None
    ) -> _Value | once_property[_Value]:
        """The value; once made, Python finds it in the instance and does not come here again."""
        if instance is None:
            return self
        kept = instance.__dict__
        with kept.setdefault(f"{self._name} lock", Lock()):  # setdefault is atomic
            if self._name not in kept:
                kept[self._name] = self._make(instance)
        value: _Value = kept[self._name]
        return value


class Once(Generic[_Value]):
    """A function without arguments that is called once and then remembered."""

    def __init__(self, make: Callable[[], _Value]) -> None:
        """Wrap the function."""
        self._make = make

    def __call__(self) -> _Value:
        """What the function gave at the first call."""
        return self._value

    @once_property
    def _value(self) -> _Value:
        return self._make()
