from . import subsets
from .arms import ROWS, SYNTHETIC, LabelledRows, Replicate
from .augmentation import Arm, AugmentationResults
from .classical import RandomAffine
from .classifier import NAME, VERSION, Classifier, predict
from .gains import METHOD
from .imbalance import ImbalanceResults
from .recipe import Recipe
from .robustness import RobustnessResults
from .subsets import cut, stratified
from .tstr import Arms, train_on_synthetic

__all__ = [
    "Arm",
    "Arms",
    "AugmentationResults",
    "Classifier",
    "ImbalanceResults",
    "LabelledRows",
    "METHOD",
    "NAME",
    "ROWS",
    "RandomAffine",
    "Recipe",
    "Replicate",
    "RobustnessResults",
    "SYNTHETIC",
    "VERSION",
    "cut",
    "predict",
    "stratified",
    "subsets",
    "train_on_synthetic",
]
