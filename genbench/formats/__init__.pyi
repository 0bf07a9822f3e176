from .arrayfiles import StoredArray, array_of, in_native_order, open_arrays
from .arraysets import ARRAYS, CLASSES, IMAGES, METADATA, TEXTS, one_set, synthesised
from .arrayvalues import masked_fill, no_numbers, scale_hint, unscaled, without_mask
from .batchsets import read_batches
from .cifarbatches import CIFAR_SIDE, Batch, binary_batch, pickled_batch
from .csvfiles import Layout, Numbers, first_cells, parse_csv
from .imagefiles import Folder, ImageFiles, open_images
from .imagefit import Fitting, fitting
from .imagepixels import BadImage, InColour, OtherSize, Transparent, decode, header
from .labelnames import in_order, is_number, names_of_labels
from .layout import arranged, assumed_layout, unclear_layout
from .precision import as_float32, lost_at
from .soundfiles import decode_sound
from .tarfiles import read_tar
from .textfiles import TEXT_FILES, Texts, parse_texts
from .vocabulary import PAD, UNKNOWN, Unit, Vocabulary, train_byte_pairs

__all__ = [
    "ARRAYS",
    "BadImage",
    "Batch",
    "CIFAR_SIDE",
    "CLASSES",
    "Fitting",
    "Folder",
    "IMAGES",
    "ImageFiles",
    "InColour",
    "Layout",
    "METADATA",
    "Numbers",
    "OtherSize",
    "PAD",
    "StoredArray",
    "TEXTS",
    "TEXT_FILES",
    "Texts",
    "Transparent",
    "UNKNOWN",
    "Unit",
    "Vocabulary",
    "arranged",
    "array_of",
    "as_float32",
    "assumed_layout",
    "binary_batch",
    "decode",
    "decode_sound",
    "first_cells",
    "fitting",
    "header",
    "in_native_order",
    "in_order",
    "is_number",
    "lost_at",
    "masked_fill",
    "names_of_labels",
    "no_numbers",
    "one_set",
    "open_arrays",
    "open_images",
    "parse_csv",
    "parse_texts",
    "pickled_batch",
    "read_batches",
    "read_tar",
    "scale_hint",
    "synthesised",
    "train_byte_pairs",
    "unclear_layout",
    "unscaled",
    "without_mask",
]
