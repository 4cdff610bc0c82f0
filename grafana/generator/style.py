"""Colours and words: the same for the same thing on every dashboard.

Green is as it should be, yellow is degraded or watched, red is down, blue is an operator's
or a harmless state, grey is unknown.
"""

from grafana_foundation_sdk.models import dashboard

GOOD = "green"
WATCH = "yellow"
WORSE = "orange"
BAD = "red"
ORDERED = "blue"
UNKNOWN = "#808080"
QUIET = "text"

# What a number on a state timeline or a stat stands for: number, word, colour.
LEVELS = [(2, "full", GOOD), (1, "degraded", WATCH), (0, "withdrawn", BAD)]
HOSTS = [(2, "well", GOOD), (1, "unwell", WATCH), (0, "blind", WORSE), (-1, "absent", BAD)]
SERVICE_STATES = [
    (0, "unknown", UNKNOWN),
    (1, "unguarded", UNKNOWN),
    (2, "learning", ORDERED),
    (3, "armed", GOOD),
    (4, "impaired", WATCH),
    (5, "suspect", WORSE),
    (6, "failed", BAD),
]
STANDINGS = [
    (0, "unread", UNKNOWN),
    (1, "waiting", UNKNOWN),
    (2, "announced", GOOD),
    (3, "canary", ORDERED),
    (4, "drained", ORDERED),
    (5, "impaired", WATCH),
    (6, "withdrawn", BAD),
    (7, "locked_out", "dark-red"),
]


def yes_no(yes, no, yes_color=GOOD, no_color=BAD):
    """1 and 0 as words."""
    return [(1, yes, yes_color), (0, no, no_color)]


# A series that is named by nothing but a label of these has its value's colour.
SERIES = {
    "outcome": {"succeeded": GOOD, "failed": BAD, "late": WORSE, "abandoned": UNKNOWN},
    "action": {"announce": GOOD, "degrade": WATCH, "withdraw": BAD},
    "phase": {
        "decided": "purple",
        "kernel": "blue",
        "rib": "light-blue",
        "export": "orange",
        "traffic": "yellow",
    },
    "rcode": {
        "noerror": GOOD,
        "nxdomain": "blue",
        "servfail": BAD,
        "refused": WORSE,
        "formerr": WATCH,
        "notimp": "purple",
        "other": UNKNOWN,
    },
    "class": {"1xx": UNKNOWN, "2xx": GOOD, "3xx": "blue", "4xx": WATCH, "5xx": BAD},
}


def mapping(words):
    """Numbers as coloured words."""
    options = {
        str(number): dashboard.ValueMappingResult(text=word, color=color, index=index)
        for index, (number, word, color) in enumerate(words)
    }
    return [dashboard.ValueMap(options=options)]
