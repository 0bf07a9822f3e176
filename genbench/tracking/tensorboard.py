"""TensorBoard: one event file a cell, written whole; ``tensorboard --logdir DIR`` shows them."""

from __future__ import annotations

import io
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from PIL import Image

from genbench.errors import StoreError, UsageError
from genbench.system import write_bytes
from genbench.tracking.account import Account, Scalar, TrackedRun
from genbench.tracking.contract import Outcome, library

BEGIN = "events.out.tfevents."  # by which TensorBoard knows its files
COLOURS = {"L": 1, "RGB": 3, "RGBA": 4}
SUCCESS, FAILURE = 1, 2  # of the protocol of its hyper-parameters


class TensorBoardTracker:
    """Writes an event file for each cell, to a folder for each suite and profile.

    The file's name has the record's id: the same record is there already, and a newer one takes the
    place of the older. Its times are the record's, so that the same record gives the same bytes.

    Raises
    ------
    UsageError, StoreError
        If no folder is named, it cannot be written, or tensorboard is not installed.
    """

    def __init__(self, place: str) -> None:
        if not place:
            raise UsageError("it needs a folder: tensorboard:DIR")
        self._root = Path(place)
        self._library = _Library()
        self._live: dict[str, IO[bytes]] = {}
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._root) as file:
                file.write(b"genbench")
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"cannot write to {place}: {reason}: name another folder") from error

    def progress(self, run: TrackedRun, examples: int, scalars: Mapping[str, float]) -> None:
        """See `genbench.tracking.contract.Tracker`."""
        folder = self._folder(run)
        if run.id not in self._live:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{BEGIN}{int(time.time())}.{os.getpid()}.live"
            self._live[run.id] = path.open("wb")
            self._live[run.id].write(self._library.begin(time.time()))
        file = self._live[run.id]
        for name, value in scalars.items():
            file.write(self._library.scalar(f"live/{name}", value, examples, time.time()))
        file.flush()

    def record(self, account: Account) -> Outcome:
        """See `genbench.tracking.contract.Tracker`."""
        folder = self._folder(account.run)
        path = folder / f"{BEGIN}{int(account.began)}.{account.stamp}"
        if path.is_file():
            return "same"
        if account.run.id in self._live:
            self._live.pop(account.run.id).close()
        others = [other for other in folder.glob(f"{BEGIN}*") if other.is_file()]
        write_bytes(path, b"".join(self._events(account)))
        for other in others:
            other.unlink(missing_ok=True)
        return "renewed" if any(not o.name.endswith(".live") for o in others) else "new"

    def report(self, group: str, page: Path) -> Outcome:
        """See `genbench.tracking.contract.Tracker`; it lies beside the runs, as ``report.html``."""
        path, data = self._root / _file_name(group) / "report.html", page.read_bytes()
        known = path.read_bytes() if path.is_file() else None
        if known == data:
            return "same"
        write_bytes(path, data)
        return "new" if known is None else "renewed"

    def close(self) -> None:
        """See `genbench.tracking.contract.Tracker`."""
        for file in self._live.values():
            file.close()

    def _folder(self, run: TrackedRun) -> Path:
        return self._root / _file_name(run.group) / f"{_file_name(run.name)}~{run.id[:8]}"

    def _events(self, account: Account) -> Iterator[bytes]:
        made, at = self._library, account.ended
        yield made.begin(account.began)
        yield made.parameters(account)
        for examples, values in account.rows():
            for name, value in values.items():
                yield made.scalar(name, value, examples, at)
        for name, value in account.values.items():
            yield made.scalar(name, value, 0, at)
        for role, path in account.pictures.items():
            yield made.picture(f"pictures/{role}", Path(path).read_bytes(), at)
        yield made.text("record", _table(account), at)
        yield made.end(account)


