"""Objects that nobody should have to read, and ways to break those that are good."""

from __future__ import annotations

import random
import zlib
from struct import pack
from typing import Final

from interfaces.dicom.objects import part10
from tests.translation.dicom.samples import DEFLATED, EXPLICIT, WHEEL, element, header, sequence

RLE, JPEG, JPEG_LS, J2K = (f"1.2.840.10008.1.2.{end}" for end in ("5", "4.50", "4.80", "4.90"))
CT: Final = "1.2.840.10008.5.1.4.1.1.2"
SAMPLES: Final = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_bigendian.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "SC_rgb_rle_2frame.dcm",
    "examples_palette.dcm",
    "JPEG2000.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
)
"""Good files of the wheel in every encoding that has a decoder here."""


def whole(data_set: bytes, syntax: str = EXPLICIT) -> bytes:
    """A Part 10 file around a data set."""
    return part10(sop_class=CT, sop_instance="1.2.3.4.5", transfer_syntax=syntax) + data_set


def encapsulated(*fragments: bytes, table: bytes = b"") -> bytes:
    """Pixel data in fragments (PS3.5 A.4)."""
    items = b"".join(pack("<HHL", 0xFFFE, 0xE000, len(one)) + one for one in (table, *fragments))
    return pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + items + pack("<HHL", 0xFFFE, 0xE0DD, 0)


def picture(
    rows: int, columns: int, *, bits: int = 16, samples: int = 1, frames: int = 1, photometric: bytes = b"MONOCHROME2"
) -> bytes:
    """The elements of an image pixel module, which may promise anything."""

    def us(tag: int, value: int) -> bytes:
        return element(tag, "US", pack("<H", value))

    return (
        us(0x00280002, samples)
        + element(0x00280004, "CS", photometric)
        + (us(0x00280006, 0) if samples > 1 else b"")
        + element(0x00280008, "IS", str(frames).encode())
        + us(0x00280010, rows)
        + us(0x00280011, columns)
        + us(0x00280100, bits)
        + us(0x00280101, bits)
        + us(0x00280102, bits - 1)
        + us(0x00280103, 0)
    )


def nested(levels: int, *, undefined: bool) -> bytes:
    """Sequences in sequences."""
    inner = b""
    for _ in range(levels):
        inner = sequence(0x0040A730, inner, undefined=undefined)
    return inner


LONG_UID: Final = element(0x0020000D, "UI", b"1." + b"7" * 78)


