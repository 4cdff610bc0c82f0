"""One edge host: does Lapwing see, run, and is what it orders carried out?"""

import style
from parts import HERE, Board, count, lines, number, query, states

OURS = "and on (job, instance) lapwing_build_info"


def board():
    b = Board(
        "host",
        "One host: its sensor, its routes through BIRD, and the daemon itself.",
        one_host=True,
    )
    verdict(b)
    b.row(
        "Sensor",
        states(
            "Hooks",
            "Where packets are measured. Missing means that this interface is not seen: nothing "
            "is withdrawn by what passes there.",
            style.yes_no("attached", "missing"),
            f"lapwing_sensor_attached{{{HERE}}}",
            "{{interface}} {{hook}} ({{mode}})",
            width=12,
        ),
        lines(
            "Packets passed unmeasured",
            "By reason. Worry when it is a good part of the traffic, or when no_table or "
            "unknown_tunnel appear at all.",
            "pps",
            query(
                f"sum by (reason) (rate(lapwing_skipped_packets_total{{{HERE}}}"
                "[$__rate_interval]))",
                "{{reason}}",
            ),
        ),
        lines(
            "Packets",
            "Packets of each service; below the line is what leaves. A GSO buffer counts as "
            "the segments it becomes.",
            "pps",
            query(
                f'sum by (service) (rate(lapwing_packets_total{{{HERE}, direction="in"}}'
                "[$__rate_interval]))",
                "{{service}} in",
            ),
            query(
                f'-sum by (service) (rate(lapwing_packets_total{{{HERE}, direction="out"}}'
                "[$__rate_interval]))",
                "{{service}} out",
            ),
            least=None,
        ),
        lines(
            "Bytes",
            "Bytes of each service's IP packets; below the line is what leaves. An egress that "
            "falls while the ingress stays is a service that no longer answers.",
            "Bps",
            query(
                f'sum by (service) (rate(lapwing_bytes_total{{{HERE}, direction="in"}}'
                "[$__rate_interval]))",
                "{{service}} in",
            ),
            query(
                f'-sum by (service) (rate(lapwing_bytes_total{{{HERE}, direction="out"}}'
                "[$__rate_interval]))",
                "{{service}} out",
            ),
            least=None,
        ),
    )
    routes(b)
    cost(b)
    daemon(b)
    return b


def verdict(b):
    b.row(
        "Verdict",
        number(
            "Health",
            "What /healthz says. If unwell, `lapwing status` on the host gives the reason.",
            f"min(lapwing_healthy{{{HERE}}})",
            unit="none",
            words=style.yes_no("well", "unwell"),
            width=3,
        ),
        number(
            "Sensor",
            "Whether packets are seen and believed. Blind: nothing is withdrawn by live traffic.",
            f"max(lapwing:sensor_down{{{HERE}}})",
            unit="none",
            words=style.yes_no("blind", "sees", style.BAD, style.GOOD),
            width=3,
        ),
        number(
            "Mode",
            "enforce changes routes; observe decides and changes none.",
            f'min(lapwing_mode{{{HERE}, mode="enforce"}})',
            unit="none",
            words=style.yes_no("enforce", "observe", style.GOOD, style.ORDERED),
            width=3,
        ),
        number(
            "Freeze",
            "Frozen means that an operator has stopped all level changes: see `lapwing status`.",
            f"max(lapwing_frozen{{{HERE}}})",
            unit="none",
            words=style.yes_no("frozen", "none", style.ORDERED, style.GOOD),
            width=3,
        ),
        number(
            "Journal",
            "Whether decisions are written down. Failing: is the disk full?",
            f"max(lapwing_journal_failing{{{HERE}}})",
            unit="none",
            words=style.yes_no("failing", "written", style.BAD, style.GOOD),
            width=3,
        ),
        number(
            "Configuration",
            "Whether the last one that was asked for is in force. Refused: the one before still "
            "is; `lapwing check` says why.",
            f"min(lapwing_config_last_reload_successful{{{HERE}}})",
            unit="none",
            words=style.yes_no("in force", "refused"),
            width=3,
        ),
        number(
            "BIRD",
            "Whether BIRD answers on its control socket. No data: no socket is configured.",
            f"min(lapwing_bird_up{{{HERE}}})",
            unit="none",
            words=style.yes_no("up", "down"),
            width=3,
        ),
        number(
            "BGP sessions down",
            "Sessions that are not established. With all down the site announces nothing.",
            count(f"lapwing_bird_session_established{{{HERE}}} == 0"),
            width=3,
        ),
    )


