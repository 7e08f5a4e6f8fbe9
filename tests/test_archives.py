"""Reading archives that nobody vouches for."""

import contextlib
import gzip
import io
import lzma
import stat
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.base.errors import UserError
from stages.core.data.archives import members

FILES = {"a/one.txt": b"one", "a/b/two.txt": b"two" * 1000, "three": b""}


def tar(entries, mode: str = "w:gz") -> bytes:
    """A tar of (name or TarInfo, content) pairs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for entry, content in entries:
            member = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(entries) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return buffer.getvalue()


def read(content: bytes, max_members: int = 10, max_bytes: int = 100_000) -> dict[str, bytes]:
    return dict(members("x", content, max_members, max_bytes))


MAKERS = [lambda e: tar(e, "w:gz"), lambda e: tar(e, "w:xz"), zipped]
each_kind = pytest.mark.parametrize("make", MAKERS, ids=["tar.gz", "tar.xz", "zip"])


@each_kind
def test_members_come_in_the_archives_order(make):
    assert list(members("x", make(FILES.items()), 10, 100_000)) == list(FILES.items())


@each_kind
def test_a_dot_at_the_start_is_dropped(make):
    assert read(make([("./a/b", b"c")])) == {"a/b": b"c"}


def test_folders_are_not_files():
    folder = tarfile.TarInfo("a")
    folder.type = tarfile.DIRTYPE
    assert read(tar([(folder, b""), ("a/b", b"c")])) == {"a/b": b"c"}
    assert read(zipped([("a/", b""), ("a/b", b"c")])) == {"a/b": b"c"}


@each_kind
@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "a/..", "/etc/x", "//host/x", "C:/x", "C:x", "..\\x", "\\x", "a\\x"]
)
def test_a_path_that_leaves_the_folder_is_refused(make, name):
    with pytest.raises(UserError, match="not a path inside"):
        read(make([("good", b"1"), (name, b"2")]))


def test_an_empty_name_is_refused():
    with pytest.raises(UserError, match="not a path inside"):
        read(zipped(FILES.items()).replace(b"a/one.txt", b"\0/one.txt"))


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE", "GNUTYPE_SPARSE"])
def test_links_devices_and_sparse_files_are_refused(kind):
    member = tarfile.TarInfo("odd")
    member.type, member.linkname = getattr(tarfile, kind), "/etc/passwd"
    with pytest.raises(UserError, match="only plain files"):
        read(tar([("good", b"1"), (member, b"")]))


def test_a_sparse_file_in_the_newer_form_is_refused():
    member = tarfile.TarInfo("GNUSparseFile.0/odd")
    member.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1,1000000000,1"}
    member.pax_headers["GNU.sparse.size"] = "1000000001"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        member.size = 2
        archive.addfile(member, io.BytesIO(b"ab"))
    with pytest.raises(UserError, match="only plain files"):
        read(buffer.getvalue())


def test_a_link_in_a_zip_is_refused():
    link = zipfile.ZipInfo("odd")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match="only plain files"):
        read(zipped([(link, b"/etc/passwd")]))


@each_kind
def test_a_name_twice_is_refused(make):
    with pytest.raises(UserError, match="two members are called a"):
        read(make([("a", b"1"), ("./a", b"2")]))


@each_kind
def test_too_many_members_are_refused(make):
    content = make([(str(i), b"") for i in range(5)])
    assert len(read(content, max_members=5)) == 5
    with pytest.raises(UserError, match="more than 4 members"):
        read(content, max_members=4)


@each_kind
def test_too_many_bytes_are_refused_before_they_are_held(make):
    content = make([("zeros", bytes(5_000_000))])
    assert len(content) < 50_000
    assert len(read(content, max_bytes=6_000_000)["zeros"]) == 5_000_000
    with pytest.raises(UserError, match="more bytes than allowed"):
        read(content, max_bytes=4_000_000)


def test_a_huge_header_is_refused_as_well():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("small")
        member.pax_headers = {"comment": "x" * 1_000_000}
        archive.addfile(member)
    with pytest.raises(UserError, match="more bytes than allowed"):
        read(buffer.getvalue())


def test_a_zip_that_understates_a_size_yields_no_more_than_that():
    content = bytearray(zipped([("zeros", bytes(1_000_000))]))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = content.rindex(signature) + offset
        content[start : start + 4] = (10).to_bytes(4, "little")
    with pytest.raises(UserError, match="damaged"):
        read(bytes(content))


@each_kind
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_archive_is_damaged(make, share):
    content = make([(str(i), bytes(range(256)) * 8) for i in range(8)])
    with pytest.raises(UserError, match="damaged"):
        read(content[: int(len(content) * share)])


@pytest.mark.parametrize("content", [b"", b"<html>", tar([("a", b"b")], "w:")])
def test_other_files_are_no_archives(content):
    with pytest.raises(UserError, match=r"not a tar\.gz, tar\.xz or zip archive"):
        read(content)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_compressed_text_is_no_archive(compress):
    with pytest.raises(UserError, match="damaged"):
        read(compress(b"hello " * 1000))


@settings(max_examples=150, deadline=None)
@given(make=st.sampled_from(MAKERS), position=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_any_damage_is_either_harmless_or_reported(make, position, value):
    content = bytearray(make(FILES.items()))
    content[int(position * len(content))] = value
    with contextlib.suppress(UserError):
        read(bytes(content))


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 2047), value=st.integers(0, 255))
def test_any_damage_inside_a_tar_is_either_harmless_or_reported(position, value):
    content = bytearray(tar(FILES.items(), "w:"))
    content[position] = value
    with contextlib.suppress(UserError):
        read(gzip.compress(bytes(content)))
