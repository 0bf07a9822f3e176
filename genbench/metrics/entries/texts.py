"""Metrics of texts as they are read, whatever tokens they were written in."""

from __future__ import annotations

from functools import partial

from genbench.metrics.entry import Claim, MetricInfo

TEXTS = ("sequence",)

_text = partial(MetricInfo, kinds=TEXTS, needs=frozenset({"texts"}), bounds=(0, 1))
_copies = partial(
    _text, needs=frozenset({"texts", "train"}), group="copies", higher_is_better=None,
    of_copies=True,
)  # fmt: skip

ENTRIES = (
    _text(
        id="ngram_js", title="N-gram JS", group="quality", higher_is_better=False,
        defaults={"of": "characters"}, fixed={"n": "2-4"}, implementation="ngrams/1",
        description="Jensen-Shannon distance of the frequencies of runs of 2 to 4 characters (or"
        " words) to those of real texts, on average.",
        cost="one pass over the texts", reference="Lin 1991, doi:10.1109/18.61115",
        maker="genbench.metrics.ngrams:measure_ngrams", oracle="tests.oracles.texts:ngram_js",
        claims=(
            Claim("texts against themselves: 0", -1e-9, 1e-9, "written", ("real",)),
            Claim("nothing in common: 1", 1 - 1e-9, 1, "written", ("foreign",)),
            Claim("shuffled letters are worse than fresh texts", 0.1, 1, "written_gap",
                  ("shuffled", "fresh")),
        ),
    ),
    _text(
        id="bleu", title="BLEU-4", group="quality", higher_is_better=True, aspect="fidelity",
        defaults={"of": "characters"}, implementation="bleu/1",
        description="Mean BLEU of generated texts with all real texts as references; blind to"
        " variety.",
        cost="one pass over the texts", reference="Papineni et al. 2002,"
        " doi:10.3115/1073083.1073135",
        maker="genbench.metrics.bleu:measure_bleu", oracle="tests.oracles.texts:bleu",
        claims=(
            Claim("real texts again: 1", 1 - 1e-9, 1 + 1e-9, "written", ("real",)),
            Claim("nothing in common: 0", 0, 0, "written", ("foreign",)),
            Claim("fresh texts are nearer than shuffled letters", 0.1, 1, "written_gap",
                  ("fresh", "shuffled")),
        ),
    ),
    _text(
        id="self_bleu", title="Self-BLEU-4", group="diversity", higher_is_better=None,
        defaults={"of": "characters", "block": 200}, implementation="self-bleu/1",
        description="Mean BLEU of generated texts with each other as references, in blocks: far"
        " above the held-out control's means too little variety.",
        cost="one pass over the texts", reference="Zhu et al. 2018, arXiv:1802.01886",
        maker="genbench.metrics.bleu:measure_self_bleu", oracle="tests.oracles.texts:self_bleu",
        claims=(
            Claim("one text again and again: 1", 1 - 1e-9, 1 + 1e-9, "written", ("same",)),
            Claim("fresh texts are less alike", 0.01, 1, "written_gap", ("same", "fresh")),
        ),
    ),
    _text(
        id="distinct_n", title="Distinct-n", group="diversity", higher_is_better=None,
        defaults={"of": "characters", "n": 2}, implementation="distinct/1",
        description="Share of different runs of n characters (or words) among all of the generated"
        " texts'; it falls with the number of texts.",
        cost="one pass over the texts", reference="Li et al. 2016, arXiv:1510.03055",
        maker="genbench.metrics.ngrams:measure_distinct",
        oracle="tests.oracles.texts:distinct_n",
        claims=(
            Claim("one text 400 times: a 400th at most", 0, 1 / 400, "written", ("same",)),
            Claim("fresh texts are more varied", 1e-6, 1, "written_gap", ("fresh", "same")),
        ),
    ),
    _text(
        id="unique", title="Unique", group="diversity", higher_is_better=True,
        description="Share of different texts among the generated ones.",
        cost="one pass over the texts", reference="Polykovskiy et al. 2020, arXiv:1811.12823",
        implementation="unique/1", maker="genbench.metrics.text_copies:measure_unique",
        oracle="tests.oracles.texts:unique",
        claims=(
            Claim("one text 400 times: a 400th", 1 / 400, 1 / 400, "written", ("same",)),
            Claim("texts that are all different: 1", 1, 1, "written", ("numbered",)),
        ),
    ),
    _copies(
        id="novel", title="Novel", implementation="novel/1",
        description="Share of the different generated texts that no training row is.",
        cost="one pass over the texts", reference="Polykovskiy et al. 2020, arXiv:1811.12823",
        maker="genbench.metrics.text_copies:measure_novel", oracle="tests.oracles.texts:novel",
        claims=(
            Claim("training rows: 0", 0, 0, "written", ("copies",)),
            Claim("nothing in common: 1", 1, 1, "written", ("foreign",)),
        ),
    ),
    _copies(
        id="exact_copies", title="Exact copies", implementation="exact-copies/1",
        description="Share of generated texts that are a training row; beside it that of held-out"
        " texts.",
        cost="one pass over the texts", reference="Lee et al. 2022, arXiv:2107.06499",
        maker="genbench.metrics.text_copies:measure_exact",
        oracle="tests.oracles.texts:exact_copies",
        claims=(
            Claim("training rows: 1", 1, 1, "written", ("copies",)),
            Claim("nothing in common: 0", 0, 0, "written", ("foreign",)),
        ),
    ),
    _copies(
        id="near_copies", title="Near copies", defaults={"within": 0.1, "rows": 1000},
        description="Share of generated texts whose edit distance to a training row is within a"
        " tenth of the longer one's length; beside it that of held-out texts.",
        cost="rows n_train comparisons", reference="Lee et al. 2022, arXiv:2107.06499",
        implementation="near-copies/1", maker="genbench.metrics.text_copies:measure_near",
        oracle="tests.oracles.texts:near_copies",
        claims=(
            Claim("training rows with one letter more: 1", 1, 1, "written", ("longer",)),
            Claim("nothing in common: 0", 0, 0, "written", ("foreign",)),
        ),
    ),
)  # fmt: skip
