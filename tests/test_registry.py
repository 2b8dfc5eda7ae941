"""Plugins are found through entry points, each loaded by itself; broken ones are listed with their reasons."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from distributions import install, install_sample

from advisor import registry
from advisor.errors import PluginError

STRANGER = """
from advisor.hooks import Backbone, Preprocess, Stage, hookimpl

@hookimpl
def advisor_backbones():
    stages = (Stage(name="all", prefixes=("0",)),)
    return [Backbone(name=n, dim=4, stages=stages, preprocess=Preprocess(size=8, resize=8), build=lambda: None)
            for n in {names!r}]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder on sys.path in which distributions can be installed; modules from it are forgotten afterwards."""
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def _plugin(plugins: registry.Registry, name: str) -> registry.PluginInfo:
    return next(p for p in plugins.plugins if p.name == name)


def test_first_party_plugins_come_through_the_same_door() -> None:
    """What ships is registered by entry points of our own distribution, and nothing of it is broken."""
    plugins = registry.load()
    own = [p for p in plugins.plugins if p.distribution == "tl-advise"]
    assert {"torchvision", "strategies"} <= {p.name for p in own}
    assert [p for p in own if p.broken] == []
    assert list(plugins.backbones) == sorted(plugins.backbones)
    assert list(plugins.strategies) == sorted(plugins.strategies)
    assert plugins.origin("resnet18") == ("tl-advise", own[0].version)


def test_the_sample_plugin_is_found_with_its_distribution_and_version(site: Path) -> None:
    """A third-party package is listed beside what ships, with name and version from its metadata."""
    install_sample(site)
    plugins = registry.load()
    assert plugins.origin("tiny") == ("tl-advise-tiny", "1.2.3")
    assert _plugin(plugins, "tiny") == registry.PluginInfo(
        name="tiny",
        kind="backbones",
        distribution="tl-advise-tiny",
        version="1.2.3",
        provides=("tiny",),
        module="tiny_backbone",
    )
    assert plugins.backbone("tiny").dim == 32


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import no_such_library_here",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such",
        ),
        ("raise SystemExit('go away')", "cannot be imported: SystemExit: go away"),
        ("def f(:", "cannot be imported: SyntaxError"),
        ("x = 1", "offers nothing: no function marked @hookimpl"),
        ("from advisor.hooks import hookimpl\n@hookimpl\ndef advisor_backbone(): return []", "wrong hook"),
        ("from advisor.hooks import hookimpl\n@hookimpl\ndef advisor_backbones(size): return []", "wrong hook"),
        ("from advisor.hooks import hookimpl\n@hookimpl\ndef advisor_backbones(): return []", "empty lists"),
        (
            "from advisor.hooks import hookimpl\n@hookimpl\ndef advisor_backbones(): return 5",
            "gave a int, expected",
        ),
        ("from advisor.hooks import hookimpl\n@hookimpl\ndef advisor_backbones(): return ['resnet']", "name is None"),
        ("from advisor.hooks import hookimpl\n@hookimpl\ndef advisor_strategies(): 1/0", "ZeroDivisionError"),
        (
            "from advisor.hooks import hookimpl\n@hookimpl\ndef advisor_backbones():\n  yield from 1 / 0",
            "ZeroDivisionError",
        ),
        (STRANGER.format(names=["a", "a"]), 'offers "a" twice'),
        (STRANGER.format(names=["resnet18"]), 'name clash: "resnet18" is already offered by torchvision (tl-advise)'),
        (STRANGER.format(names=["ridge"]), 'name clash: "ridge" is already offered by strategies (tl-advise)'),
    ],
)
def test_a_broken_plugin_is_disabled_alone_with_its_reason(site: Path, source: str, message: str) -> None:
    """Whatever is wrong with a third-party plugin, it is listed with the reason and all others work."""
    install(site, "stranger", {"strange": "strange_module"}, {"strange_module": source})
    plugins = registry.load()
    broken = _plugin(plugins, "strange")
    assert message in broken.broken
    assert broken.provides == ()
    assert [p.name for p in plugins.plugins if p.broken] == ["strange"]
    assert plugins.origin("resnet18")[0] == "tl-advise"
    assert "ridge" in plugins.strategies


def test_what_a_plugin_prints_or_sets_when_it_is_imported_has_no_effect(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output is for the answer alone, and relative paths of the call stay what they are."""
    before = Path.cwd()
    noisy = f"import os\nprint('hello')\nos.chdir({str(site)!r})\n" + STRANGER.format(names=["strange"])
    install(site, "stranger", {"strange": "strange_module"}, {"strange_module": noisy})
    assert "strange" in registry.load().backbones
    assert capsys.readouterr() == ("", "hello\n")
    assert Path.cwd() == before


