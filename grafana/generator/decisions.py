"""Decisions: what was decided, why, what stood against it, and how long it took."""

import style
from parts import HERE, PREFIX, Board, count, gauges, lines, number, numbered, query, states

PHASES = (
    "decided: first failure to decision; kernel: from there to the kernel's acknowledgement; "
    "from that, rib: until BIRD's table says so, export: until no session differs, traffic: "
    "until clients follow."
)


def board():
    b = Board(
        "decisions",
        "Levels, decisions with their causes, guards that hold, and the phases of a withdraw.",
        [("prefix", "Prefix", "lapwing_prefix_standing")],
    )
    verdict(b)
    decided(b)
    phases(b)
    quarrels(b)
    witnesses(b)
    return b


def verdict(b):
    b.row(
        "Verdict",
        number(
            "Withdrawn",
            "Prefixes times hosts that are withdrawn now, drains included.",
            count(f"lapwing_prefix_level{{{PREFIX}}} == 0"),
        ),
        number(
            "Degraded",
            "Prefixes times hosts at level degraded: announced, less preferred.",
            count(f"lapwing_prefix_level{{{PREFIX}}} == 1"),
            bad=style.WATCH,
        ),
        number(
            "Held",
            "Changes that are due and that a guard holds now. A held withdraw means that "
            "clients reach a service that is thought to be dead.",
            count(f"lapwing_prefix_held{{{PREFIX}}} == 1"),
        ),
        number(
            "Not as decided",
            "Prefixes times hosts whose routing table holds another level than the decided one.",
            count(f"lapwing:prefix_differs{{{PREFIX}}} == 1"),
        ),
        number(
            "Conflicts",
            "What stands against the wanted level: another program's route, or the kernel.",
            f"sum(lapwing_route_conflicts{{{PREFIX}}}) or vector(0)",
        ),
        number(
            "Stale witnesses",
            "Other hosts that cannot be heard. With all stale the last site is not withdrawn.",
            count(f"lapwing_witness_stale{{{PREFIX}}} == 1"),
            bad=style.WATCH,
        ),
        states(
            "Level",
            "What each host's routing table holds for the prefix.",
            style.LEVELS,
            f"min by (instance, prefix) (lapwing_prefix_level{{{PREFIX}}})",
            "{{prefix}} at {{instance}}",
            width=12,
        ),
        states(
            "Why it stands there",
            "Withdrawn is the detector's or the probe's doing, drained an operator's. "
            "locked_out comes back only by an order. canary is a return that is tried first.",
            style.STANDINGS,
            numbered(
                "lapwing_prefix_standing", PREFIX, "standing", style.STANDINGS, "instance, prefix"
            ),
            "{{prefix}} at {{instance}}",
            width=12,
        ),
    )


def decided(b):
    b.row(
        "Decisions and guards",
        lines(
            "Decisions by action",
            "Level changes that were decided. A prefix that is withdrawn and announced again "
            "and again is flapping: its hold grows by itself.",
            "short",
            query(
                f"sum by (action) (increase(lapwing_decisions_total{{{PREFIX}}}"
                "[$__rate_interval]))",
                "{{action}}",
            ),
            width=8,
            bars=True,
            stack=True,
            calcs=("max",),
        ),
        lines(
            "Decisions by cause",
            "Why levels were changed: by live trials, by the probe, by an order, by a return.",
            "short",
            query(
                f"sum by (cause) (increase(lapwing_decisions_total{{{PREFIX}}}"
                "[$__rate_interval])) > 0",
                "{{cause}}",
            ),
            width=8,
            bars=True,
            stack=True,
            calcs=("max",),
        ),
        lines(
            "Changes held, by guard",
            "Changes that were due and that a guard held. observe is no worry; last_site, "
            "witness_stale, budget_local and blind are: a dead service stays announced.",
            "short",
            query(
                f"sum by (guard) (increase(lapwing_holds_total{{{PREFIX}}}[$__rate_interval])) > 0",
                "{{guard}}",
            ),
            width=8,
            bars=True,
            stack=True,
            calcs=("max",),
        ),
        states(
            "Held now",
            "Which guard holds a due change, from when to when. No data is good: nothing is "
            "held.",
            [(1, "held", style.BAD)],
            f"max by (instance, prefix, guard) (lapwing_prefix_held{{{PREFIX}}})",
            "{{prefix}} by {{guard}} at {{instance}}",
            width=12,
        ),
        states(
            "Pinned",
            "Prefixes whose level an operator has fixed: no fault changes it.",
            style.yes_no("pinned", "free", style.ORDERED, style.GOOD),
            f"max by (instance, prefix) (lapwing_prefix_pinned{{{PREFIX}}})",
            "{{prefix}} at {{instance}}",
            width=12,
        ),
    )


