"""YAML as data and nothing else: text -> plain values with every surprise refused, plain values -> text.

Reading knows null, true/false, integers, decimal numbers (`1e-4` too, which YAML 1.1 takes for a word) and text. It
refuses tags (`!!python/object` and any other), anchors and aliases (a few lines of them can stand for gigabytes),
duplicate keys, keys that are no text, deep nesting and long files. Every refusal is a ValueError of one line. Does
NOT cover: which fields there may be (`recipe_file`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

CHARACTERS = 4_000_000  # a recipe of a thousand classes has about forty thousand
DEPTH = 24

_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(
    r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN)$"
)


def loads(text: str) -> Any:
    """Return the one document in `text` as dicts, lists, text, numbers, booleans and None.

    Raises ValueError with one line that says where (line and column where known) and what to do.
    """
    import yaml

    if len(text) > CHARACTERS:
        raise ValueError(f"{len(text)} characters are too many for a recipe (at most {CHARACTERS})")
    try:
        return yaml.load(text, Loader=_loader())  # a SafeLoader that builds even less
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"{_place(error)}{_one_line(error.problem or error.context or 'this is not YAML')}") from None
    except yaml.reader.ReaderError as error:
        raise ValueError(f"character {error.position}: a recipe is plain text, {_one_line(error.reason)}") from None
    except yaml.YAMLError as error:
        raise ValueError(_one_line(str(error))) from None


def dumps(value: Any) -> str:
    """Return `value` (dicts, lists, tuples, text, numbers, booleans, None) as YAML that `loads` turns into its equal.

    Numbers keep all their digits; text that any YAML reader would take for something else is quoted.
    """
    import yaml

    text = yaml.dump(value, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    return str(text)


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


@cache
def _loader() -> Any:
    """Build the loader class once: at import it would cost every command the time of importing yaml."""
    import yaml

    class Loader(yaml.SafeLoader):
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            self.depth += 1
            _check_event(event, self.depth)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            _check_keys(node)
            return super().construct_mapping(node, deep=deep)

    Loader.yaml_implicit_resolvers = _resolvers()
    Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)
    return Loader


def _check_event(event: Any, depth: int) -> None:
    """Refuse what is more than plain data: aliases, anchors, tags, deep nesting."""
    import yaml

    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise _fault("anchors and aliases are refused: write the value out", event.start_mark)
    if getattr(event, "tag", None):
        what = f'the tag "{event.tag}" is refused: a recipe holds plain values, it builds no objects'
        raise _fault(what, event.start_mark)
    if depth > DEPTH:
        raise _fault(f"nested deeper than {DEPTH} levels", event.start_mark)


def _check_keys(node: Any) -> None:
    """Refuse names that are no text, and names that are given twice."""
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag != "tag:yaml.org,2002:str":
            what = f'a field\'s name must be text, got {key.value!r}: put it in "quotes" if it is meant'
            raise _fault(what, key.start_mark)
        if key.value in seen:
            raise _fault(f'"{key.value}" is given twice: keep one of them', key.start_mark)
        seen.add(key.value)


def _whole_number(loader: Any, node: Any) -> int:
    if len(node.value) > 40:
        raise _fault("a whole number of more than 40 digits", node.start_mark)
    return int(node.value)


def _fault(what: str, mark: Any) -> Exception:
    import yaml

    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)


@cache
def _dumper() -> Any:
    """Build the dumper class once. It quotes what either YAML 1.1 or our reader would not take for text."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, data: str) -> Any:
        # Other styles fold the rarer line breaks (NEL, U+2028) into spaces; double quotes escape them.
        style = None if data.isprintable() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    both = {key: list(value) for key, value in yaml.SafeDumper.yaml_implicit_resolvers.items()}
    for key, value in _resolvers().items():
        both[key] = both.get(key, []) + value
    Dumper.yaml_implicit_resolvers = both
    Dumper.add_representer(str, text)
    Dumper.add_representer(tuple, lambda dumper, data: dumper.represent_list(data))
    return Dumper


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """YAML 1.2's core schema without octal and hexadecimal, by first character, as PyYAML wants it."""
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for name, pattern, firsts in (
        ("null", _NULL, ["~", "n", "N", ""]),
        ("bool", _BOOL, list("tTfF")),
        ("int", _INT, list("-+0123456789")),
        ("float", _FLOAT, list("-+.0123456789")),
    ):
        for first in firsts:
            table.setdefault(first, []).append((f"tag:yaml.org,2002:{name}", pattern))
    return table
