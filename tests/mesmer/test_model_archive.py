"""The one file of a prepared model: whole, or refused with the place of the file to delete."""

import errno
import json
import zipfile

import pytest

from cellquilt.errors import DataError
from cellquilt.mesmer import model_archive
from cellquilt.mesmer.card import CARD, FORMAT, sha256
from cellquilt.mesmer.model_archive import CACHE, pack, unpacked

CONTENT = {"saved_model.pb": b"graph" * 99, "variables/variables.index": b"weights" * 999}


@pytest.fixture
def saved(tmp_path):
    """Return a folder with the shape of a SavedModel, and its card."""
    folder = tmp_path / "saved"
    for name, content in CONTENT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    write_card(folder, format=FORMAT, saved_model_sha256=sha256(folder))
    return folder


@pytest.fixture
def archive(saved, tmp_path, monkeypatch):
    """Return the folder as a file, in the folder that the test works in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CACHE, raising=False)
    pack(saved, tmp_path / "mesmer.zip")
    return tmp_path / "mesmer.zip"


def write_card(folder, **content):
    (folder / CARD).write_text(json.dumps(content))


def refused(archive) -> str:
    before = set(archive.parent.iterdir())
    with pytest.raises(DataError) as error, unpacked(archive):
        pass
    assert set(archive.parent.iterdir()) == before
    message = str(error.value)
    start = f"{archive.name}: the prepared model is incomplete, changed or of another version ("
    assert message.startswith(start) and len(message.splitlines()) == 1
    return message


def test_what_is_packed_comes_out_for_as_long_as_it_is_used(archive):
    with unpacked(archive) as (folder, card):
        for name, content in CONTENT.items():
            assert (folder / name).read_bytes() == content
        assert card["format"] == FORMAT
    assert not folder.exists()


def test_a_model_makes_one_file_that_is_not_compressed(archive, saved, tmp_path):
    pack(saved, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    with zipfile.ZipFile(archive) as members:
        assert {member.compress_type for member in members.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99, -1])
def test_part_of_a_file_is_refused(archive, kept):
    content = archive.read_bytes()
    end = int(len(content) * kept) if isinstance(kept, float) else kept
    archive.write_bytes(content[:end])
    assert f"); replace {archive} and run again." in refused(archive)


def test_the_message_names_the_cache_where_the_file_is_a_copy(archive, monkeypatch):
    monkeypatch.setenv(CACHE, "s3://bucket/models")
    archive.write_bytes(archive.read_bytes()[:-9])
    place = f"s3://bucket/models/format-{FORMAT}-*/mesmer.zip"
    assert refused(archive).endswith(f"); delete {place} and run again.")


def test_changed_contents_are_refused(archive, saved):
    (saved / "saved_model.pb").write_bytes(b"other")
    pack(saved, archive)
    assert "(its checksum is not that of the card)" in refused(archive)
    (saved / CARD).unlink()
    pack(saved, archive)
    assert CARD in refused(archive)


@pytest.mark.parametrize("card", [{"format": FORMAT - 1}, {}, {"format": None}])
def test_another_version_is_refused(archive, saved, card):
    write_card(saved, saved_model_sha256=sha256(saved), **card)
    pack(saved, archive)
    assert f"(its card is not of format {FORMAT})" in refused(archive)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"format', "[" * 100_000])
def test_a_card_that_is_none_is_refused(archive, saved, text):
    (saved / CARD).write_text(text)
    pack(saved, archive)
    refused(archive)


def test_what_is_no_zip_or_not_there_is_refused(archive, saved, tmp_path):
    archive.write_bytes(b"PK" + bytes(999))
    refused(archive)
    archive.unlink()
    assert "No such file" in refused(archive)
    saved.rename(archive)
    refused(archive)


def test_members_stay_in_the_folder(archive, tmp_path):
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("../../escaped", b"")
        members.writestr("/escaped", b"")
    refused(archive)
    assert not list(tmp_path.parent.glob("escaped"))


def test_a_file_that_unpacks_to_too_much_is_refused(archive, monkeypatch):
    monkeypatch.setattr(model_archive, "MAX_UNPACKED", 999)
    assert "(too large for a network)" in refused(archive)


def test_a_full_disk_is_not_a_damaged_model(archive, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "open", full)
    with pytest.raises(OSError, match="No space left"), unpacked(archive):
        pass
