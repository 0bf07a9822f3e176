"""The command line: help worth reading, one clear line per error, the right exit code."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from genbench.cli import cli
from tests.conftest import PLUGINS, TINY, Command, Done, genbench

NORMAL = ("run", "--suite", TINY, "--plugin", PLUGINS / "normal.py")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results of three seeds and two controls, and what their run printed."""
    folder = tmp_path_factory.mktemp("home")
    done = genbench(*NORMAL, "--seeds", "0,1,2", "--json", "--no-report", cwd=folder)
    assert done.code == 0, done.err
    (folder / "out.jsonl").write_text(done.out)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "--suite", "mnst"], "unknown suite 'mnst': did you mean 'mnist'"),
        (["run", "--suite", "digits", "-g", "vea"], "unknown generator 'vea': did you mean 'vae'"),
        (["run", "--suite", "digits", "-g", "vae:latnt=1"], "has no parameter 'latnt'"),
        (["run", "--suite", "digits", "-g", "vae:latent"], "'latent' is not key=value"),
        (["run", "--suite", "digits", "--profile", "big"], "has no profile 'big'"),
        (["run", "--suite", "digits", "--device", "tpu"], "unknown device 'tpu'"),
        (["run", "--suite", "digits", "--device", "cuda:7"], "'cuda:7' is not there"),
        (["run", "--suite", "digits", "--seeds", "0,x"], "not a list of whole numbers"),
        (["run", "--suite", "digits", "--seeds", "1,1"], "distinct"),
        (["run", "--suite", "digits", "-g", "noise"], "is a control"),
        (["run", "--suite", "nowhere.toml"], "no suite file at nowhere.toml"),
        (["run", "--suite", "digits", "--plugin", "nowhere.py"], "no plugin file at"),
        (["run"], "Missing option '--suite'"),
        (["rum"], "no command 'rum': did you mean 'run'"),
        (["show", "mnst"], "nothing is called 'mnst'"),
        (["report", "."], "no results in ."),
        (["compare", ".", "."], "no results in ."),
    ],
)
def test_bad_usage_is_one_clear_line_and_exit_code_2(
    run_genbench: Command, args: list[str], message: str
) -> None:
    done = run_genbench(*args)
    assert done.code == 2, done.err
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


@pytest.mark.slow
def test_an_unimportable_plugin_is_named(run_genbench: Command) -> None:
    done = run_genbench("run", "--suite", TINY, "--plugin", PLUGINS / "unimportable.py")
    assert done.code == 2
    assert "does not import: ModuleNotFoundError" in done.err


@pytest.mark.slow
def test_a_generator_for_another_kind_of_data_is_refused(run_genbench: Command) -> None:
    done = run_genbench("run", "--suite", "digits", "--plugin", PLUGINS / "normal.py")
    assert done.code == 2
    assert "'normal' models points, suite 'digits' holds image" in done.err