def routes(b):
    b.row(
        "Routes",
        states(
            "Level of each prefix",
            "What the routing table holds.",
            style.LEVELS,
            f"lapwing_prefix_level{{{HERE}}}",
            "{{prefix}}",
            width=12,
            link="decisions",
        ),
        states(
            "Route as decided",
            "Whether the routing table holds the decided level. Worry after some seconds: the "
            "kernel refuses, or another program is at work.",
            style.yes_no("differs", "as decided", style.BAD, style.GOOD),
            f"lapwing:prefix_differs{{{HERE}}}",
            "{{prefix}}",
            width=12,
        ),
        states(
            "Exported as decided",
            "Whether BIRD and its sessions are as the routing table says. Not so for more than "
            "some seconds: clients are sent somewhere else than decided. No data without BIRD's "
            "socket.",
            style.yes_no("verified", "not so"),
            f"lapwing_export_verified{{{HERE}}}",
            "{{prefix}}",
            width=12,
        ),
        states(
            "BGP sessions",
            "Whether each session of BIRD is established. No data without BIRD's socket.",
            style.yes_no("established", "down"),
            f"lapwing_bird_session_established{{{HERE}}}",
            "{{session}}",
            width=12,
        ),
    )


def cost(b):
    b.row(
        "Kernel tables and cost",
        lines(
            "Tables without room",
            "Trials and samples that found no room in the kernel's tables, a second. Trials "
            "without room are not judged: worry when it lasts. Busy cells are sampled less.",
            "cps",
            query(
                f"sum by (service) (rate(lapwing_trials_without_room_total{{{HERE}}}"
                "[$__rate_interval]))",
                "{{service}}: trials",
            ),
            query(
                f"sum by (service) (rate(lapwing_sample_cells_busy_total{{{HERE}}}"
                "[$__rate_interval]))",
                "{{service}}: sample cells",
            ),
            width=8,
        ),
        lines(
            "Time for a packet",
            "Mean run time of our programs. No data unless kernel.bpf_stats_enabled is set. "
            "Worry when it doubles.",
            "s",
            query(
                f"sum by (program) (rate(lapwing_program_run_seconds_total{{{HERE}}}"
                "[$__rate_interval])) / (sum by (program) (rate(lapwing_program_runs_total"
                f"{{{HERE}}}[$__rate_interval])) > 0)",
                "{{program}}",
            ),
            width=8,
        ),
        lines(
            "Processors busy with our programs",
            "1 is one processor wholly taken. No data unless kernel.bpf_stats_enabled is set.",
            "percentunit",
            query(
                f"sum by (program) (rate(lapwing_program_run_seconds_total{{{HERE}}}"
                "[$__rate_interval]))",
                "{{program}}",
            ),
            width=8,
            most=0.1,
        ),
        collapsed=True,
    )


def daemon(b):
    b.row(
        "The daemon",
        number(
            "Up since",
            "When the process was started.",
            f"1000 * min(process_start_time_seconds{{{HERE}}} {OURS})",
            unit="dateTimeFromNow",
            at=None,
            width=6,
        ),
        number(
            "Configuration read",
            "When the configuration in force was read. Older than your last change: it was "
            "refused, or nobody reloaded.",
            f"1000 * min(lapwing_config_last_reload_success_timestamp_seconds{{{HERE}}})",
            unit="dateTimeFromNow",
            at=None,
            width=6,
        ),
        number(
            "Starts within a day",
            "How often the process was started. Many: look into its log.",
            f"max(changes(process_start_time_seconds{{{HERE}}}[1d]) {OURS})",
            at=5,
            bad=style.BAD,
            least=[(2, style.WATCH)],
            width=6,
        ),
        number(
            "BIRD told to reread",
            "How often within a day BIRD had not learned a change and was told to read its "
            "kernel table again. Often: is the kernel protocol's scan time long?",
            f"sum(increase(lapwing_bird_reloads_total{{{HERE}}}[1d]))",
            at=20,
            bad=style.WATCH,
            width=6,
        ),
        lines(
            "Processor",
            "The daemon's processor time; 1 is one processor. Worry above a half for long.",
            "percentunit",
            query(f"lapwing:process_cpu:rate1m{{{HERE}}}", "{{instance}}"),
            width=8,
            mark=0.5,
        ),
        lines(
            "Memory",
            "Resident memory. It is flat after the first hours: worry when it grows for days.",
            "bytes",
            query(f"process_resident_memory_bytes{{{HERE}}} {OURS}", "{{instance}}"),
            width=8,
        ),
        lines(
            "Open descriptors",
            "Files, sockets and maps. It is flat: worry when it grows for days.",
            "short",
            query(f"process_open_fds{{{HERE}}} {OURS}", "{{instance}}"),
            width=8,
        ),
        collapsed=True,
    )