class _Library:
    """Its protocol buffers, as records of an event file."""

    def __init__(self) -> None:
        event = library("tensorboard.compat.proto.event_pb2", "tensorboard")
        summary = library("tensorboard.compat.proto.summary_pb2", "tensorboard")
        writer = library("tensorboard.summary.writer.record_writer", "tensorboard")
        self._event, self._summary, self._writer = event.Event, summary.Summary, writer.RecordWriter
        # Not its module of summaries, which imports TensorFlow.
        self._session = library("tensorboard.plugins.hparams.plugin_data_pb2", "tensorboard")
        self._hparams = library("tensorboard.plugins.hparams.metadata", "tensorboard")
        self._texts = library("tensorboard.plugins.text.metadata", "tensorboard")
        self._tensors = library("tensorboard.util.tensor_util", "tensorboard")

    def begin(self, at: float) -> bytes:
        """The first record of every file."""
        return self._record(self._event(wall_time=at, file_version="brain.Event:2"))

    def scalar(self, name: str, value: float, step: int, at: float) -> bytes:
        """One number."""
        return self._value(step, at, tag=name, simple_value=value)

    def picture(self, name: str, png: bytes, at: float) -> bytes:
        """A picture as it is in its file."""
        with Image.open(io.BytesIO(png), formats=("PNG",)) as header:
            size, colours = header.size, COLOURS.get(header.mode, 3)
        image = self._summary.Image(
            width=size[0], height=size[1], colorspace=colours, encoded_image_string=png
        )
        return self._value(0, at, tag=name, image=image)

    def text(self, name: str, markdown: str, at: float) -> bytes:
        """A text that its text page shows."""
        metadata = self._texts.create_summary_metadata(display_name=name, description="")
        tensor = self._tensors.make_tensor_proto(markdown)
        return self._value(0, at, tag=name, metadata=metadata, tensor=tensor)

    def parameters(self, account: Account) -> bytes:
        """The generator's parameters and the seed, for its table of hyper-parameters."""
        start = self._session.SessionStartInfo(start_time_secs=account.began)
        known: dict[str, Scalar] = {"generator": account.facts["generator"]}
        known |= {"seed": int(account.facts["seed"]), **account.parameters}
        for name, value in known.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, str):
                start.hparams[name].string_value = value
            else:
                start.hparams[name].number_value = value
        tag = self._hparams.SESSION_START_INFO_TAG
        return self._of_session(tag, account.began, session_start_info=start)

    def end(self, account: Account) -> bytes:
        """How the cell ended."""
        status = SUCCESS if account.succeeded else FAILURE
        end = self._session.SessionEndInfo(status=status, end_time_secs=account.ended)
        tag = self._hparams.SESSION_END_INFO_TAG
        return self._of_session(tag, account.ended, session_end_info=end)

    def _of_session(self, tag: str, at: float, **info: Any) -> bytes:
        data = self._session.HParamsPluginData(**info)
        metadata = self._hparams.create_summary_metadata(data)
        return self._value(0, at, tag=tag, metadata=metadata, tensor=self._hparams.NULL_TENSOR)

    def _value(self, step: int, at: float, **value: Any) -> bytes:
        summary = self._summary(value=[self._summary.Value(**value)])
        return self._record(self._event(wall_time=at, step=step, summary=summary))

    def _record(self, event: Any) -> bytes:
        buffer = io.BytesIO()
        self._writer(buffer).write(event.SerializeToString(deterministic=True))
        return buffer.getvalue()


def _table(account: Account) -> str:
    """Status, facts, reasons and signatures as a table in Markdown."""
    lines = {"status": account.status, "error": account.error, **account.facts}
    lines |= {f"no {name}": reason for name, reason in account.without.items()}
    lines |= {f"signature of {name}": text for name, text in account.signatures.items()}
    rows = [f"| {_cell(key)} | {_cell(text)} |" for key, text in lines.items() if text]
    return "\n".join(["| | |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _file_name(text: str) -> str:
    """`text` as every file system takes it, and still to be read."""
    return re.sub(r"[^\w.,=@+-]+", "_", text, flags=re.ASCII).strip(".") or "_"
