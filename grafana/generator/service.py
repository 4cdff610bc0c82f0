"""One or many services: do clients get what they came for?"""

import style
from parts import SERVICE, Board, count, heat, lines, number, numbered, query, states

WHO = "{{service}} {{kind}} at {{instance}}"


def rate(metric, by, matchers=SERVICE):
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


def board():
    b = Board(
        "service",
        "What clients live through: trials, their outcome, and how near the detectors are.",
        [("service", "Service", "lapwing_service_state")],
    )
    verdict(b)
    trials(b)
    responses(b)
    tcp(b)
    applications(b)
    return b


def verdict(b):
    b.row(
        "Verdict",
        number(
            "Failed",
            "Services that are held to be failed. Their prefixes are withdrawn, or a guard "
            "holds that: see decisions.",
            count(f'lapwing_service_state{{{SERVICE}, state="failed"}} == 1'),
        ),
        number(
            "Suspect or impaired",
            "Services near to being failed, or answering worse than they should.",
            count(f'lapwing_service_state{{{SERVICE}, state=~"suspect|impaired"}} == 1'),
            bad=style.WATCH,
        ),
        number(
            "Not watched yet",
            "Services without enough traffic to be judged by it: learning, unguarded or "
            "unknown. Only their probe can withdraw them.",
            count(f'lapwing_service_state{{{SERVICE}, state=~"learning|unguarded|unknown"}} == 1'),
            bad=style.ORDERED,
        ),
        number(
            "Probes failing",
            "Services whose own probe from the host fails.",
            count(f"lapwing_probe_passes{{{SERVICE}}} == 0"),
        ),
        number(
            "Highest score",
            "The nearest detector to its threshold: at 100 % the service is suspect.",
            f"max(lapwing_detector_score_ratio{{{SERVICE}}})",
            unit="percentunit",
            least=[(0.5, style.WATCH)],
        ),
        number(
            "Highest failure ratio",
            "The part of trials that fail or are late, of the worst service and kind, over a "
            "minute. Red from half on; what is normal is below, by service.",
            f"max(lapwing:service_failure_ratio:rate1m{{{SERVICE}}})",
            unit="percentunit",
            at=0.5,
            least=[(0.1, style.WATCH)],
        ),
        states(
            "State of each service",
            "Armed is guarded and well. Suspect and failed are the way to a withdraw; learning "
            "and unguarded mean that traffic does not guard it.",
            style.SERVICE_STATES,
            numbered(
                "lapwing_service_state", SERVICE, "state", style.SERVICE_STATES,
                "instance, service",
            ),
            "{{service}} at {{instance}}",
            width=14,
        ),
        states(
            "Probes",
            "Whether each service passes its own probe. No data for a service without one.",
            style.yes_no("passes", "fails"),
            f"min by (instance, service) (lapwing_probe_passes{{{SERVICE}}})",
            "{{service}} at {{instance}}",
            width=10,
        ),
    )


def trials(b):
    b.row(
        "Trials",
        lines(
            "Trials by outcome",
            "Live connections, queries and answers. Failed and late count against the service; "
            "abandoned ones are the client's own doing.",
            "cps",
            query(rate("lapwing_trials_total", "outcome"), "{{outcome}}"),
            stack=True,
        ),
        lines(
            "Failures, against normal and broken",
            "The part that fails or is late. The dashed lines are what the detector has learned "
            "as normal (green) and what it takes for broken (red): worry when the line leaves "
            "the green one.",
            "percentunit",
            query(f"lapwing:service_failure_ratio:rate1m{{{SERVICE}}}", WHO),
            query(f"lapwing_detector_normal_ratio{{{SERVICE}}}", f"normal: {WHO}"),
            query(f"lapwing_detector_broken_ratio{{{SERVICE}}}", f"broken: {WHO}"),
            most=0.1,
            dashed=[("^normal: .*", style.GOOD), ("^broken: .*", style.BAD)],
        ),
        lines(
            "Detector score",
            "The highest detector's score as a part of its threshold. At 1 the service is "
            "suspect; it climbs with each failure and falls with each success.",
            "percentunit",
            query(f"lapwing_detector_score_ratio{{{SERVICE}}}", WHO),
            most=1.1,
            mark=1,
        ),
        lines(
            "Successes, against what is usual",
            "The dashed line is the rate that is usual now; absent while it is being learned. "
            "Far below it: clients do not come, or get no answer.",
            "cps",
            query(
                rate(
                    "lapwing_trials_total", "instance, service", SERVICE + ', outcome="succeeded"'
                ),
                "{{service}} at {{instance}}",
            ),
            query(
                f"lapwing_service_expected_per_second{{{SERVICE}}}",
                "usual: {{service}} at {{instance}}",
            ),
            dashed=[("^usual: .*", style.ORDERED)],
        ),
    )


