from . import subsets
from .arms import ROWS, SYNTHETIC, LabelledRows, Replicate
from .augmentation import Arm, AugmentationResults
from .changes import changes
from .classical import RandomAffine
from .classifier import Classifier, predict
from .gains import METHOD
from .imbalance import ImbalanceResults
from .recipe import Recipe
from .robustness import RobustnessResults
from .subsets import cut, stratified
from .tstr import Arms, beside, train_on_synthetic

__all__ = [
    "Arm",
    "Arms",
    "AugmentationResults",
    "Classifier",
    "ImbalanceResults",
    "LabelledRows",
    "METHOD",
    "ROWS",
    "RandomAffine",
    "Recipe",
    "Replicate",
    "RobustnessResults",
    "SYNTHETIC",
    "beside",
    "changes",
    "cut",
    "predict",
    "stratified",
    "subsets",
    "train_on_synthetic",
]