def test_malformed_toml_names_the_line(run_genbench: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("schema = 1\n[suite\n")
    done = run_genbench("run", "--suite", "bad.toml")
    assert done.code == 2
    assert "line 2" in done.err


@pytest.mark.slow
def test_corrupt_data_is_named_with_both_checksums(run_genbench: Command, tmp_path: Path) -> None:
    from genbench.tasks.suite import shipped

    root = shipped()["mnist"].parent
    shutil.copytree(root / "data", tmp_path / "data")
    (tmp_path / "mine.toml").write_text(shipped()["mnist"].read_text())
    labels = tmp_path / "data" / "mnist" / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(labels.read_bytes()[:-1] + b"x")
    done = run_genbench("run", "--suite", "mine.toml", "--profile", "smoke", "-g", "vae",
                        "--no-controls", "--no-report")  # fmt: skip
    assert done.code == 3
    assert "train-labels-idx1-ubyte.gz" in done.err
    assert "1787548bbe0b" in done.err
    assert "failed in data" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_results_folder_without_write_permission_is_named(
    run_genbench: Command, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir(mode=0o500)
    done = run_genbench(*NORMAL)
    assert done.code == 2
    assert "choose another with --results" in done.err


def test_a_results_path_that_is_a_file_is_named(run_genbench: Command, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = run_genbench(*NORMAL, "--results", "taken")
    assert done.code == 2
    assert "taken" in done.err


@pytest.mark.slow
def test_results_of_another_version_are_left_alone_and_told(
    run_genbench: Command, home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home / "results", tmp_path / "results")
    (path,) = (tmp_path / "results").glob("*/normal~*/seed-0/*/record.json")
    text = path.read_text().replace("genbench.record/1", "genbench.record/9")
    path.write_text(text)
    done = run_genbench("report", "results")
    assert done.code == 0
    assert "genbench.record/9" in done.err
    assert "left out" in done.err
    assert path.read_text() == text


@pytest.mark.slow
def test_json_is_json_lines_and_nothing_else(home: Path) -> None:
    lines = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
    assert {line["generator"] for line in lines} == {"normal", "heldout", "noise"}
    assert all(line["status"] == "ok" for line in lines)


def test_list_and_show_tell_what_there_is(run_genbench: Command) -> None:
    found = json.loads(run_genbench("list", "--json").out)
    assert set(found) == {
        "suites", "generators", "metrics", "extractors", "executors", "trackers",
    }  # fmt: skip
    assert {"mnist", "digits", "8gaussians", "checkerboard", "moons"} <= {
        row["name"] for row in found["suites"]
    }
    for what, word in [("mnist", "CC BY-SA"), ("fid", "Heusel"), ("mnist-cnn", "sha256"),
                       ("schema", "genbench.record/1")]:  # fmt: skip
        done = run_genbench("show", what)
        assert done.code == 0, done.err
        assert word in done.out


@pytest.mark.slow
def test_a_record_on_disk_obeys_the_printed_schema(run_genbench: Command, home: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(run_genbench("show", "schema").out)
    paths = list((home / "results").glob("*/*/seed-*/*/record.json"))
    assert len(paths) == 5
    for path in paths:
        jsonschema.validate(json.loads(path.read_text()), schema)


@pytest.mark.slow
def test_scored_samples_stand_beside_the_controls(run_genbench: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "theirs.npz", x=rng.normal(size=(500, 2)).astype(np.float32))
    done = run_genbench("score", "theirs.npz", "--suite", TINY, "--name", "My Model!")
    assert done.code == 0, done.err
    assert "my-model" in done.out
    assert "heldout (the floor)" in done.out
    (path,) = (tmp_path / "results").glob("*/my-model~*/seed-0/*/record.json")
    record = json.loads(path.read_text())
    assert record["metrics"]["fid"]["n"] == 300, "a seeded subset of what the suite asks for"
    assert record["metrics"]["nll"]["status"] == "not_applicable"
    assert record["cell"]["generator"]["family"] == "scored"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("array", "message"),
    [
        ({"x": np.zeros((5, 3), np.float32)}, "expected (5, 2)"),
        ({"x": np.full((5, 2), np.nan, np.float32)}, "NaN or infinity"),
        ({"z": np.zeros((5, 2), np.float32)}, "has no array 'x'"),
        ({"x": np.zeros((5, 2), np.float32), "y": np.zeros(5, np.int64)}, "has no classes"),
        ({"x": np.zeros((1, 2), np.float32)}, "at least 2 rows"),
        ({"x": np.array([["a", "b"]] * 3)}, "save numbers"),
    ],
)
def test_bad_samples_are_named(
    run_genbench: Command, tmp_path: Path, array: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "bad.npz", **array)
    done = run_genbench("score", "bad.npz", "--suite", TINY)
    assert done.code == 2, done.err
    assert message in done.err
    assert "bad.npz" in done.err


def test_pickled_samples_are_refused_unread(run_genbench: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", x=np.array([object()], dtype=object))
    done = run_genbench("score", "bad.npz", "--suite", TINY)
    assert done.code == 2
    assert "without pickle" in done.err


@pytest.mark.slow
def test_results_are_equal_to_themselves(run_genbench: Command, home: Path) -> None:
    same = run_genbench("compare", home / "results", home / "results")
    assert same.code == 0, same.err
    assert "equal" in same.out
    assert "worse" not in same.out


@pytest.mark.slow
def test_status_tells_what_is_done(run_genbench: Command, home: Path) -> None:
    done = run_genbench("status", home / "results")
    assert done.out.count("ok, attempt 1") == 5


@pytest.mark.slow
def test_doctor_finds_this_machine_fit(run_genbench: Command) -> None:
    done = run_genbench("doctor", "--json")
    checks = {c["check"]: c for c in json.loads(done.out)}
    assert done.code == 0, [c for c in checks.values() if not c["ok"]]
    assert {
        "python",
        "torch",
        "disk",
        "suite mnist",
        "extractor mnist-cnn",
        "generator vae",
    } <= set(checks)


def test_every_option_has_help() -> None:
    def walk(command: object, path: str) -> None:
        assert getattr(command, "help", None), path
        for param in getattr(command, "params", []):
            if param.param_type_name == "option":
                assert param.help, f"{path} {param.name}"
        for name, sub in getattr(command, "commands", {}).items():
            walk(sub, f"{path} {name}")

    walk(cli, "genbench")


def hint(done: Done) -> list[str]:
    """The words of the command that a run ends with."""
    (line,) = (line for line in done.err.splitlines() if line.startswith("next:"))
    words = shlex.split(line.removeprefix("next:").partition("   (")[0])
    assert words[0] == "genbench"
    return words[1:]


@pytest.mark.slow
def test_the_next_command_runs_as_it_is_printed(run_genbench: Command, tmp_path: Path) -> None:
    smoke_profile = "\n[profiles.smoke.budget]\nexamples = 200\n"
    (tmp_path / "my suite.toml").write_text(TINY.read_text() + smoke_profile)
    shutil.copy(PLUGINS / "normal.py", tmp_path / "it's mine.py")
    asked = ("run", "--suite", "my suite.toml", "--plugin", "it's mine.py", "-g",
             "normal:scale=2", "--sweep", "normal:batch=50,100", "--results", "my results",
             "--no-controls", "--no-report")  # fmt: skip
    smoke = run_genbench(*asked, "--profile", "smoke")
    assert "it ranks nothing" in smoke.err
    standard = run_genbench(*hint(smoke), "--json")
    assert standard.code == 0, standard.err
    # Cells run side by side: a line comes when its cell ends.
    assert {line["params"]["batch"] for line in standard.lines} == {50, 100}
    assert len(standard.lines) == 2
    assert all(line["params"]["scale"] == 2.0 for line in standard.lines)
    seeds = run_genbench(*hint(run_genbench(*asked)), "--json")
    assert seeds.code == 0, seeds.err
    assert {line["seed"] for line in seeds.lines} == {1, 2}, "the two seeds that were missing"
    assert {p.parent.parent.name for p in tmp_path.glob("my results/tiny*/*/*/*/record.json")} == {
        "seed-0", "seed-1", "seed-2",
    }  # fmt: skip


@pytest.mark.slow
def test_the_hint_after_a_failure_and_after_a_score_run(
    run_genbench: Command, tmp_path: Path
) -> None:
    source = (PLUGINS / "normal.py").read_text()
    source = source.replace("        total =", "        raise OSError\n        total =", 1)
    (tmp_path / "p.py").write_text(source)
    failed = run_genbench("run", "--suite", TINY, "--plugin", "p.py", "--fresh", "--no-controls",
                          "--no-report")  # fmt: skip
    assert failed.code == 3
    assert "--fresh" not in hint(failed)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "s.npz", x=rng.normal(size=(300, 2)).astype(np.float32))
    scored = run_genbench("score", "s.npz", "--suite", TINY, "--no-controls", "--results", "r 2")
    assert hint(scored) == ["run", "--suite", str(TINY), "--results", "r 2"]


@pytest.mark.slow
def test_paths_that_are_not_utf8_and_an_ascii_terminal_work(
    run_genbench: Command, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system knows UTF-8 names alone")
    shutil.copy(PLUGINS / "normal.py", odd / os.fsdecode(b"m\xff.py"))
    rng = np.random.default_rng(0)
    np.savez(odd / os.fsdecode(b"s\xfe.npz"), x=rng.normal(size=(300, 2)).astype(np.float32))
    results = ("--results", odd / os.fsdecode(b"r\xfd"))
    posix = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for env in ({}, posix):
        run = run_genbench("run", "--suite", TINY, "--plugin", odd / os.fsdecode(b"m\xff.py"),
                           "--no-controls", *results, env=env)  # fmt: skip
        assert run.code == 0, run.err
        score = run_genbench("score", odd / os.fsdecode(b"s\xfe.npz"), "--suite", TINY, "--name",
                             "模型", "--no-controls", *results, env=env)  # fmt: skip
        assert score.code == 0, score.err
    assert "模型" in run_genbench("status", results[1]).out
    assert run_genbench("results", "verify", results[1]).code == 0
