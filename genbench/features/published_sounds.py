"""``resemblyzer``, ``crepe-tiny``, ``crepe``, ``vggish``: networks of sounds from published files.

Rows are brought to 16 kHz by the polyphase filter of `genbench.formats.resampled` and cut into the
stretches that the network hears; their embeddings are averaged. None has class probabilities.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.errors import ContractError, DataError
from genbench.features.extractors import Features, gathered
from genbench.features.published import Published
from genbench.features.sound_networks import (
    RATE,
    AudioNet,
    PitchNet,
    SpeakerNet,
    audioset_bank,
    slaney_bank,
)
from genbench.formats import resampled
from genbench.generator import Space
from genbench.system import plain_float32

SECONDS_AT_ONCE = 30  # of sound, on a CPU
STEP = 160  # samples of 10 ms
LOUDNESS = -30.0  # dB of full scale, to which the speaker network's authors raise softer voices
VOICE_FRAMES, VOICE_STEP, LEAST_COVERED = (
    160,
    77,
    0.75,
)  # frames of 10 ms; share of the last stretch
PITCH_FRAME, PITCH_STEP = 1024, 512  # samples
AUDIO_FRAMES, AUDIO_WINDOW, AUDIO_SEGMENT = 96, 400, 512
CREPE_WIDTHS = {"crepe-tiny": (128, 16, 16, 16, 32), "crepe": (1024, 128, 128, 128, 256)}

Forward = Callable[[nn.Module, Tensor], Tensor]
State = dict[str, Tensor]


class SoundNetExtractor:
    """Features of waveforms by a network that hears 16 kHz.

    Parameters
    ----------
    net
        The frozen module, moved to where rows are.
    forward
        Given `net` and waveforms ``(n, T)`` at 16 kHz: features ``(n, d)``.
    sha256
        Of the file that the weights came from.
    """

    def __init__(
        self, published: Published, space: Space, net: nn.Module, forward: Forward, sha256: str
    ) -> None:
        self.name = published.info.name
        self.version = published.info.version
        self.sha256 = sha256
        self.identity = published.info.identity_with(sha256)
        self._space = space
        self._net = net
        self._forward = forward

    def extract(
        self,
        x: Tensor | NDArray[Any],
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 1000,
    ) -> Features:
        """Features float32 ``(n, d)`` of waveforms float32 ``(n, T)``; no probabilities.

        `ContractError` if `x` is not a batch of such rows.
        """
        rows = np.ascontiguousarray(x.detach().cpu().numpy() if isinstance(x, Tensor) else x)
        if rows.shape[1:] != self._space.shape or rows.dtype != np.float32 or not len(rows):
            raise ContractError(
                f"extractor {self.name} got {rows.dtype} of shape {rows.shape}, expected at least "
                f"one row of float32 (n, {self._space.shape[0]}): pass rows of the space"
            )
        seconds = self._space.shape[0] / self._space.rate
        size = max(1, min(batch_size, int(SECONDS_AT_ONCE / seconds)))
        net, features = self._net.to(device), []
        with torch.inference_mode(), plain_float32(torch.device(device)):
            for start in range(0, len(rows), size):
                heard = resampled(rows[start : start + size], self._space.rate, RATE)
                waves = torch.from_numpy(np.ascontiguousarray(heard, np.float32)).to(device)
                features.append(self._forward(net, waves))
        return gathered(features, [])


def load_resemblyzer(published: Published, space: Space) -> SoundNetExtractor:
    """Resemblyzer's speaker network; `DataError` if its weights are missing or are others."""

    def state(file: Any) -> State:
        kept: State = file["model_state"]
        return {name: x for name, x in kept.items() if name.partition(".")[0] in ("lstm", "linear")}

    return _extractor(published, space, SpeakerNet, state, partial(_voices, slaney_bank(40, 201)))


def load_crepe(published: Published, space: Space) -> SoundNetExtractor:
    """CREPE, tiny or full; raises as `load_resemblyzer`."""

    def state(file: Any) -> State:
        last = ("conv6", "conv6_BN", "classifier")  # what reads pitches off the embedding
        return {name: x for name, x in file.items() if name.partition(".")[0] not in last}

    make = partial(PitchNet, CREPE_WIDTHS[published.info.name])
    return _extractor(published, space, make, state, _pitches)


