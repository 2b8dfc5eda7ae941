"""Where weights lie, what it takes to get them, and what is said when they are not what was published."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ranges import serving
from safetensors.torch import save

from advisor.errors import OutputError, WeightsError
from advisor.hooks import Backbone, Preprocess, Stage, Weights
from advisor.models import pretrained_weights

CONTENT = save({"0.weight": torch.arange(4.0 * 3 * 64 * 64).view(4, 3, 64, 64), "0.bias": torch.zeros(4)})
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = f"net-{DIGEST[:8]}.safetensors"


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache of the person who runs the tests is seen, and the loopback is reached directly."""
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def _backbone(url: str = "https://example.org/net", **changes: object) -> Backbone:
    stated = Weights(file=FILE, url=url, sha256_prefix=DIGEST[:8], bytes=len(CONTENT), licence="Apache-2.0")
    stage = Stage(name="all", prefixes=("0",))
    return Backbone(
        name="net",
        dim=4,
        stages=(stage,),
        preprocess=Preprocess(size=64, resize=64),
        weights=replace(stated, **changes),
    )


def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The four places, in the order of the search."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    named = tmp_path / "named"
    named.mkdir()
    default = tmp_path / "xdg" / "torch" / "hub" / "checkpoints"
    return [named, tmp_path / "home" / "hub" / "checkpoints", default, pretrained_weights.cache_dir()]


def test_places_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--weights-dir first, then TORCH_HOME, torch's default, our own cache."""
    folders = _folders(tmp_path, monkeypatch)
    assert list(pretrained_weights.search_path(folders[0])) == folders
    for folder in reversed(folders):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(CONTENT)
        located = pretrained_weights.locate(_backbone(), weights_dir=folders[0])
        assert (located.state, located.path, located.bytes) == ("cached", folder / FILE, len(CONTENT))


def test_looking_creates_nothing(tmp_path: Path) -> None:
    """Locating is read-only."""
    pretrained_weights.locate(_backbone())
    assert not (tmp_path / "xdg").exists()
    assert not pretrained_weights.cache_dir().exists()


def test_states_and_what_to_do(tmp_path: Path) -> None:
    """Built in, downloadable, unavailable and none are told apart, with the command where there is one."""
    inside = tmp_path / "in-the-package.safetensors"
    missing = pretrained_weights.locate(replace(_backbone(), weights=Weights(path=str(inside))))
    assert (missing.state, missing.command) == ("unavailable", "")
    assert "reinstall" in missing.reason
    inside.write_bytes(CONTENT)
    assert pretrained_weights.locate(replace(_backbone(), weights=str(inside))).state == "built_in"
    assert pretrained_weights.locate(replace(_backbone(), weights=None)).state == "none"
    online = pretrained_weights.locate(_backbone())
    assert (online.state, online.command) == ("downloadable", "tl-advise weights fetch net")
    offline = pretrained_weights.locate(_backbone(), offline=True)
    assert (offline.state, offline.command) == ("unavailable", "tl-advise weights fetch net")
    assert "--offline" in offline.reason
    assert pretrained_weights.locate(_backbone(url="")).state == "unavailable"


def test_a_weights_dir_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    """A misspelt folder is not silently passed over."""
    with pytest.raises(WeightsError, match="is not a folder"):
        pretrained_weights.locate(_backbone(), weights_dir=tmp_path / "absent")


def test_fetching_brings_checks_and_remembers(tmp_path: Path) -> None:
    """A fetched file is whole, has the published checksum, and is found by the next look; no part is left."""
    with serving(CONTENT) as server:
        where = pretrained_weights.fetch(_backbone(server.url))
        assert pretrained_weights.fetch(_backbone(server.url)) == where
        assert len(server.asked) == 1
    assert where.path == pretrained_weights.cache_dir() / FILE
    assert where.path.read_bytes() == CONTENT
    assert pretrained_weights.locate(_backbone()) == where
    assert not list(pretrained_weights.cache_dir().glob("*.part"))
    tensors, digest, warning = pretrained_weights.read(_backbone(), where)
    assert (set(tensors), digest, warning) == ({"0.weight", "0.bias"}, DIGEST, None)


def test_a_broken_fetch_goes_on(tmp_path: Path) -> None:
    """After a broken connection no file stands under the final name, and the next call asks for the rest only."""
    with serving(CONTENT) as server:
        server.stop_after = 70_000
        with pytest.raises(WeightsError, match="cannot be fetched: the connection broke") as caught:
            pretrained_weights.fetch(_backbone(server.url))
        assert "tl-advise weights fetch net" in str(caught.value)
        assert pretrained_weights.locate(_backbone()).state == "downloadable"
        assert pretrained_weights.fetch(_backbone(server.url)).path.read_bytes() == CONTENT
        assert server.asked[1].startswith("bytes=")


def test_half_of_another_file_is_not_continued_for_good(tmp_path: Path) -> None:
    """Where the two halves do not match, the whole is brought anew, once."""
    pretrained_weights.cache_dir().mkdir(parents=True)
    (pretrained_weights.cache_dir() / f"{FILE}.part").write_bytes(b"x" * 1000)
    with serving(CONTENT) as server:
        assert pretrained_weights.fetch(_backbone(server.url)).path.read_bytes() == CONTENT
        assert server.asked == ["bytes=1000-", ""]


