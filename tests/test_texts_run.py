"""Texts of a user from a file to a report, and back as a data set."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click import ClickException
from click.testing import CliRunner

from genbench.cli import cli
from genbench.errors import GenbenchError
from tests.conftest import HERE, Command

BIGRAM = HERE / "plugins" / "bigram.py"
HOSTILE = "<script>alert(1)</script> \u202eabc\u2066"


def texts(n: int, seed: int) -> list[tuple[str, str]]:
    """Texts of two classes, each with words of its own, and a few that a page must survive."""
    rng = np.random.default_rng(seed)
    words = [["".join(rng.choice(list(abc), 4)) for _ in range(12)] for abc in ("abcdef", "uvwxyz")]
    found = []
    for i in range(n):
        text = " ".join(rng.choice(words[i % 2], rng.integers(3, 6)))
        found.append((f"{HOSTILE} {text}" if i % 40 == 0 else text, "ab"[i % 2]))
    return found


def as_lines(rows: list[tuple[str, str]]) -> str:
    return "".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in rows)


def record_of(folder: Path, generator: str) -> Any:
    (file,) = (folder / "results").glob(f"*/{generator}~*/seed-0/*/record.json")
    return json.loads(file.read_text())


@pytest.mark.slow
def test_a_file_of_texts_becomes_a_suite_a_board_and_a_data_set(
    tmp_path: Path, run_genbench: Command
) -> None:
    (tmp_path / "notes.jsonl").write_text(as_lines(texts(400, 0)))
    (tmp_path / "theirs.jsonl").write_text(as_lines(texts(90, 0)))

    def ok(*args: object) -> Any:
        done = run_genbench(*args)
        assert done.code == 0, done.out + done.err
        return done

    made = ok("new", "suite", "notes", "--text", "notes.jsonl", "--tokens", "byte-pairs",
              "--vocabulary", "120")  # fmt: skip
    assert "120 tokens (byte-pairs)" in made.err
    ok("suite", "check", "notes.toml")
    asked = ("--suite", "notes.toml", "--profile", "smoke")
    cells = ok("run", *asked, "--plugin", BIGRAM, "--json").lines
    rows = {cell["generator"]: cell for cell in cells}
    assert set(rows) == {"bigram", "heldout", "train-copy", "noise", "mode-dropped"}
    assert {cell["status"] for cell in cells} == {"ok"}
    metrics = {name: cell["metrics"] for name, cell in rows.items()}
    mauve = {name: found["mauve"]["value"] for name, found in metrics.items()}
    assert mauve["heldout"] > mauve["bigram"] > mauve["noise"] > 0
    js = {name: found["ngram_js"]["value"] for name, found in metrics.items()}
    assert js["heldout"] < js["bigram"] < js["noise"]
    assert metrics["train-copy"]["exact_copies"]["value"] == 1
    assert metrics["train-copy"]["novel"]["value"] == 0
    nll = record_of(tmp_path, "bigram")["metrics"]["nll"]
    assert nll["unit"] == "bits/character"
    assert "|kind=lower-bound|" in nll["signature"], "texts can be cut in other byte pairs"
    assert 0 < nll["value"] < math.log2(26)
    assert metrics["bigram"]["perplexity"]["value"] > 1
    assert metrics["noise"]["nll"]["status"] == "not_applicable"
    assert metrics["heldout"]["tstr_accuracy"]["value"] > 0.9, "each class has letters of its own"
    assert metrics["noise"]["trts_accuracy"]["value"] < 0.8
    (copied,) = tmp_path.glob("results/*/train-copy~*/seed-0/*/texts.json")
    shown = json.loads(copied.read_text())["texts"]
    assert {one["alike"] for one in shown} == {one["text"] for one in shown}
    page = "".join(f.read_text() for f in (tmp_path / "results/report").rglob("*.html"))
    assert "Nearest by edits" in page
    assert "Nearest in features" in page
    assert "alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "\u202e" not in page

    (scored,) = ok("score", "theirs.jsonl", *asked, "--no-controls", "--no-report", "--json").lines
    assert scored["metrics"]["exact_copies"]["value"] > 0.7, "they are of the same file"
    ok("synthesize", *asked, "--plugin", BIGRAM, "-g", "bigram", "-n", "60", "-o", "more",
       "--drop-near-copies", "--filter", "confidence=0.9")  # fmt: skip
    written = (tmp_path / "more/texts/train.jsonl").read_text()
    lines = [json.loads(line) for line in written.strip().split("\n")]
    assert len(lines) == 60
    assert {line["label"] for line in lines} == {"a", "b"}
    known = {text for text, _ in texts(400, 0)}
    assert not {line["text"] for line in lines} & known
    card = (tmp_path / "more/README.md").read_text()
    assert "edits for each character" in card
    assert "Labels: tfidf-logistic/1 trained on real train rows gives each row's label" in card


def refused(*args: str) -> str:
    """The error that ends a command."""
    done = CliRunner().invoke(cli, args, standalone_mode=False)
    assert isinstance(done.exception, GenbenchError | ClickException), done.output
    return (
        done.exception.format_message()
        if isinstance(done.exception, ClickException)
        else str(done.exception)
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--npz", "x.npz", "--lower"), "--tokens, --vocabulary, --lower and --labels are for"),
        (("--text", "a.txt", "--vocabulary", "80"), "--vocabulary is for --tokens byte-pairs"),
        (("--text", "a.tsv", "--labels", "a.txt"), "a.tsv has labels already: leave --labels out"),
        (("--text", "a.txt", "--labels", "b.txt"), "b.txt has 2 labels for 3 texts"),
        (("--text", "a.csv"), "a.csv is no .txt, .tsv, .jsonl"),
        (("--text", "a.txt"), "valid split of data set 'notes' is empty: give more"),
    ],
)
def test_what_cannot_be_a_suite_of_texts_is_said(
    given: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("a.txt", "a\nb\nc\n"), ("a.tsv", "a\tx\n"), ("b.txt", "x\ny\n")):
        (tmp_path / name).write_text(content)
    (tmp_path / "a.csv").write_text("a\n")
    (tmp_path / "x.npz").write_bytes(b"")
    assert message in refused("new", "suite", "notes", *given)
    assert not (tmp_path / "notes.toml").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "Ann\n\nBo\n", "a.txt, line 2 is empty"),
        ("a.tsv", "Ann\tgirl\nBo\tmale\n", "a.tsv, line 1: label 'girl' is no class of names"),
        ("a.tsv", "Ann\tfemale\nBo\tmail\n", "a.tsv, line 2: label 'mail' is no class of names"),
        ("a.txt", "Ann\nBoooooooooooooooooo\n", "line 2 has 19 tokens, the suite's space holds 15"),
        ("a.txt", "Ann\n", "a.txt holds 1 texts: at least 2 are needed"),
    ],
)
def test_texts_that_cannot_be_scored_are_named(
    name: str, content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(content)
    assert message in refused("score", name, "--suite", "names")
