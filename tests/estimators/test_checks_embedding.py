"""scikit-learn's own checks of an estimator, all of them, of that for embeddings."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from flowjax_ood.estimators import EmbeddingOutlierDetector


@parametrize_with_checks([EmbeddingOutlierDetector()])
def test_checks_of_the_defaults(estimator, check):
    check(estimator)
