"""The worth of generated rows to a classifier that is trained with them."""

from __future__ import annotations

from functools import partial

from genbench.metrics.entry import IMAGE, JUDGED, Claim, MetricInfo

_trained = partial(
    MetricInfo, higher_is_better=True, bounds=(0, 1), kinds=JUDGED, implementation="classifier/1",
    group="use",
    needs=frozenset({"classifier", "labels", "train"}), cost="one classifier training",
    reference="Ravuri & Vinyals 2019, arXiv:1905.10887",
    no_oracle="a trained network: another training would give another accuracy",
)  # fmt: skip

ENTRIES = (
    _trained(
        id="tstr_accuracy", title="TSTR accuracy", needs=frozenset({"classifier", "labels"}),
        description="Real-test accuracy of a fixed classifier trained on generated rows only.",
        cost="a classifier training per replicate", ceiling="trtr_accuracy",
        claims=(
            Claim("copies of real digits teach as well", 0.85, 1, "taught", (0,)),
            Claim("wrong labels teach nothing", 0, 0.1, "taught", (1,)),
        ),
    ),
    _trained(
        id="trtr_accuracy", title="TRTR accuracy", higher_is_better=None,
        description="Real-test accuracy of the same classifier trained on as many real rows: the"
        " ceiling.",
        claims=(Claim("real digits teach their classes", 0.85, 1, "taught", (0,)),),
    ),
    _trained(
        id="trts_accuracy", title="TRTS accuracy",
        description="Accuracy of a classifier trained on real rows on generated ones: exposes wrong"
        " labels.",
        reference="Esteban et al. 2017, arXiv:1706.02633",
        claims=(
            Claim("real digits are known again", 0.85, 1, "taught", (0,)),
            Claim("wrong labels are not", 0, 0.1, "taught", (1,)),
        ),
    ),
    _trained(
        id="augmentation_gain", title="Augmentation gain", unit="accuracy points",
        description="Test accuracy gained by adding generated rows to few real ones, paired per"
        " replicate.",
        cost="replicates times (one fit and all arms' classifier trainings)", bounds=(-100, 100),
        claims=(
            Claim("the same rows again: nothing", -4, 4, "augmented", ("again",)),
            Claim("four fresh real rows for each help", 2, 60, "augmented", ("fresh",)),
            Claim("wrong labels hurt", -100, -20, "augmented", ("wrong",)),
        ),
    ),
    _trained(
        id="imbalance_recall", title="Imbalance recall", unit="recall",
        description="Recall of classes cut to a few rows after filling them up with generated"
        " ones.",
        cost="replicates times (one fit and four classifier trainings)",
        claims=(
            Claim("real rows of the rare class: it is back", 0.8, 1, "filled", (0,)),
            Claim("rows of another class: it is not", 0, 0.3, "filled", (1,)),
        ),
    ),
    _trained(
        id="robust_accuracy", title="Robust accuracy", kinds=IMAGE,
        description="Accuracy under attack of a classifier trained with generated rows added.",
        cost="one classifier training and its attacks",
        reference="Madry et al. 2018, arXiv:1706.06083",
        claims=(
            Claim("a change of nothing: the accuracy", 0.85, 1, "attacked", (0.0,)),
            Claim("a change of a third of the range: fooled", 0, 0.2, "attacked", (0.33,)),
        ),
    ),
)  # fmt: skip
