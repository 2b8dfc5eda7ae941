"""Which column of a table holds the path, the label, the split and the group; which others could matter.

In: the names of the columns and the user's options. Out: `Columns`. Usual names are understood; `--path-column` and the
like name unusual ones. Does NOT cover: the cells (`rows`).
"""

from __future__ import annotations

import difflib
import re
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.data.images import printable
from advisor.data.layouts.listing import shortened
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions


def _words(text: str) -> list[str]:
    return text.split()


PATH = tuple(
    _words(
        "path file_name filename filepath file_path image_path img_path image_name img_name image img image_id img_id file "
        "images files fname picture photo name imageid imgid filepaths datei dateiname pfad bild fichier chemin archivo "
        "imagen ruta arquivo imagem immagine 文件名 图片 id"
    )
)
LABEL = tuple(
    _words(
        "label class target category label_name class_name classname labels class_label y species diagnosis klasse kategorie "
        "etiquette classe etiqueta clase categoria etichetta 标签 类别 class_id label_id category_id class_index label_index "
        "class_idx label_idx target_id category_name breed variety"
    )
)
SPLIT = ("split", "subset", "partition")
GROUP = ("group",)
_GROUP_LIKE = _words("patient subject person site location sequence video session series case fold")
_SPLIT_LIKE = ("is_valid", "is_val", "is_test", "is_train", "set", "phase", "usage", "dataset")
_NO_FACT = ("sha256", "index", "")  # names of columns that say nothing about an image
FORM = "The first line must be path,label[,split][,group]; paths are relative to the table."


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Positions of the columns; `label` is None and `one_hot` holds positions where each class has a column."""

    path: int
    label: int | None
    split: int | None = None
    group: int | None = None
    one_hot: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def normalised(name: str) -> str:
    """Return a column's name in lower case without accents, with underscores for spaces, hyphens and inner capitals."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip().strip("\"'"))
    apart = unicodedata.normalize("NFKD", words.lower())
    plain = "".join(c for c in apart if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", plain).replace(" ", "_").replace("-", "_")


def has_path_and_label(names: Sequence[str]) -> bool:
    """Return True where the names hold a usual path column and a usual label column."""
    plain = [normalised(name) for name in names]
    return any(n in PATH for n in plain) and any(n in LABEL for n in plain)


def resolve(
    names: Sequence[str], one_hot: Sequence[int], images: Sequence[int], options: ReadOptions, shown: str
) -> Columns:
    """Choose the columns; `one_hot` are positions whose cells are all 0 or 1, `images` those that hold names of images.

    Without a usual name, the only column of images holds the path, and the only other column of a table the label. Raises
    DatasetError that names the columns where none can be the path or the label.
    """
    plain = [normalised(name) for name in names]
    path = _position(names, plain, PATH, options.path_column, "path", shown)
    if path is None and len(images) == 1:
        path = images[0]
    if path is None:
        raise _missing("path", names, shown, used={_position(names, plain, LABEL, None, "label", shown)})
    split = _position(names, plain, SPLIT, options.split_column, "split", shown)
    group = _position(names, plain, GROUP, options.group_column, "group", shown)
    used = {path, split, group}
    label = _position(names, plain, LABEL, options.label_column, "label", shown, used)
    classes = tuple(p for p in one_hot if p not in used and plain[p] not in _SPLIT_LIKE)
    others = [p for p, name in enumerate(plain) if p not in used and name not in _NO_FACT and name not in _SPLIT_LIKE]
    if label is None and len(others) == 1 and options.label_column is None:
        label = others[0]
    if label is None and len(classes) < 2:
        raise _missing("label", names, shown, used)
    if label is not None:
        classes = ()
    used |= {label, *classes}
    notes = _renamed(names, plain, path=path, label=label, split=split, group=group)
    if classes:
        notes.append(f"one column per class: {shortened([names[p] for p in classes])}.")
    notes += _unused([name for position, name in enumerate(names) if position not in used and name.strip()])
    return Columns(path=path, label=label, split=split, group=group, one_hot=classes, notes=tuple(notes))


def free(names: Sequence[str], chosen: Columns) -> list[int]:
    """Return the positions of the columns that are not used and look like neither a split nor a group."""
    used = {chosen.path, chosen.label, chosen.split, chosen.group, *chosen.one_hot}
    plain = [normalised(name) for name in names]
    return [
        p
        for p, name in enumerate(plain)
        if p not in used and name not in (*_NO_FACT, *_SPLIT_LIKE) and not _is_group_like(name)
    ]


def _is_group_like(plain: str) -> bool:
    return any(word in plain.split("_") or plain.startswith(word) for word in _GROUP_LIKE)


def _position(
    names: Sequence[str],
    plain: Sequence[str],
    usual: Sequence[str],
    stated: str | None,
    role: str,
    shown: str,
    used: set[int | None] = frozenset(),  # type: ignore[assignment]
) -> int | None:
    if stated is not None:
        for column, among in ((stated, names), (normalised(stated), plain)):
            if column in among:
                return _only(among, column, role, shown)
        raise DatasetError(
            f"{shown}: no column {printable(stated)!r} (columns: {shortened(names, 12)}).",
            hint=f"Give one of them to --{role}-column.",
        )
    for name in usual:
        if name in plain and plain.index(name) not in used:
            return _only(plain, name, role, shown)
    return None


def _only(names: Sequence[str], name: str, role: str, shown: str) -> int:
    """Return the position of a column. Raises DatasetError where several have its name."""
    if names.count(name) > 1:
        raise DatasetError(
            f"{shown}: {names.count(name)} columns are called {printable(name)!r}: which one is the {role}?",
            hint="Rename the others.",
        )
    return names.index(name)


def _missing(role: str, names: Sequence[str], shown: str, used: set[int | None]) -> DatasetError:
    """Return the error for a role without a column, with the name to give where one is similar or the only one left."""
    plain = [normalised(name) for name in names]
    left = [names[p].strip() for p, name in enumerate(plain) if p not in used and name not in _NO_FACT]
    close = difflib.get_close_matches(role, plain, n=1, cutoff=0.6)
    columns = shortened([name for name in names if name.strip()], 12) or "none"
    written = printable(names[plain.index(close[0])].strip()) if close else ""
    rename = f"; is it {written!r}?" if close else ""
    chosen = written or (printable(left[0]) if len(left) == 1 else "")
    option = f" Or name the column: --{role}-column {shlex.quote(chosen) if chosen else 'NAME'}."
    return DatasetError(f"{shown}: no column {role!r} (columns: {columns}{rename}).", hint=FORM + option)


def _renamed(names: Sequence[str], plain: Sequence[str], **roles: int | None) -> list[str]:
    read = [f"{printable(names[p])} as {role}" for role, p in roles.items() if p is not None and plain[p] != role]
    return [f"columns read: {', '.join(read)}."] if read else []


def _unused(names: Sequence[str]) -> list[str]:
    """List columns that are not used, with the options that would use those that look like groups or splits."""
    if not names or all(normalised(name) in _NO_FACT for name in names):
        return []
    options = []
    for name in names:
        plain = normalised(name)
        if plain in _SPLIT_LIKE:
            options.append(f"--split-column {printable(name)} reads it as the split")
        elif _is_group_like(plain):
            options.append(f"--group-column {printable(name)} keeps its images on one side of every split")
    text = f"columns not used: {shortened(names, 8)}"
    return [text + (f"; {'; '.join(options[:3])}." if options else ".")]
