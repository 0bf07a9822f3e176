"""What the README says is so: commands parse, the plugin runs, tables name what there is."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shlex
import shutil
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from genbench.cli import cli
from genbench.tasks.suite import shipped
from tests.conftest import TINY, Command, glance
from tests.test_layering import ROOMS

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "suites" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FOLDERS = ("pictures", "photos", "recordings", "clips", "results", "results-a", "results-b")
FOLDERS += ("reports", "reports/ci", "suites", "a", "b", "now", "before", "after")
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of a language; a fence that closes one block never opens another."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [body for kind, body in fenced if kind == language]


def commands() -> list[str]:
    """Every command line of ours that a page shows, comments cut off."""
    lines: list[str] = []
    for page in PAGES:
        text = page.read_text()
        lines += [line for block in blocks(text) for line in block.splitlines()]
        lines += re.findall(r"`(genbench [^`]+)`", text)
    ours = [line for line in lines if line.startswith("genbench ")]
    return sorted({re.split(r"\s{3,}|\s#", line)[0].strip() for line in ours})


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_pages_parses(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    for word in words:  # what the page's reader would have
        if word.endswith(
            (
                ".npz",
                ".py",
                ".toml",
                ".csv",
                ".npy",
                ".onnx",
                ".safetensors",
                ".tar.gz",
                ".txt",
                ".jsonl",
            )
        ):
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).write_text("")
        elif word in FOLDERS:
            (tmp_path / word).mkdir(parents=True, exist_ok=True)
    words = [w for w in words if w not in ("FILE", "NAME")]
    command: click.Command = cli
    with cli.make_context("genbench", [], resilient_parsing=True) as context:
        while isinstance(command, click.Group) and words:
            _, command, words = command.resolve_command(context, words)
        assert len(line.split()) == 1 or command is not cli, "the line names no command"
        if command is not cli and words:
            command.make_context(command.name, words, parent=context)


def test_the_readme_shows_commands() -> None:
    assert len(commands()) >= 12


def test_the_readme_names_every_suite_and_baseline() -> None:
    for name in [*shipped(), "gan", "vae", "flow", "dna"]:
        assert f"`{name}`" in README, name


def test_the_map_of_the_house_has_the_rooms_in_their_order_and_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| `([a-z]+)(?:/|\.py)` \| (.*) \|$", text, re.MULTILINE)
    assert tuple(room for room, _ in rows) == ROOMS
    for room, said in rows:
        for name in re.findall(r"`(\w+(?:\.py|/))`", said):
            assert (ROOT / "genbench" / room / name).exists(), f"{room}/{name}"


FILES = {"genbench.toml"}  # whose names look like that of a module
GROUPS = {
    f"genbench.{name}" for name in ("generators", "loaders", "extractors", "executors", "trackers")
}


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or the rest of it stands in the module's file or stub."""
    module, rest = name, list[str]()
    while True:
        with contextlib.suppress(ModuleNotFoundError):
            if (found := find_spec(module)) is not None and found.origin is not None:
                stub = Path(found.origin).with_suffix(".pyi")
                text = Path(found.origin).read_text() + (stub.read_text() if stub.is_file() else "")
                return all(re.search(rf"\b{word}\b", text) for word in rest)
        module, _, word = module.rpartition(".")
        rest.append(word)


def test_every_module_that_a_page_a_docstring_or_a_comment_names_exists() -> None:
    files = list(PAGES)
    for folder in ("genbench", "baselines", "benchmarks"):
        files += sorted((ROOT / folder).rglob("*.py"))
    # A slash follows the name of a schema, not of a module.
    pattern = re.compile(r"\bgenbench(?:\.[A-Za-z_]\w*)+(?![\w/])")
    places: dict[str, Path] = {}
    for file in files:
        places |= dict.fromkeys(pattern.findall(file.read_text()), file)
    assert len(places) > 200
    assert (
        not {name: file for name, file in places.items() if not exists(name)}.keys()
        - GROUPS
        - FILES
    )


def test_every_suite_field_is_explained() -> None:
    text = (ROOT / "suites" / "README.md").read_text()
    for path in shipped().values():
        for table, keys in tomllib.loads(path.read_text()).items():
            if isinstance(keys, dict) and table != "profiles":
                for key in keys:
                    assert key in text, f"{table}.{key}"


def test_every_dependency_has_a_sentence() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    packages = [line for line in lines if re.match(r'\s+"[A-Za-z-]+>=', line)]
    assert len(packages) > 15
    for line in packages:
        assert re.search(r"#\s+\S+(\s+\S+){2,}", line), line


BRING_YOUR_OWN = (ROOT / "docs" / "bring-your-own.md").read_text()


