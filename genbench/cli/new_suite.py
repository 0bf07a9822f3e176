"""``genbench new suite``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from genbench.cli import options
from genbench.cli.output import echo


@click.command()
@click.argument("name")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR|ZIP",
    help="Use the images of this folder or zip: one folder per class, which gives the class its "
    "name, if labelled.",
)
@click.option(
    "--resize",
    type=int,
    metavar="N",
    help="Resize the images to N x N pixels as they are read (antialiased bicubic); without it, "
    "images of another size than most are refused.",
)
@click.option(
    "--fit",
    type=click.Choice(["crop", "stretch"]),
    help="With --resize, keep the centre square of images that are no squares (the default), or "
    "squeeze them.",
)
@click.option(
    "--background",
    metavar="COLOUR",
    help="Lay transparent images on this colour (white, black, grey or such as #f0f0f0); without "
    "it, they are refused.",
)
@click.option(
    "--rgb",
    is_flag=True,
    help="Take all images as RGB; without it, grey ones among those in colour are refused.",
)
@click.option(
    "--npz",
    type=options.FILE,
    metavar="FILE",
    help="Use the array x of this file (uint8 images or float points) and, if labelled, y.",
)
@click.option(
    "--csv",
    type=options.FILE,
    metavar="FILE",
    help="Use the rows of this CSV as points: commas between columns, decimal points.",
)
@click.option(
    "--text",
    type=options.FILE,
    metavar="FILE",
    help="Use the texts of this file: one a line (.txt), text and label parted by a tab (.tsv), or "
    '{"text": ..., "label": ...} a line (.jsonl).',
)
@click.option(
    "--labels",
    type=options.FILE,
    metavar="FILE",
    help="With --text, take the labels from this file beside it, one a line.",
)
@click.option(
    "--tokens",
    type=click.Choice(["characters", "words", "byte-pairs"]),
    help="With --text, cut texts into these (default: characters); byte pairs are learnt from the "
    "train split.",
)
@click.option(
    "--vocabulary",
    type=int,
    metavar="N",
    help="With --tokens byte-pairs, learn so many (default: 1500).",
)
@click.option("--lower", is_flag=True, help="With --text, take all texts in lower case.")
@click.option(
    "--batches",
    type=click.Path(path_type=Path, exists=True),
    metavar="PLACE",
    help="Use the 32 x 32 colour images of a folder, .tar or .tar.gz in one of CIFAR's layouts: "
    "pickled batches or .bin, and their classes in batches.meta (of CIFAR-100, in meta).",
)
@click.option(
    "--audio",
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR|ZIP",
    help="Use the sounds (.wav, .flac, .ogg, .aiff) of this folder or zip: one folder per class, "
    "which gives the class its name, if labelled.",
)
@click.option(
    "--rate",
    type=int,
    metavar="HZ",
    help="Resample the sounds to this rate (polyphase filter); without it, sounds of another rate "
    "than most are refused.",
)
@click.option(
    "--length",
    type=int,
    metavar="N",
    help="Pad the sounds with silence, or cut them, to N samples; without it, sounds of another "
    "length than most are refused.",
)
@click.option(
    "--mono",
    is_flag=True,
    help="Average the channels of sounds that have several; without it, they are refused.",
)
@click.option(
    "--header",
    type=click.Choice(["yes", "no"]),
    help="Say whether the CSV's first line is a heading, where that cannot be told.",
)
@click.option(
    "--drop-column",
    "drop",
    multiple=True,
    metavar="NAME|#N",
    help="Leave out a column of the CSV, such as row numbers: by its heading, or #1 for the first.",
)
@click.option(
    "--keep-column",
    "keep",
    multiple=True,
    metavar="NAME|#N",
    help="Use a column of the CSV although it looks like row numbers.",
)
@click.option(
    "--extractor",
    metavar="train|standardised|NAME",
    help="Compute metrics in these features: train fits a classifier to the labels now (default "
    "for labelled images and sounds; other images get efficientnet-lite0, other sounds "
    "resemblyzer), standardised gives the columns of points "
    "one scale (default for points), a name takes one of `genbench list extractors` or of an "
    "installed package.",
)
@click.option(
    "--split",
    "shares",
    default="0.8,0.1,0.1",
    show_default=True,
    metavar="TRAIN,VALID,TEST",
    help="Shares of the rows for each split.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Ask each generator for so many rows; default: as many as valid and test hold, 10,000 at "
    "most.",
)
@options.on_bad(help="What to do about image and sound files that cannot be used; each is named.")
@click.option(
    "-o",
    "--out",
    "folder",
    type=options.FOLDER,
    default=".",
    help="Write into this folder; default: here.",
)
def suite(
    name: str,
    images: Path | None,
    resize: int | None,
    fit: str | None,
    background: str | None,
    rgb: bool,
    npz: Path | None,
    csv: Path | None,
    text: Path | None,
    labels: Path | None,
    tokens: Literal["characters", "words", "byte-pairs"] | None,
    vocabulary: int | None,
    lower: bool,
    batches: Path | None,
    audio: Path | None,
    rate: int | None,
    length: int | None,
    mono: bool,
    header: str | None,
    drop: tuple[str, ...],
    keep: tuple[str, ...],
    extractor: str | None,
    shares: str,
    samples: int | None,
    on_bad: str,
    folder: Path,
) -> int:
    """Make a suite of your own data: splits, checksums, an extractor, NAME.toml.

    Rows are split by the digest of their content, so that rows added later move no other. Copies
    of a picture lie in one split, unless they are so many that they would skew it; equal points
    are spread like those of a random sample. The data stay where they are (of batches the suite
    has a copy); the suite holds their checksums. Give one of --images, --npz, --csv, --text,
    --audio and --batches.

    \b
    Examples
      genbench new suite pets --images photos
      genbench new suite icons --images icons --resize 32 --background white
      genbench new suite scenes --batches scenes-python.tar.gz
      genbench new suite birds --audio recordings --rate 16000 --length 16384
      genbench new suite orbits --csv orbits.csv
      genbench new suite towns --text towns.txt
      genbench new suite mails --text mails.jsonl --tokens byte-pairs --lower
      genbench new suite orbits --csv pandas.csv --drop-column '#1' --split 0.6,0.2,0.2
    """
    from genbench.formats import Fitting, Layout, fitting
    from genbench.tasks import Cutting, Hearing, new_suite

    asked = fitting(resize, fit, background)
    layout = Layout(None if header is None else header == "yes", drop, keep)
    if vocabulary is not None and tokens != "byte-pairs":
        raise click.UsageError("--vocabulary is for --tokens byte-pairs: leave it out")
    cutting = Cutting(tokens or "characters", vocabulary or Cutting().size, lower, labels)
    hearing = Hearing(rate, length, mono)
    made = new_suite(
        name,
        images=images,
        npz=npz,
        csv=csv,
        text=text,
        cutting=cutting if cutting != Cutting() else None,
        batches=batches,
        audio=audio,
        hearing=hearing if hearing != Hearing() else None,
        folder=folder,
        extractor=extractor,
        skip_bad=on_bad == "skip",
        fitting=asked if asked != Fitting() else None,
        rgb=rgb,
        layout=layout if layout != Layout() else None,
        shares=_shares(shares),
        n_samples=samples,
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


def _shares(text: str) -> tuple[float, float, float]:
    try:
        train, valid, test = (float(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(
            f"--split {text!r}: give three shares that sum to 1, such as 0.7,0.15,0.15"
        ) from None
    return train, valid, test
