"""A generator writes nothing that is believed: not the caches, not its own cell."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from genbench.results.records import Record
from genbench.running import refits
from genbench.system import cachetrust, confinement
from genbench.system.isolation import run_isolated
from tests.conftest import PLUGINS, TINY, Command
from tests.plugins import intruder
from tests.test_run import records

landlock = pytest.mark.skipif(not confinement.level(), reason="needs Landlock (Linux)")
WITHOUT = {"GENBENCH_LANDLOCK": "0"}


def content(folder: Path) -> dict[str, str]:
    """Every file below a folder by its digest."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def say(what: str) -> None:
    """Past pytest's capture."""
    os.write(1, what.encode())


def confined(work: Callable[[], None], tmp_path: Path, *protected: Path) -> str:
    """Do something in a confined process; what it printed."""
    scratch, log = tmp_path / "scratch", tmp_path / "log"
    scratch.mkdir(exist_ok=True)

    def inside() -> None:
        confinement.Sandbox(scratch, (), protected).enter()
        work()

    outcome = run_isolated(inside, log=log, stopping=lambda: False)
    text = log.read_text()
    assert outcome.status == "returned", text
    return text


@landlock
def test_what_is_hidden_cannot_be_read_and_all_beside_it_can(tmp_path: Path) -> None:
    open_to_all = ("beside", "data-2", "mine/own", "data/venv/module")
    closed = ("data/rows", "data/deep/more", "way-in/rows", "data/venv/in/rows", "mine/other")
    for name in (*open_to_all, *closed, "data/deep/least"):
        if name.startswith("way-in"):
            continue
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "way-in").symlink_to(tmp_path / "data")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    hidden = ("data", "data/deep/more", "data/venv/in", "mine", "absent")  # one within another too

    def work() -> None:
        confinement.Sandbox(
            scratch, hidden=lambda: [tmp_path / name for name in hidden],
            readable=(tmp_path / "mine" / "own", tmp_path / "data" / "venv"),
        ).enter()  # fmt: skip
        for name in (*open_to_all, *closed, "data/deep/least"):
            with contextlib.suppress(PermissionError):
                say(f"{(tmp_path / name).read_text()} ")
        (scratch / "a").write_text("written")
        say((scratch / "a").read_text())
        import colorsys  # of the standard library, which lies beside

        say(f" {len(os.listdir(tmp_path / 'data'))} {colorsys.ONE_THIRD > 0}")

    run_isolated(work, log=tmp_path / "log", stopping=lambda: False)
    assert (tmp_path / "log").read_text() == f"{' '.join(open_to_all)} written 3 True"


@landlock
@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--no-sandbox",)], ids=["confined", "free"])
def test_a_generator_reads_neither_data_nor_caches_nor_other_cells(
    run_genbench: Command, tmp_path: Path, suite: Path, options: tuple[str, ...]
) -> None:
    done = run_genbench("run", "--suite", suite, "--plugin", PLUGINS / "intruder.py",
                        "-g", "innocent", "--no-controls", "--no-report")  # fmt: skip
    assert done.code == 0, done.err
    digits = Path(datasets.__file__).parent / "data" / "digits.csv.gz"
    done = run_genbench("run", "--suite", suite, "--plugin", PLUGINS / "nosy.py", "-g", "nosy",
                        "--no-controls", "--no-report", *options,
                        env={"NOSY": f"{tmp_path / 'results'}{os.pathsep}{digits}",
                             "NOSY_OWN": os.sep + "nosy~"})  # fmt: skip
    nosy = records(tmp_path / "results")["nosy", 0]
    if options:
        assert "could read" in nosy.error["message"]
    else:
        assert done.code == 0, done.err
        assert nosy.status == "ok"
        assert nosy.metrics["augmentation_gain"].status == "ok", nosy.metrics["augmentation_gain"]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / ".cache" / "features"
    folder.mkdir(parents=True)
    np.savez(folder / "a.npz", features=np.ones((3, 2)))
    (folder / "b.json").write_text("{}")
    return folder


