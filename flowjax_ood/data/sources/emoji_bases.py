"""What an emoji shows, and what it is a variant of, by its code points."""

from collections.abc import Sequence

ADULT, CHILD = 0x1F9D1, 0x1F9D2
COUPLE, KISS, HAND_IN_HAND, FAMILY = 0x1F491, 0x1F48F, 0x1F46B, 0x1F46A


def _points(text: str) -> frozenset[int]:
    """Read `"1F466-1F478 1F47C"`: code points and ranges of them, in hex."""
    ends = [[int(end, 16) for end in part.split("-")] for part in text.split()]
    return frozenset(p for e in ends for p in range(e[0], e[-1] + 1))


# Unicode's group "People & Body", without what is of the body alone
PEOPLE = _points(
    "26F9 1F385 1F3C2-1F3C4 1F3C7 1F3CA-1F3CC 1F466-1F47A 1F47C 1F481-1F483 "
    "1F486-1F487 1F48F 1F491 1F574-1F575 1F57A 1F645-1F647 1F64B 1F64D-1F64E 1F6A3 "
    "1F6B4-1F6B6 1F6C0 1F6CC 1F926 1F930-1F931 1F934-1F93A 1F93C-1F93E 1F977 "
    "1F9B8-1F9B9 1F9CD-1F9CF 1F9D1-1F9DF 1FAC3-1FAC5"
)
HANDS = _points(
    "261D 270A-270D 1F442-1F450 1F485 1F4AA 1F590 1F595-1F596 1F64C 1F64F 1F90C 1F90F "
    "1F918-1F91F 1F932-1F933 1F9B5-1F9B6 1F9BB 1FAF0-1FAF8"
)
# FE4E5 on: of a range for private use, flags of ten countries
FLAGS = _points("1F38C 1F3C1 1F3F3-1F3F4 1F6A9 FE4E5-FE4EE")
LETTERS_OF_FLAGS = _points("1F1E6-1F1FF")
# what makes variants: signs of gender, selectors and joiners, tones of the skin, hair,
# and the arrow of those who look to the right
VARIATION = _points("200D 2640 2642 27A1 FE0F 1F3FB-1F3FF 1F9B0-1F9B3")
# emoji of one gender, and that which is of any
_NEUTRAL = {
    0x1F468: ADULT,
    0x1F469: ADULT,
    0x1F466: CHILD,
    0x1F467: CHILD,
    0x1F474: 0x1F9D3,
    0x1F475: 0x1F9D3,
    0x1F478: 0x1FAC5,
    0x1F934: 0x1FAC5,
    0x1F936: 0x1F385,
    0x1F57A: 0x1F483,
    0x1F930: 0x1FAC4,
    0x1FAC3: 0x1FAC4,
    0x1F46C: HAND_IN_HAND,
    0x1F46D: HAND_IN_HAND,
}
# the same picture, of people named one by one
_NAMED = {
    (0x1F384, ADULT): (0x1F385,),
    (0x1F91D, ADULT, ADULT): (HAND_IN_HAND,),
    (0x2764, ADULT, ADULT): (COUPLE,),
    (0x2764, 0x1F48B, ADULT, ADULT): (KISS,),
}


def base(points: Sequence[int]) -> tuple[int, ...]:
    """Reduce code points to what all variants of a picture share, ascending.

    Of people and hands, variants differ in skin tone, hair, gender, direction, or, of
    families, in who is in them.
    """
    kept = (_NEUTRAL.get(p, p) for p in points if p not in VARIATION)
    found = tuple(sorted(kept)) or tuple(points)
    if set(found) == {ADULT, CHILD}:
        return (FAMILY,)
    return _NAMED.get(found, found)


def kind(points: Sequence[int]) -> str:
    """Say whether an emoji is of "people", "hands", "flags" or "things"."""
    has = frozenset(points).isdisjoint
    if not has(PEOPLE):
        return "people"
    if not has(HANDS):
        return "hands"
    # a letter of a flag alone is drawn as a letter
    return "flags" if not has(FLAGS) or _is_country(points) else "things"


def _is_country(points: Sequence[int]) -> bool:
    return len(points) > 1 and not LETTERS_OF_FLAGS.isdisjoint(points)
