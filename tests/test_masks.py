"""Masks against pictures drawn by hand, and the rules every strategy keeps."""

import pickle

import numpy as np
import pytest

from flowjax_ood import masks


def picture(*rows):
    """A boolean `[H, W]` plane from rows of 1s (seen) and 0s."""
    return np.array([[c == "1" for c in row] for row in rows])


def plane(mask):
    """The one plane that all channels of a mask share."""
    assert mask.dtype == bool
    assert (mask == mask[:, :, :1]).all()
    return mask[:, :, 0]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (masks.checkerboard((3, 4, 2)), picture("0101", "1010", "0101")),
        (masks.checkerboard((2, 2, 1), reverse=True), picture("10", "01")),
        (masks.horizontal((5, 2, 3)), picture("11", "11", "00", "00", "00")),
        (masks.horizontal((3, 2, 1), reverse=True), picture("00", "11", "11")),
        (masks.vertical((2, 5, 1)), picture("11000", "11000")),
        (masks.vertical((2, 3, 1), reverse=True), picture("011", "011")),
        (masks.quadrant((3, 3, 1), 0), picture("100", "000", "000")),
        (masks.quadrant((3, 3, 1), 1), picture("011", "000", "000")),
        (masks.quadrant((3, 3, 1), 2), picture("000", "011", "011")),
        (masks.quadrant((3, 3, 1), 3), picture("000", "100", "100")),
        (
            masks.sub_quadrant((4, 4, 2), 1),
            picture("0101", "0000", "0101", "0000"),
        ),
        (masks.sub_quadrant((4, 2, 1), 3, factor=1), picture("00", "00", "10", "10")),
        (
            masks.center((4, 5, 1), margin=1),
            picture("00000", "01110", "01110", "00000"),
        ),
        (
            masks.center((3, 3, 1), margin=1, reverse=True),
            picture("111", "101", "111"),
        ),
    ],
)
def test_against_pictures(mask, expected):
    np.testing.assert_array_equal(plane(mask), expected)


def test_the_top_left_pixel_changes_first():
    assert not masks.checkerboard((4, 4, 1))[0, 0, 0]
    assert masks.alternate_checkerboard(0, (4, 4, 1)).changed[0, 0, 0]
    assert masks.alternate_checkerboard(1, (4, 4, 1)).seen[0, 0, 0]


def test_channel_wise_sees_the_second_half():
    mask = masks.channel_wise((2, 3, 4))
    assert mask.shape == (2, 3, 4)
    assert (mask == np.array([False, False, True, True])).all()
    np.testing.assert_array_equal(masks.channel_wise((2, 3, 4), reverse=True), ~mask)


def test_tabular_sees_the_first_half():
    np.testing.assert_array_equal(
        masks.tabular((5,)), [True, True, False, False, False]
    )
    np.testing.assert_array_equal(masks.tabular((2,), reverse=True), [False, True])


@pytest.mark.parametrize("shape", [(4, 4, 1), (5, 7, 2), (2, 2, 1), (3, 2, 3)])
def test_quadrants_tile_the_image(shape):
    total = sum(masks.quadrant(shape, q).astype(int) for q in range(4))
    np.testing.assert_array_equal(total, np.ones(shape))


def test_cycle_goes_round_clockwise():
    shape = (5, 5, 2)
    for k in range(9):
        seen, changed, layout = masks.cycle(k, shape)
        np.testing.assert_array_equal(seen, masks.quadrant(shape, k % 4))
        np.testing.assert_array_equal(changed, masks.quadrant(shape, (k + 1) % 4))
        assert layout == "spatial"


def test_sub_cycle_is_a_cycle_in_each_tile():
    for k in range(4):
        whole, tile = masks.sub_cycle(k, (8, 4, 1)), masks.cycle(k, (4, 2, 1))
        for name in ("seen", "changed"):
            expected = np.tile(getattr(tile, name), (2, 2, 1))
            np.testing.assert_array_equal(getattr(whole, name), expected)


