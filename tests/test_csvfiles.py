"""CSV files of numbers: nothing is read as data by accident, and every refusal says what to do."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from genbench.errors import DataError, UsageError
from genbench.formats.csvfiles import Layout, parse_csv

X = np.random.default_rng(0).normal(size=(40, 3)).round(4)


def text(
    rows: Iterable[Iterable[object]], head: str = "", sep: str = ",", end: str = "\n"
) -> bytes:
    lines = [head] if head else []
    lines += [sep.join(map(str, row)) for row in rows]
    return (end.join(lines) + end).encode()


def numbered(first: int = 0) -> list[list[object]]:
    return [[i + first, *row] for i, row in enumerate(X.tolist())]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (text(X, "mass,radius,age"), ("mass", "radius", "age")),
        (text(X), ()),
        (text(X, "a,b,c", end="\r\n"), ("a", "b", "c")),
        (text(X, "a,b,c", end="\r"), ("a", "b", "c")),
        (b"\xef\xbb\xbf" + text(X, "a,b,c"), ("a", "b", "c")),
        (text(X, "# a,b,c"), ("a", "b", "c")),
        (text(X, "a,b,c", sep=" ,\t"), ("a", "b", "c")),
        (text([[f'"{v}"' for v in row] for row in X], '"a","b","c"'), ("a", "b", "c")),
        (text(X, "a,b,c") + b"\n\n", ("a", "b", "c")),
    ],
)
def test_what_leaves_no_doubt_is_read(content: bytes, names: tuple[str, ...]) -> None:
    found = parse_csv(content, "t.csv")
    assert_array_equal(found.x, X)
    assert found.names == names
    assert found.notes == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text(X, "0,1,2"), "t.csv, line 1 (0,1,2) counts up, as pandas writes"),
        (text(X, "1,2,3"), "counts up"),
        (text(X, "400.5,401.0,401.5"), "counts up"),
        (text(X, "1990,1995,2003"), "is unlike every other line: say --header yes if it is a head"),
        (text(X[:, :1], "0"), "counts up"),
        (text(X.astype(int), "2003,1990,1995"), "is unlike every other line"),
        (text(X, "year,2001,2002"), "line 1 (year,2001,2002) holds 'year' beside numbers"),
        (text(X, "NA,1.0,2.0"), "holds 'NA' beside numbers"),
        (text(X, "NA,NA,NA"), "holds 'NA', which is neither a name nor a number"),
        (text(X, '"1,234","5,678","1,000"'), "holds '1,234', which is neither a name"),
        (text(X, "2020_01,2020_02,2020_03"), "holds '2020_01', which is neither"),
        (text(X, "1,5kg,2"), "holds '5kg' beside numbers"),
        (text(X, "a,b,"), "line 1 (a,b,) holds '', which is neither a name nor a number"),
        (b"a\n0,125\n-1,5\n", "line 2: 2 columns, expected 1: are there decimal commas"),
        (b"a\n1,0.125\n2,1.5\n", "line 2: 2 columns, expected 1: are there row numbers"),
        (text(X, "# made by x\na,b,c"), "line 2: 3 columns, expected 1: is 'made by x' a remark"),
        (text(numbered(), ",a,b,c"), "column '' has no name: leave it out with --drop-column '#1'"),
        (text(numbered(), ",0,1,2"), "begins with an empty cell"),
        (text(numbered(), "Unnamed: 0,a,b,c"), "--drop-column 'Unnamed: 0'"),
        (text(numbered(), "n,a,b,c"), "column 'n' counts the rows (0 to 39)"),
        (
            text(numbered(1)),
            "column 1 counts the rows (1 to 40): leave it out with --drop-",
        ),
        (text(numbered()[::-1], "a,b,c,d"), "column 'a' counts the rows"),
        (text(numbered()[::2], "id,b,c,d"), "column 'id' counts the rows"),
        (text(numbered(), "a,b,c"), "line 2: 4 columns, expected 3: are there row numbers without"),
        (text(X, sep=";"), "line 1: columns are separated by semicolons"),
        (text(X, "a;b;c", sep=";"), "line 2, column 'a;b;c': "),
        (text([["1,5", "2,5"]] * 20, "a;b", sep=";"), "columns are separated by semicolons"),
        (text(X, "a\tb\tc", sep="\t"), "columns are separated by tabs"),
        (text(X, sep="|"), "columns are separated by bars"),
        (text(X, "# a b c", sep=" "), "columns are separated by spaces"),
        (text(X, sep=" "), "columns are separated by spaces"),
        (
            text([["1,5", "2,5", "3,5"]] * 20, "a,b,c"),
            "line 2: 6 columns, expected 3: are there",
        ),
        (
            text([['"1,5"', 2, 3]] * 20, "a,b,c"),
            "column 'a': '1,5' is no finite number: write",
        ),
        (text([["2020_01", 2, 3]] * 20, "a,b,c"), "'2020_01' is no finite number: an underscore"),
        (text([["1_000", 2, 3]] * 20, "a,b,c"), "'1_000' is no finite number: an underscore"),
        (text([["inf", 2, 3]] * 20, "a,b,c"), "'inf' is no finite number: remove the row or fill"),
        (text([["-Infinity", 2, 3]] * 20, "a,b,c"), "'-Infinity' is no finite number"),
        (text([["１２", 2, 3]] * 20, "a,b,c"), "'１２' is no finite number"),
        (text([["1e400", 2, 3]] * 20, "a,b,c"), "'1e400' is no finite number of float32: scale"),
        (
            text([[1, "", 3]] * 20, "a,b,c"),
            "line 2, column 'b': '' is no finite number: remove",
        ),
        (text([["0x1F", 2, 3]] * 20, "a,b,c"), "'0x1F' is no finite number"),
        (b"a\n1.5\n\n2.5\n", "line 3 is empty: remove it, or fill in its value"),
        (text(X, "a,b,c").decode().encode("utf-16"), "is no text in UTF-8 (UTF-16?)"),
        (b'a,b\n1,2\n"3,4\n5,6\n', "not a CSV"),
        (b"a,b\n", "has no rows of numbers"),
        (b"", "has no rows of numbers"),
    ],
)
def test_what_leaves_doubt_is_refused_with_the_place_and_the_way_out(
    content: bytes, message: str
) -> None:
    with pytest.raises(DataError) as error:
        parse_csv(content, "t.csv")
    assert str(error.value).startswith("t.csv")
    assert message in str(error.value)


def test_the_owner_s_word_decides() -> None:
    headed = parse_csv(text(X, "0,1,2"), "t.csv", Layout(header=True))
    assert headed.names == ("0", "1", "2")
    assert_array_equal(headed.x, X)
    row = parse_csv(text(X, "0,1,2"), "t.csv", Layout(header=False))
    assert_array_equal(row.x, [[0, 1, 2], *X])
    without = parse_csv(text(numbered(), ",a,b,c"), "t.csv", Layout(drop=("#1",)))
    assert_array_equal(without.x, X)
    assert without.notes == ("left out: column ''",)
    dropped = parse_csv(text(numbered(), ",0,1,2"), "t.csv", Layout(True, drop=("#1", "1")))
    assert dropped.names == ("0", "2")
    kept = parse_csv(text(numbered(), "n,a,b,c"), "t.csv", Layout(keep=("n",)))
    assert kept.x.shape == (40, 4)
    with pytest.raises(UsageError, match="has no column 'mas': did you mean 'mass'"):
        parse_csv(text(X, "mass,b,c"), "t.csv", Layout(drop=("mas",)))
    with pytest.raises(UsageError, match="every column is left out"):
        parse_csv(text(X, "a,b,c"), "t.csv", Layout(drop=("a", "b", "c")))


def test_text_can_be_left_out_as_a_column() -> None:
    rows = [[f"star{i}", *row] for i, row in enumerate(X.tolist())]
    found = parse_csv(text(rows, "name,a,b,c"), "t.csv", Layout(drop=("name",)))
    assert_array_equal(found.x, X)


def test_a_column_that_grows_is_told() -> None:
    rows = [[10 * i, *row] for i, row in enumerate(X.tolist())]
    (note,) = parse_csv(text(rows, "time,a,b,c"), "t.csv").notes
    assert note.startswith("column 'time' is another whole number in every row: if it is an id")


def test_two_columns_of_one_name_are_refused_unless_one_is_left_out() -> None:
    with pytest.raises(DataError, match="columns 1 and 2 are both called 'a'"):
        parse_csv(text(X, "a,a,b"), "t.csv")
    assert parse_csv(text(X, "a,a,b"), "t.csv", Layout(drop=("#2",))).names == ("a", "b")