def unreadable() -> dict[str, tuple[bytes, str]]:
    """Data sets that no door may hand on, by name: the bytes and their transfer syntax."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = bomb.compress(header() + element(0x7FE00010, "OW", bytes(100 << 20))) + bomb.flush()
    plain = header()
    good = {
        "nested 17 deep": header() + nested(17, undefined=False),
        "nested 5,000 deep": header() + nested(5000, undefined=True),
        "two million items": header() + pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + _ITEMS * 1_100_000,
        "length beyond the end": header() + pack("<HH2sHL", 0x0040, 0x0001, b"UN", 0, 0xFFFFFFF0),
        "sequence beyond the end": header() + pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, 1 << 30),
        "item beyond its sequence": header() + element(0x00400275, "SQ", pack("<HHL", 0xFFFE, 0xE000, 500)),
        "delimiter without a sequence": header() + element(0x00400275, "SQ", pack("<HHL", 0xFFFE, 0xE0DD, 9)),
        "cut off in its header": plain[:-3],
        "cut off behind a sequence": header() + pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF),
        "path for a UID": header().replace(b"1.2.3.4.5\0", b"../../etc\0"),
        "wildcard for a UID": header().replace(b"1.2.3.4.5\0", b"1.2.*.4.5\0"),
        "zero byte in a UID": header().replace(b"1.2.3.4.5\0", b"1.2\x00.4.55"),
        "UID of 80 digits": header().replace(element(0x0020000D, "UI", b"1.2.3"), LONG_UID),
        "no study UID": header(without=(0x0020000D,)),
        "two SOP instance UIDs": header() + element(0x00080018, "UI", b"1.2.3.4.9"),
        "two patients": header() + element(0x00100020, "LO", b"P2"),
        "only zeros": bytes(4096),
        "HTTP": b"GET / HTTP/1.1\r\nHost: huren\r\n\r\n" * 9,
    }
    return {
        **{name: (data, EXPLICIT) for name, data in good.items()},
        "deflated 100 MB in 100 kB": (deflated, DEFLATED),
        "deflated rubbish": (b"\xff" * 999, DEFLATED),
    }


_ITEMS: Final = pack("<HHL", 0xFFFE, 0xE000, 0)


def undecodable() -> dict[str, bytes]:
    """Files that a door keeps, since their header is one, and whose pixels promise what they do not hold."""
    j2k = b"\xff\x4f\xff\x51" + pack(">HH8LH", 47, 0, 65535, 65535, 0, 0, 65535, 65535, 0, 0, 1) + b"\x0f\x01\x01"
    jpeg = b"\xff\xd8\xff\xc0" + pack(">HBHHB", 11, 8, 65535, 65535, 1) + b"\x01\x11\x00\xff\xda"
    ls = b"\xff\xd8\xff\xf7" + pack(">HBHHB", 11, 16, 6000, 6000, 1) + b"\x01\x11\x00" + b"\xff" * 50
    small = picture(64, 64)
    return {
        "7 TiB in 440 bytes": whole(header() + picture(65535, 65535, frames=10**6) + encapsulated(bytes(64)), RLE),
        "RLE of 15 segments beyond the end": whole(
            header() + small + encapsulated(pack("<16L", 15, *range(60, 60 + 15 * 99999, 99999))), RLE
        ),
        "RLE without an end": whole(
            header() + small + encapsulated(pack("<16L", 2, 64, 65, *[0] * 13) + b"\x81\0" * 9), RLE
        ),
        "JPEG 2000 of 4 billion pixels": whole(header() + small + encapsulated(j2k), J2K),
        "JPEG of 4 billion pixels": whole(header() + small + encapsulated(jpeg), JPEG),
        "JPEG-LS of 36 million pixels": whole(header() + picture(6000, 6000) + encapsulated(ls), JPEG_LS),
        "a million frames of nothing": whole(header() + picture(8, 8, frames=1_000_000) + encapsulated(b""), J2K),
        "fragments that go round": whole(header() + small + encapsulated(*[b"\xff\x4f"] * 5000), J2K),
        "JPEG that ends its codec": _struck("SC_rgb_small_odd_jpeg.dcm", {1514: 1, 1608: 64}),
        "JPEG 2000 that ends its codec": _struck(
            "MR_small_jp2klossless.dcm", {740: 114, 1590: 63, 2629: 104, 3257: 27, 5466: 38}
        ),
        "empty pixels": whole(header() + small + element(0x7FE00010, "OW", b"")),
        "palette of nothing": whole(
            header()
            + picture(64, 64, photometric=b"PALETTE COLOR")
            + element(0x00281101, "US", pack("<3H", 0, 65535, 16))
            + element(0x7FE00010, "OW", bytes(8192))
        ),
        "window of words": whole(
            header() + small + element(0x00281050, "DS", b"many") + element(0x7FE00010, "OW", bytes(8192))
        ),
    }


def _struck(name: str, bytes_at: dict[int, int]) -> bytes:
    """A good file with other bytes at some places: such files were found by chance, and end a process."""
    data = bytearray((WHEEL / name).read_bytes())
    for at, byte in bytes_at.items():
        data[at] = byte
    return bytes(data)


def broken(chance: random.Random, sample: bytes) -> bytes:
    """A good file that somebody broke in one of several ways."""
    data = bytearray(sample)

    def place() -> int:
        # Half of the blows fall on the header or the head of a code stream, where they matter most.
        if chance.random() < 0.3:
            return chance.randrange(132, min(len(data), 1500))
        if (at := data.find(b"\xfe\xff\x00\xe0")) > 0 and chance.random() < 0.4:
            return min(len(data) - 1, at + chance.randrange(200))
        return chance.randrange(132, len(data))

    kind = chance.randrange(6)
    if kind == 0:
        for _ in range(chance.randrange(1, 17)):
            data[place()] ^= 1 << chance.randrange(8)
    elif kind == 1:
        for _ in range(chance.randrange(1, 9)):
            data[place()] = chance.randrange(256)
    elif kind == 2:
        del data[chance.randrange(132, len(data)) :]
    elif kind == 3:
        at = place()
        data[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\xf0\xff\xff\xff", b"\0\0\0\x80", b"\0\0\0\0"))
    elif kind == 4:
        for tag in (b"\x28\x00\x10\x00US", b"\x28\x00\x11\x00US", b"\x28\x00\x00\x01US", b"\x28\x00\x02\x00US"):
            at = data.find(tag)
            if at > 0 and chance.random() < 0.6:
                data[at + 8 : at + 10] = pack("<H", chance.choice((0, 1, 7, 8, 16, 64, 4000, 6900, 65535)))
    else:
        one, two, size = place(), place(), chance.randrange(1, 400)
        data[one : one + size] = data[two : two + size]
    return bytes(data)


def samples() -> list[bytes]:
    """The good files."""
    return [(WHEEL / name).read_bytes() for name in SAMPLES]
