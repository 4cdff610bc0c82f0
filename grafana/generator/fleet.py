"""All hosts: is anything wrong, and where?"""

import style
from parts import HERE, PREFIX, Board, count, lines, number, query, rows, states

# An alert over all hosts has no instance.
FIRING = 'alertstate="firing", alertname=~"Lapwing.+", instance=~"$instance|"'
ABSENT = f"""max by (job, instance) (up{{job=~".*lapwing.*", {HERE}}}) == 0
    or (max by (job, instance) (max_over_time(lapwing_build_info{{{HERE}}}[1d]))
    unless on (job, instance) lapwing_build_info)"""


def board():
    b = Board(
        "fleet",
        "Every host at a glance: what is withdrawn, who is unwell, what fires.",
        [("prefix", "Prefix", "lapwing_prefix_standing")],
    )
    b.row(
        "What is wrong now",
        number(
            "Critical alerts",
            "Critical alerts of Lapwing that fire. Above 0 somebody has to look now: the table "
            "below names them.",
            count(f'ALERTS{{{FIRING}, severity="critical"}}'),
        ),
        number(
            "Warnings",
            "Warnings of Lapwing that fire: look today.",
            count(f'ALERTS{{{FIRING}, severity="warning"}}'),
            bad=style.WATCH,
        ),
        number(
            "Prefixes nowhere full",
            "Prefixes that none of the chosen hosts announces at level full. Above 0 clients "
            "are badly served or not at all, if no host outside this Prometheus announces it.",
            count(f"sum by (prefix) (lapwing_prefix_level{{{PREFIX}}} == bool 2) == 0"),
        ),
        number(
            "Withdrawn",
            "Prefixes times hosts that are withdrawn, ordered drains included. One is a site at "
            "rest; many at once is an incident.",
            count(f"lapwing_prefix_level{{{PREFIX}}} == 0"),
            bad=style.BAD,
            at=2,
            least=[(1, style.WATCH)],
        ),
        number(
            "Unwell or blind hosts",
            "Hosts whose /healthz says no, or that do not see their packets. A blind host "
            "withdraws nothing by live traffic.",
            count(
                f"(lapwing_healthy{{{HERE}}} == 0) or on (job, instance) "
                f"(lapwing:sensor_down{{{HERE}}} == 1)"
            ),
        ),
        number(
            "Absent hosts",
            "Hosts whose metrics are not to be had now and were within a day. Their routes stay "
            "as they are, and nobody withdraws a dead service there.",
            count(ABSENT),
        ),
    )
    b.row(
        "Routes and hosts",
        states(
            "Level of each prefix at each host",
            "What each host's routing table holds. Red is withdrawn: a click leads to why. A "
            "gap is a host that was not scraped.",
            style.LEVELS,
            f"min by (instance, prefix) (lapwing_prefix_level{{{PREFIX}}})",
            "{{prefix}} at {{instance}}",
            height=10,
            link="decisions",
        ),
        rows(
            "Alerts firing",
            "What fires now. The runbook of each lies in /usr/share/doc/lapwing/runbooks/ on "
            "every host, by the alert's name.",
            f"max by (severity, alertname, instance, prefix, service) (ALERTS{{{FIRING}}})",
            ["severity", "alertname", "instance", "prefix", "service"],
            height=9,
            link="host",
            wide={"severity": 90, "alertname": 250, "prefix": 160},
        ),
        states(
            "Hosts",
            "Well; unwell, when /healthz says no; blind, when packets are not seen; absent, when "
            "the scrape fails. Worry about everything that is not green.",
            style.HOSTS,
            f"""min by (instance) ((lapwing_healthy{{{HERE}}} + 1)
            * on (job, instance) (1 - lapwing:sensor_down{{{HERE}}})
            or on (job, instance) (up{{job=~".*lapwing.*", {HERE}}} == 0) - 1)""",
            "{{instance}}",
            width=12,
            height=9,
            link="host",
        ),
    )
    b.row(
        "Service at the hosts",
        lines(
            "Withdraws",
            "Decided withdraws by host, drains and pins included. Several hosts at the same "
            "time share a cause: do not take the rest down by hand.",
            "short",
            query(
                "sum by (instance) (increase(lapwing_decisions_total"
                f'{{{PREFIX}, action="withdraw"}}[$__rate_interval]))',
                "{{instance}}",
            ),
            width=8,
            bars=True,
            calcs=("max",),
        ),
        lines(
            "Highest failure ratio",
            "The part of judged trials that fail or are late, of the worst service of each "
            "host, over a minute. What is normal differs by service: compare with yesterday.",
            "percentunit",
            query(
                f"max by (instance) (lapwing:service_failure_ratio:rate1m{{{HERE}}})",
                "{{instance}}",
            ),
            width=8,
            most=0.1,
        ),
        lines(
            "Highest detector score",
            "The nearest service of each host to an alarm: at 1 a service is suspect.",
            "percentunit",
            query(f"max by (instance) (lapwing_detector_score_ratio{{{HERE}}})", "{{instance}}"),
            width=8,
            most=1.1,
            mark=1,
        ),
    )
    b.row(
        "Hosts and traffic",
        rows(
            "What runs where",
            "Each host with its version and mode. A host in observe decides and changes no "
            "route; two versions for long are an update that stopped halfway.",
            f"""lapwing_host_info{{{HERE}}}
            * on (job, instance) group_left (version) lapwing_build_info
            * on (job, instance) group_left (mode) (lapwing_mode == 1)""",
            ["site", "host", "instance", "version", "mode"],
            hide=["job"],
            link="host",
        ),
        lines(
            "Judged trials",
            "Connections, queries and answers that are judged at each host, a second. A host "
            "whose line falls to nothing has lost its clients.",
            "cps",
            query(
                f"sum by (instance) (lapwing:service_trials:rate1m{{{HERE}}})", "{{instance}}"
            ),
        ),
        collapsed=True,
    )
    return b
