"""Scores of detectors: a panel for each, with the AUROC of every OOD set."""

import pytest

from flowjax_ood import figures
from tests.helpers.drawings import ID, OOD, normal, texts


@pytest.mark.thorough
@pytest.mark.parametrize("count", [1, 5, 6])
def test_a_panel_for_each_detector_with_its_auroc(count):
    sets = {ID: normal(2.0), OOD: normal(2.0) - 10}
    panels = {f"detector {k}": sets for k in range(count)}
    figure = figures.score_histograms(panels, id_name=ID)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(panels)
    assert texts(figure).count(f"{OOD}: AUROC 1.000") == count


def test_layers_say_what_marks_the_singularity():
    panels = {"layer 1": {ID: normal(2.0), OOD: normal(1.0)}}
    for noise, mark in ((True, "those of noise"), (False, "the in-distribution mean")):
        figure = figures.layer_analysis(panels, id_name=ID, noise=noise)
        assert any(mark in text.replace("\n", " ") for text in texts(figure))


@pytest.mark.parametrize("panels", [{}, {"MSP": {OOD: [1.0]}}])
def test_nothing_to_draw_is_refused(panels):
    with pytest.raises(ValueError, match=f"without the set '{ID}'"):
        figures.score_histograms(panels, id_name=ID)