def in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_child(work: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    os.waitpid(child, 0)


@landlock
@pytest.mark.parametrize("manner", intruder.MANNERS, ids=lambda m: m.__name__)
@pytest.mark.parametrize("who", [lambda work: work(), in_thread, in_child],
                         ids=["itself", "thread", "child"])  # fmt: skip
def test_no_way_of_writing_leads_out_of_the_sandbox(
    tmp_path: Path, cache: Path, manner: Callable[[Path], None], who: Callable[..., None]
) -> None:
    before = content(cache)

    def attempt() -> None:
        for path in list(cache.iterdir()):
            with pytest.raises(OSError, match=r"Permission denied|cross-device"):
                manner(path)
        say("tried")

    assert "tried" in confined(lambda: who(attempt), tmp_path, cache)
    assert content(cache) == before


@landlock
def test_what_a_generator_needs_is_open_to_it(tmp_path: Path) -> None:
    from multiprocessing import get_context

    def work() -> None:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("mine")
        Path("/dev/null").write_text("gone")
        queue = get_context("fork").Queue()
        queue.put("shared")
        assert queue.get() == "shared"
        assert Path(tempfile.gettempdir()) == tmp_path / "scratch"
        assert (Path(os.environ["MPLCONFIGDIR"]).parent == tmp_path / "scratch") != (
            Path(os.environ["MPLCONFIGDIR"]).is_dir()
        )
        say("done")

    assert "done" in confined(work, tmp_path)


@landlock
def test_a_cache_of_another_library_that_holds_results_is_not_opened(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "torch").mkdir()

    def work() -> None:
        (tmp_path / "torch" / "weights").write_text("of somebody")
        with pytest.raises(PermissionError):
            (cache / "a.npz").write_bytes(b"")
        say("done")

    assert "done" in confined(work, tmp_path, tmp_path / "results")


@pytest.mark.skipif(confinement.level() < 6, reason="needs Landlock 6 (Linux 6.12)")
def test_a_confined_process_cannot_signal_who_watches_it(tmp_path: Path) -> None:
    def work() -> None:
        with pytest.raises(PermissionError):
            os.kill(os.getppid(), signal.SIGKILL)
        say("lives")

    assert "lives" in confined(work, tmp_path)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("latent"), "KeyError: 'latent'"),
        (AssertionError(), "AssertionError"),
        (ValueError("of its own"), "of its own"),
    ],
)
def test_an_error_without_words_is_told_by_its_kind(error: Exception, text: str) -> None:
    assert confinement.error_text(error, confined=True) == text


def test_the_version_stands_in_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for level, name in ((0, "none"), (2, "landlock-2, partial"), (7, "landlock-7")):
        monkeypatch.setattr(confinement, "level", lambda level=level: level)
        assert confinement.name(True) == name
    assert confinement.name(False) == "none"


def test_unconfined_only_what_this_run_wrote_is_believed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cachetrust, "trusted_files", cachetrust.TrustedFiles())
    old, new, root = cache / "a.npz", cache / "b.json", cache.parent
    cachetrust.begin(root, False, {})
    assert not cachetrust.trusted_files.has(old)
    cachetrust.trusted_files.add(new)
    assert cachetrust.trusted_files.has(new)
    told = cachetrust.trusted_files.wrote
    cachetrust.end(root)
    cachetrust.begin(root, False, told)
    assert cachetrust.trusted_files.has(new)
    new.write_text("{ }")
    assert not cachetrust.trusted_files.has(new)
    cachetrust.begin(root, True, {})  # confined from here on: nothing from before is kept
    assert not old.exists()
    old.parent.mkdir()
    old.write_text("made under confinement")
    cachetrust.begin(root, True, {})
    assert cachetrust.trusted_files.has(old)
    cachetrust.begin(root, False, {})  # and killed: it never came to an end
    cachetrust.begin(root, True, {})
    assert not cachetrust.trusted_files.has(old)


