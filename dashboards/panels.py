"""The vocabulary the dashboards are written in: queries, panels, rows, and what Grafana wants as JSON.

Queries are PromQL with a few words of our own, so that no panel forgets a variable:

    {Q}  the selected queues        job, instance, source, vhost, queue
    {S}  the selected sources       job, instance, source
    {E}  the selected exporters     job, instance
    by QUEUE                        by (job, source, vhost, queue)
    WINDOW                          $__rate_interval

Further matchers follow a comma: queue_exporter_queues{S,state="up"}.

Two exporters may watch the same queues (a pair). What both see alike, such as a depth, is taken once: `max by QUEUE`.
What each of them does itself, such as a message it handled or a request it paid for, is added: `sum by QUEUE`.
"""
import dataclasses
import re

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
TAG = "queue-exporter"
COLUMNS = 24

_EXPORTERS = 'job=~"$job", instance=~"$instance"'
_SOURCES = _EXPORTERS + ', source=~"$source"'
# A queue without a vhost has no such label: `|` lets it pass whatever vhost is chosen.
_QUEUES = _SOURCES + ', vhost=~"$vhost|", queue=~"$queue"'
_SELECTORS = {"Q": _QUEUES, "S": _SOURCES, "E": _EXPORTERS}
# The labels that name a queue, in a legend; HTML shows the two blanks of an absent vhost as one.
QUEUE_LEGEND = "{{source}} {{vhost}} {{queue}}"


def promql(text):
    """Our words replaced, blanks folded."""
    text = " ".join(text.split())
    text = re.sub(r"\{([QSE])(,?)\s*", lambda m: "{" + _SELECTORS[m.group(1)] + (", " if m.group(2) else ""), text)
    return text.replace("by QUEUE", "by (job, source, vhost, queue)").replace("WINDOW", "$__rate_interval")


# --- thresholds and mappings ---------------------------------------------------------------------------------------

GREEN, YELLOW, RED, BLUE, GREY = "green", "yellow", "red", "blue", "text"


def steps(first, *rest):
    """Colours by value: steps(GREEN, (1, RED)) is green below 1 and red from there on."""
    return [{"color": first, "value": None}] + [{"color": color, "value": value} for value, color in rest]


def words(**texts):
    """What to show instead of a number: words(_1=("up", GREEN), _0=("down", RED))."""
    options = {key.lstrip("_"): {"text": text, "color": color, "index": index}
               for index, (key, (text, color)) in enumerate(texts.items())}
    return [{"type": "value", "options": options}]


# --- queries -------------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Query:
    expr: str
    legend: str = ""
    color: str = ""       # fixed colour of the one series of this query, by its legend
    dashed: bool = False  # a limit rather than a measurement
    right: str = ""       # an axis of its own, on the right, of this unit

    def target(self, ref, kind):
        table = kind == "table"
        instant = kind in ("table", "stat")
        target = {"refId": ref, "datasource": DATASOURCE, "expr": promql(self.expr), "editorMode": "code",
                  "format": "heatmap" if kind == "heatmap" else "table" if table else "time_series",
                  "instant": instant, "range": not instant}
        if not table:
            target["legendFormat"] = "{{le}}" if kind == "heatmap" else self.legend or "__auto"
        return target


def _override(matcher, name, **properties):
    return {"matcher": {"id": matcher, "options": name},
            "properties": [{"id": key.replace("_", ".", 1) if key.startswith("custom_") else key, "value": value}
                           for key, value in properties.items()]}


# --- panels --------------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Panel:
    """One panel; made by stat(), lines(), heatmap() and table() below, placed by its row."""
    kind: str
    title: str
    about: str                       # the description: what it says, and what to do about it
    queries: list
    unit: str
    width: int
    height: int
    options: dict
    custom: dict = dataclasses.field(default_factory=dict)
    defaults: dict = dataclasses.field(default_factory=dict)
    overrides: list = dataclasses.field(default_factory=list)
    transformations: list = dataclasses.field(default_factory=list)
    runbooks: tuple = ()             # alert names
    min_step: str = ""               # values that change once per poll need no finer step

    def json(self, number, x, y, runbook_base):
        panel = {
            "id": number, "type": self.kind, "title": self.title, "description": self.about,
            "datasource": DATASOURCE, "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": {"unit": self.unit, **self.defaults, "custom": self.custom},
                            "overrides": self.overrides},
            "options": self.options,
            "targets": [query.target(chr(ord("A") + i), self.kind) for i, query in enumerate(self.queries)],
        }
        if self.kind != "heatmap":
            panel["fieldConfig"]["defaults"].setdefault("color", {"mode": "palette-classic"})
        if self.min_step:
            panel["interval"] = self.min_step
        if self.transformations:
            panel["transformations"] = self.transformations
        if self.runbooks:
            panel["links"] = [_link(f"Runbook: {name}", f"{runbook_base}/{name}.md") for name in self.runbooks]
        return panel


def _link(title, url):
    return {"title": title, "url": url, "type": "link", "icon": "doc", "tooltip": "", "tags": [], "asDropdown": False,
            "includeVars": False, "keepTime": False, "targetBlank": True}