@pytest.mark.slow
def test_bring_your_own_samples_and_data(run_genbench: Command, tmp_path: Path) -> None:
    """The commands of the page, one after the other, on a folder of pictures."""
    import numpy as np
    import pandas as pd
    from PIL import Image

    from genbench.data.loading import load_split
    from genbench.tasks.suite import load_suite

    mnist = load_suite("mnist")
    valid = load_split(mnist.dataset, mnist.space, "valid")
    assert valid.y is not None
    for place in ("pictures", "photos"):
        for i in range(1100):
            path = tmp_path / place / str(valid.y[i]) / f"{i:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(valid.x[i, 0]).save(path)
    (tmp_path / "pictures" / "3" / "broken.png").write_bytes(b"")
    np.savez(tmp_path / "samples.npz", x=valid.x[:1000], y=valid.y[:1000])
    points = np.random.default_rng(0).normal(size=(400, 2))
    (tmp_path / "orbits.csv").write_text("\n".join(f"{a},{b}" for a, b in points))
    many = np.random.default_rng(1).normal(size=(3000, 2))
    pd.DataFrame(many, columns=["height", "weight"]).to_csv(tmp_path / "from-pandas.csv")
    lines = [line for block in blocks(BRING_YOUR_OWN) for line in block.splitlines()]
    wanted = ("genbench score", "genbench new", "genbench suite", "genbench run --suite ./pets")
    elsewhere = ("inception", "--batches")  # the latter is in test_newsuite_batches.py
    lines = [
        line for line in lines if line.startswith(wanted) and not any(e in line for e in elsewhere)
    ]
    assert len(lines) == 7
    # What such a suite is worth in a run is in test_newsuite.py, scored labels in test_labels.py.
    more = {"run": ["--dry-run"], "score": ["--skip", "downstream", "--no-report"]}
    for line in lines:
        words = shlex.split(line)[1:]
        done = run_genbench(*words, *more.get(words[0], []))
        assert done.code == 0, f"{line}\n{done.err}"
    assert (tmp_path / "pets-cnn-1.safetensors").is_file()
    assert (tmp_path / "orbits.toml").is_file()


def shown(page: str, *starts: str) -> list[str]:
    """The command lines of a page, in its blocks and in its sentences, that start like these."""
    text = (ROOT / page).read_text()
    lines = [line for block in blocks(text) for line in block.splitlines()]
    lines += re.findall(r"`(genbench [^`]+)`", text)
    lines = [re.split(r"\s{3,}|\s#", line)[0].strip() for line in lines]
    return [line for line in dict.fromkeys(lines) if line.startswith(starts)]


@pytest.mark.slow
def test_the_readmes_plugin_goes_all_its_ways(run_genbench: Command, tmp_path: Path) -> None:
    (code,) = blocks(README, "python")
    (tmp_path / "mine.py").write_text(code)
    lines = [line for line in shown("README.md", "genbench run") if "mine.py" in line]
    lines += shown("README.md", "genbench check mine.py", "genbench new generator")
    assert len(lines) >= 5
    for line in lines:
        line = line.replace("--suite 8gaussians --profile smoke", f"--suite {TINY}")
        done = run_genbench(*shlex.split(line)[1:])
        assert done.code == 0, f"{line}\n{done.err}"
    found = [json.loads(p.read_text()) for p in tmp_path.glob("results/*/mine~*/*/*/record.json")]
    params = [record["cell"]["generator"]["params"] for record in found]
    assert sorted(p["scale"] for p in params) == [0.5, 1, 2]
    assert (tmp_path / "my-model" / "pyproject.toml").is_file()


@pytest.mark.slow
def test_the_tour_of_the_readme_and_of_publishing(run_genbench: Command, tmp_path: Path) -> None:
    """Every command from run to selftest, in the order of the page, at the size of a glance."""
    import numpy as np

    from genbench.data.loading import load_split
    from genbench.tasks.suite import load_suite

    digits = load_suite("digits")
    rows = load_split(digits.dataset, digits.space, "valid")
    np.savez(tmp_path / "samples.npz", x=rows.x[:300], y=rows.y[:300])
    lines = shown("README.md", *(f"genbench {word}" for word in (
        "list", "show", "score", "report", "compare", "gate", "synthesize", "results", "data list",
        "status", "doctor", "selftest",
    )))  # fmt: skip
    # The rest of that page is in test_publish.py, in its own order.
    lines += shown("docs/publish.md", "genbench report")
    lines = [line for line in lines if line not in ("genbench gate", "genbench status")]  # names
    (first,) = [line for line in shown("README.md", "genbench run") if "--seeds 0,1,2" in line][:1]
    assert len(lines) >= 16

    suite = glance(tmp_path).name

    def typed(line: str) -> str:
        line = line.replace("--suite mnist", f"--suite {suite}").replace("-n 20000", "-n 200")
        if line == "genbench selftest":  # test_selftest.py makes all of it
            line += " nll vendi"
        more = ["--skip", "downstream"] if line.startswith("genbench run") else []
        done = run_genbench(*shlex.split(line)[1:], *more)
        # Identical records pass the gate, unless three seeds cannot tell that they do.
        assert done.code in ((0, 5) if line.startswith("genbench gate") else (0,)), (
            f"{line}\n{done.err}{done.out}"
        )
        return done.out

    typed(first)
    for copy in ("results-a", "results-b", "a", "b", "reports", "reports/ci", "now"):
        shutil.copytree(tmp_path / "results", tmp_path / copy)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (
        ["init", "-q"],
        ["add", "results", "reports"],
        ["commit", "-qm", "1"],
        ["tag", "v1.0"],
    ):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    told = {line: typed(line) for line in lines}
    assert "lower-bound" in told["genbench show vae"]
    assert (tmp_path / "site" / "index.html").is_file()
    assert (tmp_path / "more-digits" / "metadata.json").is_file()
    assert any((tmp_path / "all").glob("glance@*/vae~*"))


