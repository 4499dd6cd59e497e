"""A model folder's JSON object, each entry checked as it is read."""

from collections.abc import Mapping
from typing import Any, TypeVar

from nlp_models.errors import InputError, require

Choice = TypeVar('Choice')

_NOTHING = object()


class Settings:
    """The entries of a `config.json`; null is as good as no entry."""

    def __init__(self, values: Mapping[str, Any], source: str):
        """Take the object, and what to call it in errors."""
        self.values, self.source = values, source

    def has(self, name: str) -> bool:
        """Whether there is an entry, null included."""
        return name in self.values

    def get(self, name: str, default: Any = None) -> Any:
        """An entry as it is."""
        value = self.values.get(name)
        return default if value is None else value

    def size(self, name: str, default: Any = _NOTHING) -> int:
        """A whole number of at least 1."""
        value = self._take(name, default)
        right = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        self._require(right, name, value, 'must be a whole number of at least 1')
        return value

    def size_or_none(self, name: str) -> int:
        """A whole number of at least 1, or 0 where there is no entry."""
        return 0 if self.get(name) is None else self.size(name)

    def number(self, name: str, default: Any = _NOTHING) -> float:
        """A number above 0."""
        value = self._take(name, default)
        right = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        self._require(right, name, value, 'must be a number above 0')
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._take(name, default)
        self._require(isinstance(value, bool), name, value, 'must be true or false')
        return value

    def choice(self, name: str, choices: Mapping[str, Choice], default: str) -> Choice:
        """What a name stands for."""
        value = self._take(name, default)
        known = f'must be one of {", ".join(choices)}'
        self._require(isinstance(value, str) and value in choices, name, value, known)
        return choices[value]

    def names(self, name: str) -> list[str]:
        """A list of names; none where there is no entry."""
        value = self.get(name, [])
        right = isinstance(value, list) and all(isinstance(each, str) for each in value)
        self._require(right, name, value, 'must be a list of names')
        return value

    def demand(self, name: str, value: Any) -> None:
        """Refuse a folder whose entry is there and not this one: it would be another function."""
        found = self.get(name, value)
        self._require(found == value, name, found, f'must be {value!r}; no other is built here')

    def refuse(self, *names: str) -> None:
        """Refuse a folder that has one of these entries, unless it is false or empty."""
        for name in names:
            found = self.get(name)
            self._require(not found, name, found, 'is not among what is built here')

    def group(self, name: str) -> 'Settings | None':
        """An entry that is an object of its own."""
        value = self.get(name)
        if value is None:
            return None
        self._require(isinstance(value, dict), name, value, 'must be an object')
        return Settings(value, f'{name} in {self.source}')

    def _take(self, name: str, default: Any) -> Any:
        value = self.get(name, default)
        if value is _NOTHING:
            raise InputError(f'{self.source} has no {name}')
        return value

    def _require(self, condition: bool, name: str, value: object, should: str) -> None:
        require(condition, f'{name} in {self.source}', value, should)
