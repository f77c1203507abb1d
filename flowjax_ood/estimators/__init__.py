"""Outlier detectors of scikit-learn's interface: for pipelines and grid searches."""

try:
    from sklearn.utils.validation import validate_data  # noqa: F401
except ImportError as error:
    raise ImportError(
        "flowjax_ood.estimators needs scikit-learn 1.6 or later: "
        "pip install 'flowjax_ood[sklearn]'"
    ) from error

from flowjax_ood.estimators.embedding import EmbeddingOutlierDetector
from flowjax_ood.estimators.flow import FlowOutlierDetector

__all__ = ["EmbeddingOutlierDetector", "FlowOutlierDetector"]