@pytest.mark.slow
def test_augment_from_run_to_synthesize(run_genbench: Command, tmp_path: Path) -> None:
    """The commands of the page, one after the other, at the size of a glance; MNIST's planned."""
    text = (ROOT / "docs" / "augment.md").read_text()
    lines = [line for block in blocks(text) for line in block.splitlines()]
    assert len(lines) == 8
    suite = glance(tmp_path).name
    for line in lines:
        if "--suite mnist" in line:
            assert run_genbench(*shlex.split(line)[1:], "--dry-run").code == 0, line
            continue
        done = run_genbench(*shlex.split(line.replace("--suite digits", f"--suite {suite}"))[1:])
        # Two replicates prove nothing, so that `--if-helps` must decline.
        assert done.code == (7 if "--if-helps" in line else 0), f"{line}\n{done.err}"
    assert (tmp_path / "results" / "report" / "index.html").is_file()
    assert (tmp_path / "more-digits" / "metadata.json").is_file()


def recordings(folder: Path, n: int, seed: int) -> None:
    """Tones of two classes, a little too short, in folders of their names."""
    from genbench.data import tones
    from genbench.formats import wav_bytes

    x, y = tones.sample(6 * n, 4096, 8000, seed=seed)
    for i, row in enumerate(x[y < 2]):
        path = folder / ("wren" if y[y < 2][i] else "owl") / f"{i:04}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav_bytes(row[: 4096 if folder.name == "clips" else 4000], 8000))


@pytest.mark.slow
def test_the_page_on_sounds(run_genbench: Command, tmp_path: Path) -> None:
    """Its commands one after the other, at the size of a glance; what was built is read again."""
    recordings(tmp_path / "recordings", 300, seed=1)
    recordings(tmp_path / "clips", 30, seed=2)
    text = (ROOT / "docs" / "sound.md").read_text()
    lines = [line for block in blocks(text) for line in block.splitlines()]
    does = ["run", "new", "run", "score", "synthesize", "new", "run"]
    assert [line.split()[1] for line in lines] == does
    brief = ["--no-report", "--no-controls"]
    for line in lines:
        words = shlex.split(line)[1:]
        more = brief if words[0] in ("run", "score") else []
        done = run_genbench(*words, *(["--dry-run"] if "tones" in words else more))
        assert done.code == 0, f"{line}\n{done.err}{done.out}"
        if words[:2] == ["new", "suite"]:
            suite = tmp_path / "birds.toml"
            suite.write_text(suite.read_text().replace("examples = 5000", "examples = 256"))
    card = (tmp_path / "more-birds" / "README.md").read_text()
    assert "wav files of 16 bits" in card
    assert len(list((tmp_path / "more-birds" / "sounds" / "train" / "owl").glob("*.wav"))) > 10
    scored = run_genbench("score", "more-birds", "--suite", "birds.toml", *brief, "--json")
    assert scored.lines[0]["metrics"]["fid"]["status"] == "ok", scored.err
    again = ("new", "suite", "again", "--audio", "more-birds", "--split", "0.34,0.33,0.33")
    assert "too few" in run_genbench(*again).err, "40 clips are read, and are no suite"