def test_without_a_checksum_nothing_is_continued(tmp_path: Path) -> None:
    """Nobody could tell whether the halves match."""
    pretrained_weights.cache_dir().mkdir(parents=True)
    (pretrained_weights.cache_dir() / f"{FILE}.part").write_bytes(b"x" * 1000)
    with serving(CONTENT) as server:
        assert pretrained_weights.fetch(_backbone(server.url, sha256_prefix="")).path.read_bytes() == CONTENT
        assert server.asked == [""]


def test_the_wrong_file_is_refused_and_removed(tmp_path: Path) -> None:
    """Bytes that do not match the published checksum never stand under the final name."""
    with serving(CONTENT[:-1] + b"!") as server, pytest.raises(WeightsError, match="is not the published file"):
        pretrained_weights.fetch(_backbone(server.url))
    assert [p.name for p in pretrained_weights.cache_dir().iterdir() if not p.name.endswith(".lock")] == []


def test_fetching_again_replaces_a_damaged_file(tmp_path: Path) -> None:
    """`again` brings the file anew though one of this name is there."""
    pretrained_weights.cache_dir().mkdir(parents=True)
    (pretrained_weights.cache_dir() / FILE).write_bytes(b"damaged")
    with serving(CONTENT) as server:
        assert pretrained_weights.fetch(_backbone(server.url)).bytes == 7
        assert pretrained_weights.fetch(_backbone(server.url), again=True).path.read_bytes() == CONTENT


def test_fetching_to_a_folder(tmp_path: Path) -> None:
    """`to` names the folder, which is made where it is missing."""
    with serving(CONTENT) as server:
        where = pretrained_weights.fetch(_backbone(server.url), to=tmp_path / "a" / "b")
    assert where.path == tmp_path / "a" / "b" / FILE
    assert pretrained_weights.locate(_backbone(), weights_dir=tmp_path / "a" / "b").state == "cached"


def test_two_processes_fetch_once(tmp_path: Path) -> None:
    """Whoever comes second waits, and finds the file there."""
    with serving(CONTENT) as server:
        both = [threading.Thread(target=pretrained_weights.fetch, args=(_backbone(server.url),)) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert server.asked == [""]


def test_offline_and_without_an_address_nothing_is_fetched() -> None:
    """Each says what to do instead."""
    with pytest.raises(WeightsError, match=r"--offline\. With a network: `tl-advise weights fetch net`"):
        pretrained_weights.fetch(_backbone(), offline=True)
    with pytest.raises(WeightsError, match="no address is known"):
        pretrained_weights.fetch(_backbone(url=""))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A read-only folder is an output error with the option that helps."""
    tmp_path.chmod(0o500)
    with serving(CONTENT) as server, pytest.raises(OutputError, match="cannot write weights"):
        pretrained_weights.fetch(_backbone(server.url), to=tmp_path / "new")


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    """A file where the folder should be is an output error, no traceback."""
    (tmp_path / "taken").write_text("")
    with serving(CONTENT) as server, pytest.raises(OutputError, match="--to DIR"):
        pretrained_weights.fetch(_backbone(server.url), to=tmp_path / "taken")


def test_a_cached_file_that_differs_is_used_with_a_warning(tmp_path: Path) -> None:
    """The warning names the file and both checksums; the true one is returned."""
    other = save({"0.weight": torch.ones(2)})
    (tmp_path / FILE).write_bytes(other)
    tensors, digest, warning = pretrained_weights.read(
        _backbone(), pretrained_weights.locate(_backbone(), weights_dir=tmp_path)
    )
    assert digest == hashlib.sha256(other).hexdigest()
    assert tensors["0.weight"].shape == (2,)
    assert warning is not None
    assert all(part in warning for part in (FILE, digest[:8], DIGEST[:8], "used anyway"))


def test_a_built_in_file_that_differs_is_damage(tmp_path: Path) -> None:
    """What lies in a package is what was published, or the package is broken."""
    path = tmp_path / "built-in.safetensors"
    path.write_bytes(CONTENT[:-5])
    inside = replace(_backbone(), weights=Weights(path=str(path), sha256_prefix=DIGEST))
    with pytest.raises(WeightsError, match=r"is damaged: .* Reinstall the package"):
        pretrained_weights.read(inside, pretrained_weights.locate(inside))
    path.write_bytes(CONTENT)
    assert pretrained_weights.read(inside, pretrained_weights.locate(inside))[1:] == (DIGEST, None)


def test_reading_what_is_not_at_hand_names_the_command() -> None:
    """Never a silent random initialisation: missing weights are an error with the way out."""
    with pytest.raises(WeightsError, match=r"not available: downloadable\. Run `tl-advise weights fetch net`"):
        pretrained_weights.read(_backbone(), pretrained_weights.locate(_backbone()))


def test_sha256_of_a_file_equals_hashlibs(tmp_path: Path) -> None:
    """Large and empty files are hashed alike; a missing one is told."""
    for content in (b"", CONTENT):
        (tmp_path / "f").write_bytes(content)
        assert pretrained_weights.sha256(tmp_path / "f") == hashlib.sha256(content).hexdigest()
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        pretrained_weights.sha256(tmp_path / "absent")
