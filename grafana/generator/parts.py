"""The kinds of panels that the dashboards are made of, their variables, links and layout.

In: a title, words, a unit and queries. Out: builders of the SDK, each complete: nothing is
left to a default that a reader would have to know.
"""

import string

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as prometheus_models

import style

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
# What the legend calls them.
CALCS = {"lastNotNull": "Last *", "max": "Max"}
TITLES = {
    "fleet": "Lapwing: fleet",
    "host": "Lapwing: edge host",
    "service": "Lapwing: service",
    "decisions": "Lapwing: decisions and withdrawals",
}
# Queries of several instances begin with these matchers.
HERE = 'instance=~"$instance"'
SERVICE = HERE + ', service=~"$service"'
PREFIX = HERE + ', prefix=~"$prefix"'


# Queries


def query(expr, legend="", instant=False, form=prometheus_models.PromQueryFormat.TIME_SERIES):
    """A query; its letter comes with the panel."""
    target = (
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(" ".join(expr.split()))
        .legend_format(legend)
        .format(form)
        .editor_mode(prometheus_models.QueryEditorMode.CODE)
    )
    return target.instant() if instant else target.range()


def numbered(metric, matchers, label, words, by):
    """A state set as one number, by the words of `style`."""
    states = " or ".join(
        f'{number} * ({metric}{{{matchers}, {label}="{word}"}} == 1)' for number, word, _ in words
    )
    return f"max by ({by}) ({states})"


def count(expr):
    """How many there are: 0, not nothing, if there are none."""
    return f"count({expr}) or vector(0)"


# Panels


def finish(panel, title, text, unit, queries, width, height):
    panel.title(title).description(text).datasource(SOURCE).unit(unit).span(width).height(height)
    for letter, target in zip(string.ascii_uppercase, queries, strict=False):
        panel.with_target(target.ref_id(letter))
    return panel


def steps(first, *rest):
    """Thresholds: the colour at first, then (from, colour)."""
    marks = [dashboard.Threshold(value=None, color=first)]
    marks += [dashboard.Threshold(value=value, color=color) for value, color in rest]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(marks)


def number(
    title, text, expr, unit="short", bad=style.BAD, at=1, words=None, width=4, least=None
):
    """One number or word, coloured from `at` on, if there is such a value: a verdict."""
    last = common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)
    panel = (
        stat.Panel()
        .reduce_options(last)
        .color_mode(common_models.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .text_mode(common_models.BigValueTextMode.VALUE)
        .no_value("no data")
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    )
    finish(panel, title, text, unit, [query(expr, title, instant=True)], width, 4)
    if words:
        panel.mappings(style.mapping(words)).thresholds(steps(style.UNKNOWN))
    elif at is None:
        panel.thresholds(steps(style.QUIET)).color_mode(common_models.BigValueColorMode.NONE)
    else:
        panel.thresholds(steps(style.GOOD, *(least or []), (at, bad)))
    return panel


def fixed_colours(panel, queries):
    """The colours of `style` for the series that these queries can have."""
    for target in queries:
        label = target.build().legend_format.removeprefix("{{").removesuffix("}}")
        for name, color in style.SERIES.get(label, {}).items():
            value = {"mode": "fixed", "fixedColor": color}
            panel.override_by_name(name, [dashboard.DynamicConfigValue("color", value)])
    return panel


def lines(
    title, text, unit, *queries, width=12, height=8, least=0, most=None, mark=None, stack=False,
    bars=False, points=False, dashed=None, log=False, calcs=("lastNotNull", "max"),
):
    """Values over time. `mark` is a value from which on to worry, drawn as a line; `most` is
    what the axis shows at least, so that nothing but zeros has an axis that makes sense.
    Bars count events: one a minute, else each is drawn as often as a window covers it.

    The legend has the highest value first: where there is no room for all, the worst is seen.
    """
    beside = width >= WIDTH / 2
    legend = (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.TABLE)
        .placement(
            common_models.LegendPlacement.RIGHT if beside else common_models.LegendPlacement.BOTTOM
        )
        .show_legend(True)
        .calcs(list(calcs))
        .sort_by(CALCS[calcs[0]])
        .sort_desc(True)
    )
    tooltip = (
        common.VizTooltipOptions()
        .mode(common_models.TooltipDisplayMode.MULTI)
        .sort(common_models.SortOrder.DESCENDING)
    )
    panel = (
        timeseries.Panel()
        .legend(legend)
        .tooltip(tooltip)
        .line_width(1)
        .fill_opacity(60 if bars else 25 if stack else 0)
        .show_points(common_models.VisibilityMode.NEVER)
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
    )
    if bars:
        panel.draw_style(common_models.GraphDrawStyle.BARS).interval("1m").axis_soft_max(1)
    if points:
        panel.draw_style(common_models.GraphDrawStyle.POINTS).point_size(8)
    if stack:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if log:
        scale = common.ScaleDistributionConfig().type(common_models.ScaleDistribution.LOG).log(10)
        panel.scale_distribution(scale)
    elif least is not None:
        panel.min(least)
    if most is not None:
        panel.axis_soft_max(most)
    if unit == "short":
        panel.decimals(0)
    if mark is None:
        panel.thresholds(steps(style.QUIET))
    else:
        drawn = common.GraphThresholdsStyleConfig().mode(
            common_models.GraphThresholdsStyleMode.DASHED
        )
        panel.thresholds(steps("transparent", (mark, style.BAD))).thresholds_style(drawn)
    finish(panel, title, text, unit, queries, width, height)
    fixed_colours(panel, queries)
    for name, color in dashed or []:
        panel.override_by_regexp(name, [
            dashboard.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color}),
            dashboard.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [6, 6]}),
            # Their colour says what they are; the legend is for what they are held against.
            dashboard.DynamicConfigValue(
                "custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}
            ),
        ])
    return panel