def quantile(metric, part):
    return query(
        f"sort_desc(histogram_quantile({part}, sum by (phase, le) (increase({metric}_bucket"
        f"{{{HERE}}}[$__range]))) >= 0)",
        "{{phase}}",
        instant=True,
    )


def phases(b):
    b.row(
        "How long it took",
        gauges(
            "Phases of a withdraw, median",
            f"Of all withdraws of the chosen time and hosts. {PHASES}",
            "s",
            quantile("lapwing_withdraw_phase_seconds", 0.5),
            width=8,
            warn=2,
            bad=10,
        ),
        gauges(
            "Phases of a withdraw, 99 of 100",
            "The slowest. Long decided: little traffic, or a fault that comes and goes; long "
            "rib: BIRD's scan time; long export: a session; long traffic: somebody else still "
            "attracts clients.",
            "s",
            quantile("lapwing_withdraw_phase_seconds", 0.99),
            width=8,
            warn=5,
            bad=30,
        ),
        gauges(
            "Phases of an announcement, median",
            "The same of the way back; there is no first failure, so no decided.",
            "s",
            quantile("lapwing_announce_phase_seconds", 0.5),
            width=8,
            warn=5,
            bad=30,
        ),
        lines(
            "Mean of each phase over time",
            "Points where withdraws were. A phase that grows from one to the next is worth a "
            "look before it matters.",
            "s",
            query(
                "sum by (phase) (increase(lapwing_withdraw_phase_seconds_sum"
                f"{{{HERE}}}[$__rate_interval])) / (sum by (phase) (increase("
                f"lapwing_withdraw_phase_seconds_count{{{HERE}}}[$__rate_interval])) > 0)",
                "{{phase}}",
            ),
            width=24,
            height=7,
            points=True,
            log=True,
        ),
    )


def quarrels(b):
    b.row(
        "Conflicts and exports",
        lines(
            "Route conflicts",
            "blocked: another program's route in our place; hidden: preferred by BIRD; "
            "contended: somebody undoes our changes; refused: the kernel says no. Any is worth "
            "a look now.",
            "short",
            query(
                f"sum by (instance, prefix, conflict) (lapwing_route_conflicts{{{PREFIX}}})",
                "{{prefix}} {{conflict}} at {{instance}}",
            ),
            width=8,
            most=2,
            mark=1,
        ),
        lines(
            "Changed by others",
            "How often the routing table held another level than the decided one, because "
            "somebody else changed it.",
            "short",
            query(
                "sum by (instance, prefix) (increase(lapwing_route_differences_total"
                f"{{{PREFIX}}}[$__rate_interval]))",
                "{{prefix}} at {{instance}}",
            ),
            width=8,
            bars=True,
            calcs=("max",),
        ),
        states(
            "Export alerts",
            "What is wrong with a prefix beyond the kernel. No data is good: nothing is.",
            [(1, "stands", style.BAD)],
            f"max by (instance, prefix, alert) (lapwing_export_alerts{{{PREFIX}}})",
            "{{prefix}} {{alert}} at {{instance}}",
            width=8,
        ),
        collapsed=True,
    )


def witnesses(b):
    b.row(
        "Witnesses",
        states(
            "Level at other hosts, as heard",
            "What each host hears of the others by BGP: before a withdraw, somebody else has to "
            "be heard at level full. No data without witnesses.",
            style.LEVELS,
            "min by (instance, prefix, witness_site, witness_host) "
            f"(lapwing_witness_level{{{PREFIX}}})",
            "{{prefix}} of {{witness_host}}.{{witness_site}}, heard by {{instance}}",
            width=12,
        ),
        states(
            "Believed",
            "Stale: what is heard of that host cannot be believed. While all are stale, the "
            "guard witness_stale holds withdraws. No data without witnesses.",
            style.yes_no("stale", "believed", style.WATCH, style.GOOD),
            "max by (instance, prefix, witness_site, witness_host) "
            f"(lapwing_witness_stale{{{PREFIX}}})",
            "{{prefix}} of {{witness_host}}.{{witness_site}}, heard by {{instance}}",
            width=12,
        ),
        collapsed=True,
    )