SHAPES = {"channel": (4, 4, 2), "center": (10, 9, 2), "tabular": (7,), "halves": (7,)}


@pytest.mark.parametrize("name", masks.STRATEGIES)
def test_strategies_never_change_what_they_see_and_change_all_in_turn(name):
    strategy, shape = masks.strategy(name), SHAPES.get(name, (8, 8, 3))
    steps = [strategy(k, shape) for k in range(4)]
    for step in steps:
        assert step.seen.shape == step.changed.shape == shape
        assert step.seen.any()
        assert step.changed.any()
        assert not (step.seen & step.changed).any()
    assert np.any([step.changed for step in steps], axis=0).all()
    np.testing.assert_array_equal(strategy(4, shape).seen, steps[0].seen)


@pytest.mark.parametrize("name", sorted(set(masks.STRATEGIES) - {"cycle", "sub_cycle"}))
def test_alternating_strategies_swap_the_parts(name):
    strategy, shape = masks.strategy(name), SHAPES.get(name, (8, 8, 3))
    even, odd = strategy(0, shape), strategy(1, shape)
    np.testing.assert_array_equal(even.seen, ~even.changed)
    np.testing.assert_array_equal(even.seen, odd.changed)
    np.testing.assert_array_equal(even.changed, odd.seen)


def test_only_channel_masks_have_the_channel_layout():
    for name in masks.STRATEGIES:
        layout = masks.strategy(name)(0, SHAPES.get(name, (8, 8, 3))).layout
        assert layout == ("channel" if name in ("channel", "halves") else "spatial")


def test_a_function_is_a_strategy():
    assert masks.strategy(masks.cycle) is masks.cycle
    assert masks.strategy("cycle") is masks.cycle


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: masks.strategy("zebra"), "unknown mask strategy 'zebra'"),
        (lambda: masks.strategy(["cycle"]), r"unknown mask strategy \['cycle'\]"),
        (lambda: masks.channel_wise((4, 4, 3)), "even number of channels, got 3"),
        (lambda: masks.checkerboard((4, 4)), r"shape \(H, W, C\), got \(4, 4\)"),
        (lambda: masks.checkerboard((4, 0, 1)), "too small"),
        (lambda: masks.horizontal((1, 4, 1)), "too small"),
        (lambda: masks.quadrant((4, 4, 1), 4), "0, 1, 2 or 3, got 4"),
        (lambda: masks.quadrant((4, 1, 1), 0), "too small"),
        (lambda: masks.sub_quadrant((4, 6, 1), 0), "divisible by 4, got 4x6"),
        (lambda: masks.sub_quadrant((4, 4, 1), 0, 0), "factor 0"),
        (lambda: masks.center((8, 9, 1)), "margin 4 on 8x9"),
        (lambda: masks.center((9, 9, 1), margin=0), "margin 0"),
        (lambda: masks.tabular((1,)), r"D >= 2, got \(1,\)"),
        (lambda: masks.tabular((4, 4, 1)), r"\(D,\)"),
    ],
)
def test_errors_name_the_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", masks.STRATEGIES)
def test_a_strategy_can_be_pickled(name):
    """So can a flow that has it: worker processes and saved objects need that."""
    strategy = pickle.loads(pickle.dumps(masks.STRATEGIES[name]))
    shape = (4,) if name in ("tabular", "halves") else (8, 8, 2)
    if name == "center":
        shape = (12, 12, 1)
    for k in range(4):
        for got, want in zip(strategy(k, shape), masks.STRATEGIES[name](k, shape)):
            np.testing.assert_array_equal(got, want)


# --- of Jet: tokens [T, C] ---------------------------------------------------------


