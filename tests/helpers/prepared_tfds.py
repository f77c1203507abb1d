"""TensorFlow Datasets as `tfds build` leaves them, written without TensorFlow."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2


def prepare(
    data_dir: Path,
    splits: Mapping[str, np.ndarray],
    name: str = "mnist",
    file_format: str = "array_record",
    shards: int = 1,
) -> None:
    """Write `{split: uint8 images [N, H, W, C]}` as TFDS's `name`, as PNG.

    Image i is labelled i modulo 10, where the set has labels. Whatever `file_format` is
    said to be, the records are those of array_record.
    """
    builder = tfds.builder(name, data_dir=str(data_dir), file_format=file_format)
    Path(builder.data_dir).mkdir(parents=True)
    infos = [_write(builder, split, x, shards) for split, x in splits.items()]
    builder.info.set_splits(tfds.core.SplitDict(infos))
    builder.info.write_to_directory(builder.data_dir)


def _write(builder, split: str, images: np.ndarray, shards: int):
    template = tfds.core.ShardedFileTemplate(
        data_dir=builder.data_path,
        dataset_name=builder.name,
        split=split,
        filetype_suffix=builder.info.file_format.value,
    )
    parts = np.array_split(np.arange(len(images)), shards)
    labelled, size = "label" in builder.info.features, 0
    for number, rows in enumerate(parts):
        path = template.sharded_filepath(shard_index=number, num_shards=shards)
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for row in rows:
            writer.write(_example(images[row], row % 10 if labelled else None))
        writer.close()
        size += Path(path).stat().st_size
    return tfds.core.SplitInfo(
        name=split,
        shard_lengths=[len(rows) for rows in parts],
        num_bytes=size,
        filename_template=template,
    )


def _example(image: np.ndarray, label: int | None) -> bytes:
    png = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(png, "PNG")
    example = tf_example_pb2.Example()
    example.features.feature["image"].bytes_list.value.append(png.getvalue())
    if label is not None:
        example.features.feature["label"].int64_list.value.append(int(label))
    return example.SerializeToString()
