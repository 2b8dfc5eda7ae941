"""What names of files and folders mean: hidden, not an image, a split, unlabelled images.

In: a name. Out: a split or a bool. Sources of the split names: folder names of public data sets (ImageNet `val`, COCO
`val2017`, Intel scenes `seg_train`, Kaggle `training_set`, Hugging Face `validation`).
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping

from advisor.records.data import GivenSplit


def _words(text: str) -> list[str]:
    return text.split()


# The words of other languages are those of public data sets and of dictionaries; accents are removed before the comparison.
_SPLIT_WORDS: dict[GivenSplit, str] = {
    "train": "train training trainings trn trainval trainieren entrenamiento entrainement apprentissage treino treinamento "
    "addestramento trening egitim 训练 训练集 訓練 训练数据 обучение обучающая тренировка 훈련 학습",
    "val": "val valid validation validate vali validating dev devel development eval evaluation publictest validacion "
    "validacao validazione validierung validierungs walidacja dogrulama 验证 验证集 検証 валидация 검증",
    "test": "test tests testing tst holdout privatetest prueba pruebas teste testes "
    "测试 测试集 測試 テスト тест тестовая 테스트",
}
# Words that data sets add to the name of a split without changing what it means.
_FILLERS = frozenset(
    _words(
        "set sets data dataset images image imgs img pictures photos split splits seg folder files jpg jpeg png cropped "
        "resized labeled labelled daten bilder fotos imagenes"
    )
)
# Of a table's name: what it holds, beside the split.
_TABLE_FILLERS = frozenset(
    _words("label labels annotation annotations gt groundtruth truth list metadata meta csv info")
)
_SHORT: dict[str, GivenSplit] = {"tr": "train", "va": "val", "vl": "val", "te": "test", "ts": "test"}  # never alone
PLAIN_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
UNLABELLED = frozenset(
    {"unlabeled", "unlabelled", "unlab", "unsup", "unsupervised", "extra_unlabeled", "unknown_labels"}
)
ANNOTATIONS = frozenset({"annotations", "annotation", "labels", "metadata", "masks", "docs", "xml", "json", "csv"})
ARCHIVES = frozenset("." + suffix for suffix in _words("zip tar tgz gz bz2 tbz2 xz txz zst 7z rar"))
_SYSTEM = frozenset({"__macosx", "@eadir", "__pycache__", "$recycle.bin", "system volume information", "lost+found"})
# Never opened to look for an image: text, programs, archives, system files.
NOT_IMAGES = frozenset(
    "." + suffix
    for suffix in _words(
        "txt csv tsv md rst json jsonl ndjson xml yaml yml html htm pdf doc docx xls xlsx py ipynb m r mat npy npz h5 hdf5 "
        "pkl pickle db sqlite ini cfg toml log sh bat exe parquet arrow feather zip tar gz tgz bz2 xz 7z rar zst lock mp4 "
        "avi mov mkv webm wav mp3 url lnk tex bib tfrecord pt pth onnx safetensors"
    )
)
# Camera raw files start like TIFF, but Pillow would read their thumbnail or noise.
RAW = frozenset(
    "." + suffix for suffix in _words("cr2 cr3 nef nrw arw srf sr2 dng orf rw2 raf pef srw x3f 3fr iiq raw")
)


# Pictures that are not read; a class may lose most of its images with them.
NOT_READ = frozenset("." + suffix for suffix in _words("jxl svg svgz exr xcf bpg flif"))


def is_hidden(name: str) -> bool:
    """Return True for files and folders of the system, an editor or an archiver."""
    return name.startswith((".", "~$")) or name.lower() in _SYSTEM


def suffix_of(name: str) -> str:
    """Return the suffix in lower case, with its dot; "" where there is none."""
    return os.path.splitext(name)[1].lower()


def split_of(name: str) -> GivenSplit:
    """Return the split that a folder name or a cell of a split column states, or "" where it states none.

    Fillers and numbers are ignored: `training_set`, `val2017`, `seg_train`, `trainset`, `01-test`, `split=train`.
    """
    split, others = _split_and_others(name)
    return "" if others else split


def table_split(stem: str) -> GivenSplit:
    """Return the split that the name of a table states: `train`, `train_labels`, `annotations-val`."""
    split, others = _split_and_others(stem)
    return split if others <= _TABLE_FILLERS else ""


def is_table_of_labels(stem: str) -> bool:
    """Return True for the name of a table of labels without a split: `labels`, `metadata`, `annotations`."""
    words = _stems(stem)
    return bool(words) and all(word in _TABLE_FILLERS | _FILLERS for word in words)


def splits_of(names: Iterable[str]) -> dict[str, GivenSplit]:
    """Return the split of each name that states one, as seen beside the others.

    `eval` beside another validation split is the test. Where all names share their other words (`train_A`, `test_A`), or
    are short forms (`tr`, `te`), they are splits if a training set is among them.
    """
    every = list(names)
    splits: dict[str, GivenSplit] = {name: split for name in every if (split := split_of(name))}
    if not splits and len(every) > 1:
        parts = {name: _split_and_others(name) for name in every}
        short = {name: _SHORT.get(name.strip().lower(), "") for name in every}
        if len({others for _, others in parts.values()}) == 1 and all(split for split, _ in parts.values()):
            splits = {name: split for name, (split, _) in parts.items()}
        elif all(short.values()):
            splits = {name: split for name, split in short.items() if split}
        if "train" not in splits.values():
            splits = {}
    for name in splits:
        beside = {split for other, split in splits.items() if other != name}
        if "eval" in name.lower() and "val" in beside and "test" not in beside:
            splits[name] = "test"
    return splits


def splits_of_files(stems: Iterable[str]) -> dict[str, GivenSplit]:
    """Return the split that the name of each file states beside the others, "" where it states none.

    Numbers at the end are ignored: `train-00000-of-00002`, `photos-val-03` beside `photos-train-03`.
    """
    plain = {stem: re.sub(r"-of-\d+.*$", "", stem).rstrip("0123456789-_.") for stem in stems}
    splits = splits_of(sorted(set(plain.values())))
    return {stem: splits.get(name) or split_of(stem.split("-")[0]) for stem, name in plain.items()}


def beside_training(splits: Mapping[str, GivenSplit]) -> list[str]:
    """Return the names without a split where another one states that it is for training: they are not read as training."""
    return sorted(name for name, split in splits.items() if not split) if "train" in splits.values() else []


def _split_and_others(name: str) -> tuple[GivenSplit, frozenset[str]]:
    """Return the split that one word of a name states, and the words that are neither that nor fillers."""
    stems = [stem for stem in _stems(name) if stem not in _FILLERS]
    stated = [stem for stem in stems if stem in SPLITS]
    if len(stated) != 1:
        return "", frozenset(stems)
    return SPLITS[stated[0]], frozenset(stem for stem in stems if stem != stated[0])


def _stems(name: str) -> list[str]:
    """Return the words of a name without accents and numbers; `trainset`, `imgstrain` and `trainLabels` are two words."""
    text = re.sub(r"hold[\s_-]*out", "holdout", _plain(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)))
    words = [word for word in re.split(r"[\W_]+", text) if word and not word.isdigit()]
    stems = []
    for word in words:
        stem = re.sub(r"(?<=[^\W\d_])\d+$", "", word)
        stems += _JOINED.get(stem, [stem])
    return stems


def _plain(text: str) -> str:
    """Return text in lower case without accents."""
    apart = unicodedata.normalize("NFKD", text.strip().casefold())
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))


SPLITS: dict[str, GivenSplit] = {_plain(word): split for split, text in _SPLIT_WORDS.items() for word in text.split()}
_JOINED = {
    joined: [split, filler]
    for split in SPLITS
    for filler in _FILLERS
    for joined in (split + filler, filler + split)
    if split.isascii() and joined not in SPLITS
}


def is_part_of_data_set(name: str) -> bool:
    """Return True for names of folders that hold all images or all annotations of a data set: no class is called so."""
    return is_table_of_labels(name) or name.strip().lower() in ANNOTATIONS


def is_unlabelled(name: str) -> bool:
    """Return True for a folder name that says that its images have no labels."""
    return name.strip().lower().replace(" ", "_").replace("-", "_") in UNLABELLED