def load_vggish(published: Published, space: Space) -> SoundNetExtractor:
    """VGGish; raises as `load_resemblyzer`."""
    return _extractor(published, space, AudioNet, dict, partial(_sounds, audioset_bank()))


def _extractor(
    published: Published,
    space: Space,
    make: Callable[[], nn.Module],
    state: Callable[[Any], State],
    forward: Forward,
) -> SoundNetExtractor:
    weights = published.weights()
    try:
        file = torch.load(io.BytesIO(weights.data), map_location="cpu", weights_only=True)
        with torch.device("meta"):  # no initial weights: loading draws no random numbers
            net = make()
        net.load_state_dict(state(file), assign=True)
    except Exception as error:  # zip, missing keys, other shapes: all mean another file
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{weights.path} does not fit {published.info.name} ({text[:120]}): "
            f"put the file {published.file} there"
        ) from error
    net = net.eval().requires_grad_(False)
    return SoundNetExtractor(published, space, net, forward, weights.sha256)


def _voices(bank: Tensor, net: nn.Module, x: Tensor) -> Tensor:
    """Speaker embeddings ``(n, 256)`` of length 1: the mean direction of stretches of 1.6 s.

    Soft rows are raised to -30 dB; stretches begin every 0.77 s, and one of which less than three
    quarters lie within the row is left out, but the first. Pauses are not cut out.
    """
    level = 10 * x.square().mean(1, keepdim=True).clamp(min=1e-12).log10()
    x = x * 10 ** ((LOUDNESS - level).clamp(min=0) / 20)
    starts = _voice_starts(x.shape[1])
    x = F.pad(x, (0, max(0, (starts[-1] + VOICE_FRAMES) * STEP - x.shape[1])))
    window = torch.hann_window(AUDIO_WINDOW, device=x.device)
    spectrum = torch.stft(
        x, AUDIO_WINDOW, STEP, window=window, pad_mode="constant", return_complex=True
    )
    mels = (bank.to(x.device) @ spectrum.abs().square()).mT  # (n, frames, 40)
    found = torch.stack([net(mels[:, start : start + VOICE_FRAMES]) for start in starts])
    return F.normalize(found.mean(0), dim=1)


def _voice_starts(samples: int) -> list[int]:
    """The frames at which stretches of a row begin."""
    frames = samples // STEP + 1
    starts = list(range(0, max(1, frames - VOICE_FRAMES + VOICE_STEP + 1), VOICE_STEP))
    covered = (samples / STEP - starts[-1]) / VOICE_FRAMES
    return starts[:-1] if covered < LEAST_COVERED and len(starts) > 1 else starts


def _pitches(net: nn.Module, x: Tensor) -> Tensor:
    """Means of the embeddings of frames of 64 ms, each with mean 0 and deviation 1, every 32 ms."""
    x = F.pad(x, (PITCH_FRAME // 2, PITCH_FRAME // 2))
    frames = x.unfold(1, PITCH_FRAME, PITCH_STEP)  # (n, frames, 1024)
    frames = frames - frames.mean(2, keepdim=True)
    frames = frames / frames.std(2, keepdim=True).clamp(min=1e-10)
    n, count, size = frames.shape
    found: Tensor = net(frames.reshape(n * count, size)).reshape(n, count, -1).mean(1)
    return found


def _sounds(bank: Tensor, net: nn.Module, x: Tensor) -> Tensor:
    """Means of the embeddings of stretches of 0.96 s; shorter rows get silence behind them."""
    least = AUDIO_WINDOW + (AUDIO_FRAMES - 1) * STEP
    x = F.pad(x, (0, max(0, least - x.shape[1])))
    window = torch.hann_window(AUDIO_WINDOW, device=x.device)
    cut = x.unfold(1, AUDIO_WINDOW, STEP) * window
    magnitude = torch.fft.rfft(cut, AUDIO_SEGMENT).abs()  # (n, frames, 257)
    mels = (magnitude @ bank.to(x.device).T + 0.01).log()
    stretches = mels.unfold(1, AUDIO_FRAMES, AUDIO_FRAMES).mT  # (n, stretches, 96, 64)
    n, count = stretches.shape[:2]
    found: Tensor = net(stretches.flatten(0, 1)).reshape(n, count, -1).mean(1)
    return found
