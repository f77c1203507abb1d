"""Torch files: the same tensors, in both formats; damage and code are refused."""

import collections
import io
import re
import tracemalloc
import warnings
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.interop import read_state_dict, read_torch_checkpoint
from flowjax_ood.interop.torch_checkpoint import CheckpointFormatError
from tests.helpers.torch_files import (
    Call,
    Global,
    Storage,
    Tensor,
    legacy,
    pickled,
    tensor,
    zipped,
)

FORMATS = pytest.mark.parametrize("write", [legacy, zipped])
WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def read(tmp_path):
    def read(data: bytes):
        (tmp_path / "file.pth").write_bytes(data)
        return read_torch_checkpoint(tmp_path / "file.pth")

    return read


def refused(read, data: bytes, match: str):
    with pytest.raises(CheckpointFormatError, match=match) as caught:
        read(data)
    assert "file.pth" in str(caught.value)


@FORMATS
def test_a_state_dict_with_its_metadata(read, write):
    # what `torch.save(model.state_dict())` pickles, `_metadata` included
    state = Call(
        "collections OrderedDict",
        ([["w", tensor("0", WEIGHT)], ["n", tensor("1", np.int64(7), "LongStorage")]],),
        state={"_metadata": {"version": 1}},
    )
    found = read(write(state))
    assert list(found) == ["w", "n"]
    assert found["w"].dtype == np.float32
    np.testing.assert_array_equal(found["w"], WEIGHT)
    assert found["n"].shape == ()
    assert found["n"] == 7


@FORMATS
def test_strides_offsets_and_shared_storages(read, write):
    storage = Storage("0", "FloatStorage", np.arange(24, dtype=np.float32))
    views = {
        "transposed": Tensor(storage, (4, 6), (1, 4)),
        "part": Tensor(storage, (2, 3), (6, 2), offset=5),
        "expanded": Tensor(storage, (3, 2), (0, 1), offset=22),
        "empty": Tensor(storage, (0, 5), (5, 1), offset=24),
        "number": Tensor(storage, (), (), offset=23),
    }
    found = read(write(views))
    base = storage.data
    np.testing.assert_array_equal(found["transposed"], base.reshape(6, 4).T)
    np.testing.assert_array_equal(found["part"], [[5, 7, 9], [11, 13, 15]])
    np.testing.assert_array_equal(found["expanded"], [[22, 23]] * 3)
    assert found["empty"].shape == (0, 5)
    assert found["number"] == 23
    assert np.shares_memory(found["transposed"], found["part"])
    with pytest.raises(ValueError, match="read-only"):
        found["part"][0, 0] = 1


@FORMATS
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("DoubleStorage", np.float64),
        ("HalfStorage", np.float16),
        ("BFloat16Storage", jnp.bfloat16),
        ("ComplexFloatStorage", np.complex64),
        ("ShortStorage", np.int16),
        ("CharStorage", np.int8),
        ("ByteStorage", np.uint8),
        ("BoolStorage", np.bool_),
    ],
)
def test_dtypes(read, write, kind, dtype):
    array = np.array([0, 1, 1, 0, 1]).astype(dtype)
    found = read(write([tensor("a", array, kind)]))
    assert found[0].dtype == dtype
    np.testing.assert_array_equal(found[0], array)


@FORMATS
def test_training_checkpoints_hold_more_than_tensors(read, write):
    inner = tensor("0", WEIGHT)
    content = {
        "net": collections.OrderedDict(
            w=inner, p=Call("torch._utils _rebuild_parameter", (inner, True, None))
        ),
        "epoch": 3,
        "rest": [None, 2.5, True, "text", (1, 2)],
    }
    found = read(write(content))
    np.testing.assert_array_equal(found["net"]["p"], WEIGHT)
    assert found["epoch"] == 3
    assert found["rest"] == content["rest"]


def test_state_dicts_by_key(tmp_path):
    path = tmp_path / "last.pth.tar"
    path.write_bytes(zipped({"net": {"w": tensor("0", WEIGHT)}, "epoch": 3}))
    np.testing.assert_array_equal(read_state_dict(path, "net")["w"], WEIGHT)
    for key, what in [(None, "it"), ("epoch", "its entry 'epoch'"), ("ema", "'ema'")]:
        with pytest.raises(CheckpointFormatError, match=what) as caught:
            read_state_dict(path, key)
        assert "under these keys: 'net'" in str(caught.value)


