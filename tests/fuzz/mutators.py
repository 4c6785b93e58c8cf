"""Mutations of bytes that preserve enough of a format for the change to reach its reader.

Each mutator takes the bytes, a random number generator and `mutate`, which changes bytes without
knowing their format (libFuzzer's own), and returns other bytes.
"""

import copy
import gzip
import io
import json
import random
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable

Mutate = Callable[[bytes], bytes]
Mutator = Callable[[bytes, random.Random, Mutate], bytes]

NUMBERS = (
    *(0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 64, 100, 127, 128, 255, 256, 512, 1000, 4096, 32767),
    *(32768, 65535, 65536, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 62),
    *((1 << 63) - 1, (1 << 64) - 1),
)
TEXTS = (
    *("", " ", "a", "0", "-1", "0.5", "1e999", "-1e999", "NaN", "nan", "inf", "true", "null", "µm"),
    *("../../up", "/etc/passwd", "a\nb", "\0", "\x1b[2J", "\ud7ff", "é", "٣", "x" * 7000, "None"),
)


def number(rng: random.Random) -> int:
    """Return a number, mostly one at which something overflows or ends."""
    return rng.choice(NUMBERS) if rng.random() < 0.7 else rng.randrange(1 << rng.randrange(1, 33))


def text_mutator(parts: str, words: tuple[str, ...]) -> Mutator:
    """Return a mutator of text.

    Parameters
    ----------
    parts : str
        Regular expression of what is taken out, doubled or moved as a whole.
    words : tuple of str
        What is put in where the text has a value.
    """
    whole, value = re.compile(parts, re.DOTALL), re.compile(r'(?<=")[^"]*(?=")|-?\d[\d.eE+-]*|\w+')

    def mutator(data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
        if rng.random() < 0.2:
            return mutate(data)
        text = data.decode("utf-8", "surrogateescape")
        spans = [found.span() for found in (whole if rng.random() < 0.3 else value).finditer(text)]
        if not spans:
            return mutate(data)
        start, end = rng.choice(spans)
        what = rng.randrange(5)
        if what == 0:
            new = rng.choice((*words, *TEXTS))
        elif what == 1:
            new = str(number(rng) * rng.choice((1, 1, 1, -1)))
        elif what == 2:
            new = text[start:end] * rng.choice((0, 2, 3))
        elif what == 3:
            other = rng.choice(spans)
            new = text[slice(*other)]
        else:
            inner = mutate(text[start:end].encode("utf-8", "surrogateescape") or b"0")
            new = inner.decode("utf-8", "surrogateescape")
        return (text[:start] + new + text[end:]).encode("utf-8", "surrogateescape")

    return mutator


def json_mutator(data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
    """Change a value, a name or the shape of JSON, and now and then its bytes."""
    try:
        tree = [json.loads(data)] if rng.random() < 0.85 else None
    except (ValueError, RecursionError):
        tree = None
    if tree is None:
        return mutate(data)
    places: list[tuple[list | dict, int | str]] = []
    rest: list[list | dict] = [tree]
    while rest and len(places) < 5000:
        node = rest.pop()
        keys = node if isinstance(node, dict) else range(len(node))
        places += [(node, key) for key in keys]
        rest += [node[key] for key in keys if isinstance(node[key], list | dict)]
    node, key = rng.choice(places)
    what = rng.randrange(7)
    if what == 0 and node is not tree:
        del node[key]
    elif what == 1:
        other, at = rng.choice(places)
        node[key] = copy.deepcopy(other[at])
    elif what == 2 and isinstance(node, list) and node is not tree:
        node.insert(key, copy.deepcopy(node[key]))
    elif what == 3 and isinstance(node, dict):
        node[rng.choice(TEXTS)] = node.pop(key)
    elif what == 4:
        node[key] = rng.choice(TEXTS)
    elif what == 5:
        node[key] = number(rng) * rng.choice((1, 1, -1, 0.5))
    else:
        odd = (None, True, [], {}, [[]], [None], {"": None}, float("nan"), float("inf"), -0.0)
        node[key] = copy.deepcopy(rng.choice(odd))
    return json.dumps(tree[0]).encode()


def zip_mutator(members: dict[str, Mutator]) -> Mutator:
    """Return a mutator of zip files.

    Parameters
    ----------
    members : dict
        How those are changed whose names end in the key; any other by bytes.
    """

    def mutator(data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if any(info.file_size > 1 << 20 for info in archive.infolist()):
                    return mutate(data)
                held = [(info, archive.read(info)) for info in archive.infolist()]
        except Exception:  # of a zip that is damaged already, whatever way
            return mutate(data)
        if not held or rng.random() < 0.15:
            return mutate(data)
        at = rng.randrange(len(held))
        info, content = held[at]
        what = rng.randrange(12)
        if what == 0:
            del held[at]
        elif what == 1:
            held.append((zipfile.ZipInfo(rng.choice(held)[0].filename), content))
        elif what == 2:
            held[at] = (zipfile.ZipInfo(rng.choice(TEXTS)[:99] or "x"), content)
        else:
            how = next((m for end, m in members.items() if info.filename.endswith(end)), None)
            held[at] = (info, how(content, rng, mutate) if how else mutate(content or b"0"))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for info, content in held:
                fresh = zipfile.ZipInfo(info.filename.replace("\0", "0"))
                archive.writestr(fresh, content, rng.choice((0, 0, 0, zipfile.ZIP_DEFLATED)))
        return packed.getvalue()

    return mutator


def tar_mutator(data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
    """Change names, kinds and contents of what a .tar.gz holds, or its bytes."""
    try:
        raw = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return mutate(data)
    if rng.random() < 0.1:
        return mutate(data)
    if rng.random() < 0.4:
        return gzip.compress(mutate(raw), 1, mtime=0)
    try:
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            held = [(m, archive.extractfile(m).read() if m.isreg() else b"") for m in archive]
    except (tarfile.TarError, OSError, ValueError, KeyError, AttributeError, OverflowError):
        return mutate(data)
    if not held:
        return mutate(data)
    member, content = held[rng.randrange(len(held))]
    what = rng.randrange(5)
    if what == 0:
        member.name = rng.choice((*TEXTS[:-2], "..", ".", "a/../../b", "model"))
    elif what == 1:
        member.type = bytes([rng.choice(b"01234567LKxgSV")])
        member.linkname = rng.choice(TEXTS[:-2])
    elif what == 2:
        member.mode = number(rng) & 0o7777
    elif what == 3:
        member.pax_headers = {rng.choice(("path", "size", "GNU.sparse.map")): rng.choice(TEXTS)}
    else:
        held.append((copy.copy(member), mutate(content or b"0")))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in held:
            member.size = len(content)
            try:
                archive.addfile(member, io.BytesIO(content))
            except (ValueError, OSError):  # a name that no archive can hold
                continue
    return gzip.compress(packed.getvalue(), 1, mtime=0)
