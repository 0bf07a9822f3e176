from .arrayfiles import StoredArray, array_of, in_native_order, open_arrays
from .arraysets import ARRAYS, CLASSES, IMAGES, METADATA, SOUNDS, TEXTS, one_set, synthesised
from .arrayvalues import masked_fill, no_numbers, scale_hint, unscaled, without_mask
from .batchsets import read_batches
from .cifarbatches import CIFAR_SIDE, Batch, binary_batch, pickled_batch
from .csvfiles import Layout, Numbers, first_cells, parse_csv
from .imagefit import Fitting, fitting
from .imagepixels import IMAGE_FILES, BadImage, InColour, OtherSize, Transparent, decode, header
from .labelnames import in_order, is_number, names_of_labels
from .layout import arranged, assumed_layout, unclear_layout
from .mediafiles import BadFile, FileTypes, Folder, MediaFiles, open_files
from .precision import as_float32, lost_at
from .soundfiles import (
    COARSE,
    SOUND_FILES,
    BadSound,
    SoundHead,
    decode_sound,
    in_16_bits,
    sound_head,
    wav_bytes,
)
from .soundfit import (
    ManyChannels,
    OtherLength,
    OtherRate,
    SoundFitting,
    hear,
    require_length,
    require_rate,
    resampled,
)
from .tarfiles import read_tar
from .textfiles import TEXT_FILES, Texts, parse_texts, require_label
from .vocabulary import PAD, UNKNOWN, Unit, Vocabulary, train_byte_pairs

__all__ = [
    "ARRAYS",
    "BadFile",
    "BadImage",
    "BadSound",
    "Batch",
    "CIFAR_SIDE",
    "CLASSES",
    "COARSE",
    "FileTypes",
    "Fitting",
    "Folder",
    "IMAGES",
    "IMAGE_FILES",
    "InColour",
    "Layout",
    "METADATA",
    "ManyChannels",
    "MediaFiles",
    "Numbers",
    "OtherLength",
    "OtherRate",
    "OtherSize",
    "PAD",
    "SOUNDS",
    "SOUND_FILES",
    "SoundFitting",
    "SoundHead",
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
    "hear",
    "in_16_bits",
    "in_native_order",
    "in_order",
    "is_number",
    "lost_at",
    "masked_fill",
    "names_of_labels",
    "no_numbers",
    "one_set",
    "open_arrays",
    "open_files",
    "parse_csv",
    "parse_texts",
    "pickled_batch",
    "read_batches",
    "read_tar",
    "require_label",
    "require_length",
    "require_rate",
    "resampled",
    "scale_hint",
    "sound_head",
    "synthesised",
    "train_byte_pairs",
    "unclear_layout",
    "unscaled",
    "wav_bytes",
    "without_mask",
]