@pytest.mark.slow
def test_the_page_of_texts_from_run_to_synthesize(run_genbench: Command, tmp_path: Path) -> None:
    """The commands of the page, in another order, with the quickest generator; `snips`, which does
    not ship, is `names` here.
    """
    rng = random.Random(0)
    letters = {"a": "abcdefgh", "b": "stuvwxyz"}
    rows = [("".join(rng.choices(letters[y], k=4)) + " " + "".join(rng.choices(letters[y], k=5)), y)
            for y in "ab" * 200]  # fmt: skip
    (tmp_path / "towns.txt").write_text("".join(f"{text}\n" for text, _ in rows))
    (tmp_path / "notes.txt").write_text("".join(f"{text}\n" for text, _ in rows))
    (tmp_path / "classes.txt").write_text("".join(f"{y}\n" for _, y in rows))
    lines = [json.dumps({"text": text, "label": y}) + "\n" for text, y in rows]
    (tmp_path / "mails.jsonl").write_text("".join(lines))
    named = ("Ann", "female"), ("Bob", "male"), ("Eve", "female"), ("Tom", "male")
    lines = [json.dumps({"text": text, "label": y}) + "\n" for text, y in named * 30]
    (tmp_path / "utterances.jsonl").write_text("".join(lines))
    asked = shown("docs/text.md", "genbench ")
    assert len(asked) == 9
    for line in asked:
        if line == "genbench data fetch snips":
            continue
        typed = line.replace("snips", "names").replace("lstm", "ngram").replace("1500", "100")
        ours = line.startswith("genbench run") and "--plugin" not in line
        more = ["-g", "ngram"] if ours else []
        if line.startswith(("genbench run", "genbench score")):
            more += ["--no-controls", "--skip", "downstream", "--no-report"]
        done = run_genbench(*shlex.split(typed)[1:], *more)
        assert done.code == 0, f"{typed}\n{done.err}{done.out}"
    assert all((tmp_path / f"{name}.toml").is_file() for name in ("towns", "mails", "notes"))
    assert (tmp_path / "more-names" / "texts" / "train.jsonl").is_file()


def tiny(code: str) -> str:
    """A page's Python with the suite of eight Gaussians at its smallest."""
    assert '"8gaussians"' in code
    return code.replace('"8gaussians"', repr(str(TINY))).replace(
        'profile="smoke"', 'profile="standard"'
    )


@pytest.mark.slow
def test_the_pages_notebook_and_adapter_run(run_genbench: Command, tmp_path: Path) -> None:
    import sys

    import torch
    from torch import nn

    notebook, adapter = blocks(BRING_YOUR_OWN, "python")
    subprocess.run([sys.executable, "-c", tiny(notebook)], cwd=tmp_path, check=True)
    assert (tmp_path / "results" / "report" / "index.html").is_file()
    net = nn.Sequential(nn.Linear(16, 784), nn.Tanh())
    torch.save(net.state_dict(), tmp_path / "net.pt")
    (tmp_path / "theirs.py").write_text(adapter)
    (line,) = (
        line
        for block in blocks(BRING_YOUR_OWN)
        for line in block.splitlines()
        if "theirs.py" in line
    )
    done = run_genbench(*shlex.split(line)[1:], "--json", "--skip", "downstream")
    assert done.code == 0, done.err
    (mine,) = (cell for cell in done.lines if cell["generator"] == "mine")
    assert mine["metrics"]["fid"]["value"] > 100
    assert mine["metrics"]["nll"]["status"] == "not_applicable"


PYTHON = (ROOT / "docs" / "python.md").read_text()


def test_every_metric_id_is_named_with_its_function() -> None:
    from genbench import metrics

    rows = re.findall(r"^\| (`.+?`) \| `(\w+)`", PYTHON, re.MULTILINE)
    told = {id_: name for ids, name in rows for id_ in re.findall(r"`(\w+)`", ids)}
    assert set(told.values()) <= set(metrics.__all__)
    assert set(told.values()) == set(metrics.__all__) - {
        "METRICS", "CustomMetric", "MetricInfo", "evaluate", "metric_info", "signature", "split_id",
    }  # fmt: skip
    without = {id_ for id_ in metrics.METRICS if f"`{id_}`" not in PYTHON}
    assert without == {id_ for id_ in metrics.METRICS if id_.startswith("pixel_")}


@pytest.mark.slow
def test_the_python_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in blocks(PYTHON, "python"):
        code = tiny(code) if '"8gaussians"' in code else code
        exec(compile(code, "docs/python.md", "exec"), names)
    frame = names["frame"]
    assert list(frame["generator"]) == ["vae", "vae"]  # type: ignore[index]
    assert list(frame.columns[:3]) == ["rank", "generator", "parameters_passed"]  # type: ignore[attr-defined]
    assert names["found"]["fid"].status == "ok"  # type: ignore[index]


def test_the_profiles_on_the_first_page_are_those_of_the_suites() -> None:
    from genbench.tasks.suite import load_suite

    page = (ROOT / "docs" / "index.md").read_text()
    for profile in ("smoke", "standard", "full"):
        (line,) = (x for x in page.splitlines() if x.startswith(f"| `{profile}`"))
        for name, word in (("mnist", "mnist"), ("digits", "digits"), ("8gaussians", "points")):
            suite = load_suite(name, profile)
            assert f"{word} {suite.budget:,}" in line
            assert profile == "full" or f"{word} {suite.n_samples:,}" in line