def stat(title, about, *queries, unit="short", width=3, height=4, colors=None, mappings=None, none="none",
         text_mode="auto", runbooks=(), decimals=None):
    """One or a few big numbers. `none` is shown when there is no such series: absent is not 0."""
    defaults = {"color": {"mode": "thresholds"}, "noValue": none,
                "thresholds": {"mode": "absolute", "steps": colors or steps(GREY)}}
    if mappings:
        defaults["mappings"] = mappings
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "orientation": "auto",
               "textMode": text_mode, "wideLayout": True, "colorMode": "value", "justifyMode": "auto",
               "graphMode": "none", "showPercentChange": False,
               "percentChangeColorMode": "standard"}
    return Panel("stat", title, about, _queries(queries), unit, width, height, options, defaults=defaults,
                 runbooks=tuple(runbooks))


def lines(title, about, *queries, unit="short", width=12, height=8, stacked=False, bars=False, colors=None,
          minimum=0, maximum=None, log=False, runbooks=(), legend="table", min_step="", none="No data"):
    """Values over time. A gap is a gap: what is unknown is not joined by a line."""
    queries = _queries(queries)
    custom = {"drawStyle": "bars" if bars else "line", "lineWidth": 1, "spanNulls": False, "showPoints": "auto",
              "fillOpacity": 60 if bars else 30 if stacked else 8, "lineInterpolation": "linear",
              "stacking": {"mode": "normal" if stacked else "none", "group": "A"}, "axisPlacement": "auto",
              "scaleDistribution": {"type": "symlog", "log": 10, "linearThreshold": 1} if log else {"type": "linear"},
              "thresholdsStyle": {"mode": "dashed" if colors else "off"}}
    defaults = {"noValue": none}
    if minimum is not None:
        defaults["min"] = minimum
    if maximum is not None:
        defaults["max"] = maximum
    if colors:
        defaults["thresholds"] = {"mode": "absolute", "steps": colors}
    overrides = []
    for i, query in enumerate(queries):
        properties = {}
        if query.color:
            properties["color"] = {"mode": "fixed", "fixedColor": query.color}
        if query.dashed:
            properties["custom_lineStyle"] = {"fill": "dash", "dash": [10, 10]}
            properties["custom_fillOpacity"] = 0
            properties["custom_stacking"] = {"mode": "none", "group": "A"}
        if query.right:
            properties["unit"] = query.right
            properties["custom_axisPlacement"] = "right"
        if properties:
            overrides.append(_override("byFrameRefID", chr(ord("A") + i), **properties))
    shown = {"calcs": ["lastNotNull", "max"], "displayMode": "table"} if legend == "table" else \
            {"calcs": [], "displayMode": "list"}
    options = {"legend": {**shown, "placement": "bottom", "showLegend": True},
               "tooltip": {"mode": "multi", "sort": "desc"}}
    return Panel("timeseries", title, about, queries, unit, width, height, options, custom, defaults, overrides,
                 runbooks=tuple(runbooks), min_step=min_step)


def heatmap(title, about, buckets, unit="s", width=12, height=8):
    """A histogram over time; `buckets` is the rate of a family's _bucket series, `by (le)`."""
    options = {"calculate": False, "cellGap": 1, "showValue": "never", "exemplars": {"color": "rgba(255,0,255,0.7)"},
               "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange",
                         "scale": "exponential", "reverse": False},
               "filterValues": {"le": 1e-9}, "legend": {"show": True}, "rowsFrame": {"layout": "auto"},
               "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": False},
               "cellValues": {"unit": "ops"},
               "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit}}
    return Panel("heatmap", title, about, [Query(buckets)], unit, width, height, options,
                 {"scaleDistribution": {"type": "linear"},
                  "hideFrom": {"legend": False, "tooltip": False, "viz": False}})


@dataclasses.dataclass
class Column:
    """A column of a table: a query's value, or a label of its series."""
    name: str                # the heading
    expr: str = ""           # a query; or
    label: str = ""          # a label
    unit: str = ""
    colors: list = None
    mappings: list = None
    links: list = None       # [(title, url)]
    width: int = 0


