"""Records back from JSON, which has no number for nan and infinities: a null in the position of a number stands for one.

In: JSON text or its plain values, and a record's type. Out: plain values, or the record, with nan where a number is null, so
that a number that is not finite never makes a file or a study that cannot be read again; and the digest of a record.
Does NOT cover: writing (`atomic_file.to_json`).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from advisor.runtime.atomic_file import to_json

T = TypeVar("T")


def plain(text: str | bytes) -> Any:
    """Return the dicts, lists, text and numbers that a JSON text holds, which somebody else may have written or damaged.

    Raises ValueError of one line where it is no JSON, or nested too deeply: Python's own reader raises RecursionError for
    brackets in brackets, a thousand deep, which is no ValueError.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decode(text: str | bytes, kind: type[T]) -> T:
    """Return the record that a JSON text holds. Raises msgspec.MsgspecError where it is no such record, or no JSON."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        return convert(plain(text), kind)


def convert(plain: Any, kind: type[T]) -> T:
    """Return the record that plain values hold. Raises msgspec.ValidationError where they do not fit its type."""
    try:
        return msgspec.convert(plain, type=kind)
    except msgspec.ValidationError:
        return msgspec.convert(_with_nan(plain, inspect.type_info(kind)), type=kind)


def digest(record: Any) -> str:
    """Return the SHA-256 of a record's JSON: of everything that it says."""
    return hashlib.sha256(to_json(record).encode()).hexdigest()


def _with_nan(value: Any, kind: inspect.Type) -> Any:
    """Return the plain values with nan for each null where a number is expected and null is no value of its own."""
    if isinstance(kind, inspect.FloatType):
        return float("nan") if value is None else value
    if isinstance(kind, inspect.DataclassType | inspect.NamedTupleType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in kind.fields}
        return {name: _with_nan(v, fields[name]) if name in fields else v for name, v in value.items()}
    if isinstance(kind, inspect.DictType) and isinstance(value, dict):
        return {name: _with_nan(v, kind.value_type) for name, v in value.items()}
    if isinstance(kind, inspect.TupleType) and isinstance(value, list) and len(value) == len(kind.item_types):
        return [_with_nan(v, item) for v, item in zip(value, kind.item_types, strict=True)]
    if isinstance(kind, inspect.CollectionType) and isinstance(value, list):
        return [_with_nan(v, kind.item_type) for v in value]
    if isinstance(kind, inspect.UnionType) and value is not None:
        records = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        return _with_nan(value, records[0]) if len(records) == 1 else value
    return value
