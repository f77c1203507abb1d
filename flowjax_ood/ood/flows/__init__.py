"""A trained flow as a detector: scores of its density, its latents and its gradients.

All take `ScoredFlow` where detectors of classifiers take `Network`.
"""