def states(title, text, words, expr, legend, width=24, height=8, link=None):
    """What was when, in words and colours."""
    panel = (
        statetimeline.Panel()
        .merge_values(True)
        .show_value(common_models.VisibilityMode.AUTO)
        .row_height(0.85)
        .fill_opacity(85)
        .line_width(0)
        .align_value(common_models.TimelineValueAlignment.LEFT)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .mappings(style.mapping(words))
        .thresholds(steps(style.UNKNOWN))
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    )
    finish(panel, title, text, "none", [query(expr, legend)], width, height)
    return panel.data_links([go(link)]) if link else panel


def gauges(title, text, unit, *queries, width=12, height=8, warn, bad):
    """The newest values as bars, one below the other."""
    panel = (
        bargauge.Panel()
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .min(0)
        .thresholds(steps(style.GOOD, (warn, style.WATCH), (bad, style.BAD)))
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .no_value("none in this time")
    )
    return finish(panel, title, text, unit, queries, width, height)


def heat(title, text, expr, width=12, height=8):
    """A histogram over time."""
    colours = (
        heatmap.HeatmapColorOptions()
        .mode(heatmap_models.HeatmapColorMode.SCHEME)
        .scheme("Turbo")
        .steps(64)
        .exponent(0.5)
    )
    buckets = query(expr, "{{le}}", form=prometheus_models.PromQueryFormat.HEATMAP)
    panel = (
        heatmap.Panel()
        .calculate(False)
        .color(colours)
        .cell_gap(0)
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .y_axis(heatmap.YAxisConfig().unit("s"))
        .mode(common_models.TooltipDisplayMode.SINGLE)
        .show_legend()
        .thresholds(steps(style.QUIET))
    )
    return finish(panel, title, text, "s", [buckets], width, height)