def test_a_plugin_that_does_not_end_when_it_is_imported_is_named(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody who waits learns for whom, and how to leave it out."""
    monkeypatch.setattr(registry, "SLOW_S", 0.0)
    until_named = "import sys, time\nwhile 'still' not in sys.stderr.getvalue(): time.sleep(0.01)\n"
    install(site, "stranger", {"strange": "strange_module"}, {"strange_module": until_named})
    registry.load()
    named = capsys.readouterr().err
    assert (
        "plugin strange is still being loaded after 0 s. Ctrl-C stops; TL_ADVISE_PLUGINS=-strange leaves it out."
        in named
    )


def test_a_missing_attribute_of_an_entry_point_is_a_reason(site: Path) -> None:
    """An entry point that names something which is not there disables that plugin alone."""
    install(site, "stranger", {"strange": "strange_module:plugin"}, {"strange_module": ""})
    assert "cannot be imported: AttributeError" in _plugin(registry.load(), "strange").broken


def test_between_two_strangers_the_first_distribution_keeps_a_name(site: Path) -> None:
    """The answer to a clash does not depend on the order of installation."""
    source = STRANGER.format(names=["shared"])
    install(site, "zebra", {"zebra": "zebra_module"}, {"zebra_module": source})
    install(site, "ant", {"ant": "ant_module"}, {"ant_module": source})
    plugins = registry.load()
    assert plugins.origin("shared") == ("ant", "1.0")
    assert 'name clash: "shared" is already offered by ant (ant)' in _plugin(plugins, "zebra").broken


def test_an_entry_point_cannot_take_the_name_of_another(site: Path) -> None:
    """A third-party entry point called like a first-party one is disabled; ours stays."""
    install(site, "aaa", {"torchvision": "aaa_module"}, {"aaa_module": STRANGER.format(names=["fresh"])})
    plugins = registry.load()
    twins = [p for p in plugins.plugins if p.name == "torchvision"]
    assert [bool(p.broken) for p in sorted(twins, key=lambda p: p.distribution)] == [True, False]
    assert "fresh" not in plugins.backbones


def test_selecting_and_blocking(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments and TL_ADVISE_PLUGINS choose plugins by entry-point name; an unknown choice is an error."""
    install_sample(site)
    assert [p.name for p in registry.load(select=["tiny"]).plugins] == ["tiny"]
    assert "tiny" not in registry.load(block=["tiny"]).backbones
    monkeypatch.setenv(registry.VARIABLE, "tiny, strategies")
    assert {p.name for p in registry.load().plugins} == {"tiny", "strategies"}
    assert [p.name for p in registry.third_party().plugins] == ["tiny"]  # what data sets are read with
    monkeypatch.setenv(registry.VARIABLE, "-tiny")
    assert "tiny" not in registry.load().backbones
    monkeypatch.setenv(registry.VARIABLE, "tinny")
    with pytest.raises(PluginError, match='no plugin named "tinny" is installed'):
        registry.load()


def test_what_is_blocked_or_disabled_is_not_said_to_be_missing(site: Path) -> None:
    """A remedy names the option that leaves a plugin out, or why it is disabled; else the command that installs it."""
    plugins = registry.load(block=["pocket"])
    assert plugins.left_out == {"pocket": "tl-advise"}
    assert plugins.remedy("tl-advise", "0.1.0").startswith(
        "It is installed, but --block or TL_ADVISE_PLUGINS leaves out"
    )
    assert plugins.remedy("some-plugin", "1.2") == "pip install some-plugin==1.2"
    install(site, "some-plugin", {"some": "some_plugin"}, {"some_plugin": "import nothing_like_it"}, "1.2")
    assert registry.load().remedy("some-plugin", "1.2").startswith("Plugin some is disabled (")


def test_unknown_names_get_the_nearest_one(site: Path) -> None:
    """Did you mean; and a name of the other kind is told as such."""
    plugins = registry.load()
    with pytest.raises(PluginError, match=r"unknown backbone \"resnet_18\"\. Did you mean resnet18"):
        plugins.backbone("resnet_18")
    with pytest.raises(
        PluginError, match=r'"ridge" is a strategy, not a backbone\. `tl-advise plugins` lists the backbones'
    ):
        plugins.backbone("ridge")
    with pytest.raises(PluginError, match='"resnet18" is a backbone, not a strategy'):
        plugins.strategy("resnet18")
    with pytest.raises(PluginError, match="tl-advise plugins` shows all names"):
        plugins.strategy("zzzzzzzz")


def test_a_missing_name_points_at_a_disabled_plugin(site: Path) -> None:
    """Where a plugin is broken, that is the likely reason for a missing name."""
    install(site, "stranger", {"strange": "strange_module"}, {"strange_module": "import nothing_like_this"})
    with pytest.raises(PluginError, match=r"Plugin strange is disabled \(cannot be imported"):
        registry.load().backbone("qqqq")


def test_nothing_installed_says_how_to_install() -> None:
    """An empty registry is told as what it is."""
    with pytest.raises(PluginError, match="pip install"):
        registry.load(entry_points=[]).backbone("resnet18")


def test_loading_all_plugins_imports_no_torch() -> None:
    """Listing costs no heavy import."""
    script = """
import sys
from advisor import registry
registry.load()
heavy = [m for m in ("torch", "torchvision", "numpy", "sklearn", "scipy", "PIL") if m in sys.modules]
sys.exit(", ".join(heavy) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


RESOLVER = """
from advisor.hooks import Backbone, Preprocess, Stage, hookimpl

@hookimpl
def advisor_resolve_backbone(name):
    if {fails}:
        raise RuntimeError("no index")
    stages = (Stage(name="all", prefixes=("0",)),)
    return Backbone(name=name, dim=4, stages=stages, preprocess=Preprocess(size=8, resize=8), build=lambda: None)
"""


def test_a_plugin_that_fails_on_a_name_hides_no_other(site: Path) -> None:
    """A name that another plugin resolves is resolved; where none does, the failure is the answer."""
    install(site, "stranger-a", {"failing": "failing_module"}, {"failing_module": RESOLVER.format(fails=True)})
    with pytest.raises(PluginError, match='plugin failing failed on "far/away": RuntimeError: no index'):
        registry.load().backbone("far/away")
    install(site, "stranger-b", {"good": "good_module"}, {"good_module": RESOLVER.format(fails=False)})
    plugins = registry.load()
    assert plugins.backbone("far/away").name == "far/away"
    assert plugins.origin("far/away") == ("stranger-b", "1.0")
