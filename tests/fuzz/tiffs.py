"""Mutations of TIFFs: tags, descriptions, tiles, and offsets from page to page."""

import random
import struct
import zlib
from dataclasses import dataclass

from .mutators import Mutate, Mutator, number

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_MAX_PAGES = 32
DESCRIPTION, SUBIFDS = 270, 330
OFFSETS, COUNTS = (273, 324), (279, 325)
# Tags on which reading depends, and what they may be
TELLING = {
    254: (0, 1, 2, 4),
    256: (0, 1, 16, 40, 48, 1 << 20, 1 << 31),
    257: (0, 1, 16, 32, 48, 1 << 20, 1 << 31),
    258: (0, 1, 2, 4, 8, 10, 12, 16, 24, 32, 64, 128),
    259: (0, 1, 2, 5, 6, 7, 8, 32773, 33003, 33005, 33007, 34712, 34892, 34925, 34926, 34933)
    + (32946, 50000, 50001, 50002, 65000),
    262: (0, 1, 2, 3, 4, 5, 6, 8, 32803, 34892),
    266: (0, 1, 2),
    274: (1, 3, 6, 8),
    277: (0, 1, 2, 3, 4, 16, 65535),
    278: (0, 1, 7, 32, 1 << 31),
    284: (0, 1, 2, 3),
    317: (1, 2, 3, 34892, 34893, 34894, 34895),
    322: (0, 1, 16, 32, 17, 1 << 14, 1 << 31),
    323: (0, 1, 16, 32, 17, 1 << 14, 1 << 31),
    338: (0, 1, 2),
    339: (1, 2, 3, 4, 5, 6),
    347: (0, 1),
    32997: (0, 1, 2, 1 << 16),
    32998: (0, 1, 16),
}


@dataclass(frozen=True)
class Entry:
    """A tag of a page: where its entry is, and what that says."""

    at: int
    code: int
    kind: int
    count: int
    values_at: int