def responses(b):
    buckets = rate("lapwing_response_seconds_bucket", "instance, service, kind, le")
    b.row(
        "Response time",
        lines(
            "Response time",
            "What half and what 99 of 100 answers stay below. Retransmissions show as steps at "
            "1, 3 and 7 s. The buckets are powers of two: read it as about.",
            "s",
            query(f"histogram_quantile(0.5, {buckets}) >= 0", f"p50 {WHO}"),
            query(f"histogram_quantile(0.99, {buckets}) >= 0", f"p99 {WHO}"),
            log=True,
        ),
        heat(
            "How answers are spread",
            "All answers by their time, over time. A second band above the first is a part of "
            "the clients that waits: one worker that hangs, or packets that are lost.",
            f"sum by (le) (increase(lapwing_response_seconds_bucket{{{SERVICE}}}"
            "[$__rate_interval]))",
        ),
    )


def tcp(b):
    b.row(
        "TCP and ICMP",
        lines(
            "Handshakes",
            "SYN without repeats, SYN-ACK without repeats, and handshakes that the client "
            "finished. SYN above SYN-ACK: the service does not answer. SYN-ACK above verified: "
            "a flood, or a path that loses replies.",
            "cps",
            query(
                rate("lapwing_tcp_syn_total", "service")
                + " - "
                + rate("lapwing_tcp_syn_retransmissions_total", "service"),
                "{{service}}: SYN",
            ),
            query(
                rate("lapwing_tcp_synack_total", "service")
                + " - "
                + rate("lapwing_tcp_synack_retransmissions_total", "service"),
                "{{service}}: SYN-ACK",
            ),
            query(rate("lapwing_tcp_verified_total", "service"), "{{service}}: verified"),
        ),
        lines(
            "Repeated handshake segments",
            "SYN and SYN-ACK that were sent again, and SYNs that are not judged. Repeated SYN: "
            "the service or the path towards it; repeated SYN-ACK: the path back.",
            "cps",
            query(rate("lapwing_tcp_syn_retransmissions_total", "service"), "{{service}}: SYN"),
            query(
                rate("lapwing_tcp_synack_retransmissions_total", "service"), "{{service}}: SYN-ACK"
            ),
            query(rate("lapwing_tcp_syn_not_judged_total", "service"), "{{service}}: not judged"),
        ),
        lines(
            "Resets",
            "RST by direction and by how far the connection was. Refused, out: nobody listens. "
            "Established, out: the service breaks off. In: clients go away.",
            "cps",
            query(
                rate("lapwing_tcp_rst_total", "direction, phase") + " > 0",
                "{{direction}}, {{phase}}",
            ),
        ),
        lines(
            "Retransmissions",
            "The part of the service's own segments that repeats, of sampled connections. Some "
            "per cent are normal on the Internet; a step is the path or the network card.",
            "percentunit",
            query(
                f"lapwing:service_retransmission_ratio:rate5m{{{SERVICE}}}",
                "{{service}} at {{instance}}",
            ),
            most=0.05,
        ),
        lines(
            "Closed windows and gaps",
            "Segments that say that there is no room, and segments that fill a gap. Closed "
            "windows, out: the service does not read what clients send.",
            "cps",
            query(
                rate("lapwing_tcp_zero_windows_total", "service, direction"),
                "{{service}}: closed window {{direction}}",
            ),
            query(rate("lapwing_tcp_out_of_order_total", "service"), "{{service}}: gap filled"),
        ),
        lines(
            "ICMP unreachable",
            "This host says that the service cannot be reached: nobody listens there.",
            "cps",
            query(rate("lapwing_icmp_unreachable_total", "service"), "{{service}}"),
        ),
    )


def applications(b):
    b.row(
        "DNS, QUIC and HTTP",
        lines(
            "DNS queries and responses",
            "Queries that come, malformed ones among them, and responses that leave. The gap "
            "is what is not answered.",
            "cps",
            query(rate("lapwing_dns_queries_total", "service"), "{{service}}: queries"),
            query(rate("lapwing_dns_malformed_total", "service"), "{{service}}: malformed"),
            query(rate("lapwing_dns_responses_total", "service"), "{{service}}: responses"),
            width=12,
        ),
        lines(
            "DNS response codes",
            "servfail and refused count against the service; nxdomain is an answer.",
            "cps",
            query(rate("lapwing_dns_responses_total", "rcode"), "{{rcode}}"),
            stack=True,
        ),
        lines(
            "QUIC",
            "Initials by direction, Retry and Version Negotiation. In without out: the service "
            "does not answer. Many Retry: it defends itself.",
            "cps",
            query(rate("lapwing_quic_initials_total", "direction"), "Initial {{direction}}"),
            query(f"sum(rate(lapwing_quic_retries_total{{{SERVICE}}}[$__rate_interval]))", "Retry"),
            query(
                f"sum(rate(lapwing_quic_version_negotiations_total{{{SERVICE}}}"
                "[$__rate_interval]))",
                "Version Negotiation",
            ),
        ),
        lines(
            "HTTP status",
            "The first responses of HTTP/1 connections, by class. 5xx counts against the "
            "service.",
            "cps",
            query(rate("lapwing_http_responses_total", "class"), "{{class}}"),
            stack=True,
        ),
        collapsed=True,
    )