def table(title, about, columns, unit="short", width=24, height=9, sort=None, runbooks=(), none="none"):
    """One row for each label set; every query must keep the same labels, those of the label columns.
    sort: a column's name, first the biggest."""
    queries = [Query(column.expr) for column in columns if column.expr]
    fields, ref = {}, 0
    for column in columns:
        if column.expr:
            fields[column.name] = "Value" if len(queries) == 1 else f"Value #{chr(ord('A') + ref)}"
            ref += 1
        else:
            fields[column.name] = column.label
    transformations = [{"id": "merge", "options": {}}] if len(queries) > 1 else []
    keep = "^(" + "|".join(fields[column.name] for column in columns) + ")$"
    transformations += [
        {"id": "filterFieldsByName", "options": {"include": {"pattern": keep}}},
        {"id": "organize", "options": {
            "indexByName": {fields[column.name]: i for i, column in enumerate(columns)},
            "renameByName": {fields[column.name]: column.name for column in columns}, "excludeByName": {}}}]
    overrides = []
    for column in columns:
        properties = {}
        if column.unit:
            properties["unit"] = column.unit
        if column.mappings:
            properties["mappings"] = column.mappings
        if column.colors:
            properties["thresholds"] = {"mode": "absolute", "steps": column.colors}
        if column.colors or column.mappings:
            properties["color"] = {"mode": "thresholds"}
            properties["custom_cellOptions"] = {"type": "color-text"}
        if column.links:
            properties["links"] = [{"title": text, "url": url, "targetBlank": url.startswith("http")}
                                   for text, url in column.links]
        if column.width:
            properties["custom_width"] = column.width
        if properties:
            overrides.append(_override("byName", column.name, **properties))
    options = {"showHeader": True, "cellHeight": "sm", "enablePagination": True, "frameIndex": 0,
               "sortBy": [{"displayName": sort, "desc": True}] if sort else []}
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True}
    return Panel("table", title, about, queries, unit, width, height, options, custom, {"noValue": none}, overrides,
                 transformations, tuple(runbooks))


def _queries(queries):
    return [query if isinstance(query, Query) else Query(query) for query in queries]


# --- variables, annotations, dashboards ----------------------------------------------------------------------------

def variable(name, label, query, several=True, everything=".+", about=""):
    """A drop-down filled from Prometheus; everything is the regular expression of "All", or "" for none."""
    made = {"name": name, "label": label, "type": "query", "datasource": DATASOURCE, "query": promql(query),
            "refresh": 2, "sort": 1, "regex": "", "hide": 0, "skipUrlSync": False, "multi": several,
            "includeAll": bool(everything), "options": []}
    if about:
        made["description"] = about
    if everything:
        made["allValue"] = everything
        made["current"] = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return made


DATASOURCE_VARIABLE = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
                       "refresh": 1, "regex": "", "hide": 0, "skipUrlSync": False, "multi": False,
                       "includeAll": False, "options": []}
JOB = variable("job", "Job", "label_values(queue_exporter_build_info, job)")
INSTANCE = variable("instance", "Instance", 'label_values(queue_exporter_build_info{job=~"$job"}, instance)')


def annotation(name, expr, color, title, text, tags=(), value_is_time=False):
    return {"name": name, "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": color,
            "expr": promql(expr), "titleFormat": title, "textFormat": text, "tagKeys": ",".join(tags),
            "useValueForTime": value_is_time}


# ALERTS carries the labels of the alert, which need not include instance, nor source.
FIRING = 'alertname=~"Queue.*", alertstate="firing", job=~"$job", source=~"$source|"'
ANNOTATIONS = [
    annotation("Restarts", "process_start_time_seconds{E} * 1000", "blue", "Exporter started", "{{instance}}",
               ("job", "instance"), value_is_time=True),
    annotation("Alerts", f'max by (alertname, severity, source, vhost, queue) (ALERTS{{{FIRING}, severity!="info"}})',
               "red", "{{alertname}}", "{{source}} {{vhost}} {{queue}}", ("severity", "source", "queue")),
]


@dataclasses.dataclass
class Row:
    title: str
    panels: list


@dataclasses.dataclass
class Dashboard:
    uid: str
    title: str
    about: str
    variables: list
    rows: list
    annotations: list = dataclasses.field(default_factory=lambda: ANNOTATIONS)

    def exactly(self, node):
        """Grafana escapes a choice for regular expressions only where several may be chosen: a variable of one value
        is compared as it is, or `a+b` would find nothing and `a.b` too much."""
        if isinstance(node, dict):
            return {key: self.exactly(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self.exactly(value) for value in node]
        if isinstance(node, str):
            for one in self.variables:
                if one["type"] == "query" and not one["multi"]:
                    node = node.replace(f'=~"${one["name"]}"', f'="${one["name"]}"')
        return node

    def json(self, runbook_base):
        """Panels flow from left to right and wrap; rows start on a line of their own."""
        panels, y, number = [], 0, 0
        for row in self.rows:
            number += 1
            panels.append({"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [],
                           "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
            y, x, tallest = y + 1, 0, 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, tallest = 0, y + tallest, 0
                number += 1
                panels.append(panel.json(number, x, y, runbook_base))
                x, tallest = x + panel.width, max(tallest, panel.height)
            y += tallest
        return self.exactly({
            "uid": self.uid, "title": self.title, "description": self.about, "tags": [TAG], "editable": False,
            "schemaVersion": 39, "version": 1, "timezone": "browser", "refresh": "1m", "graphTooltip": 1,
            "time": {"from": "now-6h", "to": "now"}, "timepicker": {}, "weekStart": "", "fiscalYearStartMonth": 0,
            "links": [{"title": "Queue dashboards", "type": "dashboards", "tags": [TAG], "icon": "external link",
                       "tooltip": "", "asDropdown": False, "includeVars": True, "keepTime": True,
                       "targetBlank": False, "url": ""},
                      _link("Runbooks", runbook_base)],
            "annotations": {"list": self.annotations},
            "templating": {"list": self.variables},
            "panels": panels,
        })