class Tiff:
    """As much of a TIFF's structure as can be made out, and edits of its bytes."""

    def __init__(self, data: bytes):
        self.data = bytearray(data)
        self.entries: list[Entry] = []
        self.pointers: list[int] = []
        head = data[:4]
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if not self.order:
            return
        self.big = head[2:] in (b"+\0", b"\0+")
        self.offset = "Q" if self.big else "I"
        self._walk(8 if self.big else 4)

    def get(self, form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + form, self.data, min(at, len(self.data)))

    def put(self, form: str, at: int, *values: int) -> None:
        """Overwrite numbers, each cut to its bits."""
        cut = [value & ((1 << 8 * struct.calcsize(form[-1])) - 1) for value in values]
        if at + struct.calcsize(self.order + form) <= len(self.data):
            struct.pack_into(self.order + form, self.data, at, *cut)

    def append(self, content: bytes) -> int:
        """Put bytes at the end, on an even place; return it."""
        self.data += bytes(len(self.data) % 2)
        self.data += content
        return len(self.data) - len(content)

    def _walk(self, pointer: int) -> None:
        seen: set[int] = set()
        rest = [pointer]
        try:
            while rest and len(seen) < _MAX_PAGES:
                pointer = rest.pop()
                self.pointers.append(pointer)
                at = self.get(self.offset, pointer)[0]
                if not at or at in seen:
                    continue
                seen.add(at)
                rest += self._page(at)
        except struct.error:
            return

    def _page(self, at: int) -> list[int]:
        """Keep a page's entries; return where the offsets of further pages are."""
        n_form, size = ("Q", 20) if self.big else ("H", 12)
        n = min(self.get(n_form, at)[0], 100)
        first, further = at + struct.calcsize(n_form), []
        for entry in range(first, first + n * size, size):
            code, kind, count = self.get("HH" + self.offset, entry)
            place = entry + size - struct.calcsize(self.offset)
            if _SIZES.get(kind, 1) * count > struct.calcsize(self.offset):
                place = self.get(self.offset, place)[0]
            self.entries.append(Entry(entry, code, kind, count, place))
            if code == SUBIFDS:
                further += [place + i * _SIZES.get(kind, 4) for i in range(min(count, 4))]
        return [first + n * size, *further]

    def repoint(self, entry: Entry, content: bytes) -> None:
        """Give a tag values that are put at the end of the file."""
        self.put(self.offset, entry.at + 4, len(content) // _SIZES.get(entry.kind, 1))
        self.put(self.offset, entry.at + 4 + struct.calcsize(self.offset), self.append(content))


def tiff_mutator(description: Mutator) -> Mutator:
    """Return a mutator of TIFFs whose descriptions are changed by `description`."""

    def mutator(data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
        tiff = Tiff(data)
        if not tiff.entries or rng.random() < 0.1:
            return mutate(data)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            what = rng.random()
            if what < 0.3:
                _set_telling(tiff, rng)
            elif what < 0.5:
                _set_values(tiff, rng)
            elif what < 0.6:
                _set_entry(tiff, rng)
            elif what < 0.75:
                _describe(tiff, rng, mutate, description)
            elif what < 0.92:
                _retile(tiff, rng, mutate)
            elif what < 0.96:
                pointer = rng.choice(tiff.pointers)
                tiff.put(tiff.offset, pointer, rng.choice((0, tiff.entries[0].at - 2, number(rng))))
            else:
                tiff.data = tiff.data[: rng.randrange(8, len(tiff.data) + 1)]
                return bytes(tiff.data)
        return bytes(tiff.data)

    return mutator


def _set_telling(tiff: Tiff, rng: random.Random) -> None:
    """Give a tag on which reading depends another value; make it of one that is not needed."""
    code = rng.choice(tuple(TELLING))
    there = [entry for entry in tiff.entries if entry.code == code]
    value = rng.choice(TELLING[code]) if rng.random() < 0.8 else number(rng)
    if rng.random() < 0.5 or not there:  # a page alone, or all alike
        there = [rng.choice(there or tiff.entries)]
    for entry in there:
        tiff.put("HH" + tiff.offset, entry.at, code, 3 if value < 65536 else 4, 1)
        place = entry.at + 4 + struct.calcsize(tiff.offset)
        tiff.put("H" if value < 65536 else "I", place, value)


def _set_values(tiff: Tiff, rng: random.Random) -> None:
    entry = rng.choice(tiff.entries)
    size = _SIZES.get(entry.kind, 1)
    place = entry.values_at + size * rng.randrange(max(min(entry.count, 64), 1))
    size_of_file = len(tiff.data)
    value = rng.choice((number(rng), size_of_file, size_of_file - 1, rng.randrange(size_of_file)))
    tiff.put({1: "B", 2: "H", 4: "I", 8: "Q"}[size], place, value)


def _set_entry(tiff: Tiff, rng: random.Random) -> None:
    entry = rng.choice(tiff.entries)
    what = rng.randrange(3)
    if what == 0:
        codes = (*TELLING, 34377, 50839, 50838, 33550, 42113, 65420, 65426, 305, 306, 315)
        tiff.put("H", entry.at, rng.choice(codes))
    elif what == 1:
        tiff.put("H", entry.at + 2, rng.choice((*_SIZES, 0, 14, 255)))
    else:
        tiff.put(tiff.offset, entry.at + 4, rng.choice((0, 1, 2, entry.count + 1, number(rng))))


def _describe(tiff: Tiff, rng: random.Random, mutate: Mutate, description: Mutator) -> None:
    entry = rng.choice([e for e in tiff.entries if e.code == DESCRIPTION] or tiff.entries)
    held = bytes(tiff.data[entry.values_at : entry.values_at + min(entry.count, 1 << 16)])
    tiff.put("HH", entry.at, DESCRIPTION, 2)
    tiff.repoint(entry, description(held.rstrip(b"\0") or b"0", rng, mutate) + b"\0")


def _retile(tiff: Tiff, rng: random.Random, mutate: Mutate) -> None:
    """Change the bytes of a tile or strip; of a deflated one, what it inflates to."""
    places = [i for i, entry in enumerate(tiff.entries) if entry.code in OFFSETS]
    if not places:
        return
    at = rng.choice(places)
    offsets = tiff.entries[at]
    wanted = COUNTS[OFFSETS.index(offsets.code)]
    counts = next((e for e in tiff.entries[at:] if e.code == wanted), None)
    if counts is None:
        return
    number_of = rng.randrange(max(min(offsets.count, counts.count, 64), 1))
    place = offsets.values_at + number_of * _SIZES.get(offsets.kind, 4)
    length = counts.values_at + number_of * _SIZES.get(counts.kind, 4)
    forms = {2: "H", 4: "I", 8: "Q"}
    offset_form = forms.get(_SIZES.get(offsets.kind, 4), "I")
    count_form = forms.get(_SIZES.get(counts.kind, 4), "I")
    try:
        start, size = tiff.get(offset_form, place)[0], tiff.get(count_form, length)[0]
    except struct.error:
        return
    held = bytes(tiff.data[start : start + min(size, 1 << 16)])
    if rng.random() < 0.4:
        try:
            held = zlib.compress(mutate(zlib.decompressobj().decompress(held, 1 << 16) or b"0"), 1)
        except zlib.error:
            held = mutate(held or b"0")
    else:
        held = mutate(held or b"0")
    tiff.put(offset_form, place, tiff.append(held))
    tiff.put(count_form, length, len(held))
