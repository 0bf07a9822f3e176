"""A sound file of which a part is missing is refused: readers would give back what is left."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from genbench.formats import wav_bytes
from genbench.formats.soundfiles import BadSound, sound_head, sound_of

soundfile = pytest.importorskip("soundfile")

CODINGS = [
    ("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ALAW"),
    ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
]  # fmt: skip


def coded(name: str, kind: str, *, seconds: int = 10, end: str | None = None) -> bytes:
    """A rising tone at 8 kHz."""
    time = np.arange(8000 * seconds) / 8000
    buffer = io.BytesIO()
    soundfile.write(
        buffer, 0.3 * np.sin(time * (1000 + 50 * time)), 8000, format=name, subtype=kind, endian=end
    )
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "kind"), CODINGS)
def test_what_is_cut_off_is_refused(name: str, kind: str) -> None:
    whole = coded(name, kind)
    assert sound_of(whole).samples.shape == (sound_head(whole).length, 1)
    for share in (0.3, 0.6, 0.9, 1 - 3 / len(whole)):
        for read in (sound_of, sound_head):
            if name == "FLAC" and read is sound_head:
                continue  # its header says all that there is to say; its checksums tell the rest
            with pytest.raises(BadSound, match=r"is truncated|lost sync|unknown error"):
                read(whole[: int(len(whole) * share)])


def test_big_endian_wav_is_read() -> None:
    assert len(sound_of(coded("WAV", "PCM_16", seconds=1, end="BIG")).samples) == 8000


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
@pytest.mark.parametrize(("name", "kind"), [("WAV", "PCM_16"), ("WAV", "FLOAT")])
def test_the_header_of_a_pipe_is_called_so(name: str, kind: str, size: int) -> None:
    data = bytearray(coded(name, kind, seconds=1))
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", size)
    for read in (sound_of, sound_head):
        with pytest.raises(BadSound, match=r"has an unfinished header: .* a pipe: write it again"):
            read(bytes(data))


def test_a_flac_file_that_does_not_say_how_long_it_is() -> None:
    data = bytearray(coded("FLAC", "PCM_16", seconds=1))
    data[21] &= 0xF0  # the lower 36 bits of this word are the number of samples
    data[22:26] = bytes(4)
    with pytest.raises(BadSound, match="does not say how long it is: write it again"):
        sound_of(bytes(data))


def test_more_than_the_header_says_is_not_passed_over() -> None:
    whole = wav_bytes(0.5 * np.sin(np.arange(4000) / 3).astype(np.float32), 8000)
    place = whole.index(b"data") + 4
    short = whole[:place] + struct.pack("<I", 4000) + whole[place + 4 :]
    with pytest.raises(BadSound, match="is longer than its header says: write it again"):
        sound_of(short)
    with pytest.raises(BadSound, match="holds two stretches of sound: save them as two files"):
        sound_of(whole + whole[place - 4 :])


@pytest.mark.parametrize(
    "more", [b"LIST\x04\0\0\0INFO", b"ID3\x03 a tag at the end", bytes(32), b"x"]
)
def test_what_players_pass_over_behind_a_sound_is_passed_over(more: bytes) -> None:
    whole = wav_bytes(0.5 * np.sin(np.arange(4001) / 3).astype(np.float32), 8000)
    assert len(sound_of(whole + more).samples) == 4001


def test_sounds_of_other_containers_are_named_whatever_their_name_says() -> None:
    with pytest.raises(BadSound, match=r"is AU .*, whatever its name says: save it as wav"):
        sound_of(coded("AU", "PCM_16", seconds=1))


def test_what_cannot_be_read_is_told_without_an_address() -> None:
    with pytest.raises(BadSound, match="no sound that can be read") as caught:
        sound_of(b"MZ no sound at all")
    assert "0x" not in str(caught.value)
