"""The child in which strangers' pixels and waveforms are decoded: `python -m gateway.decoding`.

`gateway.children` starts it, and nobody else. It holds nothing worth having: no settings, no database, no descriptor
but the socket to its parent and, for the time of a task, the files of that task. Its limits are the kernel's, so a
codec that crashes, hangs or asks for too much memory ends this process and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import math
import mmap
import os
import resource
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from pydicom import dcmread

from interfaces.dicom import compare, pictures, preview, transcode
from interfaces.dicom.pixels import load_decoders
from interfaces.ecg import display, quality, waveforms, writing
from interfaces.ecg import files as ecg_files
from interfaces.ecg import paper as ecg_paper
from worklist.errors import BadInput

MOST_REQUEST: Final = 65_536  # bytes of a task or of its answer
MOST_NUMBERS: Final = 256  # frames of one task
MOST_DESCRIPTORS: Final = 16  # open at once: three of a task, and what Python needs to load a codec
SLICE_SECONDS: Final = 2.0  # after this long the rest of the frames is another task

Files = Sequence[memoryview]
Task = Callable[..., list[int]]


def serve(channel: socket.socket, seconds: float) -> None:
    """Do one task after the other until the parent closes `channel`.

    A task is a JSON object with its name and arguments, beside it the descriptors of a file for the result and of
    the files to read. The answer is a JSON object: ``numbers``, or ``error`` and ``params``.
    """
    channel.send(b'{"ready": true}')
    while True:
        request, descriptors, _flags, _address = socket.recv_fds(channel, MOST_REQUEST, 3)
        if not request:
            return
        answer = _answer(json.loads(request), descriptors, seconds)
        channel.send(json.dumps(answer).encode())
        if answer.get("params", {}).get("reason") == "memory":
            return  # what is left of it is not worth keeping


def limit(memory: int) -> None:
    """Limits for the whole life of the process: `memory` in bytes (of its own, mapped files aside), no core."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_DESCRIPTORS, MOST_DESCRIPTORS))


