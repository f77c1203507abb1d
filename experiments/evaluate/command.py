"""`evaluate --workdir=DIR [--config.data.ood=...]`: likelihoods, AUROC, figures.

Uses the newest checkpoint in DIR. Only `eval` keys and those of the scored sets can be
changed here; what was used of them is in results.json.
"""