def rows(title, text, expr, columns, width=12, height=8, hide=(), link=None, wide=None):
    """What stands now, one line each, sorted by the first; `columns` are labels, in order."""
    panel = (
        table.Panel()
        .show_header(True)
        .filterable(True)
        .cell_height(common_models.TableCellHeight.SM)
        .sort_by([common.TableSortByFieldState().display_name(columns[0])])
        .thresholds(steps(style.QUIET))
        .no_value("none")
        .with_transformation(
            dashboard.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {name: True for name in ["Time", "Value", *hide]},
                    "indexByName": {name: index for index, name in enumerate(columns)},
                },
            )
        )
    )
    form = prometheus_models.PromQueryFormat.TABLE
    finish(panel, title, text, "none", [query(expr, instant=True, form=form)], width, height)
    panel.override_by_name("severity", [
        dashboard.DynamicConfigValue("mappings", [
            dashboard.ValueMap(options={
                "critical": dashboard.ValueMappingResult(color=style.BAD, index=0),
                "warning": dashboard.ValueMappingResult(color=style.WATCH, index=1),
            }).to_json(),
        ]),
        dashboard.DynamicConfigValue("custom.cellOptions", {"type": "color-background"}),
    ])
    # A label that is not there is no word: that is for a table without rows.
    panel.override_by_field_type("string", [dashboard.DynamicConfigValue("noValue", " ")])
    for name, pixels in (wide or {}).items():
        width = dashboard.DynamicConfigValue("custom.width", pixels)
        panel.override_by_name(name, [width])
    if link:
        # A row's labels are columns, not labels of the field.
        target = go(link, "__data.fields").build()
        panel.override_by_name("instance", [
            dashboard.DynamicConfigValue("links", [{"title": target.title, "url": target.url}])
        ])
    return panel


# Links and variables


def go(to, labels_of="__field.labels"):
    """From a series, or a table's row, to its host or prefix on another dashboard."""
    labels = ["instance", "prefix"] if to == "decisions" else ["instance"]
    chosen = "&".join(f"var-{label}=${{{labels_of}.{label}}}" for label in labels)
    url = f"/d/lapwing-{to}?var-datasource=${{datasource}}&{chosen}&${{__url_time_range}}"
    return build.DashboardLink(f"Open {TITLES[to]}").url(url)


def choice(name, label, values, multi=True):
    everything = dashboard.VariableOption(text="All", value="$__all", selected=True)
    variable = (
        build.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": values, "refId": f"{name}-variable"})
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.NATURAL_ASC)
        .multi(multi)
        .include_all(multi)
    )
    return variable.current(everything) if multi else variable


def variables(one_host, extra):
    """The data source and the hosts, then what the dashboard has besides."""
    yield build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    yield choice("site", "Site", "label_values(lapwing_host_info, site)")
    yield choice("host", "Host", 'label_values(lapwing_host_info{site=~"$site"}, host)')
    instances = 'label_values(lapwing_host_info{site=~"$site", host=~"$host"}, instance)'
    yield choice("instance", "Instance", instances, multi=not one_host)
    for name, label, metric in extra:
        yield choice(name, label, f"label_values({metric}{{{HERE}}}, {name})")


# Layout


class Board:
    """Lays panels out from left to right, then below, in rows with a title."""

    def __init__(self, name, text, extra=(), one_host=False):
        self.uid = f"lapwing-{name}"
        self.board = (
            build.Dashboard(TITLES[name])
            .uid(self.uid)
            .description(text)
            .tags(["lapwing"])
            .editable()
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
        )
        for variable in variables(one_host, extra):
            self.board.with_variable(variable)
        for other, title in TITLES.items():
            if other != name:
                link = (
                    build.DashboardLink(title)
                    .type(dashboard.DashboardLinkType.LINK)
                    .url(f"/d/lapwing-{other}")
                    .include_vars(True)
                    .keep_time(True)
                )
                self.board.link(link)
        self.ids = 0
        self.x = self.y = self.line = 0

    def row(self, title, *panels, collapsed=False):
        """A row; a collapsed one costs no query until somebody opens it."""
        self._break()
        row = build.Row(title).collapsed(collapsed).id(self._id())
        row.grid_pos(dashboard.GridPos(x=0, y=self.y, w=WIDTH, h=1))
        self.y += 1
        placed = [self._place(panel) for panel in panels]
        self._break()
        if collapsed:
            for panel in placed:
                row.with_panel(panel)
        self.board.with_row(row)
        if not collapsed:
            for panel in placed:
                self.board.with_panel(panel)

    def build(self):
        return self.board.build()

    def _id(self):
        self.ids += 1
        return self.ids

    def _break(self):
        self.x, self.y, self.line = 0, self.y + self.line, 0

    def _place(self, panel):
        size = panel.build().grid_pos
        if self.x + size.w > WIDTH:
            self._break()
        panel.id(self._id())
        panel.grid_pos(dashboard.GridPos(x=self.x, y=self.y, w=size.w, h=size.h))
        self.x, self.line = self.x + size.w, max(self.line, size.h)
        return panel
