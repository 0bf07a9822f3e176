"""Seeds depend on every name, in order, and on nothing else."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from genbench.seeds import derive_seed


@given(st.integers(0, 2**31), st.lists(st.text(max_size=8), max_size=4))
def test_a_seed_is_a_63_bit_number_and_repeats(base: int, names: list[str]) -> None:
    seed = derive_seed(base, *names)
    assert 0 <= seed < 2**63
    assert seed == derive_seed(base, *names)


def test_names_do_not_run_together() -> None:
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")
    assert derive_seed(0, "a", "b") != derive_seed(0, "b", "a")
    assert derive_seed(0, 1) != derive_seed(0, "1")
    assert derive_seed(0) != derive_seed(1)


def test_a_seed_is_the_same_in_another_process() -> None:
    code = "from genbench.seeds import derive_seed; print(derive_seed(3, 'fit', 7))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert int(done.stdout) == derive_seed(3, "fit", 7)