def _answer(request: dict[str, Any], descriptors: Sequence[int], seconds: float) -> dict[str, Any]:
    with contextlib.ExitStack() as open_files:
        for descriptor in descriptors:
            open_files.callback(os.close, descriptor)
        try:
            _begin(seconds, request.pop("most"))
            files = [_mapped(descriptor) for descriptor in descriptors[1:]]
            with io.FileIO(descriptors[0], "wb", closefd=False) as out:
                return {"numbers": TASKS[request.pop("task")](out, files, **request)}
        except BadInput as error:
            return {"error": error.code, "params": {k: v for k, v in error.params.items() if isinstance(v, str | int)}}
        except MemoryError:
            return {"error": "decoder_gave_up", "params": {"reason": "memory"}}
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return {"error": "out_of_space"}
            reason = {errno.EFBIG: "size", errno.ENOMEM: "memory"}.get(error.errno or 0, "error")
            return {"error": "decoder_gave_up", "params": {"reason": reason}}
        except Exception:  # noqa: BLE001 - strangers' bytes; whatever it was, it is refused
            return {"error": "decoder_gave_up", "params": {"reason": "error"}}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _begin(seconds: float, most: int) -> None:
    """Limits of one task: processor and clock in seconds, the result in bytes. Beyond them the kernel ends us: Python's
    own handlers would wait until a codec returns."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    processor = math.ceil(used.ru_utime + used.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (processor, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_REAL, seconds + 1)  # the parent is quicker, unless it is gone


def _mapped(descriptor: int) -> memoryview:
    if os.fstat(descriptor).st_size == 0:
        return memoryview(b"")
    return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))


def _png(out: io.FileIO, files: Files, *, frame: int, side: int) -> list[int]:
    return _written(out, [preview.frame_png(files[0], frame, max_side=side)])


def _render(
    out: io.FileIO,
    files: Files,
    *,
    frame: int,
    media_type: str,
    window: tuple[float, float, str] | None,
    viewport: list[Any] | None,
    quality: int,
) -> list[int]:
    part = preview.Viewport(*viewport) if viewport else None
    picture = preview.render(files[0], frame, media_type=media_type, window=window, viewport=part, quality=quality)
    return _written(out, [picture])


def _frames(out: io.FileIO, files: Files, *, form: transcode.FrameForm, frames: list[int]) -> list[int]:
    """Sizes of the frames that were made in time, at least one."""
    until = time.monotonic() + SLICE_SECONDS
    made: list[int] = []
    for piece in transcode.frames_in(files[0], form, frames):
        made += _written(out, [piece])
        if time.monotonic() > until:
            break
    return made


def _outline(out: io.FileIO, files: Files, *, target: str) -> list[int]:
    """Sizes of what stands before and behind the decoded pixels, the number of frames, and the bytes of each."""
    found = transcode.outline(files[0], target)
    return [*_written(out, found.before), *_written(out, found.after), found.frames, found.frame_bytes]


def _same_pixels(out: io.FileIO, files: Files, *, first: int) -> list[int]:
    """Whether the frames from `first` on are equal (1) as far as was seen, and the next frame (0: there is none)."""
    until = time.monotonic() + SLICE_SECONDS
    same, following = compare.same_frames(files[0], files[1], first, lambda: time.monotonic() > until)
    return [int(same), following]


def _picture(out: io.FileIO, files: Files, *, page: int) -> list[int]:
    """What `pictures.PictureFrame` says, in the order of its fields; for what is bytes, how many were written."""
    made = pictures.read_picture(files[0], page)
    taken = made.taken.encode("ascii", "replace")
    _written(out, [made.pixels, made.profile, taken])
    return [
        int(made.is_jpeg),
        made.rows,
        made.columns,
        made.samples,
        made.bits,
        pictures.PHOTOMETRICS.index(made.photometric),
        int(made.was_lossy),
        made.pages,
        len(made.pixels),
        len(made.profile),
        len(taken),
    ]


def _recording(out: io.FileIO, files: Files, *, assumed: str) -> list[int]:
    """A cart's own file as the data set of a DICOM waveform object, under what it says of itself."""
    data = bytes(files[0])
    recording = ecg_files.read(data, assumed)
    filing = writing.filing_of(recording.subject, "")
    return _written(out, [writing.write(recording, filing, writing.uid_of(filing, "")).dataset])


def _ecg_look(out: io.FileIO, files: Files, *, rate: float, seconds: float) -> list[int]:
    """What is wrong with a recording, and what its device measured, as JSON."""
    read = waveforms.read(dcmread(io.BytesIO(files[0])))
    found = quality.faults(read, quality.Demands(rate, seconds))
    faults = [{"code": fault.code, "params": dict(fault.params)} for fault in found]
    return _written(out, [json.dumps({"faults": faults, "measurements": read.measurements}).encode()])


def _ecg_sheet(out: io.FileIO, files: Files) -> list[int]:
    return _written(out, [ecg_paper.draw(waveforms.read(dcmread(io.BytesIO(files[0])))).packed()])


def _ecg(out: io.FileIO, files: Files) -> list[int]:
    return _written(out, [display.of_file(files[0])])


def _written(out: io.FileIO, pieces: Iterable[bytes]) -> list[int]:
    """Write all pieces; their size together."""
    size = 0
    for piece in pieces:
        left = memoryview(piece)
        size += len(left)
        while left:
            left = left[out.write(left) or 0 :]
    return [size]


TASKS: Final[dict[str, Task]] = {
    "png": _png,
    "render": _render,
    "frames": _frames,
    "outline": _outline,
    "same pixels": _same_pixels,
    "picture": _picture,
    "recording": _recording,
    "ecg look": _ecg_look,
    "ecg": _ecg,
    "ecg sheet": _ecg_sheet,
}


def main() -> None:
    """Serve the socket at standard input; arguments are the limits: bytes of memory, seconds for a task."""
    warnings.simplefilter("ignore")  # pydicom's, about strange values
    logging.disable(logging.CRITICAL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a terminal sends them to the whole group; the parent says when
    load_decoders()
    limit(int(sys.argv[1]))
    serve(socket.socket(fileno=0), float(sys.argv[2]))


if __name__ == "__main__":
    main()