def test_rows_of_a_refit_that_were_changed_are_written_anew(tmp_path: Path) -> None:
    arrays = {"x": np.arange(6.0).reshape(3, 2), "y": np.arange(3)}
    path = tmp_path / "rows.npz"
    assert not refits._holds(path, arrays)
    np.savez(path, **arrays)
    assert refits._holds(path, arrays)
    for changed in ({"x": arrays["x"] + 1}, {"y": arrays["y"].astype(np.int32)},
                    {"labels": arrays["y"]}):  # fmt: skip
        np.savez(path, **{**arrays, **changed})
        assert not refits._holds(path, arrays)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits with a cache of everything: features, classifiers, refits, utility."""
    text = (TINY.parent / "tiny-images.toml").read_text()
    text = text.replace('[[metrics]]\nid = "pixel_fid"', '[[metrics]]\nid = "fid"')
    text = text.replace('primary = "pixel_fid"', 'primary = "fid"')
    text = text.replace("n = [40, 80]", "n = [40]").replace("replicates = 3", "replicates = 2")
    text = text.replace("headline_n = 80", "headline_n = 40").replace("steps = 60", "steps = 20")
    before, after = text.split("[downstream.imbalance]")
    text = before + after[after.index("[controls]") :]
    path = tmp_path_factory.mktemp("suite") / "cached.toml"
    path.write_text(text)
    return path


def values(record: Record) -> dict[str, float | None]:
    return {name: value.value for name, value in record.metrics.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "env", [pytest.param({}, marks=landlock), WITHOUT], ids=["with", "without"]
)
def test_what_a_generator_does_to_the_caches_changes_no_number(
    run_genbench: Command, tmp_path: Path, suite: Path, env: dict[str, str]
) -> None:
    def run(results: str, names: str, seeds: str, **extra: str) -> dict[tuple[str, int], Record]:
        chosen = [word for name in names.split(",") for word in ("-g", name)]
        done = run_genbench("run", "--suite", suite, "--plugin", PLUGINS / "intruder.py", *chosen,
                            "--seeds", seeds, "--no-controls", "--no-report", "--results", results,
                            env={**env, **extra})  # fmt: skip
        assert done.code == 0, done.err
        return records(tmp_path / results)

    honest = run("honest", "innocent,intruder", "0,1")
    run("spoilt", "innocent", "0")
    cache = tmp_path / "spoilt" / ".cache"
    before = content(cache)
    assert {Path(name).parts[0] for name in before} >= {"features", "downstream", "utility"}
    run("spoilt", "intruder", "0", INTRUDER=str(cache))
    after = content(cache)
    found = run("spoilt", "innocent", "0,1")
    attacker, later = found["intruder", 0], found["innocent", 1]
    told = values(attacker)
    if env:
        # Its refits may run side by side and spoil one another's files: seen, and no number then.
        told = {k: v for k, v in told.items() if attacker.metrics[k].status != "failed"}
        assert told.keys() >= {"fid", "tstr_accuracy"}
    assert told == {name: values(honest["intruder", 0])[name] for name in told}
    if env:
        assert any(after.get(name) != digest for name, digest in before.items()), "an attack"
        assert attacker.environment["sandbox"] == "none"
    else:
        assert {name: after[name] for name in before} == before
        assert attacker.environment["sandbox"] == confinement.name(True)
        assert "refits" not in later.environment
    assert values(later) == values(honest["innocent", 1])


@pytest.mark.parametrize("sandbox", ["none", "landlock-7"])
def test_a_refit_of_an_unconfined_run_is_called_unverified(tmp_path: Path, sandbox: str) -> None:
    np.savez(tmp_path / "synthetic.npz", x=np.zeros(3))
    digest = hashlib.sha256((tmp_path / "synthetic.npz").read_bytes()).hexdigest()
    told = {"status": "ok", "fit_s": 1.0, "sample_s": 1.0, "sha256": digest, "sandbox": sandbox}
    (tmp_path / "result.json").write_text(json.dumps(told))
    found = refits.finished(tmp_path)
    assert found is not None
    assert found.unverified == (sandbox == "none")
    (tmp_path / "synthetic.npz").write_bytes(b"others")
    assert refits.finished(tmp_path) is None, "its rows are not those that were drawn"
