"""``genbench score``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from genbench.cli import options


@click.command()
@click.argument("samples", type=click.Path(path_type=Path, exists=True))
@options.suite_name(help="Score against this suite.")
@click.option("--name", metavar="TEXT", help="Call the row this; default: the file's name.")
@click.option(
    "--labels",
    type=options.FILE,
    metavar="FILE",
    help="Labels of arrays or texts (.npy, or one per line), of images or sounds (.csv of "
    "file,label).",
)
@options.on_bad(
    help="What to do about image and sound files that are not of the suite's space; each is named."
)
@options.profile()
@options.results(help="Keep the record in this folder.")
@options.device(help="Score here.")
@options.only
@options.skip
@options.no_controls
@options.as_json(help="Print one JSON line instead of the table.")
@options.no_report
def score(
    samples: Path,
    suite_name: str,
    name: str | None,
    labels: Path | None,
    on_bad: Literal["fail", "skip"],
    profile: str | None,
    results: Path,
    device: str,
    only: str | None,
    skip: str | None,
    no_controls: bool,
    as_json: bool,
    no_report: bool,
) -> int:
    """Score samples that were made elsewhere, by any model in any framework, or a file of `export`.

    SAMPLES is a file of arrays (.npz, .npy, .pt, .safetensors) with x and, if labelled, y; a .csv
    of points; texts, one a line (.txt), text and label parted by a tab (.tsv) or {"text": ...,
    "label": ...} a line (.jsonl); a data set of `genbench synthesize`; or a folder or .zip of .png,
    .jpg, .webp, .bmp, .gif, .tif or .ppm, or of .wav, .flac, .ogg or .aiff. Image arrays are uint8
    (n, C, H, W), (n, H, W, C) or (n, H, W), points floats (n, d), sounds floats (n, T) in [-1, 1].
    From a file of `genbench export` (.onnx, .pt, .safetensors) the rows are drawn as a run draws
    them. Labels are the names of the suite's classes, whole numbers or texts (n,); files of images
    and sounds are labelled by the class folders they lie in, or by --labels.

    The result is an ordinary record, marked as scored; metrics that need the model are not
    applicable. Of more rows than the suite asks for, a seeded subset is scored; with fewer, the
    row is shown unranked. Where the package ships our own control records of the suite, those are
    the reference; elsewhere, and where they measured otherwise, the controls are computed here.

    \b
    Examples
      genbench score samples.npz --suite mnist --name mine
      genbench score pictures --suite mnist --on-bad skip
      genbench score clips --suite tones
      genbench score utterances.jsonl --suite snips
    """
    from functools import partial

    from genbench import api
    from genbench.cli.terminal import listener, print_result

    result = api.score(
        samples,
        suite_name,
        name=name,
        labels=labels,
        on_bad=on_bad,
        profile=profile,
        results=results,
        device=device,
        parts=options.parts_of(only, skip),
        controls=not no_controls,
        report=not no_report,
        show=partial(listener, as_json=as_json),
    )
    print_result(result, as_json=as_json)
    return result.exit_code
