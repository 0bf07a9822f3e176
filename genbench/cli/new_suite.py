"""``genbench new suite``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.output import echo


@click.command()
@click.argument("name")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Use the images of this folder: one size, one folder per class if labelled.",
)
@click.option(
    "--npz",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Use the array x of this file (uint8 images or float32 points) and, if labelled, y.",
)
@click.option(
    "--csv",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Use the rows of this CSV as points; every column is a number.",
)
@click.option(
    "--extractor",
    metavar="train|NAME",
    help="Compute image metrics in these features: train fits a classifier to the labels now, a "
    "name takes one of `genbench list extractors` or of an installed package.",
)
@click.option(
    "--on-bad",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do about image files that cannot be used; each is named.",
)
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    help="Write into this folder; default: here.",
)
def suite(
    name: str,
    images: Path | None,
    npz: Path | None,
    csv: Path | None,
    extractor: str | None,
    on_bad: str,
    folder: Path,
) -> int:
    """Make a suite of your own data: splits, checksums, an extractor, NAME.toml.

    Rows are split 80 : 10 : 10 by the digest of their content, so that copies of a row lie in one
    split and rows added later move no other. The data stay where they are; the suite holds their
    checksums. Give exactly one of --images, --npz and --csv.

    \b
    Examples
      genbench new suite pets --images photos
      genbench new suite orbits --csv orbits.csv
    """
    from genbench.newsuite import new_suite

    made = new_suite(
        name,
        images=images,
        npz=npz,
        csv=csv,
        folder=folder,
        extractor=extractor,
        skip_bad=on_bad == "skip",
        say=lambda text: echo(text, err=True),
    )
    for note in made.notes:
        echo(f"note:    {note}", err=True)
    echo(", ".join(f"{split} {rows:,}" for split, rows in made.rows.items()) + " rows")
    for file in made.files:
        echo(f"wrote    {file}")
    path = made.files[0] if made.files[0].is_absolute() else f"./{made.files[0]}"
    echo(f"next:    genbench run --suite {path} --profile smoke", err=True)
    return 0