@FORMATS
@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("os system", ("touch RAN",)),
        ("posix system", ("touch RAN",)),
        ("builtins eval", ("open('RAN', 'w')",)),
        ("builtins getattr", ("", "format")),
        ("torch.nn.modules.linear Linear", (1, 1)),
        ("torch._utils _rebuild_tensor_v2.__globals__.get", ("os",)),
        ("torch load", ("x",)),
    ],
)
def test_code_is_refused_and_not_run(
    read, write, function, args, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    name = re.escape(function.replace(" ", "."))
    for malicious in (Call(function, args), Global(function)):
        refused(read, write({"w": tensor("0", WEIGHT), "x": malicious}), name)
    assert [p.name for p in tmp_path.iterdir()] == ["file.pth"]


def test_code_is_refused_in_every_pickle_of_the_file(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # without storages, the file ends with the pickles of content and keys
    bad, empty = pickled(Call("os system", ("touch RAN",))), pickled([])
    head = legacy([]).removesuffix(empty + empty)
    read(head + empty + empty)
    for data, match in [
        (bad, "magic"),
        (head + bad + empty, "os.system"),
        (head + empty + bad, "os.system"),
    ]:
        refused(read, data, match)
    assert [p.name for p in tmp_path.iterdir()] == ["file.pth"]


@FORMATS
def test_names_and_storages_cannot_be_changed_or_kept(read, write):
    storage = Storage("0", "FloatStorage", WEIGHT.reshape(-1))
    rebuild = Global("torch._utils _rebuild_tensor_v2")
    for content in (
        [rebuild],
        {"a": Global("torch FloatStorage")},
        [storage],
        {(1, rebuild): 2},
    ):
        refused(read, write(content), "no plain value")
    # instructions that set attributes: on a name, on a tensor
    changed = Call("torch._utils _rebuild_parameter", (tensor("0", WEIGHT), 0, 0), {})
    changed.state = {"offset": 10**6}
    refused(read, write([changed]), "damaged")
    refused(
        read, write([Call("torch FloatStorage", ())]), "it calls torch.FloatStorage"
    )
    parameter = Call("torch._utils _rebuild_parameter", (3, True, None))
    refused(read, write([parameter]), "parameter without")


@FORMATS
@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [((7,), (1,), 0), ((2,), (6,), 0), ((1,), (1,), 6), ((2**40, 2**40), (1, 1), 0)],
)
def test_views_outside_of_their_storage(read, write, size, stride, offset):
    storage = Storage("0", "FloatStorage", WEIGHT.reshape(-1))
    refused(read, write([Tensor(storage, size, stride, offset)]), "outside")


@FORMATS
@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (2,), "stride": (1, 1)},
        {"size": (-1,), "stride": (1,)},
        {"size": (2,), "stride": (-1,)},
        {"size": (2.0,), "stride": (1,)},
        {"size": (2,), "stride": (1,), "offset": -1},
        {"size": (2,), "stride": (1,), "more": (False, None, {"conj": True})},
    ],
)
def test_tensors_that_make_no_sense(read, write, wrong):
    storage = Storage("0", "FloatStorage", WEIGHT.reshape(-1))
    refused(read, write([Tensor(storage, **wrong)]), "is not understood")


@FORMATS
def test_storages_that_make_no_sense(read, write):
    data = WEIGHT.reshape(-1)
    for storage in (
        Storage("0", "FloatStorage", data, count=-1),
        Storage(3, "FloatStorage", data),
        Storage("0", "FloatStorage", data, count="6"),
        Storage("0", "Tensor", data),
    ):
        content = [Tensor(storage, (1,), (1,))]
        refused(read, write(content), "is not understood|which is not loaded")
    two = [tensor("0", WEIGHT), tensor("0", WEIGHT.astype(np.float64), "DoubleStorage")]
    refused(read, write(two), "is not understood")
    more = Storage("0", "FloatStorage", data, count=7)
    refused(read, write([Tensor(more, (1,), (1,))]), "in the file|holds 6 numbers")


@pytest.mark.parametrize(
    "data", [b"", b"nothing of the kind", b"\x80\x02K\x01.", b"PK\x05\x06" + bytes(18)]
)
def test_other_files(read, data):
    refused(read, data, "no torch checkpoint")


def test_every_truncation_is_noticed(read):
    for whole in (legacy({"w": tensor("0", WEIGHT)}), zipped([tensor("0", WEIGHT)])):
        read(whole)
        for end in range(len(whole)):
            refused(read, whole[:end], "file.pth: .")


def test_files_of_other_machines_and_versions(read):
    content = [tensor("0", WEIGHT)]
    refused(read, legacy(content, little_endian=False), "big-endian")
    refused(read, zipped(content, byteorder="big"), "big-endian")
    refused(read, legacy(content, magic=1), "wrong magic")
    # torch wrote no byte order before 2.1
    np.testing.assert_array_equal(read(zipped(content, byteorder=""))[0], WEIGHT)
    compressed = zipped(content, compression=zipfile.ZIP_DEFLATED)
    refused(read, compressed, "compressed")


@FORMATS
@pytest.mark.parametrize("put", [b"r\0\0\0\x10", b"p268435456\n"])
def test_a_memo_that_takes_memory_is_refused_unread(read, write, put):
    """`put` is index 2^28 of the memo: gigabytes, which a kilobyte would ask for."""
    tracemalloc.start()
    refused(read, bomb(write, put), "keeps a value under number 268435456")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def bomb(write, put):
    """A file whose content is None, kept at the index that `put` says."""
    plain = pickled(None)
    content = plain.replace(b"N.", b"N" + put + b".")
    if write is legacy:
        return legacy(None).replace(plain, content, 1)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("name/data.pkl", content)
    return out.getvalue()


def test_two_checkpoints_in_a_file(read):
    for names, message in (
        (("a/data.pkl", "b/data.pkl"), "holds 2 checkpoints .a/data.pkl, b/data.pkl."),
        (("a/data.pkl", "a/byteorder", "a/byteorder"), "two files of one name"),
    ):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the name
            for name in names:
                archive.writestr(name, pickled([]))
        refused(read, out.getvalue(), message)


def test_an_error_is_short_whatever_the_file_nests(read):
    """Tuples of themselves twice, 60 times: written out, 2^60 of them."""
    nested = b"\x80\x02)" + b"q\0h\0\x86" * 60 + b"Q."
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("name/data.pkl", nested)
    refused(read, out.getvalue(), "described by .{9,900} is not understood")


def test_a_missing_file_is_no_format_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_torch_checkpoint(tmp_path / "none.pth")