def tokens_seen(mask, grid):
    """Which tokens a spatial mask sees, drawn as their grid."""
    assert mask.layout == "spatial"
    assert (mask.seen == mask.seen[:, :1]).all()
    return mask.seen[:, 0].reshape(grid)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, picture("101", "010", "101")),
        (1, picture("010", "101", "010")),
        (2, picture("101", "101", "101")),
        (3, picture("010", "010", "010")),
        (4, picture("111", "000", "111")),
        (5, picture("000", "111", "000")),
        # and again from the first
        (6, picture("101", "010", "101")),
    ],
)
def test_spatial_masks_of_jet_against_pictures(number, expected):
    # the last of every five couplings
    mask = masks.jet()(5 * number + 4, (9, 2))
    np.testing.assert_array_equal(tokens_seen(mask, (3, 3)), expected)
    assert (mask.changed ^ mask.seen).all()


def test_jet_changes_every_token_of_an_odd_number_and_loses_none():
    jet = masks.jet(("spatial",), grid=(5, 7))
    for k in range(6):
        mask = jet(k, (35, 3))
        # the larger half of 35 tokens and the smaller one, or rows and columns of them
        assert mask.seen.sum() + mask.changed.sum() == 35 * 3
        assert mask.seen.any()
        assert mask.changed.any()
    for k in (0, 2, 4):
        assert (jet(k, (35, 3)).changed | jet(k + 1, (35, 3)).changed).all()


def test_channel_masks_of_jet_see_random_halves_by_seed_and_coupling():
    jet = masks.jet(seed=3)
    found = [jet(k, (4, 7)) for k in (0, 1, 2, 3, 5)]
    for mask in found:
        assert mask.layout == "channel"
        assert (mask.seen == mask.seen[:1]).all()
        assert mask.seen[0].sum() == 3
        np.testing.assert_array_equal(mask.changed, ~mask.seen)
    rows = {tuple(mask.seen[0]) for mask in found}
    assert len(rows) > 2
    assert rows != {tuple(masks.jet(seed=4)(k, (4, 7)).seen[0]) for k in range(4)}


def test_kinds_of_jet_are_counted_over_repetitions_of_the_pattern():
    jet = masks.jet(("spatial", "channel", "spatial"), ("hstripes",), grid=(2, 3))
    layouts = [jet(k, (6, 2)).layout for k in range(6)]
    assert layouts == ["spatial", "channel", "spatial"] * 2
    rows = [tokens_seen(jet(k, (6, 2)), (2, 3))[:, 0].tolist() for k in (0, 2, 3, 5)]
    assert rows == [[True, False], [False, True]] * 2


def test_a_strategy_of_jet_equals_one_of_the_same_arguments():
    jet = masks.jet(seed=1)
    assert jet == pickle.loads(pickle.dumps(jet)) == masks.jet(seed=1)
    assert jet != masks.jet(seed=2)


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"kinds": ()}, (4, 2), "kinds is empty; known: channel, spatial"),
        ({"kinds": ("row",)}, (4, 2), "kinds names 'row'; known: channel, spatial"),
        ({"spatial": ("rows",)}, (4, 2), "spatial names 'rows'; known: checkerboard"),
        ({"seed": -1}, (4, 2), "seed must be at least 0"),
        ({"grid": (0, 3)}, (4, 2), "grid must be a tuple of whole numbers"),
        ({"grid": (4,)}, (4, 2), r"grid must be \(rows, columns\), got \(4,\)"),
        ({}, (4, 4, 2), r"tokens of shape \(T, C\), got \(4, 4, 2\)"),
        ({}, (4, 1), "tokens of 1 channel cannot be halved"),
        ({"kinds": ("spatial",)}, (6, 2), "got 6 in one of 2 x 2"),
        ({"kinds": ("spatial",), "grid": (2, 4)}, (6, 2), "got 6 in one of 2 x 4"),
        ({"kinds": ("spatial",), "grid": (1, 6)}, (6, 2), "got 6 in one of 1 x 6"),
    ],
)
def test_bad_arguments_of_jet(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        masks.jet(**arguments)(0, shape)
