"""Scores that a flow is judged by at a glance: on the terminal, and by `compare`."""

# combinations come last
SHORT = (
    "log p(x)",
    "typicality",
    "SITN",
    "DoSE (kde)",
    "input complexity (webp)",
    "T2 16 of the likelihood map",
    "Q 16 of the likelihood map",
    "flow alone, rank-Gauss",
    "flow and pixels, rank-Gauss",
    "flow and pixels and poses, rank-Gauss",
    "pixels alone, rank-Gauss",
    "pixels alone with poses, rank-Gauss",
    "Q 16 of levels of squares",
)
LIKELIHOOD, *REMEDIES = SHORT
